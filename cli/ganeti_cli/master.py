"""The commands' side of LUXI: queries, submitting jobs, waiting for them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ganeti_kernel.luxi.client import Client

from ganeti_cli.failures import NotCluster, NotMaster
from ganeti_kernel import errors
from ganeti_kernel.paths import Paths, host_name

POLL_SECONDS: Final = 60.0
"""How long one wait for news of a job lasts before it is asked again."""

PATIENCE: Final = 5.0
"""Seconds after which a job that has not begun is mentioned."""


def read_ssconf(paths: Paths, key: str) -> str | None:
    """Read a small configuration value of this node; None when it has none."""
    try:
        with paths.ssconf(key).open() as stream:
            return stream.read(1 << 17).strip()
    except OSError:
        return None


def connect(paths: Paths | None = None, *, query: bool = False) -> Client:
    """Connect to the master daemon of this node.

    Raises NotCluster, NotMaster or LuxiError, each saying what to do.
    """
    paths = paths or Paths.from_environment()
    path = _socket_path(paths, query=query)
    try:
        return Client(path)
    except errors.LuxiError:
        if read_ssconf(paths, "cluster_name") is None:
            raise NotCluster from None
        master = read_ssconf(paths, "master_node")
        if master and master != host_name():
            raise NotMaster(master) from None
        raise


def _socket_path(paths: Paths, *, query: bool) -> str:
    override = os.environ.get("FORCE_LUXI_SOCKET")
    named = {"master": paths.master_socket, "query": paths.query_socket}
    if override:
        return str(named.get(override, override))
    return str(paths.query_socket if query else paths.master_socket)


def reason_trail(program: str, command: str, text: str | None) -> list[list[Any]]:
    """The reason trail of a command: the user's text, then the program."""
    now = time.time_ns()
    trail: list[list[Any]] = [["gnt:user", text, now]] if text else []
    return [*trail, [f"gnt:client:{program}", command, now]]


def submit(client: Client, opcodes: Sequence[Mapping[str, Any]]) -> int:
    """Submit one job; returns its id."""
    return int(client.call("SubmitJob", [list(opcodes)]))


def run_job(client: Client, opcodes: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Submit a job, show its log, wait for its end; returns the opcodes' results."""
    return wait_job(client, submit(client, opcodes))


def wait_job(client: Client, job_id: int) -> list[Any]:
    """Show a job's log until it ends; returns results or raises what it failed with."""
    last_info: Any = None
    last_serial: int | None = None
    started = time.monotonic()
    mentioned = False
    while True:
        change = client.call(
            "WaitForJobChange", [job_id, ["status"], last_info, last_serial, POLL_SECONDS]
        )
        if change is None:
            raise errors.JobLost(f"job {job_id} is not in the queue; it may have been archived")
        if change != "nochange":
            last_info, entries = change
            for serial, timestamp, kind, message in entries or ():
                show_log(timestamp, kind, message)
                last_serial = max(last_serial or 0, serial)
            if last_info[0] in ("success", "error", "canceled"):
                return _outcome(client, job_id)
        waiting = last_info and last_info[0] in ("queued", "waiting")
        if waiting and not mentioned and time.monotonic() - started > PATIENCE:
            print(
                f"Job {job_id} is {last_info[0]}; `gnt-job info {job_id}` shows for what",
                file=sys.stderr,
            )
            mentioned = True


def show_log(timestamp: Sequence[int], kind: str, message: Any) -> None:
    """Print one entry of a job's log."""
    stamp = time.ctime(timestamp[0])
    text = "\n".join(message) if kind == "message-list" else str(message)
    print(f"{stamp} {text}", flush=True)


def _outcome(client: Client, job_id: int) -> list[Any]:
    row = client.call("QueryJobs", [[job_id], ["status", "opstatus", "opresult"]])[0]
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
