"""The cluster as immutable data: what the loaders return and every program starts from.

`Cluster` holds four tables. Anything per node or per instance that takes part in arithmetic is a
read-only numpy array indexed by the node's or instance's number (its position in the input);
names, tags and other text are tuples in the same order. To change an input, build a new table with
``dataclasses.replace`` (arrays may be shared: they cannot be written to).

Nodes (N of them)
    name, alias       full name; the name as printed (common domain removed by `prepare`)
    tmem tdsk tcpu    float64: total memory MiB, total disk MiB, physical CPUs
    nmem fmem fdsk    int64: memory of the node itself, reported free memory, free disk (MiB)
    ncpu              int64: virtual CPUs of the node's own OS (counted as used)
    offline master    bool; drained nodes are offline
    group             int64: index into `Cluster.groups`
    spindles fspindles int64: spindles (count or total), free ones under exclusive storage
    exclusive         bool: exclusive storage
    cpu_speed         float64, relative
    cpu_load          float64: measured CPU load, NaN where the instances' sum counts
    tags              per node, tuple of str

Instances (I of them)
    name, alias
    mem dsk vcpus     int64: MiB, MiB over all disks, count
    disks             per instance, tuple of disk sizes in MiB
    disk_spindles     per instance, tuple of spindles per disk (None: not known)
    status            uint8, index into `STATUSES`
    template          uint8, index into `TEMPLATES`
    auto_balance forthcoming bool
    pnode snode       int64 node numbers; snode is -1 without a secondary
    spindle_use       int64
    spindles          int64: spindles over all disks, -1 when unknown
    nics              int64: number of NICs
    util              float64 (I, 4): dynamic utilisation cpu, memory, disk, network
    tags              per instance, tuple of str
    movable           bool: may be moved by balancing (selection and exclusion applied)

Facts (fields, defaults, statuses, templates) are upstream's htools(1), releases 3.0 to 3.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .errors import LoadError
from .words import (
    LOCAL_TEMPLATES,
    MEMORY_STATUSES,
    MIRROR,
    RUNNING_STATUSES,
    STATUSES,
    TEMPLATES,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.uint8]

NO_NODE = -1


def frozen_array(values: Any, dtype: Any) -> NDArray[Any]:
    """A read-only array of ``dtype``; a copy unless it is one already."""
    if isinstance(values, np.ndarray) and values.dtype == dtype and not values.flags.writeable:
        return values
    result: NDArray[Any] = np.array(values, dtype=dtype)
    result.flags.writeable = False
    return result


@dataclass(frozen=True, slots=True)
class ISpec:
    """Size of an instance: memory and disk in MiB, the rest are counts."""

    mem: int
    cpu: int
    disk: int
    disk_count: int
    nic_count: int
    spindle_use: int


@dataclass(frozen=True, slots=True)
class MinMax:
    """One allowed range of instance sizes."""

    min: ISpec
    max: ISpec


@dataclass(frozen=True, slots=True)
class IPolicy:
    """Instance policy of the cluster or a group."""

    std: ISpec = ISpec(128, 1, 1024, 1, 1, 1)
    minmax: tuple[MinMax, ...] = (
        MinMax(ISpec(128, 1, 1024, 1, 1, 1), ISpec(32768, 8, 1048576, 16, 8, 12)),
    )
    templates: tuple[str, ...] = TEMPLATES
    vcpu_ratio: float = 4.0
    spindle_ratio: float = 32.0


@dataclass(frozen=True, slots=True)
class Group:
    """A node group; without a policy of its own in a data file it has the built-in one."""

    name: str
    uuid: str
    alloc_policy: str = "preferred"
    tags: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    policy: IPolicy = field(default_factory=IPolicy)


def _too_large(key: str, names: Sequence[str], values: Sequence[int]) -> str:
    first = next((n for n, value in zip(names, values, strict=False) if abs(value) >> 63), "?")
    return f"{first}: {key} is too large a number"


def _column(dtype: Any, default: Any = None) -> Any:
    return field(metadata={"dtype": dtype, "default": default})


class _Table:
    """Freezes array columns and fills defaults after construction.

    Tables of arrays have no useful equality (``eq=False``): two are alike when their columns are.
    """

    name: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.name)
        for key, spec in self.__dataclass_fields__.items():  # type: ignore[attr-defined]
            dtype = spec.metadata.get("dtype")
            value = getattr(self, key)
            if dtype is not None:
                if value is None:
                    value = np.full(count, spec.metadata["default"])
                try:
                    value = frozen_array(value, dtype)
                except OverflowError as err:
                    raise LoadError(_too_large(key, self.name, value)) from err
            elif spec.metadata.get("per_row") and not value:
                value = spec.metadata["per_row"](self)
            else:
                continue
            object.__setattr__(self, key, value)
            if len(value) != count:
                raise ValueError(f"column {key} has {len(value)} entries, expected {count}")

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Self:
        """The table of these rows, mappings of column to value that all have the same columns."""
        fields = cls.__dataclass_fields__  # type: ignore[attr-defined]
        columns = rows[0] if rows else [key for key in fields if fields[key].default is MISSING]
        return cls(**{key: tuple(row[key] for row in rows) for key in columns})

    def __len__(self) -> int:
        return len(self.name)

    def take(self, numbers: Ints) -> Self:
        """A table of these rows only."""
        chosen = numbers.tolist()
        columns: dict[str, Any] = {}
        for key in self.__dataclass_fields__:  # type: ignore[attr-defined]
            value = getattr(self, key)
            if isinstance(value, np.ndarray):
                columns[key] = value[numbers]
            elif value is not None:
                columns[key] = tuple(value[number] for number in chosen)
        return type(self)(**columns)

    @cached_property
    def index(self) -> dict[str, int]:
        """Full name to number; the last one wins where a name is repeated."""
        return {name: number for number, name in enumerate(self.name)}


def _optional(dtype: Any, default: Any) -> Any:
    return field(default=None, metadata={"dtype": dtype, "default": default})


def _rows(make: Any) -> Any:
    return field(default=(), metadata={"per_row": make})


@dataclass(frozen=True, eq=False)
class Nodes(_Table):
    """Node columns, see the module's docstring."""

    name: tuple[str, ...]
    tmem: Floats = _column(np.float64)
    nmem: Ints = _column(np.int64)
    fmem: Ints = _column(np.int64)
    tdsk: Floats = _column(np.float64)
    fdsk: Ints = _column(np.int64)
    tcpu: Floats = _column(np.float64)
    offline: Bools = _optional(np.bool_, False)
    group: Ints = _optional(np.int64, 0)
    master: Bools = _optional(np.bool_, False)
    spindles: Ints = _optional(np.int64, 1)
    fspindles: Ints = _optional(np.int64, 0)
    exclusive: Bools = _optional(np.bool_, False)
    ncpu: Ints = _optional(np.int64, 1)
    cpu_speed: Floats = _optional(np.float64, 1.0)
    tags: tuple[tuple[str, ...], ...] = _rows(lambda table: ((),) * len(table.name))
    alias: tuple[str, ...] = _rows(lambda table: table.name)
    cpu_load: Floats = _optional(np.float64, float("nan"))


