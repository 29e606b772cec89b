"""The table of node calls: deadline, what comes back, and whether the node is changed.

A call that changes the node is taken only from the current master (see epoch.py), never runs
twice at once with the same arguments (a repetition joins the first), and waits for an earlier
one on the same instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ganeti_kernel.config.replica import Position
from ganeti_kernel.errors import ProgrammerError
from ganeti_kernel.objects.guest import BlockDevice
from ganeti_kernel.rpc.results import (
    CommandResult,
    DiskState,
    HookResult,
    MasterState,
    NodeInfo,
    NodeReport,
    NodeState,
    OsStatus,
    PluginRow,
    Promotion,
    ProviderStatus,
)
from ganeti_kernel.specs.disk_template import DiskPlan, SyncStatus, UnitState, Volume
from ganeti_kernel.specs.hypervisor import Console, InstanceState, MigrationStatus

QUICK: Final = 60.0
NORMAL: Final = 300.0
SLOW: Final = 900.0
HOUR: Final = 3600.0
DAY: Final = 86400.0
"""Seconds; the classes are those of upstream 3.0."""


@dataclass(frozen=True, slots=True)
class Call:
    """`timeout` seconds; `result` the type of the answer, checked by the client.

    `master_only`: no candidate but the master may call, by the name in its certificate.
    """

    timeout: float
    result: Any
    changes: bool = False
    master_only: bool = False


Problems = list[str]

CALLS: Final[dict[str, Call]] = {
    # the node itself
    "version": Call(QUICK, int),
    "master_node": Call(QUICK, str),
    "master_state": Call(QUICK, MasterState),
    "master_obey": Call(QUICK, None, changes=True),
    "master_stop": Call(NORMAL, list[str], changes=True),
    "node_info": Call(QUICK, NodeInfo),
    "node_verify": Call(SLOW, NodeReport),
    "node_files": Call(QUICK, NodeState),
    "plugins_list": Call(QUICK, list[PluginRow]),
    "test_delay": Call(HOUR, None),
    "node_leave": Call(NORMAL, None, changes=True),
    "restricted_command": Call(HOUR, str, changes=True),
    "oob_run": Call(SLOW, str, changes=True),
    "powercycle": Call(SLOW, str, changes=True),
    # guests
    "instances_list": Call(QUICK, dict[str, list[InstanceState]]),
    "instance_state": Call(QUICK, InstanceState | None),
    "instance_start": Call(SLOW, None, changes=True),
    "instance_stop": Call(SLOW, None, changes=True),
    "instance_reboot": Call(SLOW, None, changes=True),
    "instance_console": Call(QUICK, Console),
    "instance_balloon": Call(SLOW, None, changes=True),
    "hypervisor_check": Call(SLOW, Problems),
    # moving a running guest to another node
    "migration_info": Call(SLOW, str),
    "migration_share": Call(SLOW, None, changes=True),
    "migration_accept": Call(SLOW, None, changes=True),
    "migration_start": Call(HOUR, None, changes=True),
    "migration_status": Call(QUICK, MigrationStatus),
    "migration_end_source": Call(HOUR, None, changes=True),
    "migration_end_target": Call(HOUR, None, changes=True),
    # disks
    "disk_check": Call(NORMAL, Problems),
    "disk_plan": Call(QUICK, DiskPlan),
    "disk_create": Call(SLOW, None, changes=True),
    "disk_remove": Call(SLOW, None, changes=True),
    "disk_attach": Call(SLOW, BlockDevice, changes=True),
    "disk_detach": Call(SLOW, None, changes=True),
    "disk_exists": Call(NORMAL, bool),
    "disk_size": Call(NORMAL, int),
    "disks_verify": Call(SLOW, list[DiskState]),
    "disk_grow": Call(SLOW, None, changes=True),
    "disk_sync": Call(QUICK, SyncStatus),
    # storage units
    "storage_list": Call(NORMAL, list[UnitState]),
    "storage_change": Call(SLOW, None, changes=True),
    "storage_repair": Call(SLOW, None, changes=True),
    "volumes_list": Call(NORMAL, list[Volume]),
    # OS definitions and ExtStorage providers
    "os_diagnose": Call(NORMAL, list[OsStatus]),
    "os_check": Call(NORMAL, Problems),
    "os_create": Call(DAY, None, changes=True),
    "os_rename": Call(HOUR, None, changes=True),
    "exports_list": Call(QUICK, list[str]),
    "extstorage_diagnose": Call(NORMAL, list[ProviderStatus]),
    # network
    "bridges_exist": Call(QUICK, list[str]),
    "nic_modes": Call(QUICK, list[str]),
    "master_ip_held": Call(QUICK, bool),
    "master_ip_start": Call(NORMAL, None, changes=True),
    "master_ip_stop": Call(NORMAL, None, changes=True),
    # what an administrator has done
    "command_run": Call(DAY, CommandResult, master_only=True),
    "file_put": Call(NORMAL, None, master_only=True),
    # master candidates
    "identity_write": Call(QUICK, None, changes=True),
    "daemons_reload": Call(QUICK, None, changes=True),
    "candidate_enter": Call(QUICK, None, changes=True),
    "candidate_leave": Call(QUICK, None, changes=True),
    "replicas_write": Call(QUICK, None, changes=True),
    "replica_begin": Call(QUICK, None, changes=True),
    "replica_add": Call(QUICK, None, changes=True),
    "replica_finish": Call(QUICK, None, changes=True),
    "replica_follow": Call(QUICK, Position, changes=True),
    "replica_promote": Call(NORMAL, Promotion, changes=True),
    # files and hooks
    "upload_file": Call(SLOW, None, changes=True),
    "ssconf_write": Call(SLOW, None, changes=True),
    "watcher_pause": Call(QUICK, None, changes=True),
    "config_write": Call(SLOW, None, changes=True),
    "hooks_run": Call(SLOW, list[HookResult], changes=True),
}


def call_of(name: str) -> Call:
    """Return a call's entry; an unknown name is a defect of the caller (ProgrammerError)."""
    try:
        return CALLS[name]
    except KeyError:
        raise ProgrammerError(f"there is no node call {name!r}") from None
