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
        ("evacuate default", "not available yet"),
        ("add-tags nosuch a", "Group 'nosuch' not known"),
        ("add-tags default", "No tags to be added"),
        ("remove-tags default nosuch", "'nosuch' not found"),
        ("list-tags nosuch", "nosuch"),
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
