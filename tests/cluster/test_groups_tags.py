"""Node groups and tags on a real cluster, from the command to the configuration."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ganeti_kernel.testing.devcluster import DevCluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster() as cluster:
        yield cluster


def test_a_group_comes_gets_nodes_a_name_and_goes(cluster: DevCluster) -> None:
    cluster.must("gnt-group", "add", "--alloc-policy", "last_resort", "rack2")
    cluster.must("gnt-group", "assign-nodes", "rack2", "node2")
    cluster.must("gnt-group", "rename", "rack2", "rack3")
    listing = ("gnt-group", "list", "--no-headers", "--separator=|", "-o")
    rows = cluster.must(*listing, "name,node_cnt,alloc_policy").splitlines()
    assert rows == ["default|1|preferred", "rack3|1|last_resort"]
    refused = cluster.on(1, "gnt-group", "remove", "rack3")
    assert refused.code == 1
    assert "Group 'rack3' not empty, has the following nodes: " in refused.err
    cluster.must("gnt-group", "assign-nodes", "default", "node2")
    cluster.must("gnt-group", "remove", "rack3")
    assert cluster.must(*listing, "name,node_cnt").splitlines() == ["default|2"]


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("remove default", "has the following nodes"),
        ("remove nosuch", "Group 'nosuch' not known"),
        ("add default", "'default' already exists as a node group"),
        ("add --node-parameters nosuch=1 x", "'nosuch'"),
        ("rename nosuch x", "Group 'nosuch' not known"),
        ("assign-nodes default nosuch", "Node 'nosuch' not known"),
        ("evacuate default", "no possible target groups"),
        ("add-tags nosuch a", "Group 'nosuch' not known"),
        ("add-tags default", "No tags to be added"),
        ("remove-tags default nosuch", "'nosuch' not found"),
        ("list-tags nosuch", "nosuch"),
        ("info nosuch", "name nosuch not found"),
    ],
)
def test_what_cannot_be_is_refused_by_name(cluster: DevCluster, command: str, text: str) -> None:
    ran = cluster.on(1, "gnt-group", *command.split())
    assert ran.code == 1
    assert text in ran.err


def test_tags_are_added_found_and_removed(cluster: DevCluster) -> None:
    for program, name in (("cluster", ()), ("node", ("node2",)), ("group", ("default",))):
        cluster.must(f"gnt-{program}", "add-tags", *name, "rack:a", "ssd")
        assert cluster.must(f"gnt-{program}", "list-tags", *name) == "rack:a\nssd\n"
        cluster.must(f"gnt-{program}", "remove-tags", *name, "ssd")
    found = cluster.must("gnt-cluster", "search-tags", "^rack:")
    assert found == "/cluster rack:a\n/nodegroup/default rack:a\n/nodes/node2.example.com rack:a\n"
    assert cluster.on(1, "gnt-cluster", "search-tags", "ssd").code == 1


def test_a_bad_tag_is_refused_as_upstream_does(cluster: DevCluster) -> None:
    ran = cluster.on(1, "gnt-node", "add-tags", "node1", "bad tag!")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "Failure: invalid tag(s) given:\nTag contains invalid characters\n"


def test_a_group_is_modified_and_inherits_again(cluster: DevCluster) -> None:
    change = ("gnt-group", "modify", "--node-parameters")
    listing = ("gnt-group", "list", "--no-headers", "-o", "custom_ndparams")
    assert "Modified node group default" in cluster.must(*change, "spindle_count=3", "default")
    assert cluster.must(*listing) == "{'spindle_count': 3}\n"
    cluster.must(*change, "spindle_count=default", "default")
    assert cluster.must(*listing) == "{}\n"
    ran = cluster.on(1, "gnt-group", "modify", "default")
    assert ran.code == 1
    assert "at least one modification" in ran.err


def test_a_job_filter_refuses_jobs_until_it_is_deleted(cluster: DevCluster) -> None:
    predicates = '[["opcode", ["=", "OP_ID", "OP_TEST_DELAY"]]]'
    add = ("gnt-filter", "add", "--predicates", predicates, "--action", "REJECT")
    uuid = cluster.must(*add).strip()
    assert uuid in cluster.must("gnt-filter", "list")
    assert "Action: REJECT" in cluster.must("gnt-filter", "info", uuid)
    assert cluster.on(1, "gnt-debug", "delay", "0").code == 1
    cluster.must("gnt-filter", "replace", uuid, "--action", "RATE_LIMIT 2")
    cluster.must("gnt-debug", "delay", "0")
    cluster.must("gnt-filter", "delete", uuid)
    for command in ("info", "delete"):
        ran = cluster.on(1, "gnt-filter", command, uuid)
        assert ran.code == 1
        assert uuid in ran.err


def test_locks_are_listed_with_their_owner(cluster: DevCluster) -> None:
    assert cluster.must("gnt-debug", "locks") == "Name Mode Owner Pending\n"


def test_a_debug_command_that_is_not_there_yet_says_so(cluster: DevCluster) -> None:
    ran = cluster.on(1, "gnt-debug", "submit-job", "--op-repeat=2", "x")
    assert ran.code == 1
    assert "gnt-debug submit-job is not available yet" in ran.err
