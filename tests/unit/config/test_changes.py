"""Change sets and the writer: exactly what changed gets a new serial number."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganeti_kernel.config import bootstrap
from ganeti_kernel.config.changes import (
    MAX_CHANGES,
    Change,
    ConfigConflict,
    Draft,
    Ident,
    lookup,
    new_uuid,
)
from ganeti_kernel.config.keys import CONFIG_META, TABLES
from ganeti_kernel.config.writer import ConfigWriter, load_view
from ganeti_kernel.errors import ConfigurationError, StoreError
from ganeti_kernel.objects import ConfigView, Disk, Instance, Node, to_wire
from ganeti_kernel.objects.secrets import SecretRules
from ganeti_kernel.specs.store import Compare, Delete, Put, Store
from ganeti_kernel.store.sqlite import SqliteStore


def serials(view: ConfigView) -> dict[Ident, int]:
    return {(table, uuid): value.serial_no for table, uuid, value in view.objects()} | {
        ("cluster", "cluster"): view.cluster.serial_no
    }


def wire(view: ConfigView) -> dict[str, Any]:
    return {name: to_wire(getattr(view, name)) for name in ("cluster", *TABLES)}


def inst(view: ConfigView, name: str = "inst1") -> Instance:
    found = view.find_instance(name)
    assert found is not None
    return found


def test_stored_configuration_is_read_back_whole(store: Store, rich1: ConfigView) -> None:
    view, _ = load_view(store)
    assert wire(view) == wire(rich1)
    assert (view.version, view.serial_no, view.ctime, view.mtime) == (
        rich1.version,
        rich1.serial_no,
        rich1.ctime,
        rich1.mtime,
    )


def test_change_bumps_object_cluster_and_configuration(writer: ConfigWriter) -> None:
    before = writer.view
    draft = Draft(before)
    draft.replace(inst(before), admin_state="down")
    after = writer.commit(draft.changes(), job=7)
    expected = serials(before)
    expected["instances", inst(before).uuid] += 1
    expected["cluster", "cluster"] += 1
    assert serials(after) == expected
    assert after.serial_no == before.serial_no + 1
    assert inst(after).admin_state == "down"
    assert (inst(after).ctime, inst(after).mtime) == (inst(before).ctime, 1000.0)
    assert (after.mtime, after.cluster.mtime, after.ctime) == (1000.0, 1000.0, before.ctime)


def test_new_object_starts_at_one(writer: ConfigWriter) -> None:
    disk = Disk(uuid=new_uuid(), dev_type="file", size=1, serial_no=99, ctime=1.0, mtime=2.0)
    draft = Draft(writer.view)
    draft.put(disk)
    made = writer.commit(draft.changes()).disks[disk.uuid]
    assert (made.serial_no, made.ctime, made.mtime) == (1, 1000.0, 1000.0)


def test_written_is_what_is_read_after_a_restart(store: Store, writer: ConfigWriter) -> None:
    draft = Draft(writer.view)
    draft.replace(inst(draft.view), tags=["x"])
    draft.replace_cluster(tags=["y"])
    after = writer.commit(draft.changes())
    again = ConfigWriter(store).view
    assert wire(again) == wire(after)
    assert (again.serial_no, again.mtime) == (after.serial_no, after.mtime)


def test_explicit_cluster_change_bumps_it_once(writer: ConfigWriter) -> None:
    before = writer.view
    draft = Draft(before)
    draft.replace_cluster(tags=["a"])
    after = writer.commit(draft.changes())
    assert after.cluster.serial_no == before.cluster.serial_no + 1
    assert after.cluster.tags == ["a"]


def test_object_put_back_unchanged_is_no_change(writer: ConfigWriter) -> None:
    draft = Draft(writer.view)
    draft.put(inst(writer.view))
    assert draft.changes() == []
    assert writer.commit(draft.changes()) is writer.view


def test_draft_shows_its_own_changes(rich1: ConfigView) -> None:
    draft = Draft(rich1)
    one = inst(rich1)
    draft.replace(one, name="other.example.com")
    assert draft.view.find_instance("other.example.com") is not None
    assert draft.view.find_instance("inst1.example.com") is None
    draft.delete(one)
    assert one.uuid not in draft.view.instances
    assert one.uuid in rich1.instances
    assert [(change.expect, change.value) for change in draft.changes()] == [(one.serial_no, None)]


def test_draft_forgets_what_it_made_and_deleted(rich1: ConfigView) -> None:
    draft = Draft(rich1)
    made = draft.put(Disk(uuid=new_uuid()))
    draft.delete(made)
    draft.delete(made)
    assert draft.changes() == []


def test_draft_refuses_foreign_things(rich1: ConfigView) -> None:
    with pytest.raises(TypeError, match="not an object of the configuration"):
        Draft(rich1).put(Change("nodes", "x", 0, None))
    with pytest.raises(ConfigurationError, match="cannot be removed"):
        Draft(rich1).delete(rich1.cluster)


def test_view_of_a_draft_keeps_the_head(rich1: ConfigView) -> None:
    draft = Draft(rich1)
    draft.replace_cluster(tags=[])
    assert (draft.view.version, draft.view.serial_no) == (rich1.version, rich1.serial_no)


def test_secret_names_stay_with_every_view(store: Store) -> None:
    writer = ConfigWriter(store, secrets=SecretRules(names=frozenset({"site_key"})))
    draft = Draft(writer.view)
    draft.replace_cluster(tags=["x"])
    assert draft.view.secrets.hides("site_key")
    assert writer.commit(draft.changes()).secrets.hides("site_key")


# -- conflicts ---------------------------------------------------------------------------------


def test_second_of_two_jobs_is_told(writer: ConfigWriter) -> None:
    first, second = Draft(writer.view), Draft(writer.view)
    first.replace(inst(first.view), tags=["first"])
    second.replace(inst(second.view), tags=["second"])
    writer.commit(first.changes())
    with pytest.raises(ConfigConflict, match=r"instance inst1\.example\.com was changed"):
        writer.prepare(second.changes())
    assert inst(writer.view).tags == ["first"]


def test_object_from_an_older_view_conflicts(writer: ConfigWriter) -> None:
    old = inst(writer.view)
    draft = Draft(writer.view)
    draft.replace(old, tags=["newer"])
    writer.commit(draft.changes())
    late = Draft(writer.view)
    late.replace(old, tags=["from the older one"])
    with pytest.raises(ConfigConflict, match="changed by another job"):
        writer.prepare(late.changes())


def test_vanished_and_existing_objects_conflict(writer: ConfigWriter, rich1: ConfigView) -> None:
    detached = "e5499b24-3667-4e55-a891-0c7f4642d41d"
    draft = Draft(writer.view)
    draft.delete(rich1.disks[detached])
    change = draft.changes()[0]
    writer.commit([change])
    with pytest.raises(ConfigConflict, match="does not exist any more"):
        writer.prepare([change])
    new = Change("disks", detached, 0, to_wire(rich1.disks[detached]))
    writer.commit([new])
    with pytest.raises(ConfigConflict, match="exists already"):
        writer.prepare([new])


def test_unrelated_changes_of_two_jobs_both_go(writer: ConfigWriter) -> None:
    first, second = Draft(writer.view), Draft(writer.view)
    first.replace(inst(first.view, "inst1"), tags=["first"])
    second.replace(inst(second.view, "inst2"), tags=["second"])
    writer.commit(first.changes())
    writer.commit(second.changes())
    assert inst(writer.view, "inst1").tags == ["first"]
    assert inst(writer.view, "inst2").tags == ["second"]


def test_prepared_but_never_written_leaves_no_trace(store: Store, writer: ConfigWriter) -> None:
    before = writer.view
    draft = Draft(before)
    draft.replace(inst(before), tags=["lost"])
    writer.prepare(draft.changes())
    assert writer.view is before
    prepared = writer.prepare(draft.changes())
    revision = store.txn(prepared.compare, prepared.changes)
    assert writer.accept(prepared, revision) is prepared.view
    assert prepared.serials["instances", inst(before).uuid] == inst(before).serial_no + 1


def test_accept_can_ask_the_store(store: Store, writer: ConfigWriter) -> None:
    for tag in ("one", "two"):
        draft = Draft(writer.view)
        draft.replace_cluster(tags=[tag])
        prepared = writer.prepare(draft.changes())
        assert store.txn(prepared.compare, prepared.changes) is not None
        writer.accept(prepared)
    assert writer.view.cluster.tags == ["two"]


def test_foreign_writer_is_noticed(store: Store, writer: ConfigWriter) -> None:
    entry = store.get(CONFIG_META)
    assert entry is not None
    store.txn([], [Put(CONFIG_META, entry.value)])
    draft = Draft(writer.view)
    draft.replace_cluster(tags=[])
    with pytest.raises(ConfigConflict, match="somebody else"):
        writer.commit(draft.changes())


def test_full_disk_changes_neither_store_nor_view(store: Store, writer: ConfigWriter) -> None:
    assert isinstance(store, SqliteStore)
    before = writer.view
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    draft = Draft(before)
    draft.replace(inst(before), tags=["x" * 1000] * 50)
    with pytest.raises(StoreError, match="disk is full"):
        writer.commit(draft.changes())
    assert writer.view is before
    assert wire(load_view(store)[0]) == wire(before)
    store._db.execute("PRAGMA max_page_count = 100000")
    assert len(inst(writer.commit(draft.changes())).tags) == 50


# -- refusals ----------------------------------------------------------------------------------


def refused(writer: ConfigWriter, changes: list[Change], text: str) -> None:
    before = writer.view
    with pytest.raises(ConfigurationError, match=text):
        writer.commit(changes)
    assert writer.view is before


def test_ill_typed_object_is_refused_with_its_field(writer: ConfigWriter) -> None:
    one = inst(writer.view)
    value = to_wire(one) | {"tags": "no list"}
    refused(writer, [Change("instances", one.uuid, one.serial_no, value)], r"tags")


def test_unknown_table_twice_and_too_many(writer: ConfigWriter) -> None:
    refused(writer, [Change("nonsense", "x", 0, {})], "no table 'nonsense'")
    one = inst(writer.view)
    twice = [Change("instances", one.uuid, one.serial_no, to_wire(one))] * 2
    refused(writer, twice, "twice")
    many = [
        Change("disks", uuid, 0, to_wire(Disk(uuid=uuid)))
        for uuid in (new_uuid() for _ in range(MAX_CHANGES + 1))
    ]
    refused(writer, many, "101 objects at once")
    writer.commit(many[:-1])
    cluster = writer.view.cluster
    refused(writer, [Change("cluster", "cluster", cluster.serial_no, None)], "cannot be removed")


def test_dangling_references_are_refused(writer: ConfigWriter) -> None:
    view = writer.view
    draft = Draft(view)
    draft.delete(view.nodes[inst(view).primary_node])
    refused(writer, draft.changes(), r"node node2\.example\.com: instance \S+ is on it")
    draft = Draft(view)
    network = view.find_network("net1")
    assert network is not None
    draft.delete(network)
    refused(writer, draft.changes(), "network net1: node group .* is connected to it")
    draft = Draft(view)
    draft.delete(view.disks[inst(view, "inst2").disks[0]])
    refused(writer, draft.changes(), r"instance inst2\.example\.com uses it")
    draft = Draft(view)
    draft.replace(inst(view), primary_node="nowhere")
    refused(writer, draft.changes(), "primary node nowhere does not exist")
    draft = Draft(view)
    draft.replace_cluster(master_node="nowhere")
    refused(writer, draft.changes(), "master node nowhere")
    draft = Draft(view)
    draft.delete(view.nodegroups[view.nodes[inst(view).primary_node].group])
    refused(writer, draft.changes(), "node group default: node")


def test_same_name_twice_is_refused(writer: ConfigWriter) -> None:
    draft = Draft(writer.view)
    one = inst(draft.view)
    draft.put(msgspec.structs.replace(one, uuid=new_uuid(), nics=[]))
    refused(writer, draft.changes(), r"2 instances are called inst1\.example\.com")


def test_instance_and_its_disks_go_together(writer: ConfigWriter) -> None:
    draft = Draft(writer.view)
    two = inst(draft.view, "inst2")
    for disk in draft.view.instance_disks(two):
        draft.delete(disk)
    draft.delete(two)
    assert writer.commit(draft.changes()).find_instance("inst2") is None


# -- ports -------------------------------------------------------------------------------------


def test_ports_are_booked_as_instances_come_and_go(writer: ConfigWriter) -> None:
    draft = Draft(writer.view)
    draft.replace(inst(draft.view), network_port=11005)
    cluster = writer.commit(draft.changes()).cluster
    assert (cluster.highest_used_port, cluster.tcpudp_port_pool) == (11005, [])
    draft = Draft(writer.view)
    draft.replace(inst(draft.view), network_port=None)
    cluster = writer.commit(draft.changes()).cluster
    assert (cluster.highest_used_port, cluster.tcpudp_port_pool) == (11005, [11005])
    draft = Draft(writer.view)
    draft.put(Disk(uuid=new_uuid(), dev_type="drbd", logical_id=["a", "b", 11005, 0, 0, "s"]))
    cluster = writer.commit(draft.changes()).cluster
    assert (cluster.highest_used_port, cluster.tcpudp_port_pool) == (11005, [])


# -- whole configurations ----------------------------------------------------------------------


def test_store_takes_one_configuration_only(store: Store, rich2: ConfigView) -> None:
    with pytest.raises(StoreError, match="already"):
        bootstrap.store_view(store, rich2)
    bootstrap.store_view(store, rich2, replace=True)
    assert wire(load_view(store)[0]) == wire(rich2)


def test_empty_and_half_written_stores_are_refused(empty_store: Store, rich1: ConfigView) -> None:
    with pytest.raises(StoreError, match="no complete configuration"):
        load_view(empty_store)
    bootstrap.store_view(empty_store, rich1)
    empty_store.txn([], [Delete(CONFIG_META)])
    with pytest.raises(StoreError, match="no complete configuration"):
        load_view(empty_store)


def test_unreadable_keys_are_named(store: Store) -> None:
    store.txn([Compare("config/nodes/x", 0)], [Put("config/nodes/x", b'{"uuid": 1}')])
    with pytest.raises(StoreError, match="config/nodes/x cannot be read"):
        load_view(store)
    store.txn([], [Delete("config/nodes/x"), Put("config/strange/x", b"{}")])
    with pytest.raises(StoreError, match="config/strange/x"):
        load_view(store)


def test_unsound_configuration_is_not_stored(empty_store: Store, rich1: ConfigView) -> None:
    broken = ConfigView(cluster=rich1.cluster, instances=rich1.instances)
    with pytest.raises(ConfigurationError, match="not sound"):
        bootstrap.store_view(empty_store, broken)
    assert list(empty_store.list("")) == []


def test_large_configuration_is_stored(empty_store: Store, rich1: ConfigView) -> None:
    disks = {uuid: Disk(uuid=uuid) for uuid in (new_uuid() for _ in range(1000))}
    view = ConfigView(
        cluster=rich1.cluster,
        nodes=rich1.nodes,
        nodegroups=rich1.nodegroups,
        networks=rich1.networks,
        disks=disks,
    )
    bootstrap.store_view(empty_store, view)
    assert load_view(empty_store)[0].disks.keys() == disks.keys()


def test_deleted_and_made_anew_in_one_change(writer: ConfigWriter) -> None:
    """The new object has a serial number of its own; what was there before is what counts."""
    draft = Draft(writer.view)
    draft.put(Disk(uuid="again"))
    writer.commit(draft.changes())
    draft = Draft(writer.view)
    draft.replace(draft.view.disks["again"], size=8)
    after = writer.commit(draft.changes())
    assert after.disks["again"].serial_no == 2
    draft = Draft(after)
    draft.delete(after.disks["again"])
    draft.put(Disk(uuid="again", size=9))
    after = writer.commit(draft.changes())
    assert (after.disks["again"].size, after.disks["again"].serial_no) == (9, 3)


# -- any sequence ------------------------------------------------------------------------------

ACTIONS = st.lists(
    st.tuples(st.sampled_from(["tag", "new", "delete", "cluster"]), st.integers(0, 20)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(rounds=st.lists(ACTIONS, max_size=4))
def test_serials_grow_by_one_exactly_where_something_changed(
    rounds: list[list[tuple[str, int]]], writer: ConfigWriter
) -> None:
    for actions in rounds:
        before = writer.view
        draft = Draft(before)
        for action, number in actions:
            act(draft, action, number)
        changed = {
            key
            for key in serials(before).keys() | serials(draft.view).keys()
            if lookup(before, key) != lookup(draft.view, key)
        }
        after = writer.commit(draft.changes())
        was, now = serials(before), serials(after)
        for key in was.keys() | now.keys():
            if key == ("cluster", "cluster"):
                assert now[key] == was[key] + bool(changed)
            elif key not in changed:
                assert now[key] == was[key]
                assert lookup(after, key) is lookup(before, key)
            elif key in now:
                assert now[key] == was.get(key, 0) + 1
        assert after.serial_no == before.serial_no + bool(changed)
        assert {key for key in changed if key not in now} == was.keys() - now.keys()


def act(draft: Draft, action: str, number: int) -> None:
    view = draft.view
    nodes = sorted(view.nodes.values(), key=lambda node: node.name)
    if action == "tag":
        node: Node = nodes[number % len(nodes)]
        draft.replace(node, tags=[f"t{number}"])
    elif action == "cluster":
        draft.replace_cluster(tags=[f"c{number}"])
    elif f"disk-{number}" not in view.disks:
        if action == "new":
            draft.put(Disk(uuid=f"disk-{number}", size=len(view.disks)))
    elif action == "delete":
        draft.delete(view.disks[f"disk-{number}"])
