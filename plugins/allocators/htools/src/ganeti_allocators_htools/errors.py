"""Errors whose text is meant for the person at the terminal."""

from __future__ import annotations

import errno
from collections.abc import Iterable


class HtoolsError(Exception):
    """Base of all errors this library raises on purpose."""


class LoadError(HtoolsError):
    """The cluster data could not be read or makes no sense."""


class UsageError(HtoolsError):
    """Wrong command line; ``status`` is the exit code upstream uses for it."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def quoted(text: str) -> str:
    """A text as error messages show it, in double quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def shown_list(values: Iterable[str]) -> str:
    """A list of texts as error messages show it: ``["a","b"]``."""
    return f"[{','.join(map(quoted, values))}]"


def open_error(path: str, err: OSError) -> str:
    """Upstream's wording for a file that cannot be opened."""
    reasons = {
        errno.ENOENT: "does not exist",
        errno.EACCES: "permission denied",
        errno.EISDIR: "inappropriate type",
        errno.ENOTDIR: "inappropriate type",
    }
    reason = reasons.get(err.errno or 0, "failed")
    detail = "is a directory" if err.errno == errno.EISDIR else err.strerror
    return f"{path}: openFile: {reason} ({detail})"
