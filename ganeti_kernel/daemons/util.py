"""`daemon-util`: start and stop this node's daemons (the name and verbs are upstream 3.0's)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Final

from ganeti_kernel.constants import EXIT_FAILURE, EXIT_SUCCESS, EXIT_USAGE
from ganeti_kernel.daemons import control
from ganeti_kernel.errors import GenericError
from ganeti_kernel.paths import Paths

USAGE: Final = """Usage: daemon-util VERB [DAEMON]

start-all        start every daemon that belongs on this node
stop-all         stop every daemon of this node
start DAEMON     start one, for example ganeti-confd
stop DAEMON      stop one
restart DAEMON   stop and start one
reload DAEMON    have one read its settings and plugins again
check DAEMON     exit 0 when it runs, 1 when it does not
list             name all daemons and say which run

Options of a daemon are read from /etc/default/ganeti, e.g. NODED_ARGS="-b 192.0.2.1"."""


def _check(paths: Paths, name: str) -> int:
    return EXIT_SUCCESS if control.pid_of(paths, name) else EXIT_FAILURE


def _reload(paths: Paths, name: str) -> int:
    pid = control.pid_of(paths, name)
    if pid is None:
        print(f"daemon-util: {name} does not run", file=sys.stderr)
        return EXIT_FAILURE
    os.kill(pid, signal.SIGHUP)
    return EXIT_SUCCESS


def _restart(paths: Paths, name: str) -> None:
    control.stop(paths, name)
    control.start(paths, name)


def _list(paths: Paths) -> None:
    for name in (*control.NODE_DAEMONS, *control.MASTER_DAEMONS):
        pid = control.pid_of(paths, name)
        print(f"{name} {f'runs (process {pid})' if pid else 'does not run'}")


_ALL: Final[dict[str, Callable[[Paths], object]]] = {
    "start-all": control.start_all,
    "stop-all": control.stop_all,
    "list": _list,
}
_ONE: Final[dict[str, Callable[[Paths, str], int | None]]] = {
    "start": control.start,
    "stop": control.stop,
    "restart": _restart,
    "reload": _reload,
    "check": _check,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the program."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args in (["-h"], ["--help"]):
        print(USAGE)
        return EXIT_SUCCESS
    try:
        paths = Paths.from_environment()
        if len(args) == 1 and args[0] in _ALL:
            _ALL[args[0]](paths)
            return EXIT_SUCCESS
        if len(args) == 2 and args[0] in _ONE:
            known = (*control.NODE_DAEMONS, *control.MASTER_DAEMONS)
            if args[1] not in known:
                print(f"daemon-util: no daemon {args[1]!r}: {', '.join(known)}", file=sys.stderr)
                return EXIT_USAGE
            return _ONE[args[0]](paths, args[1]) or EXIT_SUCCESS
    except (GenericError, OSError, ValueError) as error:
        print(f"daemon-util: {error}", file=sys.stderr)
        return EXIT_FAILURE
    print(USAGE, file=sys.stderr)
    return EXIT_USAGE
