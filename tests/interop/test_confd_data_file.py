"""Debian's daemon reads what we write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ganeti_kernel.config import datafile
from ganeti_kernel.testing import confd_peer
from ganeti_kernel.testing.confd_peer import Root

DATA = Path(__file__).parents[1] / "data/config"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not confd_peer.has_upstream(), reason="Debian's ganeti-confd is missing"),
]


@pytest.mark.parametrize("name", ["after_init", "rich1", "rich2"])
def test_upstream_reads_what_we_write(ganeti_root: Path, name: str) -> None:
    original = (DATA / f"config.data.{name}.json").read_bytes()
    written = datafile.dump(datafile.parse(original))
    tables = ("cluster", "nodes", "nodegroups", "instances", "networks", "disks", "filters")
    with (
        confd_peer.upstream(Root(ganeti_root / "theirs", original)) as before,
        confd_peer.upstream(Root(ganeti_root / "ours", written)) as after,
    ):
        for table in tables:
            reply = after.ask(10, f"/{table}")
            assert reply is not None
            assert reply.status == 0
            assert reply == before.ask(10, f"/{table}"), table
            assert set(reply.answer) == set(json.loads(written)[table])
