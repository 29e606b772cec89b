"""A monitoring daemon with good and bad collectors, run by test_mond_isolation as a program.

Usage: misbehaving_daemon.py PORT. Prints its port when it serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvloop

from ganeti_kernel.mond.service import Options, Service
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import Description, PluginContext, hookimpl
from ganeti_kernel.specs.collector import Collector

INTERVAL = 0.5


class Base(Collector):
    INTERVAL = INTERVAL
    DEADLINE = 1.0
    STATEFUL = True

    def __init__(self, name: str, act: Callable[[Base], Any]) -> None:
        super().__init__(PluginContext(paths=Paths()))
        self.name = name
        self.act = act
        self.updates = 0

    @hookimpl
    def describe(self) -> Description:
        return Description(name=self.name, version="1", summary="for a test")

    @hookimpl
    def update(self, now: float) -> None:
        self.updates += 1

    @hookimpl
    def collect(self) -> Any:
        return self.act(self)

    @hookimpl
    def save(self) -> Any:
        return self.updates

    @hookimpl
    def restore(self, state: Any) -> None:
        self.updates = int(state)


def good(collector: Base) -> Any:
    return {"updates": collector.updates, "pid": os.getpid()}


def stumbles(collector: Base) -> Any:
    """Hangs once, in its tenth round; the next process must go on counting from nine."""
    flag = Path(os.environ["STUMBLED"])
    if collector.updates == 10 and not flag.exists():
        flag.touch()
        time.sleep(3600)
    return {"updates": collector.updates, "pid": os.getpid()}


def raises(_collector: Base) -> Any:
    raise RuntimeError("as always")


def hangs(_collector: Base) -> Any:
    while True:
        time.sleep(3600)


def hangs_deaf(_collector: Base) -> Any:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(3600)


def spins(_collector: Base) -> Any:
    while True:
        pass


def eats(_collector: Base) -> Any:
    kept = []
    while True:
        kept.append(bytearray(1 << 20))


def eats_and_swallows(_collector: Base) -> Any:
    kept: list[bytearray] = []
    while True:
        with contextlib.suppress(MemoryError):
            while True:
                kept.append(bytearray(1 << 20))


def prints(_collector: Base) -> Any:
    for _ in range(2000):
        print("garbage" * 100)
        print("garbage" * 100, file=sys.stderr)
    return "printed"


def writes_everywhere(_collector: Base) -> Any:
    for descriptor in range(256):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"\xff\x00garbage" * 50)
    return "written"


def closes_everything(_collector: Base) -> Any:
    os.closerange(0, 256)
    return "closed"


def leaks_descriptors(_collector: Base) -> Any:
    return [os.open("/dev/null", os.O_RDONLY) for _ in range(60)]


def unserialisable(_collector: Base) -> Any:
    return {"a": object()}


def circular(_collector: Base) -> Any:
    data: list[Any] = []
    data.append(data)
    return data


def surrogates(_collector: Base) -> Any:
    return {"text": "\ud800"}


def huge(_collector: Base) -> Any:
    return "x" * (20 << 20)


def exits(_collector: Base) -> Any:
    sys.exit(3)


def exits_hard(_collector: Base) -> Any:
    os._exit(0)


def interrupts(_collector: Base) -> Any:
    raise KeyboardInterrupt


def crashes(_collector: Base) -> Any:
    ctypes.string_at(0)


def forks(_collector: Base) -> Any:
    os.fork()
    return os.getpid()


def forks_away(_collector: Base) -> Any:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            time.sleep(3600)
        os._exit(0)
    return "gone"


def forks_and_dies(_collector: Base) -> Any:
    for _ in range(5):
        if os.fork() == 0:
            os.setsid()
            time.sleep(3600)
    os._exit(1)


def threads(_collector: Base) -> Any:
    for _ in range(100):
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return threading.active_count()


def recurses(collector: Base) -> Any:
    return recurses(collector)


def changes_itself(collector: Base) -> Any:
    collector.CATEGORY = 17  # type: ignore[assignment] # that is the point
    return 1


GOOD: dict[str, Callable[[Base], Any]] = {"good-a": good, "good-b": good}
BAD: dict[str, Callable[[Base], Any]] = {
    action.__name__.replace("_", "-"): action
    for action in (
        *(raises, hangs, hangs_deaf, spins, eats, eats_and_swallows, writes_everywhere),
        *(closes_everything, unserialisable, circular, surrogates, huge, exits, exits_hard),
        *(interrupts, crashes, forks_and_dies, recurses, changes_itself),
    )
}
HARMLESS: dict[str, Callable[[Base], Any]] = {
    action.__name__.replace("_", "-"): action
    for action in (stumbles, prints, leaks_descriptors, forks, forks_away, threads)
}
AT_IMPORT = ("import-raises", "import-exits", "import-hangs")


class Catalogue:
    def installed(self) -> Sequence[str]:
        return self.offered()

    def offered(self) -> Sequence[str]:
        return [*GOOD, *BAD, *HARMLESS, *AT_IMPORT]

    def rescan(self) -> None:
        return

    def load(self, name: str) -> Collector:
        if name == "import-raises":
            raise ImportError("no module named nothing")
        if name == "import-exits":
            sys.exit("not today")
        if name == "import-hangs":
            time.sleep(3600)
        return Base(name, {**GOOD, **BAD, **HARMLESS}[name])


async def main(port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    options = Options(node_name="node1", address="127.0.0.1", port=port, sweep=True)
    service = Service(Catalogue(), options)
    await service.start()
    print(service.port, flush=True)
    await stop.wait()
    await service.stop()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