@dataclass(frozen=True, eq=False)
class Instances(_Table):
    """Instance columns, see the module's docstring."""

    name: tuple[str, ...]
    mem: Ints = _column(np.int64)
    dsk: Ints = _column(np.int64)
    vcpus: Ints = _column(np.int64)
    pnode: Ints = _column(np.int64)
    snode: Ints = _optional(np.int64, NO_NODE)
    status: Codes = _optional(np.uint8, 0)
    template: Codes = _optional(np.uint8, TEMPLATES.index("drbd"))
    auto_balance: Bools = _optional(np.bool_, True)
    spindle_use: Ints = _optional(np.int64, 1)
    spindles: Ints = _optional(np.int64, -1)
    nics: Ints = _optional(np.int64, 0)
    forthcoming: Bools = _optional(np.bool_, False)
    movable: Bools = _optional(np.bool_, True)
    util: Floats = _optional(np.float64, 1.0)
    disks: tuple[tuple[int, ...], ...] = _rows(
        lambda table: tuple((size,) for size in table.dsk.tolist())
    )
    disk_spindles: tuple[tuple[int | None, ...], ...] = _rows(
        lambda table: tuple((None if count < 0 else count,) for count in table.spindles.tolist())
    )
    tags: tuple[tuple[str, ...], ...] = _rows(lambda table: ((),) * len(table.name))
    alias: tuple[str, ...] = _rows(lambda table: table.name)

    def __post_init__(self) -> None:
        missing: object = self.util
        if missing is None:
            object.__setattr__(self, "util", np.ones((len(self.name), 4)))
        super().__post_init__()

    def _status_mask(self, wanted: Iterable[str]) -> Bools:
        codes = [STATUSES.index(status) for status in wanted]
        return np.isin(self.status, codes)

    @cached_property
    def running(self) -> Bools:
        """Instances shown as running."""
        return self._status_mask(RUNNING_STATUSES)

    @cached_property
    def uses_memory(self) -> Bools:
        """Instances whose memory the node's report already counts as used."""
        return self._status_mask(MEMORY_STATUSES)

    @cached_property
    def online(self) -> Bools:
        """Everything but ADMIN_offline: takes CPUs where it is primary."""
        return ~self._status_mask(["ADMIN_offline"])

    @cached_property
    def uses_sec_mem(self) -> Bools:
        """Reserves memory on its secondary."""
        return self.online & self.auto_balance

    @cached_property
    def local(self) -> Bools:
        """Its disks take space on its nodes."""
        codes = [TEMPLATES.index(template) for template in LOCAL_TEMPLATES]
        return np.isin(self.template, codes)

    @cached_property
    def mirror(self) -> Codes:
        """0 cannot move, 1 mirrored on a secondary, 2 reachable from any node."""
        table = np.array(
            [("none", "internal", "external").index(MIRROR[name]) for name in TEMPLATES],
            dtype=np.uint8,
        )
        return table[self.template]


@dataclass(frozen=True, eq=False)
class Cluster:
    """Everything a program knows about a cluster before it decides anything."""

    groups: tuple[Group, ...]
    nodes: Nodes
    instances: Instances
    tags: tuple[str, ...] = ()
    policy: IPolicy = field(default_factory=IPolicy)

    @cached_property
    def group_index(self) -> dict[str, int]:
        """Group name and uuid to number."""
        table = {group.name: number for number, group in enumerate(self.groups)}
        table.update({group.uuid: number for number, group in enumerate(self.groups)})
        return table
