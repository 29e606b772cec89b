from __future__ import annotations

import re
from pathlib import Path

from ganeti_kernel.rpc import wire
from ganeti_kernel.rpc.calls import CALLS

PAGE = Path(__file__).parents[3] / "docs" / "node-calls.md"


def test_the_page_lists_the_calls_as_they_are() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (yes)? ?\|$", PAGE.read_text(), re.MULTILINE)
    documented = {name: (float(seconds), bool(changes)) for name, seconds, changes in rows}
    assert documented == {name: (call.timeout, call.changes) for name, call in CALLS.items()}


def test_the_page_names_the_headers_and_limits() -> None:
    text = PAGE.read_text()
    for word in (wire.EPOCH_HEADER, wire.DEADLINE_HEADER, f"{wire.MAX_BODY >> 20} MiB"):
        assert word in text
