"""Which plugins are installed and which are switched off. Imports none of them."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.plugins.kinds import KINDS, Kind

MAX_CONFIG_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Found:
    """An installed plugin, as its distribution's metadata announce it."""

    kind: str
    name: str
    value: str
    distribution: str
    version: str
    entry_point: metadata.EntryPoint
    source: bool = False

    @property
    def label(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class Disabled:
    """What an administrator switched off: kind name -> `name` or `name@distribution`."""

    entries: Mapping[str, frozenset[str]]

    def covers(self, kind: str, name: str, distribution: str = "") -> bool:
        names = self.entries.get(kind, frozenset())
        return name in names or f"{name}@{distribution}" in names


NOTHING_DISABLED = Disabled({})


def scan(paths: Sequence[str] | None = None) -> list[Found]:
    """Return every installed plugin, sorted by kind, name and distribution.

    Looks once over all distributions on `paths` (sys.path). A distribution that is on the path
    twice (an editable install beside its source) counts once.
    """
    importlib.invalidate_caches()
    groups = {kind.group: (kind, False) for kind in KINDS.values()}
    groups |= {kind.sources_group: (kind, True) for kind in KINDS.values()}
    found: dict[tuple[str, str, str, bool], Found] = {}
    for distribution in _distributions(paths):
        name = distribution.metadata["Name"] or "unknown"
        for point in distribution.entry_points:
            if point.group in groups:
                kind, source = groups[point.group]
                item = _found(kind, point, name, distribution.version, source=source)
                found.setdefault((kind.name, point.name, name, source), item)
    return [found[key] for key in sorted(found)]


def _distributions(paths: Sequence[str] | None) -> Iterable[metadata.Distribution]:
    if paths is None:
        return metadata.distributions()
    return metadata.distributions(path=list(paths))


def _found(
    kind: Kind, point: metadata.EntryPoint, distribution: str, version: str, *, source: bool
) -> Found:
    return Found(kind.name, point.name, point.value, distribution, version, point, source)


def read_disabled(path: Path) -> Disabled:
    """Read which plugins are switched off; a missing file means none.

    The file is TOML: a table `disabled` with a list of names per kind, each `name` or
    `name@distribution`. Raises ConfigurationError that names the file and what is wrong.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        return NOTHING_DISABLED
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    if len(text) > MAX_CONFIG_BYTES:
        raise ConfigurationError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        return parse_disabled(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValueError) as error:
        raise ConfigurationError(f"{path} is not usable: {error}") from error


def parse_disabled(text: str) -> Disabled:
    """Parse the file's text; raises ValueError (TOMLDecodeError is one)."""
    table = tomllib.loads(text).get("disabled", {})
    if not isinstance(table, dict):
        raise ValueError("`disabled` must be a table of lists, one for each plugin kind")
    entries: dict[str, frozenset[str]] = {}
    for kind, names in table.items():
        if kind not in KINDS:
            raise ValueError(f"unknown plugin kind {kind!r}; kinds are {', '.join(sorted(KINDS))}")
        if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
            raise ValueError(f"`disabled.{kind}` must be a list of names")
        entries[kind] = frozenset(names)
    return Disabled(entries)
