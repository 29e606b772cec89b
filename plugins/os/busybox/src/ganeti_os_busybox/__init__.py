"""OS definition `busybox`: a system of a few MiB that boots to a prompt, and its kernel."""

from __future__ import annotations

__version__ = "0.1.0"


class BusyboxError(Exception):
    """Something cannot be had or made. The text says what, and what to do."""


class CannotFetch(BusyboxError):
    """A package cannot be downloaded."""
