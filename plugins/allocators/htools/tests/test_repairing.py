"""What harep reads out of tags, without a master."""

from __future__ import annotations

import pytest
from ganeti_allocators_htools.repairing import (
    FAILED,
    FOREVER,
    HEALTHY,
    PENDING,
    PREFIX,
    Policy,
    Record,
    Repair,
    UnfinishedRepair,
    opcodes,
    parse,
    policy,
    progress,
)
from hypothesis import given
from hypothesis import strategies as st

RECORDS = st.builds(
    Record,
    kind=st.sampled_from(Repair),
    uuid=st.uuids().map(str),
    time=st.integers(0, 1 << 40),
    jobs=st.lists(st.integers(0, 1 << 30), max_size=3).map(tuple),
    result=st.sampled_from(["", "success", "failure", "enoperm"]),
)


def tag(text: str) -> str:
    return f"{PREFIX}{text}"


@given(RECORDS)
def test_a_record_comes_back_from_its_tag(record: Record) -> None:
    assert parse(record.tag) == record


@given(st.text(alphabet="abcfilnoprstuvw:+-0189", max_size=40))
def test_no_tag_breaks_it(text: str) -> None:
    found = parse(tag(text))
    assert found is None or found.tag == tag(text) or "+" in text or "0" in text
    policy([[tag(text)]], 1000.0)


@pytest.mark.parametrize(
    ("tags", "state"),
    [
        ([], HEALTHY),
        (["pending:failover:a:1000:7"], PENDING),
        (["result:failover:a:1000:success:7"], HEALTHY),
        (["result:failover:a:1000:enoperm:"], HEALTHY),
        (["result:failover:a:1000:failure:7", "result:failover:b:2000:success:8"], FAILED),
        (["result:failover:a:1000:success:7", "pending:failover:b:2000:8"], PENDING),
        (["pending:failover:a:3000:7", "result:failover:a:1000:success:7"], HEALTHY),
        (["pending:failover:a:1000", "nonsense", "result:fly:a:1:success:"], HEALTHY),
    ],
)
def test_states(tags: list[str], state: str) -> None:
    assert progress([tag(item) for item in tags]).state == state


def test_a_later_record_beside_a_pending_one_is_refused() -> None:
    tags = [tag("result:failover:a:3000:success:7"), tag("pending:failover:b:2000:9")]
    with pytest.raises(UnfinishedRepair, match="older pending tag"):
        progress(tags)


def test_all_records_of_the_past_are_kept_the_newest_first() -> None:
    tags = [tag(f"result:migrate:{uuid}:{when}:success:") for uuid, when in (("a", 1), ("b", 2))]
    assert [record.uuid for record in progress(tags).records] == ["b", "a"]


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ([], Policy()),
        ([["reinstall", "migrate"]], Policy(Repair.MIGRATE)),
        ([[], ["failover"], ["reinstall"]], Policy(Repair.FAILOVER)),
        ([["fix-storage"], ["suspend"]], Policy(Repair.FIX_STORAGE)),
        ([["suspend", "failover"]], Policy(until=FOREVER)),
        ([["suspend:5000", "suspend:6000", "failover"]], Policy(until=6000.0)),
        ([["suspend:1000", "failover"]], Policy(Repair.FAILOVER)),
        ([["suspend:soon"], ["failover"]], Policy(Repair.FAILOVER)),
    ],
)
def test_the_nearest_object_decides(objects: list[list[str]], expected: Policy) -> None:
    assert policy([[tag(text) for text in tags] for tags in objects], 2000.0) == expected


def test_a_delay_comes_first() -> None:
    steps = opcodes(Repair.REINSTALL, "i", 2.5)
    assert [step["OP_ID"].removeprefix("OP_") for step in steps] == [
        "TEST_DELAY",
        "INSTANCE_RECREATE_DISKS",
        "INSTANCE_REINSTALL",
    ]
    assert steps[0]["duration"] == 2.5
    assert opcodes(Repair.FAILOVER, "i", 0)[0]["OP_ID"] == "OP_INSTANCE_FAILOVER"
