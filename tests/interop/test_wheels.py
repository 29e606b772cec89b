"""Wheels of everything, installed into an empty virtual environment as an end user would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*argv: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=400, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_pip_install_of_everything(tmp_path: Path) -> None:
    folders = [ROOT, ROOT / "cli", *sorted(ROOT.glob("plugins/*/*/pyproject.toml"))]
    projects = [path if path.is_dir() else path.parent for path in folders]
    names = [str(path.relative_to(ROOT)) for path in projects]
    wheels = tmp_path / "wheels"
    run(sys.executable, "tools/wheels", wheels, *names, cwd=ROOT)
    assert len(list(wheels.glob("*.whl"))) == len(projects)
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", venv)
    python = venv / "bin" / "python"
    run(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet",
        "--find-links", wheels, "ganeti-cli[all]")  # fmt: skip
    assert "Commands:" in run(venv / "bin" / "gnt-instance", "--help", cwd=tmp_path)
    rows = json.loads(run(venv / "bin" / "gnt-plugins", "check", "--json", cwd=tmp_path))
    assert {row["state"] for row in rows} == {"usable"}
    # Templates are data files, which a wheel may lack.
    run(venv / "bin" / "gnt-plugins", "new", "store", "mine", cwd=tmp_path)
    assert (tmp_path / "ganeti-stores-mine/src/ganeti_stores_mine/journal.py").is_file()
    assert "site-packages" in run(
        python, "-c", "import ganeti_kernel; print(ganeti_kernel.__file__)", cwd=tmp_path
    )
