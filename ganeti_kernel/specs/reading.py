"""Reading files of the system: bounded, and with an error that names the file."""

from __future__ import annotations

from pathlib import Path

from ganeti_kernel.errors import CommandError

MAX_BYTES = 8 << 20


def read_text(path: Path | str, limit: int = MAX_BYTES) -> str:
    """Return a file's text (bytes that are not UTF-8 are replaced).

    Raises CommandError that names the file when it cannot be read or has more than `limit` bytes.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > limit:
        raise CommandError(f"{path} has more than {limit} bytes")
    return data.decode("utf-8", "replace")
