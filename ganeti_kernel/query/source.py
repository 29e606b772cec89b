"""What a query is answered from: the configuration, live data of nodes, rows of the daemon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from ganeti_kernel.objects import ConfigView, Instance, Node
from ganeti_kernel.rpc.results import NodeInfo
from ganeti_kernel.specs.base import Parameter
from ganeti_kernel.specs.hypervisor import Console, InstanceState

NORMAL: Final = 0
UNKNOWN: Final = 1


class Missing(IntEnum):
    """Why a cell has no value; the numbers are the protocol's (upstream 3.0).

    NODATA: who knows it did not answer. UNAVAIL: there is none. OFFLINE: the node is offline.
    """

    NODATA = 2
    UNAVAIL = 3
    OFFLINE = 4


NODE_INFO: Final = "node_info"
INSTANCE_STATE: Final = "instance_state"
CONSOLE: Final = "console"
JOBS: Final = "jobs"
JOB_LOGS: Final = "job_logs"
ARCHIVED_JOBS: Final = "archived_jobs"
LOCKS: Final = "locks"
EXPORTS: Final = "exports"
OS: Final = "os"
EXTSTORAGE: Final = "extstorage"
CLUSTER: Final = "cluster"
"""Names of what a query can need beyond the configuration."""


@dataclass(frozen=True, slots=True)
class Live:
    """What nodes said; by node UUID, `consoles` by instance UUID. None: it did not answer.

    A node that was not asked is missing. `gathered` names what was asked for.
    """

    gathered: frozenset[str] = frozenset()
    nodes: Mapping[str, NodeInfo | None] = field(default_factory=dict)
    guests: Mapping[str, Mapping[str, InstanceState] | None] = field(default_factory=dict)
    consoles: Mapping[str, Console | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuerySource:
    """Everything one query may look at.

    `jobs`: job id -> values of all job fields. `rows`: rows of "lock", "os", "extstorage" and
    "export", each a dict of all the resource's fields. `cluster`: values of the cluster's fields
    that are not in the configuration ("drain_flag", "watcher_pause"). `hv_parameters`: parameters
    of the installed hypervisors, any order.
    """

    view: ConfigView
    live: Live = field(default_factory=Live)
    jobs: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    rows: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    cluster: Mapping[str, Any] = field(default_factory=dict)
    hv_parameters: Sequence[Parameter] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to gather for a query: names of live data, and which objects it concerns."""

    needs: frozenset[str]
    nodes: Sequence[Node] = ()
    instances: Sequence[Instance] = ()
