"""A throw-away virtual environment to install distributions into."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


class Environment:
    """A virtual environment that sees this one's packages, and a node directory."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        venv = folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        self.python = venv / "bin" / "python"
        packages = next(venv.glob("lib/python3*/site-packages"))
        for index, path in enumerate(site.getsitepackages()):
            # Through addsitedir, so that editable installations there count as well.
            (packages / f"outer{index}.pth").write_text(f"import site; site.addsitedir({path!r})\n")

    def pip(self, *args: str | Path) -> None:
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", self.python, "--quiet",
             "--disable-pip-version-check", *args],
            check=True, capture_output=True, timeout=100,
        )  # fmt: skip

    def install(self, *projects: Path) -> None:
        self.pip("install", "--no-index", "--no-deps", "--no-build-isolation", *projects)

    def plugins(self, *args: str) -> tuple[int, list[dict[str, Any]]]:
        """Run gnt-plugins; returns exit code and its JSON."""
        done = subprocess.run(
            [self.python, "-c", "from ganeti_cli.gnt_plugins import main; main()", *args, "--json"],
            env=dict(os.environ) | {"GANETI_ROOTDIR": str(self.root)},
            capture_output=True, timeout=60, text=True, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout)

    def check(self, *kinds: str) -> tuple[int, dict[str, dict[str, Any]]]:
        """Check plugins of these kinds; returns exit code and what it says of each name."""
        code, rows = self.plugins("check", *kinds)
        return code, {row["name"]: row for row in rows}

    def pytest(self, project: Path) -> subprocess.CompletedProcess[str]:
        """Run a distribution's tests as its author does, in its folder."""
        return subprocess.run(
            [self.python, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
            cwd=project, capture_output=True, timeout=100, text=True, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("pip"))
