"""A node daemon that kills itself at a chosen moment; Python imports this where it is on the path.

Points: before and after the work of each call of a job that changes the node, before the answer
goes out. Calls that carry the configuration to the nodes come whenever they like and do not count.
The file `call-fault.json` in the node's root directory, if any, says {"point": N}, counted from 0
since the file was written. While there is a file `call-points`, the name of each is added to it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(os.environ.get("GANETI_ROOTDIR", "/nonexistent"))
FAULT = ROOT / "call-fault.json"
POINTS = ROOT / "call-points"

_seen: tuple[int, int] | None = None
_passed = 0


def _point(name: str) -> None:
    global _seen, _passed
    if POINTS.exists():
        with POINTS.open("a") as stream:
            stream.write(f"{name}\n")
    try:
        status = FAULT.stat()
        fault = json.loads(FAULT.read_text())
    except FileNotFoundError:
        return
    if _seen != (status.st_ino, status.st_mtime_ns):
        _seen, _passed = (status.st_ino, status.st_mtime_ns), 0
    number, _passed = _passed, _passed + 1
    if number == fault["point"]:
        FAULT.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def _struck(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    from ganeti_kernel.rpc.calls import CALLS

    async def struck(self: Any, request: Any, name: str) -> Any:
        spreading = name.startswith(("config_", "replica_", "ssconf_"))
        if spreading or name not in CALLS or not CALLS[name].changes:
            return await call(self, request, name)
        _point(f"before {name}")
        answer = await call(self, request, name)
        _point(f"after {name}")
        return answer

    return struck


if any(word.endswith("/ganeti-noded") for word in sys.orig_argv):
    from ganeti_kernel.rpc.server import NodeServer

    NodeServer._call = _struck(NodeServer._call)  # type: ignore[method-assign]
