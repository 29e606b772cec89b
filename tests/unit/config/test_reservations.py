"""Reservations belong to one job and end with it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganeti_kernel.config import pools
from ganeti_kernel.config.changes import Draft
from ganeti_kernel.config.reservations import Reservation, Reservations, parse_key
from ganeti_kernel.errors import ReservationError
from ganeti_kernel.objects import Cluster, ConfigView, Disk, Network

NET1 = "bbaac96c-33d9-45f5-9918-1e12d219f639"
NODE1 = "bc5487c6-71f1-421e-98a8-65c016de3195"


@pytest.fixture
def held() -> Reservations:
    return Reservations(random_source=random.Random(1))


def take(
    held: Reservations,
    view: ConfigView,
    kind: str,
    scope: str = "",
    value: str | None = None,
    job: int = 1,
) -> str:
    return held.reserve(view, job, kind, scope, value).value


def test_addresses_are_given_once(held: Reservations, rich1: ConfigView) -> None:
    assert [take(held, rich1, "ip", NET1, job=job) for job in (1, 2, 3)] == [
        "192.0.2.6",
        "192.0.2.7",
        "192.0.2.8",
    ]
    with pytest.raises(ReservationError, match="reserved by job 2, which still runs"):
        take(held, rich1, "ip", NET1, "192.0.2.7", job=1)
    held.release_job(2)
    assert take(held, rich1, "ip", NET1, "192.0.2.7", job=1) == "192.0.2.7"
    assert take(held, rich1, "ip", NET1) == "192.0.2.11"


def test_same_job_may_ask_again(held: Reservations, rich1: ConfigView) -> None:
    for _ in range(2):
        assert take(held, rich1, "ip", NET1, "192.0.2.7") == "192.0.2.7"
        assert take(held, rich1, "instance", "", "new.example.com") == "new.example.com"
    assert len(held.held(1)) == 2


def test_job_may_ask_again_after_it_wrote_the_address(
    held: Reservations, rich1: ConfigView
) -> None:
    take(held, rich1, "ip", NET1, "192.0.2.7")
    draft = Draft(rich1)
    draft.put(pools.reserve(rich1.networks[NET1], "192.0.2.7"))
    assert take(held, draft.view, "ip", NET1, "192.0.2.7") == "192.0.2.7"
    assert take(held, draft.view, "ip", NET1, job=2) == "192.0.2.6"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("192.0.2.4", "already used by an instance"),
        ("192.0.2.1", "already externally reserved"),
        ("192.0.9.9", "does not belong to network net1"),
        ("nonsense", "nonsense"),
    ],
)
def test_bad_addresses(held: Reservations, rich1: ConfigView, value: str, text: str) -> None:
    with pytest.raises(ReservationError, match=text):
        take(held, rich1, "ip", NET1, value)
    assert held.held() == []


def test_outside_reservation_can_be_overridden(held: Reservations, rich1: ConfigView) -> None:
    assert take(held, rich1, "ip-unchecked", NET1, "192.0.2.3") == "192.0.2.3"
    with pytest.raises(ReservationError, match="reserved by job 1"):
        take(held, rich1, "ip", NET1, "192.0.2.3", job=2)


def test_full_network_is_named(held: Reservations, rich1: ConfigView) -> None:
    for _ in range(7):
        take(held, rich1, "ip", NET1)
    with pytest.raises(ReservationError, match="network net1 is full"):
        take(held, rich1, "ip", NET1, job=2)
    held.release_job(1)
    assert take(held, rich1, "ip", NET1, job=2) == "192.0.2.6"


def test_macs(held: Reservations, rich1: ConfigView) -> None:
    mac = take(held, rich1, "mac", "AA:00:55")
    assert mac.startswith("aa:00:55:")
    assert len(mac) == 17
    with pytest.raises(ReservationError, match="reserved by job 1"):
        take(held, rich1, "mac", "other", mac.upper(), job=2)
    with pytest.raises(ReservationError, match="already in use in the cluster"):
        take(held, rich1, "mac", "", "aa:00:00:79:c0:05")
    for bad in ("aa:00:00:79:c0", "aa:00:00:79:c0:0g", ""):
        with pytest.raises(ReservationError, match="not a MAC"):
            take(held, rich1, "mac", "", bad)
    with pytest.raises(ReservationError, match="beginning of a MAC"):
        take(held, rich1, "mac", "aa:00")


def test_used_up_prefix_ends(rich1: ConfigView) -> None:
    class Stuck(random.Random):
        def getrandbits(self, k: int, /) -> int:
            return 7

    held = Reservations(random_source=Stuck())
    take(held, rich1, "mac", "aa:00:00")
    with pytest.raises(ReservationError, match="use another prefix"):
        take(held, rich1, "mac", "aa:00:00", job=2)


def test_names(held: Reservations, rich1: ConfigView) -> None:
    with pytest.raises(ReservationError, match=r"instance inst1\.example\.com exists already"):
        take(held, rich1, "instance", "", "inst1.example.com")
    take(held, rich1, "instance", "", "new.example.com", job=4)
    with pytest.raises(ReservationError, match="reserved by job 4"):
        take(held, rich1, "instance", "", "new.example.com", job=5)
    for bad in (None, "", "a/b"):
        with pytest.raises(ReservationError, match="not a name"):
            take(held, rich1, "instance", "", bad)


def test_ports_and_minors(held: Reservations, rich1: ConfigView) -> None:
    draft = Draft(rich1)
    secret = [NODE1, "other", 11000, 0, 5, "secret"]
    draft.put(Disk(uuid="d", dev_type="drbd", logical_id=secret))
    inst = rich1.find_instance("inst1")
    assert inst is not None
    draft.replace(inst, network_port=11001)
    view = draft.view
    assert [take(held, view, "port") for _ in range(2)] == ["11002", "11003"]
    assert [take(held, view, "minor", NODE1) for _ in range(2)] == ["1", "2"]
    other = next(uuid for uuid in view.nodes if uuid != NODE1)
    assert take(held, view, "minor", other) == "0"
    with pytest.raises(ReservationError, match="port 11001 is already in use"):
        take(held, view, "port", "", "11001")
    for bad in ("80", "99999", "x", "-1"):
        with pytest.raises(ReservationError, match="is not a port between"):
            take(held, view, "port", "", bad)


def test_unknown_things(held: Reservations, rich1: ConfigView) -> None:
    with pytest.raises(ReservationError, match="network x does not exist"):
        take(held, rich1, "ip", "x")
    with pytest.raises(ReservationError, match="node x does not exist"):
        take(held, rich1, "minor", "x")
    with pytest.raises(ReservationError, match="'colour'"):
        take(held, rich1, "colour", "")


def test_keys_are_read_back(held: Reservations, rich1: ConfigView) -> None:
    take(held, rich1, "ip", NET1, job=12)
    take(held, rich1, "mac", "aa:00:00", job=12)
    take(held, rich1, "instance", "", "new.example.com", job=13)
    keys = [item.key for item in held.held()]
    assert keys[0] == f"reservations/0000000012/ip/{NET1}/192.0.2.6"
    assert all(key.startswith("reservations/0000000012/") for key in keys[:2])
    again = Reservations.from_keys(keys)
    assert again.held() == held.held()
    for bad in ("reservations/1/ip/x", "jobs/1/ip/x/y", "reservations/1/colour/x/y"):
        with pytest.raises(ValueError):
            parse_key(bad)


def test_single_release_is_the_owners_only(held: Reservations, rich1: ConfigView) -> None:
    item = held.reserve(rich1, 1, "ip", NET1)
    held.release(Reservation(2, item.kind, item.scope, item.value))
    assert held.held() == [item]
    held.release(item)
    held.release(item)
    assert held.held() == []


@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["take", "end"])), max_size=30),
)
def test_no_address_is_ever_given_to_two_jobs(steps: list[tuple[int, str]]) -> None:
    view = small_view()
    held = Reservations()
    owned: dict[int, set[str]] = {1: set(), 2: set(), 3: set()}
    for job, action in steps:
        if action == "end":
            assert {item.value for item in held.release_job(job)} == owned[job]
            owned[job].clear()
            continue
        taken = set().union(*owned.values())
        try:
            value = held.reserve(view, job, "ip", "n").value
        except ReservationError:
            assert len(taken) == 5
        else:
            assert value not in taken
            owned[job].add(value)


def small_view() -> ConfigView:
    network = pools.with_pool(
        Network(uuid="n", name="net", network="192.0.2.0/29", gateway="192.0.2.1")
    )
    cluster = Cluster(uuid="c", cluster_name="c", master_node="m", master_ip="192.0.2.9")
    return ConfigView(cluster=cluster, networks={"n": network})
