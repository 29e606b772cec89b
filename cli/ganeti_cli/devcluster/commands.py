"""The commands of gnt-devcluster."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from ganeti_cli import master as master_side
from ganeti_cli.app import Finish, Misuse
from ganeti_cli.devcluster import cleanup, netns
from ganeti_cli.devcluster.layout import (
    MAX_NODES,
    MAX_ROOT,
    STATE_FILE,
    Layout,
    defaults_file,
    enter,
    environment,
    hosts_file,
    init_command,
    remote_shell,
)
from ganeti_kernel.constants import EXIT_NOT_MASTER, EXIT_SUCCESS
from ganeti_kernel.daemons import control
from ganeti_kernel.errors import CommandError

STEP_TIMEOUT: Final = 120.0

BIN_DIR: Final = str(Path(sys.executable).parent)
"""Where the programs are that belong to this installation."""


def default_root() -> Path:
    return Path(f"/tmp/ganeti-devcluster-{os.getuid()}")  # noqa: S108 # short for sockets, mode 0700


_ROOT = click.option(
    "--root", type=click.Path(path_type=Path), default=default_root, show_default="in /tmp",
    help="Directory that holds the whole cluster.",
)  # fmt: skip


def read_layout(root: Path) -> Layout:
    """Read the state of the cluster under a root; raises CommandError without one."""
    try:
        return Layout.from_json((root / STATE_FILE).read_text())
    except FileNotFoundError:
        raise CommandError(
            f"there is no development cluster in {root}; gnt-devcluster up makes one"
        ) from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise CommandError(f"{root / STATE_FILE} cannot be read: {error}") from None


def run_as(layout: Layout, name: str, argv: Sequence[str]) -> None:
    """Run a command as on a node, its output only shown when it fails (CommandError)."""
    try:
        done = subprocess.run(
            [*enter(layout, name), *argv],
            env=environment(layout, name, BIN_DIR, dict(os.environ)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=STEP_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CommandError(f"{argv[0]} did not end within {STEP_TIMEOUT:g} seconds") from None
    if done.returncode:
        text = done.stdout.decode("utf-8", "replace").strip()
        raise CommandError(f"`{' '.join(argv[:3])}` failed on {name}:\n{text}")


@click.command()
@click.option(
    "--nodes",
    type=click.IntRange(1, MAX_NODES),
    default=3,
    show_default=True,
    help="How many nodes.",
)
@_ROOT
@click.option("--hypervisor", default="fake", show_default=True, help="The enabled hypervisor.")
@click.option(
    "--mode",
    type=click.Choice(["loopback", "netns"]),
    default="loopback",
    show_default=True,
    help="loopback: no root needed; netns: a network namespace for each node.",
)
@click.option(
    "-H",
    "--hypervisor-parameters",
    "hvparams",
    multiple=True,
    metavar="NAME:KEY=VALUE,…",
    help="Given to gnt-cluster init.",
)
@click.option("--keep", is_flag=True, help="Keep what was made when something fails.")
def up(
    nodes: int, root: Path, hypervisor: str, mode: str, keep: bool, hvparams: tuple[str, ...]
) -> int:
    """Make a cluster of NODES nodes on this machine and start it."""
    root = root.absolute()
    started = time.monotonic()
    _check(root, mode)
    layout = Layout.make(root, nodes, mode, hypervisor)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    (root / STATE_FILE).write_text(layout.to_json())
    try:
        if mode == "netns":
            click.echo(f"making {nodes} network namespaces")
            netns.create(layout)
        for name in layout.names:
            prepare(layout, name)
        master, *others = layout.names
        click.echo(f"making the cluster on {master}")
        run_as(layout, master, init_command(layout, templates(), hvparams))
        for name in others:
            click.echo(f"adding {name}")
            run_as(layout, master, ["gnt-node", "add", "--no-ssh-key-check", name])
    except (CommandError, OSError, KeyboardInterrupt):
        if keep:
            click.echo(f"what was made is kept in {root}; gnt-devcluster down removes it", err=True)
        else:
            click.echo("taking down what was made", err=True)
            _remove(layout)
        raise
    click.echo(
        f"{nodes} nodes are up after {time.monotonic() - started:.1f} s in {root}\n"
        f"Try: gnt-devcluster exec node1 -- gnt-node list"
    )
    return 0


def templates() -> list[str]:
    """Enable every disk template that is installed."""
    from ganeti_kernel.plugins.discovery import scan

    names = {item.name for item in scan() if item.kind == "disk_template" and not item.source}
    return sorted(names, key=lambda name: (name == "diskless", name)) or ["diskless"]


def _check(root: Path, mode: str) -> None:
    if (root / STATE_FILE).exists():
        raise CommandError(f"there is a cluster in {root}; gnt-devcluster down removes it")
    if root.exists() and any(root.iterdir()):
        raise CommandError(f"{root} is not empty; name another --root")
    if root.exists() and root.stat().st_uid != os.geteuid():
        raise CommandError(f"{root} belongs to somebody else; name another --root")
    if len(str(root)) > MAX_ROOT:
        raise CommandError(
            f"{root} is too long a path for Unix sockets below it; use at most {MAX_ROOT} letters"
        )
    if mode == "netns" and os.geteuid() != 0:
        raise CommandError("--mode netns needs root; --mode loopback does not")


SHARED: Final = ("loopfile", "shared-file-storage")
"""Directories below /srv/ganeti that all nodes reach, as a shared file system would give them."""


def prepare(layout: Layout, name: str) -> None:
    """Write what a node's machine has before it joins a cluster."""
    paths = layout.paths(name)
    for path in (
        paths.conf_dir,
        paths.data_dir,
        paths.log_dir,
        paths.under("/etc/default"),
        paths.under("/srv/ganeti/file-storage"),
        paths.under("/srv/ganeti/os"),
        paths.under("/srv/ganeti/extstorage"),
    ):
        path.mkdir(parents=True, exist_ok=True)
    for folder in SHARED:
        shared = layout.root / "shared" / folder
        shared.mkdir(parents=True, exist_ok=True)
        paths.under(f"/srv/ganeti/{folder}").symlink_to(shared)
    paths.hosts_file.write_text(hosts_file(layout))
    paths.under("/etc/default/ganeti").write_text(defaults_file(layout, name))
    paths.file_storage_paths.write_text(
        "/srv/ganeti/file-storage\n/srv/ganeti/shared-file-storage\n"
    )
    shell = paths.conf_dir / "remote-shell"
    shell.write_text(remote_shell(layout, BIN_DIR))
    shell.chmod(0o755)


