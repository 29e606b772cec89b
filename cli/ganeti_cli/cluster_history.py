"""gnt-cluster config-history: earlier configurations, their differences, and the way back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import click

from ganeti_cli import master
from ganeti_cli.app import Misuse
from ganeti_cli.failures import NotCluster, NotMaster
from ganeti_cli.jobs import job_options, run_opcode
from ganeti_cli.options import JOB, options
from ganeti_cli.output import Column, format_time, table
from ganeti_kernel import errors
from ganeti_kernel.paths import Paths

MAX_TEXT: Final = 200
"""Characters of a value in a difference."""

_COLUMNS: Final = (
    Column("Serial", right=True),
    Column("Time"),
    Column("Job", right=True),
    Column("Changed"),
)


@click.command("config-history")
@click.option("--show", type=click.IntRange(min=1), metavar="SERIAL", help="Print this one.")
@click.option(
    "--diff", metavar="SERIAL[..SERIAL]", help="Print what changed from one to the other, or now."
)
@click.option(
    "--rollback", type=click.IntRange(min=1), metavar="SERIAL", help="Bring this one back."
)
@options(*JOB, "force")
def config_history(show: int | None, diff: str | None, rollback: int | None, **given: Any) -> int:
    """List earlier configurations: when each was made, by which job, and what it changed.

    A roll-back changes what is written, and nothing on the nodes: who is master, where instances
    and disks are and whether they should run stays as it is.
    """
    if sum(item is not None for item in (show, diff, rollback)) > 1:
        raise Misuse("--show, --diff and --rollback are different things: give one of them")
    if rollback is not None:
        return _rollback(rollback, given)
    newest, entries = read()
    if show is not None:
        click.echo(_document(newest, entries, show))
    elif diff is not None:
        lines = difference(newest, entries, *_serials(diff, newest.serial_no))
        click.echo("\n".join(lines) or "There is no difference.")
    else:
        click.echo("\n".join(listing(newest, entries)))
    return 0


def _rollback(serial: int, given: dict[str, Any]) -> int:
    opcode = {"OP_ID": "OP_CLUSTER_CONFIG_ROLLBACK", "serial": serial, "force": given["force"]}
    changes = run_opcode(opcode, **job_options(given))
    if changes:
        click.echo(f"Configuration {serial} is back: {len(changes)} object(s) changed")
    return 0


def read() -> tuple[Any, Sequence[Any]]:
    """The newest configuration and its history, from this node's store.

    Also when the master daemon is down. Raises NotCluster, NotMaster.
    """
    from ganeti_kernel.config import history
    from ganeti_kernel.config.writer import load_view
    from ganeti_kernel.store.opening import open_store

    paths = Paths.from_environment()
    if not paths.store_file.exists():
        name = master.read_ssconf(paths, "master_node")
        raise NotMaster(name) if name else NotCluster
    store = open_store(paths)
    try:
        newest, _revision = load_view(store)
        values = [item.value for item in store.list(history.HISTORY_PREFIX)]
    finally:
        store.close()
    return newest, history.decode(values)


def listing(newest: Any, entries: Sequence[Any]) -> list[str]:
    """The table, newest first."""
    from ganeti_kernel.config import history

    rows = []
    oldest = newest
    for past in history.walk(newest, entries):
        changed = [history.summary(item) for item in history.differences(past.before, past.after)]
        rows.append(_row(past.after, str(past.entry.job or "-"), "; ".join(changed) or "-"))
        oldest = past.before
    rows.append(_row(oldest, "?", "(what made it is not kept)"))
    return table(_COLUMNS, rows)


def _row(view: Any, job: str, text: str) -> list[str]:
    short = text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
    return [str(view.serial_no), format_time(view.mtime), job, short]


def _serials(text: str, newest: int) -> tuple[int, int]:
    first, dots, second = text.partition("..")
    try:
        return int(first), int(second) if dots and second else newest
    except ValueError:
        raise Misuse(f"--diff {text}: write SERIAL or SERIAL..SERIAL") from None


def difference(newest: Any, entries: Sequence[Any], first: int, second: int) -> list[str]:
    """What is different between two configurations, a field a line; secrets are hidden."""
    from ganeti_kernel.config import history

    old, new = (_view_at(newest, entries, serial) for serial in (first, second))
    lines = []
    for item in history.differences(old, new):
        state = " (added)" if item.old is None else " (removed)" if item.new is None else ""
        lines.append(f"{item.title}{state}")
        if not state:
            lines += [
                f"  {name}: {_text(before)} -> {_text(after)}"
                for name, before, after in item.fields
            ]
    return lines


def _view_at(newest: Any, entries: Sequence[Any], serial: int) -> Any:
    from ganeti_kernel.config import history

    try:
        return history.view_at(newest, entries, serial)
    except errors.ConfigurationError as error:
        raise errors.OpPrereqError(str(error), errors.ECODE_NOENT) from None


def _text(value: Any) -> str:
    text = "(unset)" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def _document(newest: Any, entries: Sequence[Any], serial: int) -> str:
    from ganeti_kernel.config.datafile import dump

    view = _view_at(newest, entries, serial)
    document = json.loads(dump(view))
    return json.dumps(view.secrets.redact(document), indent=2, ensure_ascii=False)
