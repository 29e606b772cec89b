"""One node group: look at its instances and nodes, and submit what brings them back."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, Final

from ganeti_kernel.daemons.watcher import files
from ganeti_kernel.daemons.watcher.state import (
    RESTART,
    InstanceRow,
    State,
    decide,
    rebooted,
    to_activate,
)
from ganeti_kernel.errors import GenericError
from ganeti_kernel.luxi.client import Client
from ganeti_kernel.paths import Paths

log = logging.getLogger(__name__)

LOW_PRIORITY: Final = 10
JOB_SECONDS: Final = 240.0
"""How long a run waits for its jobs: less than the five minutes between two runs."""

FINAL: Final = ("success", "error", "canceled")


class Group:
    """One run on one node group (UUID)."""

    def __init__(self, paths: Paths, client: Client, group: str) -> None:
        self._paths = paths
        self._client = client
        self._group = group
        self._ends = time.monotonic() + JOB_SECONDS
        self._good = True

    def run(self, *, verify_disks: bool, strict: bool) -> bool:
        """Whether everything that was tried succeeded."""
        state = files.read_state(self._paths, self._group)
        rows = self._instances()
        lines = [f"{row.name} {row.status}" for row in rows]
        files.merge_status(self._paths, self._group, self._groups(), lines)
        try:
            started = self._mend(state, rows)
            fresh = rebooted(state, self._bootids())
            self._activate([name for name in to_activate(rows, fresh) if name not in started])
        finally:
            files.write_state(self._paths, self._group, state)
        if verify_disks:
            self._verify_disks(started, strict)
        return self._good

    # -- questions -----------------------------------------------------------------------------

    def _instances(self) -> list[InstanceRow]:
        fields = ["name", "status", "disks_active", "snodes"]
        found = self._client.query("instance", fields, ["=", "pnode.group.uuid", self._group])[
            "data"
        ]
        rows = [[value for _status, value in row] for row in found]
        return [
            InstanceRow(name, str(status), bool(active), list(secondaries or ()))
            for name, status, active, secondaries in rows
        ]

    def _bootids(self) -> dict[str, str]:
        found = self._client.query("node", ["name", "bootid"], ["=", "group.uuid", self._group])[
            "data"
        ]
        return {name[1]: str(bootid[1]) if bootid[0] == 0 else "" for name, bootid in found}

    def _groups(self) -> list[str]:
        found = self._client.query("group", ["uuid"])["data"]
        return [row[0][1] for row in found]

    def _pending(self) -> frozenset[int]:
        states = ["|", *(["=", "status", name] for name in ("queued", "waiting", "running"))]
        found = self._client.query("job", ["id"], states)["data"]
        return frozenset(int(row[0][1]) for row in found)

    # -- deeds ---------------------------------------------------------------------------------

    def _mend(self, state: State, rows: Sequence[InstanceRow]) -> set[str]:
        """Restart or clean up instances; returns the names of those that a job is for."""
        chosen = []
        for decision in decide(state, rows, time.time(), self._pending()):
            log.info("%s", decision.text)
            if decision.action is not None:
                chosen.append(decision)
        opcodes = [_opcode(item.action == RESTART, item.name) for item in chosen]
        jobs = self._submit(opcodes)
        for decision, number in zip(chosen, jobs, strict=True):
            setattr(state.instance[decision.name], f"{decision.action}_job", number)
        # what was tried counts, whatever becomes of this process
        files.write_state(self._paths, self._group, state)
        for number in jobs:
            self._wait(number)
        return {item.name for item in chosen}

    def _activate(self, names: Sequence[str]) -> None:
        for name in names:
            log.info("activating the disks of %s: one of its nodes was started anew", name)
        opcodes = [_with_reason("OP_INSTANCE_ACTIVATE_DISKS", instance_name=name) for name in names]
        for number in self._submit(opcodes):
            self._wait(number)

    def _verify_disks(self, started: set[str], strict: bool) -> None:
        opcode = _with_reason(
            "OP_GROUP_VERIFY_DISKS",
            group_name=self._group,
            priority=LOW_PRIORITY,
            is_strict=strict,
        )
        for number in self._submit([opcode]):
            result = self._wait(number)
            if result is None:
                continue
            errors, offline, missing = result
            for node, text in errors.items():
                log.error("cannot look at the disks of node %s: %s", node, text)
            for name in missing:
                log.error("disks of instance %s are missing", name)
            self._activate([name for name in offline if name not in started])

    def _submit(self, opcodes: Sequence[dict[str, Any]]) -> list[int]:
        """Submit a job for each opcode; 0 for one that was refused."""
        if not opcodes:
            return []
        out = []
        for ok, value in self._client.submit_many_jobs([[opcode] for opcode in opcodes]):
            if not ok:
                log.error("a job was refused: %s", value)
                self._good = False
            out.append(int(value) if ok else 0)
        return out

    def _wait(self, number: int) -> Any:
        """Wait for a job; returns its result, None when it failed or takes too long."""
        if not number:
            return None
        info: list[Any] | None = None
        serial: int | None = None
        while info is None or info[0] not in FINAL:
            left = self._ends - time.monotonic()
            if left <= 0:
                log.warning("job %d goes on; the next run looks at what became of it", number)
                return None
            change = self._client.wait_for_job_change(number, ["status"], info, serial, left)
            if change is not None:
                info, entries = change
                serial = max([serial or 0, *(entry[0] for entry in entries)])
        row = self._client.query_jobs([number], ["status", "opresult"])[0]
        if row is None or row[0] != "success":
            log.error("job %d: %s", number, row[1] if row else "is lost")
            self._good = False
            return None
        return row[1][0]


def _with_reason(ident: str, **fields: Any) -> dict[str, Any]:
    return {"OP_ID": ident, "reason": [["gnt:watcher", "", time.time_ns()]], **fields}


def _opcode(restart: bool, name: str) -> dict[str, Any]:
    if restart:
        return _with_reason("OP_INSTANCE_STARTUP", instance_name=name)
    return _with_reason("OP_INSTANCE_SHUTDOWN", instance_name=name, admin_state_source="user")


def watch_group(paths: Paths, group: str, *, verify_disks: bool, strict: bool) -> bool:
    """Look after one group; raises LockError when somebody else does."""
    lock = paths.lock_dir / f"ganeti-watcher-{group}.lock"
    try:
        with (
            files.locked(lock, f"the watcher of group {group}"),
            Client(paths.master_socket) as client,
        ):
            return Group(paths, client, group).run(verify_disks=verify_disks, strict=strict)
    except GenericError as error:
        log.error("group %s: %s", group, error)
        return False
