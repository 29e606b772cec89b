"""A client of a guest's serial console: `python -m ganeti_hypervisors_kvm.console SOCKET`.

On a terminal every key goes to the guest; Ctrl-] leaves. With `--until TEXT` it prints what the
guest says, pressing Enter now and then, until TEXT appears: for scripts and tests.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import select
import socket
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from typing import Final

ESCAPE: Final = b"\x1d"
NUDGE_SECONDS: Final = 2.0
PAUSE_SECONDS: Final = 1.0
KEEP: Final = 64 << 10


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="ganeti-kvm-console", description="Serial console.")
    parser.add_argument("socket", help="the guest's serial socket")
    parser.add_argument("--until", metavar="TEXT", help="read until this text, then leave")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for --until")
    options = parser.parse_args(argv)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as guest:
        try:
            guest.connect(options.socket)
        except OSError as error:
            reason = error.strerror or error
            print(f"cannot reach the console at {options.socket}: {reason}", file=sys.stderr)
            return 1
        if options.until is not None:
            return watch(guest, options.until, options.timeout)
        print("Connected; Ctrl-] leaves.", file=sys.stderr)
        with raw_terminal():
            interact(guest)
    print(file=sys.stderr)
    return 0


def watch(guest: socket.socket, text: str, timeout: float) -> int:
    """Print until the text appears; 1 when it does not come or the guest goes away."""
    deadline = time.monotonic() + timeout
    nudge = 0.0
    seen = b""
    wanted = text.encode()
    while (now := time.monotonic()) < deadline:
        if now >= nudge:
            guest.sendall(b"\n")
            nudge = now + NUDGE_SECONDS
        ready, _, _ = select.select([guest], [], [], min(deadline, nudge) - now)
        if not ready:
            continue
        data = guest.recv(4096)
        if not data:
            print("\nthe console was closed: the guest is gone", file=sys.stderr)
            return 1
        _show(data)
        seen = (seen + data)[-KEEP:]
        if wanted in plain(seen):
            _finish_line(guest, plain(seen).rpartition(wanted)[2])
            return 0
    print(f"\nthe guest did not say {text!r} within {timeout:g} seconds", file=sys.stderr)
    return 1


def _finish_line(guest: socket.socket, rest: bytes) -> None:
    """Print up to the end of the line that the text is in, or until the guest pauses."""
    while b"\n" not in rest:
        ready, _, _ = select.select([guest], [], [], PAUSE_SECONDS)
        data = guest.recv(4096) if ready else b""
        if not data:
            break
        _show(data)
        rest += data
    print()


def interact(guest: socket.socket) -> None:
    """Pass keys and output until the escape key, the end of input, or the guest's end."""
    sources: list[int] = [guest.fileno(), sys.stdin.fileno()]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if guest.fileno() in ready:
            data = guest.recv(4096)
            if not data:
                return
            _show(data)
        if sys.stdin.fileno() in ready:
            keys = os.read(sys.stdin.fileno(), 4096)
            if not keys or ESCAPE in keys:
                return
            guest.sendall(keys)


def plain(data: bytes) -> bytes:
    """Output without terminal control sequences and carriage returns."""
    return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]|\r", b"", data)


@contextlib.contextmanager
def raw_terminal() -> Iterator[None]:
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _show(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
