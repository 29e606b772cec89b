"""What operations and steps see of the world: the job process's implementation of JobContext."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ganeti_kernel.config import history
from ganeti_kernel.config.changes import Draft
from ganeti_kernel.config.history import Entry
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.jobs.channel import Channel
from ganeti_kernel.jobs.configuration import ViewReply, advance
from ganeti_kernel.jobs.job import LOG_MESSAGE
from ganeti_kernel.jobs.operation import Lock, NodeCalls
from ganeti_kernel.objects import ConfigView

CONFLICT_RETRIES: Final = 20


class MasterReservations:
    """Reservations, kept by the master daemon."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def reserve(self, kind: str, scope: str, value: str | None = None) -> str:
        return str(self._channel.call("reserve", kind=kind, scope=scope, value=value))


class ProcessContext:
    """JobContext of one job process; `op_index` is the opcode that is being executed."""

    def __init__(
        self, job_id: int, channel: Channel, nodes: NodeCalls, view: ConfigView | None = None
    ) -> None:
        """`view`: some earlier configuration; only what changed since is asked for."""
        self._job_id = job_id
        self._channel = channel
        self._nodes = nodes
        self._reservations = MasterReservations(channel)
        self._view = view
        self._stale = True
        self.op_index = 0
        self.secrets: Mapping[str, Any] = {}
        self.held: Sequence[Lock] = ()

    @property
    def job_id(self) -> int:
        return self._job_id

    @property
    def nodes(self) -> NodeCalls:
        return self._nodes

    @property
    def reservations(self) -> MasterReservations:
        return self._reservations

    @property
    def view(self) -> ConfigView:
        if self._view is None or self._stale:
            old = self._view
            since, mtime = (old.serial_no, old.mtime) if old is not None else (0, 0.0)
            text = self._channel.call_raw("view", since=since, mtime=mtime)
            reply = msgspec.json.decode(text, type=ViewReply)
            self._view = advance(self._view, reply)
            self._stale = False
        return self._view

    def refresh(self) -> None:
        """Have the next look at `view` ask for what changed."""
        self._stale = True

    def keep_locks(self, locks: Sequence[Lock]) -> None:
        keep = sorted(set(locks))
        self._channel.call("narrow", locks=keep)
        self.held = keep

    def update(self, change: Callable[[Any], None]) -> ConfigView:
        for _ in range(CONFLICT_RETRIES):
            draft = Draft(self.view)
            change(draft)
            changes = draft.changes()
            if not changes:
                return self.view
            self.refresh()
            if self._channel.call("config", changes=changes) is not None:
                return self.view
        raise ConfigurationError(
            f"the configuration changed {CONFLICT_RETRIES} times while this job wanted to change "
            "it; try again when less is going on"
        )

    def history(self, since: int) -> Sequence[Entry]:
        text = self._channel.call_raw("history", since=since)
        entries = msgspec.json.decode(text, type=list[msgspec.Raw])
        return history.decode(bytes(item) for item in entries)

    def redistribute(self) -> Mapping[str, str]:
        return dict(self._channel.call("redistribute"))

    def log(self, message: str) -> None:
        self.tell(LOG_MESSAGE, message)

    def warn(self, message: str) -> None:
        self.tell(LOG_MESSAGE, f" - WARNING: {message}")

    def tell(self, kind: str, message: Any) -> None:
        self._channel.call("log", op=self.op_index, type=kind, message=message)

    def submit(self, jobs: Sequence[Sequence[Mapping[str, Any]]]) -> list[tuple[bool, Any]]:
        return [(bool(ok), value) for ok, value in self._channel.call("submit", jobs=jobs)]
