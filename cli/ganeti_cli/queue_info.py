"""gnt-job info."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from ganeti_cli import master
from ganeti_cli.options import options
from ganeti_cli.output import Pairs, format_time, tree
from ganeti_cli.queue import parse_numbers

FIELDS: Final = (
    "id", "status", "ops", "opresult", "opstatus", "oplog", "opstart", "opexec", "opend",
    "received_ts", "start_ts", "end_ts", "waiting_for",
)  # fmt: skip


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="JOB...")
@options()
def info(ids: tuple[str, ...], **_given: Any) -> int:
    """Show everything about jobs: times, opcodes, results, logs."""
    numbers = parse_numbers(ids)
    with master.connect(query=True) as client:
        rows = client.query_jobs(numbers, list(FIELDS))
    missing = False
    for number, row in zip(numbers, rows, strict=True):
        if row is None:
            click.echo(f"- Job ID {number} not found")
            missing = True
            continue
        click.echo("\n".join(tree([describe(dict(zip(FIELDS, row, strict=True)))])))
    return 1 if missing else 0


def describe(job: Mapping[str, Any]) -> Pairs:
    """Lay out one job."""
    received, start, end = job["received_ts"], job["start_ts"], job["end_ts"]
    opcodes = [
        _opcode(*parts)
        for parts in zip(
            job["ops"], job["opresult"], job["opstatus"], job["oplog"], job["opstart"],
            job["opexec"], job["opend"], strict=True,
        )
    ]  # fmt: skip
    waits = [("Waiting for", "; ".join(job["waiting_for"]))] if job["waiting_for"] else []
    return Pairs(
        [
            ("Job ID", job["id"]),
            ("Status", job["status"]),
            *waits,
            ("Received", _stamp("        ", received)),
            ("Processing start", _stamp("", start, received)),
            ("Processing end", _stamp("  ", end, start)),
            ("Total processing time", _total(received, end)),
            ("Opcodes", opcodes),
        ]
    )


def _seconds(stamp: Sequence[int]) -> float:
    return stamp[0] + stamp[1] / 1e6


def _stamp(pad: str, stamp: Any, since: Any = None) -> str:
    if stamp is None:
        return f"{pad}N/A"
    text = pad + format_time(stamp, micro=True)
    if since is None:
        return text
    return f"{text} (delta {_seconds(stamp) - _seconds(since):.6f}s)"


def _total(received: Any, end: Any) -> str:
    if received is None or end is None:
        return "N/A"
    return f"{_seconds(end) - _seconds(received):.6f} seconds"


def _opcode(
    fields: Mapping[str, Any], result: Any, status: str, log: Any, start: Any, run: Any, end: Any
) -> Pairs:
    return Pairs(
        [
            ("Opcode", fields.get("OP_ID")),
            ("Status", status),
            ("Processing start", _stamp("", start)),
            ("Execution start", _stamp(" ", run)),
            ("Processing end", _stamp("  ", end)),
            ("Input fields", dict(fields)),
            ("Result", result),
            ("Execution log", [_log_entry(entry) for entry in log]),
        ]
    )


def _log_entry(entry: Sequence[Any]) -> Pairs:
    serial, stamp, kind, message = entry
    return Pairs(
        [
            ("Time", format_time(stamp, micro=True)),
            ("Content", f"[{serial}, {kind}, {message}]"),
        ]
    )
