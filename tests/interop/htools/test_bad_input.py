"""Input that cannot be used is refused as upstream refuses it: same exit code, same output.

The words of an error are compared where they name a thing of the input; JSON parsers and type
names word theirs differently.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.htools.clusters import generate
from tests.interop.htools.peer import require_peer, run_ours, run_peer

pytestmark = pytest.mark.peer

CLUSTER = generate(0)
NODE, INST = CLUSTER.nodes[0].name, CLUSTER.instances[0].name
ALLOCATE: dict[str, Any] = {
    "type": "allocate", "name": "new", "disk_template": "plain", "tags": [], "os": "noop",
    "vcpus": 1, "memory": 128, "spindle_use": 1, "disks": [{"size": 1024, "mode": "rw"}],
    "disk_space_total": 1024, "nics": [], "required_nodes": 1, "hypervisor": "kvm",
}  # fmt: skip
RELOCATE: dict[str, Any] = {
    "type": "relocate", "name": INST, "relocate_from": [CLUSTER.instances[0].primary.name],
    "required_nodes": 1, "disk_space_total": 1,
}  # fmt: skip
MISSING = object()


def _message(path: tuple[str, ...], value: Any, request: dict[str, Any] = ALLOCATE) -> str:
    """A good message with one member replaced or taken out."""
    message = copy.deepcopy(CLUSTER.ialloc(request))
    place = message
    for key in path[:-1]:
        place = place[key]
    if value is MISSING:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(message)


MESSAGES = {
    "truncated": json.dumps(CLUSTER.ialloc(ALLOCATE))[:300],
    "empty": "",
    "not an object": "[]",
    "no request": _message(("request",), MISSING),
    "request of wrong type": _message(("request",), []),
    "no type": _message(("request", "type"), MISSING),
    "unknown type": _message(("request", "type"), "frob"),
    "no memory": _message(("request", "memory"), MISSING),
    "memory of wrong type": _message(("request", "memory"), "x"),
    "negative memory": _message(("request", "memory"), -5),
    "negative disk": _message(("request", "disk_space_total"), -5),
    "no disks": _message(("request", "disks"), MISSING),
    "unknown template": _message(("request", "disk_template"), "foo"),
    "no nodes": _message(("nodes",), MISSING),
    "no cluster tags": _message(("cluster_tags",), MISSING),
    "node memory of wrong type": _message(("nodes", NODE, "total_memory"), "x"),
    "node in unknown group": _message(("nodes", NODE, "group"), "zz"),
    "instance without nodes": _message(("instances", INST, "nodes"), []),
    "instance on unknown node": _message(("instances", INST, "nodes"), ["zz"]),
    "unknown policy": _message(("nodegroups", CLUSTER.groups[0].uuid, "alloc_policy"), "zz"),
    "relocate unknown instance": _message(("request", "name"), "zz", RELOCATE),
    "relocate from unknown node": _message(("request", "relocate_from"), ["zz"], RELOCATE),
}
#: Where the words differ.
WORDED = {
    "truncated", "empty", "not an object", "request of wrong type", "no memory", "no disks",
    "memory of wrong type", "unknown template", "node memory of wrong type",
    "instance without nodes", "unknown policy",
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(MESSAGES))
def test_bad_message(case: str, tmp_path: Path) -> None:
    require_peer()
    (tmp_path / "request.json").write_text(MESSAGES[case])
    peer = run_peer("hail", ["request.json"], tmp_path)
    ours = run_ours("hail", ["request.json"], tmp_path)
    assert (ours.code, ours.stdout) == (peer.code, peer.stdout)
    assert ours.stderr.startswith("Error: ") or not peer.stderr
    if case not in WORDED:
        assert ours.stderr == peer.stderr


def _line(name: str, change: Callable[[list[str]], None]) -> str:
    """The cluster's text with the first line of ``name`` changed."""
    lines = CLUSTER.text().split("\n")
    number = next(n for n, line in enumerate(lines) if line.startswith(f"{name}|"))
    fields = lines[number].split("|")
    change(fields)
    lines[number] = "|".join(fields)
    return "\n".join(lines)


def _set(name: str, column: int, value: str) -> str:
    return _line(name, lambda fields: fields.__setitem__(column, value))


FILES = {
    "empty": "",
    "one section": CLUSTER.text().split("\n")[0],
    "half": CLUSTER.text()[: len(CLUSTER.text()) // 2],
    "negative node memory": _set(NODE, 1, "-5"),
    "node memory not a number": _set(NODE, 1, "x"),
    "unknown group": _set(NODE, 8, "zz"),
    "node line too short": _line(NODE, lambda fields: fields.__delitem__(slice(4, None))),
    "unknown node": _set(INST, 6, "zz"),
    "unknown status": _set(INST, 4, "zz"),
    "unknown template": _set(INST, 8, "zz"),
    "negative instance memory": _set(INST, 1, "-1"),
    "instance line too short": _line(INST, lambda fields: fields.__delitem__(slice(3, None))),
    "unknown policy": _set("group-0", 2, "zz"),
}


@pytest.mark.parametrize("case", sorted(FILES))
@pytest.mark.parametrize("program", ["hbal", "hcheck", "hspace"])
def test_bad_text_file(program: str, case: str, tmp_path: Path) -> None:
    require_peer()
    (tmp_path / "bad.data").write_text(FILES[case])
    peer = run_peer(program, ["-t", "bad.data"], tmp_path)
    ours = run_ours(program, ["-t", "bad.data"], tmp_path)
    assert (ours.code, ours.stdout) == (peer.code, peer.stdout)
    assert ours.stderr == peer.stderr
