"""Options that several commands share, described once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from ganeti_cli import values

F = TypeVar("F", bound=Callable[..., Any])

PRIORITIES: Final = {"low": 10, "normal": 0, "high": -10}


def _priority(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    return None if value is None else PRIORITIES[value]


OPTIONS: Final[dict[str, tuple[tuple[str, ...], dict[str, Any]]]] = {
    "debug": (("-d", "--debug"), {"count": True, "help": "Say more; repeat for more."}),
    "reason": (("--reason",), {"metavar": "TEXT", "help": "Why; kept in the job's trail."}),
    "submit": (
        ("--submit", "submit_only"),
        {"is_flag": True, "help": "Submit the job, print its id and do not wait."},
    ),
    "print_jobid": (
        ("--print-jobid",),
        {"is_flag": True, "help": "With --submit print nothing but the number."},
    ),
    "dry_run": (
        ("--dry-run",),
        {"is_flag": True, "help": "Check everything and change nothing."},
    ),
    "priority": (
        ("--priority",),
        {
            "type": click.Choice(list(PRIORITIES)),
            "callback": _priority,
            "help": "Priority of the job.",
        },
    ),
    "force": (("-f", "--force"), {"is_flag": True, "help": "Do not ask; go on where safe."}),
    "no_headers": (("--no-headers",), {"is_flag": True, "help": "Leave the header out."}),
    "separator": (
        ("--separator",),
        {"metavar": "TEXT", "help": "Put TEXT between fields and do not align them."},
    ),
    "units": (
        ("--units",),
        {"type": click.Choice(["h", "m", "g", "t"]), "help": "Unit of sizes; h picks one."},
    ),
    "output": (
        ("-o", "--output"),
        {"metavar": "FIELDS", "help": "Fields, comma separated; +FIELDS adds to the default."},
    ),
    "verbose": (("-v", "--verbose"), {"is_flag": True, "help": "Say why a value is missing."}),
    "filter": (
        ("-F", "--filter", "force_filter"),
        {"is_flag": True, "help": "Read the argument as a filter."},
    ),
    "node": (("-n", "--node"), {"metavar": "NODE", "help": "Node to use."}),
    "target_node": (
        ("-n", "--target-node"),
        {"metavar": "NODE", "help": "Node to move to."},
    ),
    "iallocator": (
        ("-I", "--iallocator"),
        {"metavar": "NAME", "help": "Allocator that chooses the node; . is the cluster's default."},
    ),
    "ignore_ipolicy": (
        ("--ignore-ipolicy",),
        {"is_flag": True, "help": "Go on when the group's instance policy is violated."},
    ),
    "shutdown_timeout": (
        ("--shutdown-timeout",),
        {
            "type": click.IntRange(min=0),
            "default": 120,
            "show_default": True,
            "metavar": "SECONDS",
            "help": "How long the guest may take to shut down.",
        },
    ),
    "yes_do_it": (
        ("--yes-do-it", "--ya-rly", "yes_do_it"),
        {"is_flag": True, "help": "Really do it."},
    ),
    "tags": (("--tags",), {"type": values.COMMA_LIST, "help": "Tags to set."}),
    "nodegroup": (("-g", "--node-group", "nodegroup"), {"help": "Node group."}),
    "beparams": (
        ("-B", "--backend-parameters", "beparams"),
        {"type": values.KEY_VALUES, "help": "Memory, CPUs and the like."},
    ),
    "nicparams": (
        ("-N", "--nic-parameters", "nicparams"),
        {"type": values.KEY_VALUES, "help": "NIC parameters: mode, link, vlan."},
    ),
    "json": (("--json", "as_json"), {"is_flag": True, "help": "Print JSON."}),
}

_COMMON: Final = ("debug", "reason")
JOB: Final = ("submit", "print_jobid", "dry_run", "priority")
"""Options of a command that submits one job."""


def options(*names: str) -> Callable[[F], F]:
    """Add shared options, and those that every command has."""

    def decorate(function: F) -> F:
        for name in reversed((*names, *_COMMON)):
            flags, attributes = OPTIONS[name]
            function = click.option(*flags, **attributes)(function)
        return function

    return decorate
