"""What the out-of-band helper's words mean, and which nodes it may be used on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ganeti_kernel.errors import OpExecError, OpPrereqError
from ganeti_kernel.jobs.opcodes import OpOobCommand
from ganeti_kernel.objects import Cluster, ConfigView, Node
from ganeti_kernel.operations.node_power import OobCommand, Pause, RunHelper, parse_payload

HELPER = {"oob_program": "/bin/oob"}
VIEW = ConfigView(
    cluster=Cluster(uuid="c", cluster_name="clu", master_node="m", master_ip="127.0.0.1"),
    nodes={
        "m": Node(uuid="m", name="m", primary_ip="127.0.0.1", ndparams=HELPER),
        "a": Node(uuid="a", name="a", primary_ip="127.0.0.2", ndparams=HELPER, offline=True),
        "b": Node(uuid="b", name="b", primary_ip="127.0.0.3", ndparams=HELPER),
        "x": Node(uuid="x", name="x", primary_ip="127.0.0.4"),
    },
)


def make(command: str, *names: str, **fields: Any) -> OobCommand:
    op = OpOobCommand(command=command, node_names=list(names), **fields)  # type: ignore[arg-type]
    made = OobCommand(op, SimpleNamespace(view=VIEW))
    made.check()
    return made


def test_payloads() -> None:
    assert parse_payload("power-status", '{"powered": true}') == {"powered": True}
    assert parse_payload("health", '[["fan", "OK"], ["psu", "CRITICAL"]]') == [
        ["fan", "OK"],
        ["psu", "CRITICAL"],
    ]
    assert parse_payload("health", "[]") == []
    assert parse_payload("power-on", "\n") is None


@pytest.mark.parametrize(
    ("command", "text", "problem"),
    [
        ("power-status", "on", "powered"),
        ("power-status", '{"powered": "yes"}', "powered"),
        ("power-status", '{"powered": true, "x": 1}', "unknown field"),
        ("health", '{"fan": "OK"}', "list of"),
        ("health", '[["fan", "FINE"]]', "invalid status 'FINE'"),
        ("health", '[["fan"]]', "list of"),
        ("health", str([["f", "OK"]] * 1001).replace("'", '"'), "more than 1000"),
        ("power-off", "switching off", "expected to print nothing"),
    ],
)
def test_strange_payloads_are_named(command: str, text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_payload(command, text)


def test_nodes_without_a_helper_are_unavailable() -> None:
    made = make("power-status")
    plans = made.plan()
    assert [plan.args["node"] for plan in plans] == ["a", "b", "m"]
    assert made.result([[0, {"powered": True}], [2, None], [0, {"powered": False}]]) == [
        [[0, "a"], [0, {"powered": True}]],
        [[0, "b"], [2, None]],
        [[0, "m"], [0, {"powered": False}]],
        [[0, "x"], [3, None]],
    ]


def test_switching_on_takes_a_pause_between_nodes() -> None:
    made = make("power-on", "b", "x", "a", power_delay=3.5)
    names = [plan.name for plan in made.plan()]
    assert names == ["no-return", RunHelper.NAME, Pause.NAME, RunHelper.NAME]
    assert made.result([None, [0, None], None, [0, None]]) == [
        [[0, "b"], [0, None]],
        [[0, "x"], [3, None]],
        [[0, "a"], [0, None]],
    ]


def test_all_nodes_are_not_the_master_where_that_would_hurt() -> None:
    assert [plan.args["node"] for plan in make("power-cycle").plan()] == ["a", "b"]


@pytest.mark.parametrize(
    ("command", "names", "fields", "text"),
    [
        ("power-cycle", ["m"], {}, "run '/bin/oob power-cycle m' by hand"),
        ("power-off", ["m"], {"ignore_status": True}, "not allowed for power-off"),
        ("power-off", ["b"], {}, "Cannot power off node b because it is not marked offline"),
        ("power-on", ["nosuch"], {}, "Node 'nosuch' not known"),
        ("health", [], {"timeout": 0}, "timeout must be 1 to"),
        ("health", [], {"timeout": 10**6}, "timeout must be 1 to"),
        ("power-on", [], {"power_delay": -1.0}, "power delay"),
        ("power-on", [], {"power_delay": float("nan")}, "power delay"),
    ],
)
def test_refused(command: str, names: list[str], fields: dict[str, Any], text: str) -> None:
    with pytest.raises(OpPrereqError, match=text):
        make(command, *names, **fields)


def test_off_where_the_status_does_not_matter() -> None:
    assert [plan.name for plan in make("power-off", "a").plan()][-1] == RunHelper.NAME
    assert make("power-off", "b", ignore_status=True).plan()


class Context(SimpleNamespace):
    """A job that hears `said` from the helper."""

    def __init__(self, said: str | Exception) -> None:
        super().__init__(view=VIEW, nodes=self, warnings=[], changes=0)
        self.said = said

    def call(self, node: Node, name: str, /, **args: Any) -> str:
        assert (node.uuid, name, args["target"]) == ("m", "oob_run", "b")
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def update(self, change: Any) -> None:
        self.changes += 1


@pytest.mark.parametrize(
    ("command", "said", "cell", "warning", "changes"),
    [
        ("power-off", "", [0, None], "", 1),
        ("power-cycle", "", [0, None], "", 0),
        ("power-status", '{"powered": false}', [0, {"powered": False}], "does not match actual", 0),
        ("power-status", '{"powered": true}', [0, {"powered": True}], "", 0),
        ("health", '[["psu", "WARNING"]]', [0, [["psu", "WARNING"]]], "'psu' on node 'b'", 0),
        ("health", "nonsense", [2, None], "Payload returned for node 'b' is not valid", 0),
        ("power-on", OpExecError("no outlet"), [2, None], "'b': no outlet", 0),
    ],
)
def test_one_node(command: str, said: Any, cell: list[Any], warning: str, changes: int) -> None:
    context = Context(said)
    args = {"node": "b", "master": "m", "program": "/bin/oob", "command": command, "timeout": 9}
    assert RunHelper().do(context, args) == cell  # type: ignore[arg-type]
    assert len(context.warnings) == bool(warning)
    assert all(warning in text for text in context.warnings)
    assert context.changes == changes
