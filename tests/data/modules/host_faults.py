"""The real operations, on a machine that is lost at a chosen step of a plan.

Loaded by the master daemon with `--operations=host_faults`. The file `lost.json` in the root
directory, if any, says {"step": N, "when": "before" | "after"}: everything that runs on this node
is killed before the N-th step does its work, or after it did and before that is journalled.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ganeti_kernel.operations  # noqa: F401 # registers the operations
from ganeti_kernel.jobs.operation import STEPS, JobContext, Step

ROOT = Path(os.environ["GANETI_ROOTDIR"])
LOST = ROOT / "lost.json"
MARK = f"GANETI_ROOTDIR={ROOT}\0".encode()

_done = 0


def _strike(when: str) -> None:
    try:
        fault = json.loads(LOST.read_text())
    except FileNotFoundError:
        return
    if (fault["step"], fault["when"]) != (_done, when):
        return
    LOST.unlink()
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            own = folder.name == str(os.getpid())
            if folder.name.isdigit() and not own and MARK in (folder / "environ").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _on_a_host_that_is_lost(cls: type[Step]) -> type[Step]:
    class Lost(cls):  # type: ignore[valid-type,misc] # the class is a parameter
        def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
            global _done
            _strike("before")
            outcome = super().do(context, args)
            _strike("after")
            _done += 1
            return outcome

    return Lost


for _name, _step in list(STEPS.items()):
    STEPS[_name] = _on_a_host_that_is_lost(_step)
