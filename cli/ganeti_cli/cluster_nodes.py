"""gnt-cluster command, copyfile: the administrator's hands on all nodes."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ganeti_cli import master
from ganeti_cli.options import options
from ganeti_kernel import errors
from ganeti_kernel.objects import Node
from ganeti_kernel.paths import Paths, host_name

F = TypeVar("F", bound=Callable[..., Any])

PART: Final = 4 << 20
COMMAND_SECONDS: Final = 3600.0
LINE: Final = "-" * 48
_FIELDS: Final = ("uuid", "name", "pip", "sip", "offline", "master", "group", "group.uuid")


def _selection(function: F) -> F:
    for option in (
        click.option("-n", "--node", "names", multiple=True, help="Only this node; repeat."),
        click.option("-g", "--node-group", "group", help="Only the nodes of this group."),
    ):
        function = option(function)
    return function


def choose(names: Sequence[str], group: str | None, *, replication: bool = False) -> list[Node]:
    """Online nodes by name, the master last; says which are skipped because they are offline.

    `replication`: with the addresses of the data network. Raises OpPrereqError for a node or
    group that is not known.
    """
    with master.connect(query=True) as client:
        answer = client.query("node", list(_FIELDS))
    found = [
        {field: value for field, (_status, value) in zip(_FIELDS, row, strict=True)}
        for row in answer["data"]
    ]
    for name in names:
        if not any(_is_called(row, name) for row in found):
            raise errors.OpPrereqError(f"Node '{name}' not known", errors.ECODE_NOENT)
    rows = [
        row
        for row in found
        if (not names or any(_is_called(row, name) for name in names))
        and (group is None or group in (row["group"], row["group.uuid"]))
    ]
    if not rows:
        raise errors.OpPrereqError(f"there is no such node in group '{group}'", errors.ECODE_NOENT)
    offline = [row["name"] for row in rows if row["offline"]]
    if offline:
        click.echo(f"Note: skipping offline node(s): {', '.join(offline)}", err=True)
    rows = sorted((row for row in rows if not row["offline"]), key=lambda row: bool(row["master"]))
    return [
        Node(uuid=row["uuid"], name=row["name"], primary_ip=row["sip" if replication else "pip"])
        for row in rows
    ]


def _is_called(row: Mapping[str, Any], name: str) -> bool:
    return bool(row["name"] == name or row["name"].startswith(f"{name}."))


def _client() -> Any:
    from ganeti_kernel.rpc.sync import SyncNodeClient

    return SyncNodeClient(Paths.from_environment())


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
@_selection
@click.option("-M", "--show-machine-names", is_flag=True, help="Put the node before each line.")
@click.option("--failure-only", is_flag=True, help="Show only nodes where it failed.")
@options()
def command(words: tuple[str, ...], names: tuple[str, ...], group: str | None, **given: Any) -> int:
    """Run a shell command as root on all nodes, one after the other, the master last.

    The exit code is 0 whatever the command's are, as upstream's; it is 1 when a node could not
    be reached.
    """
    nodes = choose(names, group)
    line = " ".join(words)
    unreachable = 0
    with _client() as client:
        for node in nodes:
            try:
                done = client.call(
                    node,
                    "command_run",
                    deadline=COMMAND_SECONDS + 60,
                    ticket=str(uuid.uuid4()),
                    command=line,
                    seconds=COMMAND_SECONDS,
                )
            except errors.GenericError as error:
                click.echo(f"Cannot run the command on node {node.name}: {error}", err=True)
                unreachable += 1
                continue
            if done.code == 0 and given["failure_only"]:
                continue
            click.echo(layout(node.name, done.code, done.output, given["show_machine_names"]))
    return 1 if unreachable else 0


def layout(name: str, code: int, output: str, machine_names: bool) -> str:
    """One node's part of the output (upstream 3.0's form)."""
    if machine_names:
        body = [f"{name}: {line}" for line in output.splitlines()]
    else:
        body = [f"node: {name}", output]
    return "\n".join([LINE, *body, f"return code = {code}"])


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@_selection
@click.option(
    "--use-replication-network", is_flag=True, help="Send it over the data network's addresses."
)
@options()
def copyfile(
    file: Path,
    names: tuple[str, ...],
    group: str | None,
    use_replication_network: bool,
    **_given: Any,
) -> int:
    """Copy a file of this node to all others, with its owner, mode and time."""
    path = file.absolute()
    if not path.is_file():
        raise errors.OpPrereqError(f"No such filename '{file}'", errors.ECODE_INVAL)
    nodes = choose(names, group, replication=use_replication_network)
    own = host_name()
    failed = 0
    with _client() as client:
        for node in nodes:
            if node.name == own:
                continue
            try:
                send(client, node, path)
            except (errors.GenericError, OSError) as error:
                click.echo(f"Copy of file {path} to node {node.name} failed: {error}", err=True)
                failed += 1
    return 1 if failed else 0


def send(client: Any, node: Node, path: Path) -> None:
    """Send a file in parts; it appears on the node when all of them have arrived.

    Under a root directory of its own a node has the file below its own root.
    """
    ticket, offset, digest = str(uuid.uuid4()), 0, hashlib.sha256()
    root = Paths.from_environment().root
    target = str(Path("/") / path.relative_to(root) if path.is_relative_to(root) else path)
    with path.open("rb") as stream:
        block = stream.read(PART)
        while True:
            following = stream.read(PART)
            digest.update(block)
            end = None
            if not following:
                stat = path.stat()
                end = {
                    "sha256": digest.hexdigest(),
                    "mode": stat.st_mode & 0o7777,
                    "uid": stat.st_uid,
                    "gid": stat.st_gid,
                    "mtime": stat.st_mtime,
                }
            client.call(
                node,
                "file_put",
                ticket=ticket,
                path=target,
                offset=offset,
                content=base64.b64encode(block).decode(),
                end=end,
            )
            if end is not None:
                return
            offset += len(block)
            block = following
