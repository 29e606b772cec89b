"""A collector's process: load the plugin, make reports when told to, never climb out.

Whatever the plugin does (raise, return rubbish, call sys.exit, fork), what leaves this process is
a whole message or nothing.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from ganeti_kernel.errors import GenericError
from ganeti_kernel.mond import frames, metrics, processes
from ganeti_kernel.mond.report import (
    Identity,
    encode,
    encode_failure,
    identity_of,
    timestamp_now,
)
from ganeti_kernel.specs.collector import UNKNOWN, Collector

MAX_STATE: Final = 4 << 20
MAX_TEXT: Final = 500

Loader = Callable[[], Collector]


def serve(sock: socket.socket, name: str, load: Loader, state: bytes | None) -> None:
    """The process's life: load, say how it went, then answer commands until the daemon is gone."""
    me = os.getpid()
    try:
        collector = load()
        reason = collector.precondition()
        if reason is None and collector.STATEFUL and state is not None:
            _restore(collector, state)
        ready = frames.Ready(
            identity_of(name, collector),
            float(collector.INTERVAL),
            float(collector.DEADLINE),
            None if reason is None else str(reason)[:MAX_TEXT],
        )
    except BaseException as error:  # a stranger's code: even sys.exit() must stay its own
        sock.sendall(frames.pack(frames.Unusable(describe(error))))
        return
    processes.limit_memory(collector.MEMORY)
    sock.sendall(frames.pack(ready))
    identity = ready.identity
    while reason is None:
        command = frames.read_command(sock)
        if command is None:
            return
        answer = make_round(identity, collector, command)
        if os.getpid() != me:  # a copy that the collector forked and let run on
            return
        sock.sendall(frames.pack(answer))
        identity = answer.identity
        if processes.has_living_children():
            processes.kill_strays(())


def serve_names(sock: socket.socket, names: Callable[[], Sequence[str]]) -> None:
    """Answer with the names of all collectors: their sources are strangers' code as well."""
    sock.sendall(frames.pack(frames.Names([str(name) for name in names()])))


def make_round(identity: Identity, collector: Collector, command: frames.Collect) -> frames.Round:
    """Have the collector make one report; what goes wrong becomes the report."""
    started = time.monotonic()
    timestamp = timestamp_now()
    try:
        if command.update and collector.STATEFUL:
            collector.update(time.clock_gettime(time.CLOCK_BOOTTIME))
        data = collector.collect()
        timestamp = timestamp_now()
        identity = identity_of(identity.name, collector)
        return frames.Round(
            identity,
            timestamp,
            time.monotonic() - started,
            encode(identity, timestamp, data),
            state=_saved(collector),
            metrics=metrics.render(identity.name, collector, data) if command.metrics else None,
        )
    except BaseException as error:  # as above
        text = describe(error)
        if isinstance(error, MemoryError):
            text = f"it wanted more than the {collector.MEMORY} MiB of memory it may have"
        return frames.Round(
            identity,
            timestamp,
            time.monotonic() - started,
            encode_failure(identity, timestamp, UNKNOWN, text),
            error=text,
            exhausted=isinstance(error, MemoryError),
        )


def describe(error: BaseException) -> str:
    """One line for an error: our own errors speak for themselves, others with their class."""
    try:
        text = " ".join(str(error).split()).encode("utf-8", "replace").decode()
    except Exception:  # an exception whose text cannot be had still has a name
        text = ""
    if not isinstance(error, GenericError):
        name = type(error).__name__
        text = f"{name}: {text}" if text else name
    return text[:MAX_TEXT] or type(error).__name__


def _saved(collector: Collector) -> bytes | None:
    if not collector.STATEFUL:
        return None
    state: Any = collector.save()
    if state is None:
        return None
    body = msgspec.msgpack.encode(state)
    if len(body) > MAX_STATE:
        raise ValueError(f"its state has {len(body)} bytes, more than the {MAX_STATE} allowed")
    return body


def _restore(collector: Collector, state: bytes) -> None:
    """Hand back what was saved; a plugin that was upgraded meanwhile may not want it."""
    try:
        collector.restore(msgspec.msgpack.decode(state))
    except Exception:  # it starts afresh: less history is better than no report
        return
