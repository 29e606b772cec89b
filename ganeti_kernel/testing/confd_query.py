"""The suite for ConfdQuery plugins."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec
import pytest

from ganeti_kernel.objects import (
    Cluster,
    ConfigView,
    Disk,
    Instance,
    Network,
    Node,
    NodeGroup,
    from_wire,
)
from ganeti_kernel.objects.document import to_tree
from ganeti_kernel.objects.secrets import SecretRules
from ganeti_kernel.specs.confd_query import (
    ERROR_ARGUMENT,
    ERROR_INTERNAL,
    ERROR_UNKNOWN_ENTRY,
    FIRST_FREE_NUMBER,
    STATUS_ERROR,
    STATUS_NOT_IMPLEMENTED,
    STATUS_OK,
    Answer,
    BadQuery,
    ConfdQuery,
    refuse,
)
from ganeti_kernel.testing.configurations import Maker
from ganeti_kernel.testing.plugin import PluginContract

SECRET: Final = "hush-nobody-may-know"

ODD_QUERIES: Final[tuple[Any, ...]] = (
    None,
    "",
    "nosuch",
    "/",
    "node1.example.com",
    "x" * 50_000,
    "\u0000\u20ac\n",
    0,
    -1,
    2**70,
    True,
    1.5,
    [],
    ["x", None],
    {},
    {"0": 5},
    {"1": None, "2": None},
    {"2": [1]},
    {"3": [99, -1]},
    {"unknown": {"deeper": []}},
)


class ConfdQueryContract(PluginContract):
    """Asks the plugin, on a small made-up cluster.

    To fill in: `plugin_class`; `queries`, values that must be answered with STATUS_OK on `view`.
    May be overridden: `view`; `UPSTREAM`, for request types whose number is upstream's.
    """

    CONTRACT = ConfdQuery
    UPSTREAM: ClassVar[bool] = False

    @pytest.fixture
    def queries(self) -> list[Any]:
        raise NotImplementedError("fill in the fixture queries: values your plugin must answer")

    @pytest.fixture
    def view(self) -> ConfigView:
        return make_view()

    def test_number_is_free_for_it(self, plugin: ConfdQuery) -> None:
        number: Any = type(plugin).NUMBER
        assert isinstance(number, int)
        assert not isinstance(number, bool)
        if self.UPSTREAM:
            assert 0 <= number < FIRST_FREE_NUMBER
        else:
            assert number >= FIRST_FREE_NUMBER, f"numbers below {FIRST_FREE_NUMBER} are upstream's"

    def test_good_queries_are_answered(
        self, plugin: ConfdQuery, view: ConfigView, queries: list[Any]
    ) -> None:
        assert queries
        for query in queries:
            answer = plugin.answer(view, query)
            assert isinstance(answer, Answer)
            assert answer.status == STATUS_OK, (query, answer.answer)
            assert answer.serial >= 0

    def test_answers_are_json(
        self, plugin: ConfdQuery, view: ConfigView, queries: list[Any]
    ) -> None:
        for query in (*queries, *ODD_QUERIES):
            msgspec.json.decode(msgspec.json.encode(_ask(plugin, view, query)))

    def test_odd_queries_get_an_error_that_says_why(
        self, plugin: ConfdQuery, view: ConfigView
    ) -> None:
        """Any JSON value may come: it is answered, or refused in words."""
        for query in ODD_QUERIES:
            try:
                answer = plugin.answer(view, query)
            except BadQuery as error:
                answer = refuse(ERROR_ARGUMENT, str(error))
            assert isinstance(answer, Answer), query
            assert answer.status in (STATUS_OK, STATUS_ERROR, STATUS_NOT_IMPLEMENTED), query
            if answer.status != STATUS_OK:
                _check_error(answer)

    def test_same_question_same_answer(
        self, plugin: ConfdQuery, make: Any, view: ConfigView, queries: list[Any]
    ) -> None:
        """Answers are kept as long as the view is served."""
        for query in queries:
            first = _ask(plugin, view, query)
            assert first == _ask(plugin, view, query)
            assert first == _ask(make(), view, query)

    def test_answers_follow_the_view(
        self, plugin: ConfdQuery, make: Any, queries: list[Any]
    ) -> None:
        """What was answered from one view must not come again from another."""
        older, newer = make_view(serial=7), make_view(serial=8)
        for query in queries:
            before = _ask(plugin, older, query)
            assert _ask(plugin, newer, query) == _ask(make(), newer, query)
            assert _ask(plugin, older, query) == before

    def test_the_view_stays_as_it_is(
        self, plugin: ConfdQuery, view: ConfigView, queries: list[Any]
    ) -> None:
        before = msgspec.json.encode(to_tree(view))
        for query in (*queries, *ODD_QUERIES):
            _ask(plugin, view, query)
        assert msgspec.json.encode(to_tree(view)) == before

    def test_a_cluster_without_instances(self, plugin: ConfdQuery, queries: list[Any]) -> None:
        empty = make_view(instances=0)
        for query in (*queries, *ODD_QUERIES):
            assert isinstance(_ask(plugin, empty, query), bytes)

    def test_no_secret_is_handed_out(self, plugin: ConfdQuery, queries: list[Any]) -> None:
        """When secrets are hidden everywhere, no answer has one."""
        view = make_view(secrets=SecretRules(everywhere=True))
        pointers = ["/instances", "/cluster", "/disks"]
        for query in (*queries, *ODD_QUERIES, *pointers):
            assert SECRET.encode() not in _ask(plugin, view, query), query


def make_view(
    *, instances: int = 2, serial: int = 7, secrets: SecretRules | None = None
) -> ConfigView:
    """A cluster of two nodes; its instances mirror their disks and have private parameters."""
    make = Maker()
    group = make.group("default")
    nodes = [
        make.node(f"node{index}.example.com", f"192.0.2.{index}", group["uuid"]) for index in (1, 2)
    ]
    disks, guests = [], []
    for index in range(instances):
        first, second = (nodes[index % 2]["uuid"], nodes[1 - index % 2]["uuid"])
        disks.append(make.drbd(first, second, (index, index), params={"password": SECRET}))
        guests.append(
            make.instance(
                f"inst{index + 1}.example.com",
                first,
                disks=[disks[-1]["uuid"]],
                nics=[make.nic(f"198.51.100.{index + 1}")],
                osparams_private={"rootpw": SECRET},
            )
        )
    cluster = {
        "cluster_name": "cluster.example.com",
        "master_node": nodes[0]["uuid"],
        "master_ip": "192.0.2.100",
        "nicparams": {"default": {"mode": "bridged", "link": "br0", "vlan": ""}},
        "osparams_private_cluster": {"debootstrap": {"token": SECRET}},
        "enabled_hypervisors": ["fake"],
        **make.common(serial=serial),
    }

    def table(cls: type[Any], items: list[dict[str, Any]]) -> dict[str, Any]:
        return {item["uuid"]: from_wire(item, cls) for item in items}

    return ConfigView(
        cluster=from_wire(cluster, Cluster),
        nodes=table(Node, nodes),
        nodegroups=table(NodeGroup, [group]),
        instances=table(Instance, guests),
        networks=table(Network, []),
        disks=table(Disk, disks),
        version=3000000,
        serial_no=serial,
        secrets=secrets,
    )


def _ask(plugin: ConfdQuery, view: ConfigView, query: Any) -> bytes:
    """The answer as JSON text; a refusal as its words."""
    try:
        return msgspec.json.encode(plugin.answer(view, query))
    except BadQuery as error:
        return str(error).encode()


def _check_error(answer: Answer) -> None:
    assert answer.serial == 0
    value = answer.answer
    codes = (ERROR_UNKNOWN_ENTRY, ERROR_INTERNAL, ERROR_ARGUMENT)
    if isinstance(value, dict):
        assert value["code"] in codes
        assert value["text"].strip()
    elif isinstance(value, int):
        assert value in codes
    else:
        assert isinstance(value, str)
        assert value.strip()
