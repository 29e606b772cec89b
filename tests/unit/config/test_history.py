"""The history rebuilds every configuration there was, as far as it is kept."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ganeti_kernel.config import bootstrap, history
from ganeti_kernel.config.changes import Change, Draft, new_uuid
from ganeti_kernel.config.keys import TABLES
from ganeti_kernel.config.writer import ConfigWriter, load_view
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.objects import ConfigView, Network, NodeGroup, to_wire
from ganeti_kernel.operations import cluster_rollback as rollback
from ganeti_kernel.specs.store import MAX_VALUE_BYTES, Store


def wire(view: ConfigView) -> dict[str, Any]:
    tables = {name: to_wire(getattr(view, name)) for name in ("cluster", *TABLES)}
    return tables | {"serial_no": view.serial_no, "mtime": view.mtime}


def entries(store: Store) -> list[history.Entry]:
    return history.decode(item.value for item in store.list(history.HISTORY_PREFIX))


def some_change(view: ConfigView, rng: random.Random) -> list[Change]:
    """One of several kinds of changes."""
    draft = Draft(view)
    kind = rng.randrange(5)
    insts = sorted(view.instances.values(), key=lambda item: item.uuid)
    if kind == 0:
        draft.replace_cluster(candidate_pool_size=rng.randrange(1, 1000))
    elif kind == 1:
        draft.put(NodeGroup(uuid=new_uuid(), name=f"group{rng.random()}"))
    elif kind == 2:
        spare = [uuid for uuid in view.nodegroups if not view.group_members.get(uuid)]
        if spare:
            draft.delete(view.nodegroups[rng.choice(spare)])
    elif kind == 3 and insts:
        draft.replace(rng.choice(insts), beparams={"vcpus": rng.randrange(1, 9)})
    elif insts:
        gone = rng.choice(insts)
        draft.delete(gone)
        for disk in view.instance_disks(gone):
            draft.delete(disk)
    return draft.changes()


@pytest.mark.parametrize("seed", range(4))
def test_every_configuration_can_be_had(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    writer = ConfigWriter(store, rng.random, history=8)
    seen = [writer.view]
    while len(seen) < 20:
        changes = some_change(writer.view, rng)
        if changes:
            seen.append(writer.commit(changes, job=len(seen)))
    newest, kept = writer.view, entries(store)
    assert [entry.job for entry in kept] == list(range(19, 11, -1))
    for view in seen[-9:]:
        assert wire(history.view_at(newest, kept, view.serial_no)) == wire(view)
    for serial in (seen[-10].serial_no, newest.serial_no + 1):
        with pytest.raises(ConfigurationError, match="reaches from"):
            history.view_at(newest, kept, serial)


@pytest.mark.parametrize("seed", range(4))
def test_there_and_back(store: Store, seed: int) -> None:
    """A roll-back is a sound commit at every part, and its undo restores all but serials."""
    rng = random.Random(seed)
    writer = ConfigWriter(store, rng.random)
    first = writer.view
    for _ in range(12):
        writer.commit(some_change(writer.view, rng))
    last = writer.view

    def go(serial: int, *, exact: bool) -> None:
        then = history.view_at(writer.view, entries(store), serial)
        for part in rollback.parts(rollback.target(writer.view, then, exact=exact)):
            draft = Draft(writer.view)
            for ident, value in part:
                if value is None:
                    draft.delete(getattr(draft.view, ident[0])[ident[1]])
                else:
                    draft.put(value)
            writer.commit(draft.changes())

    go(first.serial_no, exact=False)
    # Instances that were gone come back, though stopped; all else is as it was.
    left = {item.ident[0] for item in history.differences(first, writer.view)}
    assert left <= {"instances"}
    assert writer.view.instances.keys() == first.instances.keys()
    assert writer.view.nodegroups.keys() == first.nodegroups.keys()
    assert writer.view.cluster.candidate_pool_size == first.cluster.candidate_pool_size
    go(last.serial_no, exact=True)
    assert history.differences(last, writer.view) == []


def test_what_nodes_have_stays(writer: ConfigWriter, store: Store) -> None:
    first = writer.view
    inst = next(item for item in first.instances.values() if item.disks)
    (disk, *_), node = first.instance_disks(inst), first.nodes[inst.primary_node]
    draft = Draft(first)
    draft.replace(inst, admin_state="down", beparams={"vcpus": 7})
    draft.replace(disk, size=disk.size + 100)
    draft.replace(node, drained=True, ndparams={"ssh_port": 7})
    draft.replace_cluster(cluster_name="renamed.example.com", mac_prefix="aa:00:07")
    draft.put(Network(uuid=new_uuid(), name="fresh", network="192.0.2.0/28"))
    now = writer.commit(draft.changes())
    then = history.view_at(now, entries(store), first.serial_no)
    wanted = rollback.target(now, then)
    back = wanted["instances", inst.uuid]
    assert (back.admin_state, back.beparams) == ("down", inst.beparams)
    assert ("disks", disk.uuid) not in wanted
    back = wanted["nodes", node.uuid]
    assert (back.drained, back.ndparams) == (True, node.ndparams)
    back = wanted["cluster", "cluster"]
    assert (back.cluster_name, back.mac_prefix) == (
        "renamed.example.com",
        first.cluster.mac_prefix,
    )
    assert [ident[0] for ident, value in wanted.items() if value is None] == ["networks"]


def test_nodes_that_came_or_went(writer: ConfigWriter) -> None:
    view = writer.view
    fewer = {uuid: node for uuid, node in view.nodes.items() if uuid == view.cluster.master_node}
    small = ConfigView(cluster=view.cluster, nodes=fewer)
    assert all("was added since" in text for text in rollback.moved_nodes(view, small))
    assert all("was removed since" in text for text in rollback.moved_nodes(small, view))
    assert rollback.moved_nodes(view, view) == []


def test_too_large_to_keep(store: Store) -> None:
    writer = ConfigWriter(store)
    first = writer.view
    wide = {f"key{number}": "x" * 1000 for number in range(400)}
    for _ in range(3):
        draft = Draft(writer.view)
        for number in range(3):
            draft.put(NodeGroup(uuid=f"wide{number}-{new_uuid()}", name=new_uuid(), ndparams=wide))
        writer.commit(draft.changes())
    draft = Draft(writer.view)
    for item in list(writer.view.nodegroups.values()):
        if item.uuid.startswith("wide"):
            draft.delete(item)
    second = writer.commit(draft.changes())
    assert all(len(item.value) <= MAX_VALUE_BYTES for item in store.list(history.HISTORY_PREFIX))
    with pytest.raises(ConfigurationError, match=f"from {second.serial_no} to {second.serial_no}"):
        history.view_at(second, entries(store), first.serial_no)


def test_secrets_are_hidden_in_differences(writer: ConfigWriter) -> None:
    old = writer.view
    draft = Draft(old)
    draft.replace_cluster(osparams_private_cluster={"os": {"password": "sesame"}})
    new = writer.commit(draft.changes())
    assert "sesame" not in str([item.fields for item in history.differences(old, new)])
    assert "osparams_private_cluster" in history.summary(history.differences(old, new)[0])


def test_nothing_is_kept_when_not_wanted(store: Store) -> None:
    writer = ConfigWriter(store, history=0)
    draft = Draft(writer.view)
    draft.replace_cluster(candidate_pool_size=3)
    writer.commit(draft.changes())
    assert entries(store) == []


def test_stale_keys() -> None:
    keys = [history.history_key(serial) for serial in range(90, 101)]
    assert history.stale_keys(keys, 100, 50) == []
    assert history.stale_keys(keys, 100, 3) == keys[:-3]
    assert history.stale_keys(keys, 95, 3) == [*keys[:3], *keys[6:]]
    assert history.stale_keys(keys, 100, 0) == keys


def test_another_configuration_has_no_history(writer: ConfigWriter, store: Store) -> None:
    draft = Draft(writer.view)
    draft.replace_cluster(candidate_pool_size=3)
    writer.commit(draft.changes())
    assert entries(store)
    bootstrap.store_view(store, load_view(store)[0], replace=True)
    assert entries(store) == []


def test_damage_is_told() -> None:
    with pytest.raises(ConfigurationError, match="history of the configuration is damaged"):
        history.decode([b"{}"])
