"""The real operations, with a process killed at a chosen step.

Loaded by the master daemon with `--operations=instance_faults`. The file `fault.json` in the root
directory, if any, says {"who": "job" | "master" | "noded", "step": N, "when": "before" | "after",
"pid_file": path of the node daemon's}: whom to kill before the N-th step of a plan does its work,
or after it did and before that is journalled. A fault strikes once.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ganeti_kernel.operations  # noqa: F401 # registers the operations
from ganeti_kernel.jobs.operation import STEPS, JobContext, Step
from ganeti_kernel.paths import Paths

ROOT = Path(os.environ["GANETI_ROOTDIR"])
FAULT = ROOT / "fault.json"

_done = 0


def _strike(when: str) -> None:
    try:
        fault = json.loads(FAULT.read_text())
    except FileNotFoundError:
        return
    if (fault["step"], fault["when"]) != (_done, when):
        return
    FAULT.unlink()
    pid_file = Paths(ROOT).run_dir / "ganeti-masterd.pid"
    if fault["who"] == "noded":
        pid_file = Path(fault["pid_file"])
    victim = os.getpid() if fault["who"] == "job" else int(pid_file.read_text())
    os.kill(victim, signal.SIGKILL)


def _faulty(cls: type[Step]) -> type[Step]:
    class Faulty(cls):  # type: ignore[valid-type,misc] # the class is a parameter
        def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
            global _done
            _strike("before")
            outcome = super().do(context, args)
            _strike("after")
            _done += 1
            return outcome

    return Faulty


for _name, _step in list(STEPS.items()):
    STEPS[_name] = _faulty(_step)
