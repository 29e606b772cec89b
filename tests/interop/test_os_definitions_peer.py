"""Our diagnosis of OS definitions beside that of Debian's ganeti, on the same directories."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from ganeti_kernel.node import os_definitions

PEER = Path("/usr/share/ganeti/default")
PYTHON = "/usr/bin/python3"
ASK = """
import json, logging, sys
logging.disable(logging.CRITICAL)
from ganeti import backend
print(json.dumps(backend.DiagnoseOS(top_dirs=sys.argv[1:])))
"""
SCRIPTS = ("create", "import", "export", "rename", "verify")

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        not (PEER / "ganeti" / "backend.py").exists(), reason="Debian's ganeti is not installed"
    ),
]


def make(base: Path, name: str, api: str, scripts: tuple[str, ...], **lists: str) -> None:
    path = base / name
    path.mkdir(parents=True)
    (path / "ganeti_api_version").write_text(api)
    for script in scripts:
        (path / script).write_text("#!/bin/sh\n")
        (path / script).chmod(0o755)
    for file, text in lists.items():
        (path / f"{file}.list").write_text(text)


def test_the_same_verdicts(tmp_path: Path) -> None:
    make(tmp_path, "good", "20\n", SCRIPTS, parameters="rootpw the password\n")
    make(tmp_path, "two", "20\n15\n", SCRIPTS, parameters="", variants="default\n# c\nother\n")
    make(tmp_path, "ten", "5\n10\n", SCRIPTS[:4])
    make(tmp_path, "fifteen", "15\n", SCRIPTS[:4], variants="v\n")
    make(tmp_path, "untrusted", "20\n", (*SCRIPTS[1:], "create_untrusted"), parameters="")
    make(tmp_path, "noexport", "20\n", ("create", "import", "rename", "verify"), parameters="")
    make(tmp_path, "noverify", "20\n", SCRIPTS[:4], parameters="")
    make(tmp_path, "noparameters", "20\n", SCRIPTS)
    make(tmp_path, "nocreate", "20\n", SCRIPTS[1:], parameters="")
    make(tmp_path, "garbage", "x\n", SCRIPTS)
    make(tmp_path, "we.ird", "20\n", SCRIPTS)
    env = {**os.environ, "PYTHONPATH": str(PEER), "PYTHONDONTWRITEBYTECODE": "1"}
    peer = subprocess.run(
        [PYTHON, "-c", ASK, str(tmp_path)], env=env, capture_output=True, text=True, timeout=60
    )
    assert peer.returncode == 0, peer.stderr
    theirs = {
        row[0]: (*row[1:5], [tuple(item) for item in row[5]], row[6], row[7])
        for row in json.loads(peer.stdout)
    }
    ours = {
        row.name: (
            row.path,
            row.valid,
            row.diagnose,
            row.variants,
            row.parameters,
            row.api_versions,
            row.trusted,
        )
        for row in os_definitions.diagnose([tmp_path])
    }
    assert ours == theirs
    assert len(ours) == 11
