"""gnt-cluster epo: an emergency power-off of nodes with their instances, and the way back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import click

from ganeti_cli import master
from ganeti_cli.app import Finish, Misuse
from ganeti_cli.asking import confirm
from ganeti_cli.failures import explain
from ganeti_cli.options import options
from ganeti_kernel import errors
from ganeti_kernel.paths import host_name
from ganeti_kernel.rpc.reach import answers

FIELDS: Final = ("name", "master", "pinst_list", "sinst_list", "powered", "offline", "pip")
REACHABLE_SECONDS: Final = 900.0
"""How long nodes that were powered on may take to answer."""

PING_SECONDS: Final = 1.0
PING_PAUSE: Final = 2.0
NORMAL: Final = 0
"""Status of a cell that has a value."""


@dataclass
class Plan:
    """What is to be done: nodes to switch over their helper, all nodes concerned, instances with
    the nodes they need, and lines to print."""

    switched: list[str] = field(default_factory=list)
    nodes: dict[str, str] = field(default_factory=dict)
    instances: dict[str, set[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)


def make_plan(rows: Iterable[Mapping[str, Any]], *, on: bool, everything: bool) -> Plan:
    """Decide by the nodes' rows (FIELDS); texts and order are upstream 3.0's. Pure.

    Raises OpPrereqError when the master is among some nodes to be switched off.
    """
    plan = Plan()
    for row in rows:
        name = row["name"]
        plan.nodes[name] = row["pip"]
        if not row["offline"]:
            for inst in (*row["pinst_list"], *row["sinst_list"]):
                needed = plan.instances.setdefault(inst, set())
                needed |= set() if row["master"] else {name}
        if row["master"] and on:
            continue  # this runs on it
        if row["master"] and not everything:
            raise errors.OpPrereqError(
                f"{name} is the master node, please do a master-failover to another node not "
                "affected by the EPO or use --all if you intend to shutdown the whole cluster",
                errors.ECODE_STATE,
            )
        if row["powered"] is None:
            plan.notes.append(
                f"Node {name} does not support out-of-band handling, it can not be handled in a "
                "fully automated manner"
            )
            plan.by_hand.append(name)
        elif row["master"]:
            plan.by_hand.append(name)  # its helper refuses: who would end this command?
        elif row["powered"] == on:
            plan.notes.append(f"Node {name} is already in desired power state, skipping")
        elif on and row["offline"]:
            plan.notes.append(f"Node {name} is marked offline and is left off")
        else:
            plan.switched.append(name)
    return plan


@click.command()
@click.argument("names", nargs=-1, metavar="[NODE|GROUP...]")
@click.option("--on", is_flag=True, help="Bring what was switched off back.")
@click.option("--groups", is_flag=True, help="The arguments are node groups.")
@click.option("--all", "everything", is_flag=True, help="The whole cluster.")
@click.option(
    "--oob-timeout", type=click.IntRange(min=1), default=60, show_default=True, metavar="SECONDS",
    help="How long a node's helper may take.",
)  # fmt: skip
@click.option(
    "--power-delay", type=click.FloatRange(min=0), default=2.0, show_default=True,
    metavar="SECONDS", help="Pause between nodes that are switched on.",
)  # fmt: skip
@options("shutdown_timeout", "force")
def epo(names: tuple[str, ...], **given: Any) -> int:
    """Stop the instances of nodes and switch the nodes off; or, with --on, bring them back.

    A node is switched by its helper (node parameter oob_program). The master and nodes without a
    helper are left for you.
    """
    on, everything = given["on"], given["everything"]
    if given["groups"] and everything:
        raise Misuse("Only one of --groups or --all are allowed")
    if names and everything:
        raise Misuse("Arguments in combination with --all are not allowed")
    if not names and not everything:
        raise Misuse("name nodes (with --groups: node groups), or say --all")
    with master.connect() as client:
        plan = make_plan(_rows(client, names, groups=given["groups"]), on=on, everything=everything)
        for note in plan.notes:
            click.echo(note)
        if not given["force"]:
            listed = ", ".join(plan.nodes)
            verb = "on" if on else "off"
            confirm(
                f"The epo will operate on {len(plan.nodes)} nodes: {listed}. Switch them {verb}?",
                "--force",
            )
        good = _on(client, plan, given) if on else _off(client, plan, given)
    if not on and plan.by_hand:
        last_is_master = sorted(plan.by_hand, key=lambda name: name == host_name())
        click.echo(f"Switch off by hand, the master last: {', '.join(last_is_master)}")
    return 0 if good else 1


def _rows(client: Any, names: Sequence[str], *, groups: bool) -> list[dict[str, Any]]:
    chosen = list(names)
    if groups:
        found = client.query("group", ["name", "node_list"])["data"]
        members = {row[0][1]: list(row[1][1]) for row in found}
        unknown = [name for name in names if name not in members]
        if unknown:
            raise errors.OpPrereqError(f"Group '{unknown[0]}' not known", errors.ECODE_NOENT)
        chosen = [node for name in names for node in members[name]]
        if not chosen:
            raise errors.OpPrereqError("there is no node in these groups", errors.ECODE_INVAL)
    rows = [
        # A node without a helper has no power state: the cell is unavailable.
        {
            name: cell[1] if cell[0] == NORMAL else None
            for name, cell in zip(FIELDS, row, strict=True)
        }
        for row in client.query("node", list(FIELDS))["data"]
    ]
    if not chosen:
        return rows
    picked = []
    for name in dict.fromkeys(chosen):
        match = [row for row in rows if f"{row['name']}.".startswith(f"{name}.")]
        if len(match) != 1:
            raise errors.OpPrereqError(f"Node '{name}' not known", errors.ECODE_NOENT)
        picked.append(match[0])
    return picked


def _value(cell: Sequence[Any]) -> Any:
    """None when there is none: a node without a helper has no power state."""
    return cell[1] if cell[0] == NORMAL else None


def _off(client: Any, plan: Plan, given: Mapping[str, Any]) -> bool:
    running = _should_run(client, plan.instances)
    opcode = {
        "OP_ID": "OP_INSTANCE_SHUTDOWN",
        "timeout": given["shutdown_timeout"],
        "no_remember": True,
    }
    if not _run_each(client, running, opcode, "shutdown", given):
        click.echo("Please investigate and stop instances manually before continuing", err=True)
        raise Finish(1)
    click.echo("All instances have been stopped successfully")
    return _power(client, plan.switched, given, on=False) if plan.switched else True


def _on(client: Any, plan: Plan, given: Mapping[str, Any]) -> bool:
    good = True
    if plan.switched and not _power(client, plan.switched, given, on=True):
        click.echo(
            "Not all nodes seem to get back up, investigate and start manually if needed", err=True
        )
        good = False
    click.echo("Waiting until all nodes are available again")
    waiting = {name: set(plan.instances[name]) for name in _should_run(client, plan.instances)}
    missing = dict(plan.nodes)
    deadline = time.monotonic() + REACHABLE_SECONDS
    while missing or waiting:
        for name in [
            name
            for name, address in missing.items()
            if answers(address, PING_SECONDS, serving=True)
        ]:
            click.echo(f"Node {name} became available")
            del missing[name]
        ready = [name for name, nodes in waiting.items() if not nodes & missing.keys()]
        if ready:
            opcode = {"OP_ID": "OP_INSTANCE_STARTUP", "no_remember": True}
            good = _run_each(client, ready, opcode, "startup", given) and good
            waiting = {name: nodes for name, nodes in waiting.items() if name not in ready}
        if missing and time.monotonic() > deadline:
            click.echo(
                f"No answer within {REACHABLE_SECONDS:g} seconds from {', '.join(missing)}; please "
                "investigate and start stopped instances manually",
                err=True,
            )
            return False
        if missing:
            time.sleep(PING_PAUSE)
    return good


def _should_run(client: Any, names: Iterable[str]) -> list[str]:
    """Those instances that are meant to run: the others stay as they are."""
    wanted = set(names)
    rows = client.query("instance", ["name", "admin_state"])["data"]
    return sorted(row[0][1] for row in rows if row[0][1] in wanted and row[1][1] == "up")


def _run_each(
    client: Any,
    names: Sequence[str],
    opcode: Mapping[str, Any],
    what: str,
    given: Mapping[str, Any],
) -> bool:
    """A job for each instance, all at once; whether all succeeded."""
    trail = master.reason_trail("gnt-cluster", "epo", given["reason"])
    jobs = {}
    for name in names:
        click.echo(f"Submit {what} of instance {name}")
        jobs[name] = client.submit_job([{**opcode, "instance_name": name, "reason": trail}])
    if jobs:
        click.echo(f"Submitted jobs {', '.join(str(number) for number in jobs.values())}")
    good = True
    for name, number in jobs.items():
        click.echo(f"Waiting for job {number} for {name} ...")
        try:
            master.wait_job(client, number)
        except errors.GenericError as error:
            click.echo(f"Job {number} for {name} failed: {explain(error)[0]}", err=True)
            good = False
    return good


def _power(client: Any, nodes: Sequence[str], given: Mapping[str, Any], *, on: bool) -> bool:
    opcode = {
        "OP_ID": "OP_OOB_COMMAND",
        "node_names": list(nodes),
        "command": "power-on" if on else "power-off",
        "ignore_status": True,
        "timeout": given["oob_timeout"],
        "power_delay": given["power_delay"],
        "reason": master.reason_trail("gnt-cluster", "epo", given["reason"]),
    }
    good = True
    for (_status, name), (status, _data) in master.run_job(client, [opcode])[0]:
        if status != NORMAL:
            click.echo(
                f"There was an error changing power for {name}, please investigate", err=True
            )
            good = False
    return good