@click.command()
@_ROOT
def status(root: Path) -> int:
    """Show each node's address and daemons; exit code 1 when one does not run."""
    layout = read_layout(root.absolute())
    click.echo(f"{layout.nodes} nodes, {layout.mode}, hypervisor {layout.hypervisor}, in {root}")
    complete = True
    for name in layout.names:
        master = master_side.read_ssconf(layout.paths(name), "master_node") == name
        daemons = (*control.NODE_DAEMONS, *(control.MASTER_DAEMONS if master else ()))
        running = [item for item in daemons if control.pid_of(layout.paths(name), item)]
        missing = [item for item in daemons if item not in running]
        complete = complete and not missing
        text = ", ".join(item.removeprefix("ganeti-") for item in running) or "nothing"
        gone = f"; NOT running: {', '.join(missing)}" if missing else ""
        click.echo(f"{name} {layout.address(name)}: {text}{gone}")
    return 0 if complete else 1


@click.command()
@_ROOT
def watch(root: Path) -> int:
    """Run the watcher once on every node, as cron does on a real cluster; the master's last."""
    layout = read_layout(root.absolute())
    good = True
    for name in reversed(layout.names):
        done = subprocess.run(
            [*enter(layout, name), "ganeti-watcher"],
            env=environment(layout, name, BIN_DIR, dict(os.environ)),
            stdin=subprocess.DEVNULL,
            check=False,
        )
        expected = (EXIT_SUCCESS, EXIT_NOT_MASTER)
        good = good and done.returncode in expected
        log = layout.paths(name).log_dir / "watcher.log"
        text = "all is well" if done.returncode in expected else f"something failed, see {log}"
        click.echo(f"{name}: {text}")
    return 0 if good else 1


@click.command("exec", context_settings={"ignore_unknown_options": True})
@_ROOT
@click.argument("node", metavar="NODE")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND…")
def exec_(root: Path, node: str, command: tuple[str, ...]) -> int:
    """Run a command as on a node: with its paths, its name, and in its network."""
    layout = read_layout(root.absolute())
    try:
        name = layout.find(node)
    except ValueError as error:
        raise Misuse(str(error)) from None
    argv = [*enter(layout, name), *command]
    env = environment(layout, name, BIN_DIR, dict(os.environ))
    sys.stdout.flush()
    try:
        os.execvpe(argv[0], argv, env)  # noqa: S606 # the command takes this process's place
    except OSError as error:
        click.echo(f"cannot run {argv[0]}: {error.strerror}", err=True)
        raise Finish(127) from None


@click.command()
@_ROOT
def down(root: Path) -> int:
    """Stop and remove the cluster: processes, namespaces, mounts, loop devices, files."""
    root = root.absolute()
    if not (root / STATE_FILE).exists():
        click.echo(f"there is no development cluster in {root}")
        return 0
    layout = read_layout(root)
    count = _remove(layout)
    click.echo(f"ended {count} processes and removed {root}")
    return 0


def _remove(layout: Layout) -> int:
    count = cleanup.remove_everything(layout.root)
    if layout.mode == "netns":
        netns.remove(layout)
    return count
