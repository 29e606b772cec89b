"""The real operations, with a process killed at a chosen point of a job.

Loaded by the master daemon with `--operations=struck_operations`. Points of a job process, counted
from 0: before each entry of its journal and its final status, after each entry that announces a
step, after the final status, and before whatever a step does to nodes or the configuration after
its first such act. The file `fault.json` in the root directory, if any, says {"who": "job" |
"master" | "noded", "point": N, "pid_file": path of the node daemon's}. A fault strikes once. While
there is a file `points`, the name of each point is added to it.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ganeti_kernel.operations  # noqa: F401 # registers the operations
from ganeti_kernel.jobs.channel import Channel
from ganeti_kernel.jobs.job import FINAL
from ganeti_kernel.jobs.journal import Begun, Entry
from ganeti_kernel.operations import remote
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.sync import SyncNodeClient

ROOT = Path(os.environ["GANETI_ROOTDIR"])
FAULT = ROOT / "fault.json"
POINTS = ROOT / "points"

_passed = 0
_acts = 0
"""Acts of the step that was begun last."""


def _point(name: str) -> None:
    global _passed
    number, _passed = _passed, _passed + 1
    if POINTS.exists():
        with POINTS.open("a") as stream:
            stream.write(f"{name}\n")
    try:
        fault = json.loads(FAULT.read_text())
    except FileNotFoundError:
        return
    if fault["point"] != number:
        return
    FAULT.unlink()
    pid_file = Paths(ROOT).run_dir / "ganeti-masterd.pid"
    if fault["who"] == "noded":
        pid_file = Path(fault["pid_file"])
    victim = os.getpid() if fault["who"] == "job" else int(pid_file.read_text())
    os.kill(victim, signal.SIGKILL)


def _act(name: str) -> None:
    """The first act of a step comes right after the point behind its announcement."""
    global _acts
    _acts += 1
    if _acts > 1:
        _point(f"before {name}")


def _entry(entry: Entry) -> str:
    step = getattr(entry, "step", None)
    kind = str(entry.__struct_config__.tag)
    return kind if step is None else f"{kind} {step}"


def _struck_channel(call: Callable[..., bytes]) -> Callable[..., bytes]:
    def call_raw(self: Channel, method: str, **args: Any) -> bytes:
        global _acts
        if method == "journal":
            entry = args["entries"][0]
            _point(f"before {_entry(entry)}")
            answer = call(self, method, **args)
            if isinstance(entry, Begun):
                _acts = 0
                _point(f"after {_entry(entry)}")
            return answer
        if method == "status" and args["status"] in FINAL:
            _point(f"before {args['status']}")
            answer = call(self, method, **args)
            _point(f"after {args['status']}")
            return answer
        if method == "config":
            _act("a change of the configuration")
        return call(self, method, **args)

    return call_raw


def _struck_nodes(call: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: SyncNodeClient, nodes: Any, name: str, /, **args: Any) -> Any:
        _act(f"call {name}")
        return call(self, nodes, name, **args)

    return method


def _struck_shell(run: Callable[..., str]) -> Callable[..., str]:
    def run_on(*args: Any) -> str:
        _act("the set-up of a node")
        return run(*args)

    return run_on


Channel.call_raw = _struck_channel(Channel.call_raw)  # type: ignore[method-assign]
SyncNodeClient.call = _struck_nodes(SyncNodeClient.call)  # type: ignore[method-assign]
SyncNodeClient.call_many = _struck_nodes(SyncNodeClient.call_many)  # type: ignore[method-assign]
remote.run_on = _struck_shell(remote.run_on)
