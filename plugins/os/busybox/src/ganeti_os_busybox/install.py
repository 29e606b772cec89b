"""Puts the OS definition where nodes look for it: `ganeti-os-busybox DIR`.

DIR is a directory of OS definitions, e.g. /srv/ganeti/os; the definition becomes DIR/busybox.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from ganeti_os_busybox import BusyboxError, programs

NAME = "busybox"
SCRIPTS = ("create", "import", "export", "rename", "verify")
PROGRAM = "busybox-static"


def install(directory: Path) -> Path:
    """Install, or replace an older copy, and return the definition's directory."""
    target = directory / NAME
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{NAME}-", dir=directory) as name:
            work = Path(name) / "new"
            with resources.as_file(resources.files(__package__) / "definition") as source:
                shutil.copytree(source, work, ignore=shutil.ignore_patterns("__pycache__"))
            for script in SCRIPTS:
                (work / script).chmod(0o755)
            (work / PROGRAM).write_bytes(programs.busybox())
            (work / PROGRAM).chmod(0o755)
            if target.exists():
                target.rename(Path(name) / "old")
            work.rename(target)
    except OSError as error:
        raise BusyboxError(f"cannot write {error.filename}: {error.strerror}") from error
    return target


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ganeti-os-busybox", description="Install the OS definition busybox."
    )
    parser.add_argument("directory", type=Path, help="directory of OS definitions")
    try:
        print(install(parser.parse_args(argv).directory))
    except BusyboxError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
