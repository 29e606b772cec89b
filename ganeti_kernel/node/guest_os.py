"""Calls about OS definitions and the guests they install."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

from ganeti_kernel.errors import CommandError, OpExecError
from ganeti_kernel.node import os_definitions, os_environment
from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.instances import with_disks
from ganeti_kernel.node.os_definitions import OsDefinition
from ganeti_kernel.node.os_scripts import ScriptJob, run_script, scrub
from ganeti_kernel.node.registry import node_call
from ganeti_kernel.objects.guest import Guest, GuestDisk
from ganeti_kernel.plugins import process
from ganeti_kernel.rpc.calls import DAY, HOUR
from ganeti_kernel.rpc.results import OsStatus

VERIFY_SECONDS: Final = 120.0
MARGIN: Final = 30.0
"""Seconds by which a script is stopped before its call's deadline, so that the caller hears why."""


@node_call("os_diagnose")
def os_diagnose(context: NodeContext) -> list[OsStatus]:
    """Every OS definition of this node, broken ones with the reason."""
    return os_definitions.diagnose(context.paths.os_search_path)


@node_call("os_check")
def os_check(
    context: NodeContext,
    name: str,
    osparams: dict[str, Any],
    private: list[str] = [],  # noqa: B006 # read only
) -> list[str]:
    """What is wrong with installing OS `name` (with its variant) with these parameters.

    `private` names the parameters whose values must not be seen in the answer.
    """
    base, variant = os_definitions.split_name(name)
    try:
        definition = os_definitions.find(context.paths.os_search_path, base)
    except OpExecError as error:
        return [str(error)]
    problems = [
        os_definitions.variant_problem(definition, variant),
        os_definitions.parameter_problem(definition, list(osparams)),
    ]
    found = [problem for problem in problems if problem is not None]
    return found or _run_verify(definition, name, osparams, private)


def _run_verify(
    definition: OsDefinition, name: str, osparams: Mapping[str, Any], private: Sequence[str]
) -> list[str]:
    script = definition.scripts.get("verify")
    if script is None:
        return []
    try:
        finished = process.run(
            [str(script), "parameters"],
            timeout=VERIFY_SECONDS,
            env=os_environment.core_environment(definition, name, osparams),
            cwd=definition.path,
            merge=True,
        )
    except CommandError as error:
        return [f"OS {name}: {error}"]
    if finished.code == 0:
        return []
    values = [value.encode() for value in _values(osparams, private)]
    tail = scrub(finished.tail().encode(), values).decode("utf-8", "replace")
    return [
        f"OS {name}: the verify script refused the parameters (exit code {finished.code}): "
        f"{tail or 'it did not say why'}"
    ]


def _values(osparams: Mapping[str, Any], private: Sequence[str]) -> list[str]:
    return [str(osparams[name]) for name in private if name in osparams]


@node_call("os_create")
def os_create(
    context: NodeContext,
    guest: Guest,
    osparams: dict[str, Any],
    reinstall: bool = False,
    debug: int = 0,
    private: list[str] = [],  # noqa: B006 # read only
) -> None:
    """Install the guest's OS onto its disks, which are activated for it.

    `private` names the parameters whose values must not be seen in logs and errors.
    """
    extra = {"INSTANCE_REINSTALL": "1"} if reinstall else {}
    _run(context, guest, "create", osparams, private, extra, debug, DAY)


@node_call("os_rename")
def os_rename(
    context: NodeContext,
    guest: Guest,
    old_name: str,
    osparams: dict[str, Any],
    debug: int = 0,
    private: list[str] = [],  # noqa: B006 # read only
) -> None:
    """Tell the guest's OS its new name; the guest already carries it."""
    extra = {"OLD_INSTANCE_NAME": old_name}
    _run(context, guest, "rename", osparams, private, extra, debug, HOUR)


def _run(
    context: NodeContext,
    guest: Guest,
    action: str,
    osparams: Mapping[str, Any],
    private: Sequence[str],
    extra: Mapping[str, str],
    debug: int,
    seconds: float,
) -> None:
    base, _variant = os_definitions.split_name(guest.os)
    definition = os_definitions.find(context.paths.os_search_path, base)
    script = definition.scripts.get(action)
    if script is None:
        raise OpExecError(
            f"OS {definition.name} has no script '{action}' that may run on the node itself"
        )
    problem = os_definitions.parameter_problem(definition, list(osparams))
    if problem is not None:
        raise OpExecError(problem)
    ready = with_disks(context, guest)
    env = os_environment.guest_environment(
        definition, ready, osparams, functools.partial(backend_type, context), debug
    )
    run_script(
        context.paths,
        ScriptJob(
            script=script,
            kind="add" if action == "create" else action,
            os_name=guest.os,
            instance=guest.name,
            env=env | dict(extra),
            timeout=seconds - MARGIN,
            secrets=_values(osparams, private),
        ),
    )


def backend_type(context: NodeContext, disk: GuestDisk) -> str:
    """DISK_n_BACKEND_TYPE: files name their driver, everything else is a block device."""
    if context.has_feature(disk.dev_type, "file"):
        return f"file:{disk.logical_id[0]}"
    return "block"


def export_disk(
    context: NodeContext,
    guest: Guest,
    disk: GuestDisk,
    osparams: Mapping[str, Any],
    sink: IO[bytes],
    size_fd: int | None = None,
) -> None:
    """Have the OS write the content of an active disk (maybe a snapshot of the guest's) to `sink`.

    The script may write the size it expects, bytes and a newline, to `size_fd`.
    """
    _transfer(context, guest, "export", disk, osparams, stdout=sink, size_fd=size_fd)


def import_disk(
    context: NodeContext,
    guest: Guest,
    disk: GuestDisk,
    osparams: Mapping[str, Any],
    source: IO[bytes],
) -> None:
    """Have the OS fill an active disk with what `source` gives."""
    _transfer(context, guest, "import", disk, osparams, stdin=source)


def _transfer(
    context: NodeContext,
    guest: Guest,
    action: str,
    disk: GuestDisk,
    osparams: Mapping[str, Any],
    **streams: Any,
) -> None:
    base, _variant = os_definitions.split_name(guest.os)
    definition = os_definitions.find(context.paths.os_search_path, base)
    backend = functools.partial(backend_type, context)
    env = os_environment.guest_environment(
        definition, with_disks(context, guest), osparams, backend
    )
    run_script(
        context.paths,
        ScriptJob(
            script=definition.scripts[action],
            kind=action,
            os_name=guest.os,
            instance=guest.name,
            component=f"disk{disk.index}",
            env=env | os_environment.transfer_environment(action, guest, disk),
            timeout=DAY - MARGIN,
        ),
        **streams,
    )
