"""Resetting this machine hard, through the kernel's system requests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ganeti_kernel.errors import CommandError, HypervisorError
from ganeti_kernel.plugins import process

TRIGGER: Final = Path("/proc/sysrq-trigger")

# The shell outlives the node daemon, should that be stopped meanwhile.
_SCRIPT: Final = 'exec </dev/null >/dev/null 2>&1; sleep "$0"; echo b > "$1"'


def schedule(root: Path, delay: float, trigger: Path = TRIGGER) -> None:
    """Have the machine reset in `delay` seconds; raises HypervisorError when it cannot be.

    A node below a root directory of its own shares its machine with others and is refused.
    """
    if root != Path("/"):
        raise HypervisorError(
            f"this node lives below {root} and shares its machine with others: it cannot be reset "
            "alone"
        )
    if not os.access(trigger, os.W_OK):
        raise HypervisorError(f"cannot write to {trigger}: this kernel takes no system requests")
    command = ["setsid", "--fork", "sh", "-c", _SCRIPT, f"{delay:g}", str(trigger)]
    try:
        process.check(command, timeout=10.0)
    except CommandError as error:
        raise HypervisorError(f"cannot schedule a reset: {error}") from None
