"""Which paths may hold disks: the administrator's list, less directories of the system.

Source: upstream 3.0, file `file-storage-paths` and its built-in list of forbidden directories.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from ganeti_kernel.errors import BlockDeviceError

MAX_BYTES = 64 << 10


def forbidden() -> Iterator[PurePosixPath]:
    """Directories that never hold disks, nor anything below them."""
    for name in ("boot", "dev", "etc", "home", "proc", "root", "sys"):
        yield PurePosixPath("/") / name
    for prefix in ("/", "/usr", "/usr/local"):
        for name in ("bin", "lib", "lib32", "lib64", "sbin"):
            yield PurePosixPath(prefix) / name


FORBIDDEN = frozenset(forbidden())


def parse(text: str) -> list[PurePosixPath]:
    """Read the list: one absolute path a line, `#` starts a comment.

    Raises ValueError that names the first line that is no absolute path.
    """
    out = []
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        if not is_plain(entry):
            raise ValueError(f"line {number} is not a normalised absolute path: {entry!r}")
        out.append(PurePosixPath(entry))
    return out


def is_plain(path: str) -> bool:
    """Say whether a text is an absolute path without `..`, doubled slashes or NUL."""
    pure = PurePosixPath(path)
    return (
        pure.is_absolute()
        and ".." not in pure.parts
        and path.rstrip("/") == str(pure).rstrip("/")
        and "\0" not in path
    )


def refusal(path: str, listed: Sequence[PurePosixPath], where: Path) -> str | None:
    """Return why a path may not hold disks, None when it may."""
    if not is_plain(path):
        return f"{path!r} is not a normalised absolute path"
    pure = PurePosixPath(path)
    lineage = {pure, *pure.parents}
    bad = sorted(str(item) for item in FORBIDDEN & lineage)
    if bad:
        return f"{path} lies in {bad[0]}, which never holds disks; choose another directory"
    if lineage.isdisjoint(listed):
        return f"{path} is not allowed for file storage; add it, or one above it, to {where}"
    return None


def check(path: str, where: Path) -> str | None:
    """Like `refusal` with the list read from `where`; raises BlockDeviceError if unreadable."""
    try:
        with where.open("rb") as stream:
            text = stream.read(MAX_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        text = ""
    except OSError as error:
        raise BlockDeviceError(f"cannot read {where}: {error.strerror}") from error
    try:
        return refusal(path, parse(text), where)
    except ValueError as error:
        return f"{where}: {error}"
