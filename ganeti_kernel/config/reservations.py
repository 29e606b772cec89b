"""What a job has taken before it stands in the configuration, so that no other job takes it.

Pure book-keeping: the caller writes `key(...)` into the store with the effect, and hands the
keys back after a restart. A reservation belongs to one job and ends with it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from ganeti_kernel.config import pools
from ganeti_kernel.config.keys import RESERVATIONS_PREFIX
from ganeti_kernel.config.ports import used_minors, used_ports
from ganeti_kernel.constants import PORT_POOL
from ganeti_kernel.errors import AddressPoolError, ReservationError
from ganeti_kernel.objects import ConfigView

KINDS: Final = ("ip", "mac", "instance", "port", "minor")
IP_UNCHECKED: Final = "ip-unchecked"
"""An "ip" that may be reserved from outside (an instance made without conflict checks)."""

MAX_MINOR: Final = (1 << 20) - 1
MAC_TRIES: Final = 64

MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_MAC_PREFIX: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){2}")


class Reservation(msgspec.Struct, frozen=True, order=True):
    """`scope` is a network's UUID for "ip", a node's UUID for "minor", else empty."""

    job: int
    kind: str
    scope: str
    value: str

    @property
    def key(self) -> str:
        """The store's key; its value is of no importance."""
        return f"{RESERVATIONS_PREFIX}{self.job:010d}/{self.kind}/{self.scope}/{self.value}"


def parse_key(key: str) -> Reservation:
    """Read a store key back; raises ValueError."""
    parts = key.removeprefix(RESERVATIONS_PREFIX).split("/", 3)
    if not key.startswith(RESERVATIONS_PREFIX) or len(parts) != 4 or parts[1] not in KINDS:
        raise ValueError(f"{key!r} is not a reservation")
    return Reservation(int(parts[0]), parts[1], parts[2], parts[3])


class Reservations:
    """Everything that is reserved now. `random_source` makes MAC addresses."""

    def __init__(
        self, held: Iterable[Reservation] = (), random_source: random.Random | None = None
    ) -> None:
        self._owner: dict[tuple[str, str, str], int] = {
            (item.kind, item.scope, item.value): item.job for item in held
        }
        self._random = random_source or random.SystemRandom()

    @classmethod
    def from_keys(cls, keys: Iterable[str]) -> Reservations:
        """Rebuild from the store's keys; raises ValueError."""
        return cls(map(parse_key, keys))

    def held(self, job: int | None = None) -> list[Reservation]:
        """Return a job's reservations, or all, in order."""
        return sorted(
            Reservation(owner, *item)
            for item, owner in self._owner.items()
            if job is None or owner == job
        )

    def reserve(
        self, view: ConfigView, job: int, kind: str, scope: str, value: str | None = None
    ) -> Reservation:
        """Reserve `value`, or a free one, for the job.

        What the job has reserved already it gets again. Kinds: "ip" (scope: network UUID; also
        "ip-unchecked"), "mac" (scope: prefix of three octets, for a free one), "instance",
        "port", "minor" (scope: node UUID). Raises ReservationError when it is taken, no free one
        is left, or the value is not of its kind.
        """
        checked = kind != IP_UNCHECKED
        kind = kind if checked else "ip"
        if kind == "ip":
            value = self._address(view, job, scope, value, checked)
        elif kind == "mac":
            scope, value = "", self._mac(view, job, scope, value)
        elif kind == "instance":
            scope, value = "", self._name(view, job, value)
        elif kind == "port":
            scope, value = "", self._number(job, kind, "", value, PORT_POOL, used_ports(view))
        elif kind == "minor":
            if scope not in view.nodes:
                raise ReservationError(f"node {scope} does not exist")
            taken = used_minors(view, scope)
            value = self._number(job, kind, scope, value, (0, MAX_MINOR), taken)
        else:
            raise ReservationError(f"there is nothing of the kind {kind!r} to reserve")
        self._owner[kind, scope, value] = job
        return Reservation(job, kind, scope, value)

    def release(self, item: Reservation) -> None:
        """Take one reservation back; one that is not there is no error."""
        if self._owner.get((item.kind, item.scope, item.value)) == item.job:
            del self._owner[item.kind, item.scope, item.value]

    def release_job(self, job: int) -> list[Reservation]:
        """Take all of a job's reservations back; returns them."""
        gone = self.held(job)
        for item in gone:
            self.release(item)
        return gone

    # -- kinds ---------------------------------------------------------------------------------

    def _address(
        self, view: ConfigView, job: int, scope: str, value: str | None, checked: bool
    ) -> str:
        network = view.networks.get(scope)
        if network is None:
            raise ReservationError(f"network {scope} does not exist")
        try:
            if value is None:
                return pools.first_free(network, self._values("ip", scope))
            if not self._mine(job, "ip", scope, value):
                pools.reserve(network, value, check=checked)
        except AddressPoolError as error:
            raise ReservationError(str(error)) from None
        return value

    def _mac(self, view: ConfigView, job: int, prefix: str, value: str | None) -> str:
        if value is not None:
            value = value.lower()
            if not MAC.fullmatch(value):
                raise ReservationError(f"{value!r} is not a MAC address")
            if not self._mine(job, "mac", "", value) and value in view.macs:
                raise ReservationError(f"MAC address {value} is already in use in the cluster")
            return value
        prefix = prefix.lower()
        if not _MAC_PREFIX.fullmatch(prefix):
            raise ReservationError(f"{prefix!r} is not the beginning of a MAC address")
        taken = self._values("mac", "") | view.macs
        for _ in range(MAC_TRIES):
            octets = self._random.getrandbits(24).to_bytes(3, "big")
            value = f"{prefix}:{octets.hex(':')}"
            if value not in taken:
                return value
        raise ReservationError(
            f"no free MAC address with prefix {prefix} was found in {MAC_TRIES} tries; "
            "use another prefix"
        )

    def _name(self, view: ConfigView, job: int, value: str | None) -> str:
        if not value or "/" in value:
            raise ReservationError(f"{value!r} is not a name for an instance")
        if not self._mine(job, "instance", "", value) and any(
            inst.name == value for inst in view.instances.values()
        ):
            raise ReservationError(f"instance {value} exists already")
        return value

    def _number(
        self,
        job: int,
        kind: str,
        scope: str,
        value: str | None,
        bounds: tuple[int, int],
        taken: set[int],
    ) -> str:
        low, high = bounds
        reserved = self._values(kind, scope)
        if value is None:
            for number in range(low, high + 1):
                if number not in taken and str(number) not in reserved:
                    return str(number)
            raise ReservationError(f"no {kind} between {low} and {high} is free")
        if not value.isdecimal() or not low <= int(value) <= high:
            raise ReservationError(f"{value!r} is not a {kind} between {low} and {high}")
        value = str(int(value))
        if not self._mine(job, kind, scope, value) and int(value) in taken:
            raise ReservationError(f"{kind} {value} is already in use")
        return value

    # -- ownership -----------------------------------------------------------------------------

    def _mine(self, job: int, kind: str, scope: str, value: str) -> bool:
        """Say whether the job has it already; raises ReservationError if another one has."""
        owner = self._owner.get((kind, scope, value))
        if owner is not None and owner != job:
            raise ReservationError(f"{kind} {value} is reserved by job {owner}, which still runs")
        return owner is not None

    def _values(self, kind: str, scope: str) -> set[str]:
        return {value for own, where, value in self._owner if (own, where) == (kind, scope)}
