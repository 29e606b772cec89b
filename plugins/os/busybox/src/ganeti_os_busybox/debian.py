"""Debian packages: resolved and fetched by apt, unpacked by dpkg, never installed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ganeti_os_busybox import BusyboxError, CannotFetch

FETCH_TIMEOUT = 600.0
QUICK_TIMEOUT = 60.0
NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")


def parse_dependency(text: str, prefix: str) -> str | None:
    """Return the first package of a Depends field whose name begins with `prefix`."""
    for part in re.split(r"[,|]", text):
        name = part.strip().partition(" ")[0].partition(":")[0]
        if name.startswith(prefix) and NAME.fullmatch(name):
            return name
    return None


def fetch(package: str, directory: Path) -> Path:
    """Download a package's newest version and return the file.

    The lists of packages are brought up to date when the package cannot be had without. Raises
    CannotFetch.
    """
    download = ["apt-get", "download", package]
    try:
        _run(download, FETCH_TIMEOUT, directory)
    except BusyboxError:
        try:
            _run(["apt-get", "update", "-q"], FETCH_TIMEOUT, directory)
            _run(download, FETCH_TIMEOUT, directory)
        except BusyboxError as error:
            raise CannotFetch(str(error)) from error
    found = sorted(directory.glob(f"{package}_*.deb"))
    if not found:
        raise BusyboxError(f"apt-get download {package} left no package in {directory}")
    return found[-1]


def depends(package: Path) -> str:
    return _run(["dpkg-deb", "--field", str(package), "Depends"], QUICK_TIMEOUT)


def unpack(package: Path, directory: Path) -> None:
    _run(["dpkg-deb", "--extract", str(package), str(directory)], FETCH_TIMEOUT)


def _run(argv: Sequence[str], timeout: float, directory: Path | None = None) -> str:
    try:
        finished = subprocess.run(
            argv,
            cwd=directory,
            timeout=timeout,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise BusyboxError(f"{argv[0]} is not installed: this needs a Debian system") from None
    except subprocess.TimeoutExpired:
        raise BusyboxError(f"{' '.join(argv)} did not end within {timeout:g} seconds") from None
    if finished.returncode:
        last = (finished.stderr.strip() or finished.stdout.strip()).splitlines()[-1:]
        raise BusyboxError(f"{' '.join(argv)} failed: {' '.join(last) or 'no output'}")
    return finished.stdout
