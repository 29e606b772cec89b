"""gnt-cluster upgrade: from the release that runs to the one that is installed, in one step."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click

from ganeti_cli import master
from ganeti_cli.app import Misuse
from ganeti_cli.cluster_nodes import choose
from ganeti_cli.failures import NotCluster, NotMaster, explain
from ganeti_cli.options import options
from ganeti_kernel import errors
from ganeti_kernel.objects import Node
from ganeti_kernel.paths import Paths, host_name
from ganeti_kernel.version import SOFTWARE_VERSION

POLL: Final = 0.5
DRAIN_SECONDS: Final = 24 * 3600.0
SAY_EVERY: Final = 30.0
NODE_SECONDS: Final = 120.0
PAUSE_SECONDS: Final = 24 * 3600.0
RESTART: Final = (
    "setsid -w sh -c '(sleep 0.5; daemon-util stop-all; daemon-util start-all) "
    "</dev/null >/dev/null 2>&1 &'"
)
"""Returns at once, from a session of its own: the node daemon that runs it is among those that
stop, and what a command leaves behind in its session is ended with it."""


@click.command()
@click.option("--to", "wanted", metavar="VERSION", help="The version that is installed now.")
@click.option("--resume", is_flag=True, help="Carry on with an upgrade that was interrupted.")
@options()
def upgrade(wanted: str | None, resume: bool, **_given: Any) -> int:
    """Go over to the software that is installed on all nodes.

    Install it everywhere first; the daemons go on with the old one until then. The queue is
    drained, the master daemon stops, the configuration is kept in an archive and converted, and all
    daemons start anew. Until they do, a failure brings everything back.
    """
    if (wanted is None) == (not resume):
        raise Misuse("Precisely one of the options --to and --resume has to be given")
    from ganeti_kernel.operations import upgrade as kept

    paths = Paths.from_environment()
    _only_on_master(paths)
    pending = kept.read_intent(paths)
    if resume:
        if pending is None:
            click.echo("No upgrade is under way: there is nothing to resume.")
            return 0
        click.echo(f"Resuming the upgrade from {pending.old} to {pending.new} at: {pending.step}")
        return _Upgrade(paths, pending).run()
    assert wanted is not None
    if pending is not None:
        raise errors.OpPrereqError(
            f"an upgrade from {pending.old} to {pending.new} was begun; finish it with --resume",
            errors.ECODE_STATE,
        )
    kept.check_target(wanted, SOFTWARE_VERSION)
    nodes = choose((), None)
    click.echo(f"Verifying {wanted} present on all nodes")
    wrong = kept.wrong_versions(wanted, _installed(nodes))
    if wrong:
        raise errors.OpPrereqError(
            f"version {wanted} is not installed everywhere: {'; '.join(wrong)}", errors.ECODE_STATE
        )
    old = master.read_ssconf(paths, "release_version") or "unknown"
    return _Upgrade(paths, kept.Intent(old, wanted, os.getpid(), kept.STEPS[0])).run()


def _only_on_master(paths: Paths) -> None:
    name = master.read_ssconf(paths, "master_node")
    if not name:
        raise NotCluster
    if name != host_name():
        raise NotMaster(name)


def _installed(nodes: Sequence[Node]) -> dict[str, str | None]:
    """What each node has installed, whatever its daemons run."""
    from ganeti_kernel.operations import upgrade as kept

    return {
        name: kept.installed_version(output)
        for name, output in _everywhere(nodes, "gnt-cluster --version").items()
    }


def _everywhere(nodes: Sequence[Node], command: str) -> dict[str, str]:
    """What a command prints on each node, by name; raises RemoteError that names the node."""
    from ganeti_kernel.rpc.sync import SyncNodeClient

    out = {}
    with SyncNodeClient(Paths.from_environment()) as client:
        for node in nodes:
            done = client.call(
                node, "command_run", ticket=str(uuid.uuid4()), command=command, seconds=60.0
            )
            out[node.name] = done.output
    return out


class _Upgrade:
    """One upgrade on its way; every step is noted before it is begun."""

    def __init__(self, paths: Paths, intent: Any) -> None:
        from ganeti_kernel.operations import upgrade as kept

        self._kept = kept
        self._paths = paths
        self._intent = intent
        self._work: Mapping[str, Callable[[], bool]] = {
            "drain": self._drain,
            "stop": self._stop,
            "backup": self._backup,
            "convert": self._convert,
            "restart": self._restart,
            "verify": self._verify,
        }

    def run(self) -> int:
        good = True
        for step in self._intent.left:
            self._intent = self._intent._replace(step=step, pid=os.getpid())
            self._kept.note(self._paths, self._intent)
            try:
                good = self._work[step]()
            except errors.GenericError as error:
                return self._failed(step, error)
        self._kept.forget(self._paths)
        click.echo(
            f"Upgraded from {self._intent.old} to {self._intent.new}"
            + ("" if good else "; verification found errors, see above")
        )
        return 0 if good else 1

    # -- steps -----------------------------------------------------------------------------------

    def _drain(self) -> bool:
        click.echo("* draining the job queue and pausing the watcher")
        with master.connect() as client:
            client.call("SetDrainFlag", [True])
            client.call("SetWatcherPause", [time.time() + PAUSE_SECONDS])
            deadline, said = time.monotonic() + DRAIN_SECONDS, time.monotonic()
            while running := _unfinished(client):
                if time.monotonic() > deadline:
                    raise errors.GenericError(f"jobs do not end: {_numbers(running)}")
                if time.monotonic() - said > SAY_EVERY:
                    click.echo(f"  waiting for jobs {_numbers(running)}")
                    said = time.monotonic()
                time.sleep(POLL)
        return True

    def _stop(self) -> bool:
        from ganeti_kernel.daemons import control

        click.echo("* stopping the master daemon")
        for name in control.MASTER_DAEMONS:
            control.stop(self._paths, name)
        return True

    def _backup(self) -> bool:
        click.echo(f"* the state so far is kept as {self._kept.back_up(self._paths, self._intent)}")
        return True

    def _convert(self) -> bool:
        notes = self._kept.convert_store(self._paths)
        for text in notes or ["the configuration has the right form already"]:
            click.echo(f"* {text}")
        return True

    def _restart(self) -> bool:
        """Start the new software here, then on the other nodes."""
        from ganeti_kernel.daemons import control

        click.echo("* starting the daemons with the new software")
        control.stop_all(self._paths)
        control.start_all(self._paths)
        others = [node for node in choose((), None) if node.name != host_name()]
        before: dict[str, str] = {}
        for node in others:
            try:
                before |= _everywhere([node], "echo $PPID")
                _everywhere([node], RESTART)
            except errors.GenericError as error:
                click.echo(f"  {error}; restart its daemons there with daemon-util", err=True)
        for node in others:
            if node.name in before and not _wait_for_other(node, before[node.name]):
                click.echo(
                    f"  the daemons of {node.name} have not started again within "
                    f"{NODE_SECONDS:g} seconds; see its logs",
                    err=True,
                )
        return True

    def _verify(self) -> bool:
        click.echo("* sending the configuration to all nodes, and verifying the cluster")
        trail = master.reason_trail("gnt-cluster", "upgrade", None)
        good = True
        with master.connect() as client:
            for op in ("OP_CLUSTER_REDIST_CONF", "OP_CLUSTER_VERIFY"):
                number = client.call("SubmitJobToDrainedQueue", [[{"OP_ID": op, "reason": trail}]])
                try:
                    (result,) = master.wait_job(client, number)
                    for ok, job in (result or {}).get("jobs", ()):
                        good = ok and master.wait_job(client, job) == [True] and good
                except errors.GenericError as error:
                    click.echo(explain(error)[0], err=True)
                    good = False
            client.call("SetDrainFlag", [False])
            client.call("SetWatcherPause", [None])
        return good

    # -- failure ---------------------------------------------------------------------------------

    def _failed(self, step: str, error: errors.GenericError) -> int:
        click.echo(f"The upgrade failed at: {step}\n{explain(error)[0]}", err=True)
        if step == "verify":
            click.echo("Mend what is wrong and carry on with --resume.", err=True)
            return 1
        if step == "restart" and self._master_runs():
            click.echo("The master runs; carry on with --resume.", err=True)
            return 1
        click.echo("* bringing back what was", err=True)
        try:
            self._undo(step)
        except errors.GenericError as problem:
            click.echo(f"Not all is as it was: {explain(problem)[0]}", err=True)
            click.echo(
                f"If the new software does not run, install {self._intent.old} again; then "
                "`daemon-util start-all`.",
                err=True,
            )
        return 1

    def _master_runs(self) -> bool:
        from ganeti_kernel.daemons import control

        return control.pid_of(self._paths, control.MASTER_DAEMONS[0]) is not None

    def _undo(self, step: str) -> None:
        from ganeti_kernel.daemons import control

        if step != "drain":
            control.stop_all(self._paths)
            if step in self._kept.CHANGED:
                self._kept.restore(self._paths, self._intent)
            self._kept.open_queue(self._paths)
            self._kept.forget(self._paths)
            control.start_all(self._paths)
        self._kept.forget(self._paths)
        with master.connect() as client:
            client.call("SetDrainFlag", [False])
            client.call("SetWatcherPause", [None])
        click.echo("* the cluster is as it was", err=True)


def _unfinished(client: Any) -> list[int]:
    """Jobs that hold something or are about to."""
    rows = client.query_jobs(None, ["id", "status"])
    return sorted(row[0] for row in rows if row and row[1] in ("waiting", "running", "canceling"))


def _numbers(jobs: Sequence[int]) -> str:
    return ", ".join(str(number) for number in jobs)


def _wait_for_other(node: Node, pid: str) -> bool:
    """Wait until another process serves the node's calls."""
    deadline = time.monotonic() + NODE_SECONDS
    while time.monotonic() < deadline:
        try:
            if _everywhere([node], "echo $PPID")[node.name] != pid:
                return True
        except errors.GenericError:
            pass  # between the two nobody answers
        time.sleep(POLL)
    return False
