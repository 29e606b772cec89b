"""What an emergency power-off does with each node."""

from __future__ import annotations

from typing import Any

import pytest
from ganeti_cli.cluster_epo import FIELDS, make_plan

from ganeti_kernel.errors import OpPrereqError

Row = tuple[Any, ...]
MASTER: Row = ("n1", True, ["i1"], [], True, False, "192.0.2.1")
HELPED: Row = ("n2", False, ["i2"], ["i1"], True, False, "192.0.2.2")
PLAIN: Row = ("n3", False, [], [], None, False, "192.0.2.3")
GONE: Row = ("n4", False, ["i4"], [], False, True, "192.0.2.4")


def rows(*items: Row) -> list[dict[str, Any]]:
    return [dict(zip(FIELDS, item, strict=True)) for item in items]


def test_everything_off() -> None:
    plan = make_plan(rows(MASTER, HELPED, PLAIN, GONE), on=False, everything=True)
    assert plan.switched == ["n2"]
    assert plan.by_hand == ["n1", "n3"]
    assert plan.instances == {"i1": {"n2"}, "i2": {"n2"}}  # n4 is offline: nothing to stop there
    assert [note.split(" does")[0].split(" is already")[0] for note in plan.notes] == [
        "Node n3",
        "Node n4",
    ]


def test_the_master_stays_unless_all_goes() -> None:
    with pytest.raises(OpPrereqError, match="n1 is the master node, please do a master-failover"):
        make_plan(rows(MASTER, HELPED), on=False, everything=False)
    assert make_plan(rows(HELPED), on=False, everything=False).switched == ["n2"]


def test_on() -> None:
    off = ("n2", False, ["i2"], ["i1"], False, False, "192.0.2.2")
    plan = make_plan(rows(MASTER, off, PLAIN), on=True, everything=True)
    assert (plan.switched, plan.by_hand) == (["n2"], ["n3"])
    assert plan.nodes == {"n1": "192.0.2.1", "n2": "192.0.2.2", "n3": "192.0.2.3"}
    assert make_plan(rows(HELPED), on=True, everything=False).notes == [
        "Node n2 is already in desired power state, skipping"
    ]
    plan = make_plan(rows(GONE), on=True, everything=False)
    assert (plan.switched, plan.notes) == ([], ["Node n4 is marked offline and is left off"])
