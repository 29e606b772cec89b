"""Debian's daemon and ours on one root directory: the same questions, the same answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ganeti_kernel.testing import confd_peer
from ganeti_kernel.testing.confd_peer import Peer, Reply, Root
from ganeti_kernel.testing.configurations import LINKS, Maker, configuration, plain_cluster

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not confd_peer.has_upstream(), reason="Debian's ganeti-confd is missing"),
]

TEMPLATE = json.loads(
    (Path(__file__).parents[1] / "data/config/config.data.rich1.json").read_text()
)
UNORDERED = {4, 5, 6, 7}
QUESTIONS = 40

Json = dict[str, Any]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Root, Peer, Peer]]:
    root = Root(tmp_path_factory.mktemp("confd"), json.dumps(TEMPLATE).encode())
    with (
        confd_peer.upstream(root) as theirs,
        confd_peer.ours(root, "--secrets", "show") as ours,
    ):
        yield root, theirs, ours


addresses = st.one_of(
    st.integers(0, 9).map(lambda number: f"192.0.2.{number}"),
    st.integers(0, 4).map(lambda number: f"2001:db8::{number:x}"),
)


@st.composite
def clusters(draw: st.DrawFn) -> Json:
    """Small configurations with everything odd that a real one may have."""
    make = Maker(draw(st.integers(0, 2**32)))
    groups = [make.group(f"group{index}") for index in range(draw(st.integers(1, 4)))]
    names = draw(
        st.lists(st.sampled_from(NODE_NAMES), min_size=1, max_size=len(NODE_NAMES), unique=True)
    )
    nodes = [
        make.node(
            name,
            f"2001:db8:1::{index + 1}" if draw(st.booleans()) else f"10.0.0.{index + 1}",
            draw(st.sampled_from(groups))["uuid"],
            offline=draw(st.booleans()),
            drained=draw(st.booleans()),
            master_candidate=index == 0 or draw(st.booleans()),
            vm_capable=draw(st.booleans()),
            serial_no=draw(st.integers(1, 9)),
        )
        for index, name in enumerate(names)
    ]
    idents = [node["uuid"] for node in nodes]
    networks = [make.network(f"net{index}") for index in range(draw(st.integers(0, 2)))]
    disks: list[Json] = []
    instances = []
    for name in draw(st.lists(st.sampled_from(INSTANCE_NAMES), max_size=7, unique=True)):
        own = [draw(disk_of(make, idents)) for _ in range(draw(st.integers(0, 3)))]
        disks += own
        nics = [
            make.nic(
                draw(st.none() | addresses),
                nicparams=draw(st.sampled_from([{}, *({"link": link} for link in LINKS)])),
                **draw(st.sampled_from([{}, *({"network": net["uuid"]} for net in networks)])),
            )
            for _ in range(draw(st.integers(0, 3)))
        ]
        missing = draw(st.integers(0, 9)) == 0
        if missing:
            nics = [nic | {"network": make.uuid()} for nic in nics]
        more: Json = {"forthcoming": True} if name is None or draw(st.integers(0, 5)) == 0 else {}
        instances.append(
            make.instance(
                name,
                draw(st.sampled_from(idents)),
                nics=nics,
                disks=[disk["uuid"] for disk in own],
                serial_no=draw(st.integers(1, 9)),
                tags=draw(st.sampled_from([[], ["web"], ["a", "b"]])),
                **more,
            )
        )
    cluster = TEMPLATE["cluster"]
    return configuration(
        TEMPLATE,
        nodes=nodes,
        groups=groups,
        instances=instances,
        disks=disks,
        networks=networks,
        cluster={
            "serial_no": draw(st.integers(1, 999)),
            "enabled_hypervisors": draw(
                st.sampled_from([["fake"], ["kvm", "xen-pvm"], ["xen-hvm"]])
            ),
            "nicparams": {
                "default": cluster["nicparams"]["default"] | {"link": draw(st.sampled_from(LINKS))}
            },
        },
    )


NODE_NAMES = [
    "node1.example.com",
    "node1.example.org",
    "node2.example.com",
    "node2",
    "node3.example.com",
    "other.example.com",
]
INSTANCE_NAMES = [
    "web.example.com",
    "web.example.org",
    "web",
    "db.example.com",
    "mail.example.com",
    "x.y.z",
    None,
]


@st.composite
def disk_of(draw: st.DrawFn, make: Maker, nodes: list[str], depth: int = 0) -> Json:
    kind = draw(st.sampled_from(["drbd", "plain", "file", "ext", "around"]))
    if kind == "drbd" and len(nodes) > 1:
        first, second = draw(st.permutations(nodes))[:2]
        return make.drbd(first, second, (draw(st.integers(0, 9)), draw(st.integers(0, 9))))
    if kind == "around" and depth < 2:
        inside = [draw(disk_of(make, nodes, depth + 1)) for _ in range(draw(st.integers(1, 2)))]
        return make.disk("plain", ["xenvg", make.uuid()], children=inside)
    if kind == "file":
        return make.disk("file", ["loop", f"/srv/{make.uuid()}"], nodes=[nodes[0]])
    if kind == "ext":
        return make.disk("ext", ["provider", make.uuid()], params={"provider": "provider"})
    return make.disk("plain", ["xenvg", make.uuid()], nodes=[nodes[0]])


def question(draw: st.DrawFn, config: Json) -> tuple[int, Any]:
    number = draw(st.integers(0, 11))
    names: list[Any] = [*NODE_NAMES, *config["nodes"], "node1", "node3", "node", "", "nosuch"]
    if number == 9:
        names = [*INSTANCE_NAMES[:-1], *config["instances"], "db", "x", "x.y", "", "nosuch"]
    odd: list[Any] = [None, "", "br0", {}, {"0": "br0"}, {"1": "192.0.2.1"}, {"3": [0, 2]}]
    if number in (1, 7, 8, 9):
        return number, draw(st.sampled_from([*names, *names, *odd]))
    if number == 2:
        link = draw(st.sampled_from([{}, {}, *({"0": link} for link in LINKS), {"0": "none"}]))
        one = draw(addresses.map(lambda ip: {"1": ip}) | st.just({}))
        many = draw(st.lists(addresses, max_size=5).map(lambda ips: {"2": ips}) | st.just({}))
        return number, draw(st.just(link | one | many) | st.sampled_from(odd))
    if number == 3:
        fields = st.lists(st.integers(0, 2), max_size=4).map(lambda items: {"3": items})
        return number, draw(fields | st.sampled_from(odd))
    if number == 6:
        return number, draw(st.sampled_from([None, *LINKS, "none", *odd]))
    if number == 10:
        return number, draw(pointer_into(config) | st.sampled_from(odd))
    return number, draw(st.sampled_from(odd))


@st.composite
def pointer_into(draw: st.DrawFn, config: Json) -> str:
    value: Any = config
    steps: list[str] = []
    for _ in range(draw(st.integers(1, 6))):
        if isinstance(value, dict) and value:
            key = draw(st.sampled_from(sorted(value)))
            steps.append(key.replace("~", "~0").replace("/", "~1"))
            value = value[key]
        elif isinstance(value, list) and value:
            index = draw(st.integers(0, len(value) - 1))
            steps.append(str(index))
            value = value[index]
        else:
            break
    if draw(st.integers(0, 9)) == 0:
        steps.append(draw(st.sampled_from(["nosuch", "0", "99", "-1", ""])))
    return "/" + "/".join(steps)


@st.composite
def scenarios(draw: st.DrawFn) -> tuple[Json, list[tuple[int, Any]]]:
    config = draw(clusters())
    return config, [question(draw, config) for _ in range(QUESTIONS)]


def comparable(number: int, reply: Reply | None) -> Any:
    if reply is None:
        return None
    status, answer, serial = reply
    if isinstance(answer, str) and answer.startswith("Invalid query type DictQuery"):
        answer = "Invalid query type DictQuery"
    if number in UNORDERED and status == 0:
        answer = sorted(answer)
    if number == 8 and status == 0:
        answer = [sorted(group, key=lambda inst: str(inst["uuid"])) for group in answer]
    return status, answer, serial


serial_numbers = iter(range(1000, 10**6))


@settings(
    max_examples=75,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(scenario=scenarios())
def test_same_answers(
    pair: tuple[Root, Peer, Peer], scenario: tuple[Json, list[tuple[int, Any]]]
) -> None:
    root, theirs, ours = pair
    config, questions = scenario
    serial = next(serial_numbers)
    root.write(json.dumps(config | {"serial_no": serial}).encode())
    for peer in (theirs, ours):
        peer.wait_for_serial(serial)
    for number, query in questions:
        expected = comparable(number, theirs.ask(number, query))
        assert comparable(number, ours.ask(number, query)) == expected, (number, query)


@pytest.mark.parametrize("name", ["after_init", "rich1", "rich2"])
def test_same_look_ups_on_recorded_configurations(pair: tuple[Root, Peer, Peer], name: str) -> None:
    """Every path of a real configuration, whole objects and single values."""
    root, theirs, ours = pair
    config = json.loads((root_data() / f"config.data.{name}.json").read_text())
    serial = next(serial_numbers)
    root.write(json.dumps(config | {"serial_no": serial}).encode())
    for peer in (theirs, ours):
        peer.wait_for_serial(serial)
    for pointer in pointers(config | {"serial_no": serial}):
        mine, other = ours.ask(10, pointer), theirs.ask(10, pointer)
        assert without_last_bits(mine) == without_last_bits(other), pointer
    assert comparable(11, ours.ask(11)) == comparable(11, theirs.ask(11))


@settings(max_examples=1, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_same_answers_on_a_large_cluster(
    pair: tuple[Root, Peer, Peer], data: st.DataObject
) -> None:
    """500 instances on 40 nodes: every node and many instances, whole lists that still fit."""
    root, theirs, ours = pair
    serial = next(serial_numbers)
    config = plain_cluster(TEMPLATE, 500, serial=serial)
    root.write(json.dumps(config).encode())
    for peer in (theirs, ours):
        peer.wait_for_serial(serial)
    nodes = [node["name"] for node in config["nodes"].values()]
    instances = list(config["instances"].values())
    questions: list[tuple[int, Any]] = [(4, None), (5, None), (6, None), (3, None)]
    questions += [(number, node) for number in (1, 7, 8) for node in nodes]
    for inst in data.draw(st.permutations(instances))[:100]:
        questions += [(2, {"1": inst["nics"][0]["ip"]}), (9, inst["name"]), (9, inst["uuid"])]
        questions += [(10, f"/instances/{inst['uuid']}"), (10, f"/disks/{inst['disks'][0]}")]
    questions += [(2, {"2": [inst["nics"][0]["ip"] for inst in instances[:60]]})]
    for number, query in questions:
        expected = comparable(number, theirs.ask(number, query))
        assert expected is not None
        assert comparable(number, ours.ask(number, query)) == expected, (number, query)


def without_last_bits(value: Any) -> Any:
    """Times with less precision: upstream's reading of them is off by a last bit at times."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {key: without_last_bits(item) for key, item in value.items()}
    return [without_last_bits(item) for item in value] if isinstance(value, list | tuple) else value


def root_data() -> Path:
    return Path(__file__).parents[1] / "data/config"


def pointers(value: Any, start: str = "", depth: int = 4) -> Iterator[str]:
    """All paths below a value, up to a depth."""
    if start:
        yield start
    if depth == 0:
        return
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        path = f"{start}/{str(key).replace('~', '~0').replace('/', '~1')}"
        if isinstance(item, dict | list):
            yield from pointers(item, path, depth - 1)
        else:
            yield path
