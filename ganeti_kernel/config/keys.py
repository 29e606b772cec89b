"""Names of keys in the store, and the tables of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ganeti_kernel.errors import StoreError
from ganeti_kernel.objects import (
    Cluster,
    Disk,
    FilterRule,
    Instance,
    Network,
    Node,
    NodeGroup,
)

CONFIG_PREFIX: Final = "config/"
CONFIG_CLUSTER: Final = "config/cluster"
CONFIG_META: Final = "config/meta"

META_FORMAT: Final = "meta/format"
META_CLUSTER: Final = "meta/cluster"
META_EPOCH: Final = "meta/epoch"
META_RUN: Final = "meta/run"
META_WATCHER_PAUSE: Final = "meta/watcher_pause"

JOBS_PREFIX: Final = "jobs/"
JOURNAL_PREFIX: Final = "journal/"
QUEUE_SERIAL: Final = "queue/serial"
RESERVATIONS_PREFIX: Final = "reservations/"
ACK_PREFIX: Final = "ack/"

CLUSTER_TABLE: Final = "cluster"
CLUSTER_ID: Final = "cluster"

TABLES: Final[Mapping[str, type[msgspec.Struct]]] = {
    "nodes": Node,
    "nodegroups": NodeGroup,
    "instances": Instance,
    "networks": Network,
    "disks": Disk,
    "filters": FilterRule,
}
"""Table name in `config.data` -> class of its objects; the cluster is apart."""

NOUNS: Final[Mapping[str, str]] = {
    "cluster": "cluster",
    "nodes": "node",
    "nodegroups": "node group",
    "instances": "instance",
    "networks": "network",
    "disks": "disk",
    "filters": "job filter",
}
"""What a table's objects are called in messages."""

_TABLE_OF: Final = {cls: table for table, cls in TABLES.items()} | {Cluster: CLUSTER_TABLE}


def object_key(table: str, uuid: str) -> str:
    """Return the store key of an object; raises StoreError for an unknown table."""
    if table == CLUSTER_TABLE:
        return CONFIG_CLUSTER
    if table not in TABLES or not uuid or "/" in uuid:
        raise StoreError(f"there is no configuration object {table}/{uuid}")
    return f"{CONFIG_PREFIX}{table}/{uuid}"


def object_class(table: str) -> type[msgspec.Struct]:
    return Cluster if table == CLUSTER_TABLE else TABLES[table]


def table_of(value: msgspec.Struct) -> str:
    """Return the table an object belongs to; raises TypeError for anything else."""
    table = _TABLE_OF.get(type(value))
    if table is None:
        raise TypeError(f"{type(value).__name__} is not an object of the configuration")
    return table


def job_key(job: int) -> str:
    return f"{JOBS_PREFIX}{job:010d}"


def journal_prefix(job: int) -> str:
    return f"{JOURNAL_PREFIX}{job:010d}/"


def journal_key(job: int, entry: int) -> str:
    return f"{journal_prefix(job)}{entry:04d}"


def ack_key(job: int) -> str:
    return f"{ACK_PREFIX}{job:010d}"
