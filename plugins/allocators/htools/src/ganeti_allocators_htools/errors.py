"""Errors whose text is meant for the person at the terminal."""

from __future__ import annotations


class HtoolsError(Exception):
    """Base of all errors this library raises on purpose."""


class LoadError(HtoolsError):
    """The cluster data could not be read or makes no sense."""


class UsageError(HtoolsError):
    """Wrong command line; ``status`` is the exit code upstream uses for it."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
