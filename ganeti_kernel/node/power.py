"""Power of machines: the out-of-band helper on the master, and this node's own reset button."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from ganeti_kernel.errors import CommandError, OpExecError, ParameterError
from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.registry import Arguments, node_call
from ganeti_kernel.plugins import process

OOB_COMMANDS: Final = ("health", "power-cycle", "power-off", "power-on", "power-status")
MAX_OUTPUT: Final = 64 << 10
RESET_DELAY: Final = 5.0
"""Seconds between the answer and the reset, so that the answer arrives (upstream's figure)."""


def _target(args: Arguments) -> str | None:
    return f"power of {args['target']}"


@node_call("oob_run", subject=_target)
def oob_run(_context: NodeContext, program: str, command: str, target: str, timeout: float) -> str:
    """Run an out-of-band helper for another node; returns what it printed."""
    if command not in OOB_COMMANDS:
        raise ParameterError(f"there is no out-of-band command {command[:64]!r}")
    if not Path(program).is_absolute() or not os.access(program, os.X_OK):
        raise OpExecError(
            f"the out-of-band helper {program} is not an executable file on this node; install it "
            "or change the node parameter oob_program"
        )
    try:
        done = process.run([program, command, target], timeout=timeout, cwd="/", limit=MAX_OUTPUT)
    except CommandError as error:
        raise OpExecError(str(error)) from None
    if done.code:
        how = f"exit code {done.code}" if done.code > 0 else f"signal {-done.code}"
        said = done.tail(5) or "it said nothing"
        raise OpExecError(f"{program} {command} {target} failed with {how}: {said}")
    return done.output


@node_call("powercycle")
def powercycle(context: NodeContext, hypervisor: str, hvparams: dict[str, Any]) -> str:
    """Have this node reset itself hard in a moment; returns a text that says so."""
    with context.hypervisor(hypervisor) as plugin:
        plugin.powercycle_node(hvparams, RESET_DELAY)
    return f"Reboot scheduled in {RESET_DELAY:g} seconds"
