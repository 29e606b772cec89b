"""What `xl list`, `xl list --long` (as s-expressions) and `xl uptime` print."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ganeti_kernel.errors import CommandError

STATES = {
    "r-----": "running",
    "-b----": "blocked",
    "--p---": "paused",
    "---s--": "shutdown",
    "----c-": "crashed",
    "-----d": "dying",
}
UNKNOWN = "unknown"
HUNG = "hung"

_FIELD = re.compile(r"^    \((name|state|cpu_time) ([^()\n]*)\)", re.MULTILINE)
_HEADER = ["Name", "ID", "Mem", "VCPUs", "State", "Time(s)"]

PATIENCE = 60.0
"""Seconds a domain must get no CPU time to count as hung where times are tenths of a second."""


@dataclass(frozen=True, slots=True)
class Domain:
    """`exact`: the CPU time is finer than tenths of a second."""

    state: str
    cpu_time: float
    exact: bool


def parse_list(text: str) -> dict[str, Domain]:
    """Domains by name. Raises CommandError for a text that is neither form."""
    return _long(text) if text.lstrip().startswith("(") else _table(text)


def _long(text: str) -> dict[str, Domain]:
    out = {}
    for block in re.split(r"^\(domain\b", text, flags=re.MULTILINE)[1:]:
        fields = dict(_FIELD.findall(block))
        try:
            out[fields["name"]] = Domain(
                STATES.get(fields.get("state", ""), UNKNOWN), float(fields["cpu_time"]), True
            )
        except (KeyError, ValueError):
            raise CommandError(
                f"xl list printed a domain without name or CPU time: {block.strip()[:80]!r}"
            ) from None
    return out


def _table(text: str) -> dict[str, Domain]:
    lines = text.splitlines()
    if not lines or lines[0].split() != _HEADER:
        raise CommandError(f"xl list printed no table of domains: {text.strip()[:80]!r}")
    out = {}
    for line in lines[1:]:
        columns = line.split()
        try:
            name, _id, _memory, _vcpus, state, seconds = columns
            out[name] = Domain(STATES.get(state, UNKNOWN), float(seconds), False)
        except ValueError:
            raise CommandError(f"xl list printed {line[:120]!r}, no domain") from None
    return out


def parse_uptime(text: str) -> dict[str, str]:
    """Uptime by name, as printed."""
    out = {}
    for line in text.splitlines()[1:]:
        parts = line.split(None, 2)
        if len(parts) == 3:
            out[parts[0]] = parts[2].strip()
    return out


class Hung:
    """Tells hung domains: no CPU time between two looks, as upstream does.

    Xen's table has tenths of a second, in which an idle domain gets no time between two looks
    either; there a domain must have got none for `PATIENCE` seconds.
    """

    def __init__(self) -> None:
        self._since: dict[str, tuple[float, float]] = {}

    def mark(
        self, now: float, first: Mapping[str, Domain], second: Mapping[str, Domain]
    ) -> dict[str, Domain]:
        """Return the second look's domains, the hung ones marked."""
        out = {}
        since = {}
        for name, domain in second.items():
            before = first.get(name)
            still = before is not None and before.cpu_time == domain.cpu_time
            if not domain.exact:
                seen, when = self._since.get(name, (domain.cpu_time, now))
                if seen != domain.cpu_time or when > now:
                    when = now
                since[name] = domain.cpu_time, when
                still = still and now - when >= PATIENCE
            out[name] = replace(domain, state=HUNG) if still else domain
        self._since = since
        return out

    def save(self) -> Any:
        return {name: list(value) for name, value in self._since.items()}

    def restore(self, state: Any) -> None:
        self._since = {str(name): (float(cpu), float(when)) for name, (cpu, when) in state.items()}
