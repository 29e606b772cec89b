"""The commands' side of LUXI: queries, submitting jobs, waiting for them."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ganeti_cli.failures import NotCluster, NotMaster
from ganeti_kernel import errors
from ganeti_kernel.luxi.client import SOCKET_VARIABLE, WAIT_TIMEOUT, Client, socket_path
from ganeti_kernel.paths import Paths, host_name

FINAL: Final = ("success", "error", "canceled")
IDLE: Final = ("queued", "waiting")

PATIENCE: Final = 5.0
"""Seconds after which a job that has not begun is mentioned."""


def read_ssconf(paths: Paths, key: str) -> str | None:
    """Read a small configuration value of this node; None when it has none."""
    try:
        with paths.ssconf(key).open() as stream:
            return stream.read(1 << 17).strip()
    except OSError:
        return None


class MasterClient(Client):
    """A connection whose failure says what this node is, not only that nobody answered."""

    def _connect(self) -> socket.socket:
        try:
            return super()._connect()
        except errors.LuxiError:
            paths = Paths.from_environment()
            if read_ssconf(paths, "cluster_name") is None:
                raise NotCluster from None
            master = read_ssconf(paths, "master_node")
            if master and master != host_name():
                raise NotMaster(master) from None
            raise


def connect(paths: Paths | None = None, *, query: bool = False) -> MasterClient:
    """Connect to the master daemon; raises NotCluster, NotMaster or LuxiError with what to do."""
    paths = paths or Paths.from_environment()
    if query and not os.environ.get(SOCKET_VARIABLE):
        return MasterClient(paths.query_socket)
    return MasterClient(socket_path(paths))


def reason_trail(program: str, command: str, text: str | None) -> list[list[Any]]:
    """The reason trail of a command: the user's text, then the program."""
    now = time.time_ns()
    trail: list[list[Any]] = [["gnt:user", text, now]] if text else []
    return [*trail, [f"gnt:client:{program}", command, now]]


def run_job(client: Client, opcodes: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Submit a job, show its log, wait for its end; returns the opcodes' results."""
    return wait_job(client, client.submit_job(opcodes))


def wait_job(
    client: Client,
    job_id: int,
    *,
    quiet: bool = False,
    show: Callable[[Sequence[int], str, Any], None] | None = None,
) -> list[Any]:
    """Show a job's log (unless `quiet`) until it ends; returns results or raises its failure.

    `show`: what to do with each entry's timestamp, type and message instead of printing it.
    """
    show = show or show_log
    info: list[Any] | None = None
    serial: int | None = None
    started = time.monotonic()
    mentioned = quiet
    while True:
        patience = PATIENCE if not mentioned and (info is None or info[0] in IDLE) else WAIT_TIMEOUT
        change = client.wait_for_job_change(job_id, ["status"], info, serial, patience)
        if change is not None:
            info, entries = change
            for number, timestamp, kind, message in entries:
                serial = max(serial or 0, number)
                if not quiet:
                    show(timestamp, kind, message)
            if info[0] in FINAL:
                return _outcome(client, job_id)
        if not mentioned and info and info[0] in IDLE and time.monotonic() - started > PATIENCE:
            print(f"Job {job_id} is {info[0]}{_waits(client, job_id)}", file=sys.stderr)
            mentioned = True


def _waits(client: Client, job_id: int) -> str:
    """For what a job waits, as the master daemon knows it at this moment."""
    row = client.query_jobs([job_id], ["waiting_for"])[0]
    return f"; it waits for {'; '.join(row[0])}" if row and row[0] else ""


def show_log(timestamp: Sequence[int], kind: str, message: Any) -> None:
    """Print one entry of a job's log."""
    stamp = time.ctime(timestamp[0])
    text = "\n".join(message) if kind == "message-list" else str(message)
    print(f"{stamp} {text}", flush=True)


def _outcome(client: Client, job_id: int) -> list[Any]:
    row = client.query_jobs([job_id], ["status", "opstatus", "opresult"])[0]
    if row is None:
        raise errors.JobLost(f"job {job_id} is not in the queue; it may have been archived")
    status, op_status, op_result = row
    if status == "success":
        return list(op_result)
    for state, result in zip(op_status, op_result, strict=True):
        if state == "error":
            raise _job_error(job_id, result)
    raise errors.JobCanceled(f"job {job_id} was cancelled before it did its work")


def _job_error(job_id: int, result: Any) -> errors.GenericError:
    if isinstance(result, list) and len(result) == 2 and isinstance(result[1], list):
        return errors.decode_error(str(result[0]), result[1])
    text = str(result) if result else f"job {job_id} failed without saying why: see its log"
    return errors.OpExecError(text)
