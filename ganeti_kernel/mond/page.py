"""The page at `/` for people with a browser. No script; it reloads itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any, Final
from urllib.parse import quote

import msgspec

from ganeti_kernel.mond.board import ACTIVE, Standing
from ganeti_kernel.specs.collector import BAD, OK, REPAIRING, UNKNOWN
from ganeti_kernel.version import SOFTWARE_VERSION

REFRESH: Final = 10
MAX_SHOWN: Final = 64 << 10
"""Bytes of a report that the page shows; the whole is behind its link."""

HEADERS: Final = (
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'"),
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
)

WORDS: Final = {OK: "ok", REPAIRING: "repairing", UNKNOWN: "unknown", BAD: "bad"}

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --dim: #777; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } p { color: var(--dim); margin: .2rem 0 1.2rem }
table { border-collapse: collapse; width: 100% }
th { text-align: left; font-weight: 600; color: var(--dim); font-size: .85rem }
th, td { padding: .4rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.s { border-radius: .3rem; padding: .05rem .5rem; color: #fff; font-size: .85rem;
  white-space: nowrap }
.ok { background: #2a7d46 } .repairing { background: #a86b00 } .unknown { background: #7a5195 }
.bad, .failed { background: #b3261e } .inactive, .disabled, .starting { background: #777 }
details pre { overflow: auto; max-height: 24rem; background: #8881; padding: .6rem;
  font-size: .8rem }
small { color: var(--dim); white-space: pre-line }
"""


def render(node: str, standings: Sequence[Standing]) -> str:
    """The whole page."""
    rows = "".join(_row(item) for item in standings)
    active = sum(item.state == ACTIVE for item in standings)
    failing = sum(not item.ok for item in standings)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="{REFRESH}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(node)}: monitoring</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(node)}</h1><p>{active} of {len(standings)} collectors active, "
        f"{failing} failing · ganeti-mond {SOFTWARE_VERSION} · "
        '<a href="/1/report/all">all reports</a> · <a href="/metrics">metrics</a> · '
        '<a href="/healthz">health</a></p><table><thead><tr><th>collector</th><th>category</th>'
        "<th>status</th><th>age</th><th>took</th><th>size</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></body></html>"
    )


def _row(item: Standing) -> str:
    data = _data(item)
    word, text = verdict(item, data)
    path = f"/1/report/{quote(item.identity.place)}/{quote(item.identity.name)}"
    name = escape(item.identity.name)
    link, details = name, ""
    if item.serves:
        link = f'<a href="{path}">{name}</a>'
        details = (
            f"<details><summary>{_outline(data)}</summary><pre>{_pretty(item)}</pre></details>"
        )
    size = f"{len(item.report or b'') / 1024:.1f} KiB" if item.serves else ""
    return (
        f"<tr><td>{link}{details}</td>"
        f"<td>{escape(item.identity.place)}</td>"
        f'<td><span class="s {word}">{word}</span> <small>{escape(text)}</small></td>'
        f'<td class="n">{_seconds(item.age) if item.serves else ""}</td>'
        f'<td class="n">{_seconds(item.duration) if item.serves else ""}</td>'
        f'<td class="n">{size}</td></tr>'
    )


def verdict(item: Standing, data: Any) -> tuple[str, str]:
    """One word and a text for a collector: its own status, or how the daemon fares with it."""
    if item.state != ACTIVE:
        return item.state, item.reason
    if not item.ok:
        return "failed", item.reason
    status = data.get("status") if isinstance(data, dict) else None
    if isinstance(status, dict):
        return WORDS.get(status.get("code", OK), "unknown"), str(status.get("message", "")).strip()
    return "ok", ""


def _data(item: Standing) -> Any:
    if item.report is None or len(item.report) > MAX_SHOWN:
        return None
    return msgspec.json.decode(item.report).get("data")


def _outline(data: Any) -> str:
    """What a report holds, in a few words."""
    if data is None:
        return "data"
    if isinstance(data, list):
        return f"{len(data)} items"
    if isinstance(data, dict):
        parts = [
            f"{key}: {len(value)}" if isinstance(value, list | dict) else str(key)
            for key, value in data.items()
            if key != "status"
        ]
        return escape(", ".join(parts)[:120]) or "data"
    return escape(str(data)[:120])


def _pretty(item: Standing) -> str:
    body = item.report or b""
    if len(body) > MAX_SHOWN:
        return escape(body[:2000].decode("utf-8", "replace")) + " …"
    return escape(json.dumps(msgspec.json.decode(body), indent=2, ensure_ascii=False))


def _seconds(value: float) -> str:
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.1f} s"
