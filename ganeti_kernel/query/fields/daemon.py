"""Resources whose rows the daemon makes: jobs, locks, exports, OS definitions, providers."""

from __future__ import annotations

from typing import Any, Final

from ganeti_kernel.query.fields.base import (
    BOOL,
    NUMBER,
    OTHER,
    TEXT,
    Field,
    from_rows,
    member,
    or_unavailable,
    table,
)
from ganeti_kernel.query.source import ARCHIVED_JOBS, JOB_LOGS, Missing, QuerySource

KEPT_WHEN_NULL: Final = frozenset({"depends", "comment"})
"""Opcode fields that are shown even when they have no value (recorded from upstream 3.0)."""


def _opcodes(_source: QuerySource, row: Any) -> Any:
    ops = row.get("ops")
    if ops is None:
        return Missing.UNAVAIL
    return [
        {key: item for key, item in op.items() if item is not None or key in KEPT_WHEN_NULL}
        for op in ops
    ]


def _archived(_source: QuerySource, row: Any) -> Any:
    return or_unavailable(row.get("archived"))


JOB: Final = table(
    from_rows(
        [
            ("id", "ID", NUMBER, "The job's number"),
            ("status", "Status", TEXT, "State of the job"),
            ("priority", "Priority", NUMBER, "Priority now, the most urgent of its opcodes"),
            ("opresult", "OpCode_result", OTHER, "What each opcode returned"),
            ("opstatus", "OpCode_status", OTHER, "State of each opcode"),
            ("opstart", "OpCode_start", OTHER, "When each opcode began to wait for locks"),
            ("opexec", "OpCode_exec", OTHER, "When each opcode had its locks and began"),
            ("opend", "OpCode_end", OTHER, "When each opcode ended"),
            ("oppriority", "OpCode_prio", OTHER, "Priority of each opcode"),
            ("summary", "Summary", OTHER, "What each opcode does, in short"),
            ("received_ts", "Received", OTHER, "When the job was submitted"),
            ("start_ts", "Start", OTHER, "When the job began"),
            ("end_ts", "End", OTHER, "When the job ended"),
            (
                "waiting_for",
                "WaitingFor",
                OTHER,
                "What keeps a job from going on",
            ),
        ]
    ),
    [
        Field("ops", "OpCodes", OTHER, "The opcodes with their parameters", _opcodes),
        Field(
            "oplog",
            "OpCode_log",
            OTHER,
            "What each opcode said",
            member("oplog"),
            frozenset({JOB_LOGS}),
        ),
        Field(
            "archived",
            "Archived",
            BOOL,
            "Whether the job is in the archive",
            _archived,
            frozenset({ARCHIVED_JOBS}),
        ),
    ],
)

LOCK: Final = table(
    from_rows(
        [
            ("name", "Name", OTHER, "Name of the lock"),
            ("mode", "Mode", OTHER, "How it is held: exclusive or shared"),
            ("owner", "Owner", OTHER, "Who holds it"),
            ("pending", "Pending", OTHER, "Who waits for it"),
            ("waits", "Waits", OTHER, "Who waits for it, since when, and behind whom"),
        ]
    )
)

EXPORT: Final = table(
    from_rows([("node", "Node", TEXT, "Name of the node")]),
    [
        Field(
            "export",
            "Export",
            TEXT,
            "Name of the export",
            lambda _source, row: Missing.NODATA if row.get("export") is None else row["export"],
        )
    ],
)

OS: Final = table(
    from_rows(
        [
            ("name", "Name", TEXT, "Name of the OS definition"),
            ("valid", "Valid", BOOL, "Whether it can be used on every node"),
            ("hidden", "Hidden", BOOL, "Whether listings leave it out"),
            ("blacklisted", "Blacklisted", BOOL, "Whether new instances may not use it"),
            ("variants", "Variants", OTHER, "Variants that every node has"),
            ("api_versions", "ApiVersions", OTHER, "Interface versions that every node has"),
            ("parameters", "Parameters", OTHER, "Parameters that every node has"),
            ("node_status", "NodeStatus", OTHER, "What each node has under the name"),
            ("os_hvp", "OsHypervisorParams", OTHER, "Hypervisor parameters set for the OS"),
            ("osparams", "OsParameters", OTHER, "OS parameters set for the cluster"),
            ("trusted", "Trusted", BOOL, "Whether its scripts run as they are on the node"),
        ]
    )
)

EXTSTORAGE: Final = table(
    from_rows(
        [
            ("name", "Name", TEXT, "Name of the provider"),
            ("node_status", "NodeStatus", OTHER, "What each node has under the name"),
            ("nodegroup_status", "NodegroupStatus", OTHER, "In which groups it can be used"),
            ("parameters", "Parameters", OTHER, "Parameters that every node has"),
        ]
    )
)
