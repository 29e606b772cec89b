"""Groups, networks and nodes are changed on a real cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ganeti_kernel.testing.devcluster import DevCluster

pytestmark = pytest.mark.slow

LOW = "cpu-count=1,disk-count=1,disk-size=1024,memory-size=64,nic-count=1,spindle-use=1"
HIGH = "cpu-count=2,disk-count=4,disk-size=2G,memory-size=1G,nic-count=4,spindle-use=4"
BOUNDS = f"min:{LOW}/max:{HIGH}"


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(3) as made:
        yield made


@pytest.fixture(scope="module")
def network(cluster: DevCluster) -> str:
    cluster.must("gnt-network", "add", "--network", "192.0.2.0/28", "--gateway", "192.0.2.1", "net")
    return "net"


def test_a_group_has_limits_and_parameters_of_its_own(cluster: DevCluster) -> None:
    add = ("gnt-group", "add", "--ipolicy-bounds-specs", BOUNDS, "--ipolicy-vcpu-ratio", "3")
    cluster.must(*add, "-D", "ext:access=userspace", "--node-parameters", "ssh_port=44", "rack")
    info = cluster.must("gnt-group", "info", "rack")
    for line in ("cpu-count: 2", "memory-size: 1024", "vcpu-ratio: 3", "ssh_port: 44"):
        assert f"{line}\n" in info
    assert "access: userspace" in info
    assert "spindle-ratio: default (32)" in info
    shown = cluster.must("gnt-group", "show-ispecs-cmd", "rack")
    head = "gnt-group add --ipolicy-bounds-specs min:cpu-count=1,disk-count=1,disk-size=1024,"
    assert shown.startswith(head)
    assert shown.endswith("spindle-use=4 rack\n")
    change = ("gnt-group", "modify", "--ipolicy-bounds-specs", "default")
    cluster.must(*change, "-D", "ext:access=default", "--hypervisor-state=fake:mem_total=9", "rack")
    assert "cpu-count: default (8)" in cluster.must("gnt-group", "info", "rack")
    assert cluster.must("gnt-group", "show-ispecs-cmd", "rack") == "gnt-group add rack\n"
    cluster.must("gnt-group", "remove", "rack")


def test_a_new_policy_names_who_breaks_it(cluster: DevCluster) -> None:
    node = ("-t", "diskless", "-n", "node1", "-o", "busybox", "--no-install")
    cluster.must("gnt-instance", "add", *node, "-B", "vcpus=3", "--no-start", "web.example.com")
    out = cluster.must("gnt-group", "modify", "--ipolicy-bounds-specs", BOUNDS, "default")
    assert "After the ipolicy change the following instances violate it: web.example.com" in out
    refused = cluster.on(1, "gnt-instance", "add", *node, "-B", "vcpus=3", "other.example.com")
    assert (refused.code, "number of CPUs 3 is outside 1 to 2" in refused.err) == (1, True)
    cluster.must("gnt-group", "modify", "--ipolicy-bounds-specs", "default", "default")
    cluster.must("gnt-instance", "remove", "-f", "web.example.com")


@pytest.mark.parametrize(
    ("command", "text", "code"),
    [
        ("gnt-group modify --ipolicy-vcpu-ratio much default", "much", 1),
        ("gnt-group modify --ipolicy-bounds-specs min:cpu-count=1 default", "both min and max", 1),
        ("gnt-group modify -D ext:colour=red default", "'colour'", 1),
        ("gnt-group modify -D ext default", "write ext:KEY=VALUE", 1),
        ("gnt-group modify --disk-state lvm:disk_total=1 default", "must be TYPE/UNIT", 1),
        ("gnt-node modify --hypervisor-state nosuch:mem_total=1 node1", "nosuch", 1),
        ("gnt-network modify net", "at least one of the parameters", 1),
        ("gnt-network modify -m xx net", "'xx' is not three octets", 1),
        ("gnt-network modify --gateway 192.0.9.1 net", "outside network 192.0.2.0/28", 1),
        ("gnt-network modify --gateway none --add-reserved-ips 192.0.2.9 net", "two calls", 1),
        ("gnt-network modify --gateway 192.0.2.15 net", "already reserved in network net", 1),
        ("gnt-network modify --gateway6 2001:db8::1 net", "neither in network6", 1),
        ("gnt-network modify --network6 2001:db8::/999 net", "network6", 1),
        ("gnt-network modify --add-reserved-ips x net", "'x' is not an IPv4 address", 1),
        ("gnt-network modify --gateway none nosuch", "Network 'nosuch' not found", 1),
        ("gnt-network rename net net", "already exists as a network", 1),
        ("gnt-network rename nosuch net2", "Network 'nosuch' not found", 1),
    ],
)
def test_refused(cluster: DevCluster, network: str, command: str, text: str, code: int) -> None:
    ran = cluster.on(1, *command.split())
    assert (ran.code, text in ran.err) == (code, True), ran.err
    assert reserved(cluster) == ["0", "1", "15"]


def reserved(cluster: DevCluster, name: str = "net") -> list[str]:
    listing = ("gnt-network", "list", "--no-headers", "-o", "external_reservations")
    text = cluster.must(*listing, name).strip()
    return [address.removeprefix("192.0.2.") for address in text.split(", ")]


def test_a_gateway_takes_its_address_along(cluster: DevCluster, network: str) -> None:
    cluster.must("gnt-network", "modify", "--gateway", "192.0.2.2", network)
    assert reserved(cluster) == ["0", "2", "15"]
    cluster.must("gnt-network", "modify", "--gateway", "none", network)
    assert reserved(cluster) == ["0", "15"]
    cluster.must("gnt-network", "modify", "--gateway", "192.0.2.1", network)
    assert reserved(cluster) == ["0", "1", "15"]


def test_addresses_are_reserved_and_released(cluster: DevCluster, network: str) -> None:
    out = cluster.must("gnt-network", "modify", "--add-reserved-ips=192.0.2.5,192.0.2.1", network)
    assert "Cannot reserve IP address 192.0.2.1: IP 192.0.2.1 is already externally" in out
    assert reserved(cluster) == ["0", "1", "5", "15"]
    out = cluster.must(
        "gnt-network", "modify", "--remove-reserved-ips=192.0.2.5,192.0.2.1,192.0.2.7", network
    )
    assert "Cannot release IP address 192.0.2.1: it is the network's gateway" in out
    assert "Cannot release IP address 192.0.2.7: IP 192.0.2.7 is not externally" in out
    assert reserved(cluster) == ["0", "1", "15"]


def test_a_network_is_renamed_and_gets_ipv6(cluster: DevCluster, network: str) -> None:
    cluster.must("gnt-network", "connect", network)
    cluster.must("gnt-network", "rename", network, "lan")
    change = ("gnt-network", "modify", "--network6", "2001:db8::/64", "--gateway6", "2001:db8::1")
    cluster.must(*change, "-m", "AA:bb:01", "lan")
    fields = ("-o", "network6,gateway6,mac_prefix,group_list")
    shown = cluster.must("gnt-network", "list", "--no-headers", "--separator=|", *fields, "lan")
    assert shown == "2001:db8::/64|2001:db8::1|aa:bb:01|default (bridged, xen-br0, )\n"
    cluster.must("gnt-network", "disconnect", "lan")
    cluster.must("gnt-network", "rename", "lan", network)
    back = ("gnt-network", "modify", "--network6", "none", "--gateway6", "none", "-m", "none")
    cluster.must(*back, network)
    assert cluster.must("gnt-network", "list", "--no-headers", *fields, network).startswith("- - -")


def test_an_os_gets_parameters_and_is_hidden(cluster: DevCluster) -> None:
    change = ("gnt-os", "modify", "-H", "fake:migration_mode=non-live", "-O", "a=b,c=d")
    cluster.must(*change, "--hidden", "yes", "--blacklisted", "yes", "probe")
    info = cluster.must("gnt-cluster", "info")
    assert "  probe: \n    fake: \n      migration_mode: non-live\n" in info
    assert "  probe: \n    a: b\n    c: d\n" in info
    assert "Hidden OSes: probe\nBlacklisted OSes: probe\n" in info
    back = ("gnt-os", "modify", "-H", "fake:migration_mode=default", "-O", "-a,-c")
    cluster.must(*back, "--hidden", "no", "--blacklisted", "no", "probe")
    info = cluster.must("gnt-cluster", "info")
    assert "probe" not in info
    ran = cluster.on(1, "gnt-os", "modify", "-H", "fake:colour=red", "probe")
    assert (ran.code, "'colour'" in ran.err) == (1, True)
    ran = cluster.on(1, "gnt-os", "modify", "probe")
    assert (ran.code, "At least one of OS parameters" in ran.err) == (1, True)


def test_a_removed_candidate_is_replaced_and_runs_its_last_hook(cluster: DevCluster) -> None:
    cluster.must("gnt-node", "modify", "-C", "no", "node3")
    script = cluster.nodes[1].hooks_dir / "node-remove-post.d" / "note"
    script.parent.mkdir(parents=True)
    said = cluster.root / "said"
    script.write_text(f'#!/bin/sh\necho "$GANETI_HOOKS_PHASE $GANETI_OP_TARGET" > {said}\n')
    script.chmod(0o755)
    out = cluster.must("gnt-node", "remove", "node2")
    assert "Promoted to master candidate role: node3.example.com" in out
    assert "WARNING" not in out
    assert said.read_text() == "post node2.example.com\n"
    roles = cluster.must("gnt-node", "list", "--no-headers", "--separator=|", "-o", "name,role")
    assert roles.splitlines() == ["node1.example.com|M", "node3.example.com|C"]
    certificates = cluster.nodes[0].ssconf("master_candidates_certs").read_text()
    assert len(certificates.split()) == 2
    cluster.must("gnt-node", "add", "node2")
