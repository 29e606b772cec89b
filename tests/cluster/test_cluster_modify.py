"""gnt-cluster modify on a real cluster: what changes, what is refused, what the nodes get."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.testing.devcluster import DevCluster
from ganeti_kernel.testing.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(2) as made:
        yield made


def modify(cluster: DevCluster, *options: str) -> str:
    return cluster.must("gnt-cluster", "modify", *options)


def settings(cluster: DevCluster) -> dict[str, Any]:
    """The cluster object in the master's config.data."""
    text = cluster.must("gnt-cluster", "export-config", "-")
    value: dict[str, Any] = json.loads(text)["cluster"]
    return value


def test_settings_are_kept(cluster: DevCluster) -> None:
    modify(cluster, "-B", "memory=256,vcpus=2", "--uid-pool", "10-20,30", "--add-uids", "5")
    modify(cluster, "--reserved-lvs", "a.*,b", "-I", "hail", "--default-iallocator-params", "a=b")
    modify(cluster, "--max-running-jobs", "7", "--max-tracked-jobs", "9", "-m", "AA:BB:CC")
    modify(cluster, "--hypervisor-state", "fake:mem_total=4096", "--install-image", "/i.raw")
    modify(cluster, "--disk-state", "lvm/vg:disk_total=10", "--compression-tools", "lz4")
    modify(cluster, "--data-collector-interval", "lv=2.5", "--enabled-data-collectors", "lv=no")
    modify(cluster, "--ipolicy-vcpu-ratio", "3", "--ipolicy-std-specs", "memory-size=1G")
    now = settings(cluster)
    assert (
        now["beparams"]["default"] | {"maxmem": 256, "minmem": 256, "vcpus": 2}
        == (now["beparams"]["default"])
    )
    assert now["uid_pool"] == [[5, 5], [10, 20], [30, 30]]
    assert (now["reserved_lvs"], now["default_iallocator"]) == (["a.*", "b"], "hail")
    assert now["default_iallocator_params"] == {"a": "b"}
    assert (now["max_running_jobs"], now["max_tracked_jobs"]) == (7, 9)
    assert (now["mac_prefix"], now["install_image"]) == ("aa:bb:cc", "/i.raw")
    assert now["hv_state_static"] == {"fake": {"mem_total": 4096}}
    assert now["disk_state_static"] == {"lvm": {"vg": {"disk_total": 10}}}
    assert now["data_collectors"]["lv"] == {"active": False, "interval": 2_500_000}
    assert (now["ipolicy"]["vcpu-ratio"], now["ipolicy"]["std"]["memory-size"]) == (3.0, 1024)
    modify(cluster, "--reserved-lvs=", "-I", "", "--default-iallocator-params=", "--uid-pool=")
    now = settings(cluster)
    assert (now["reserved_lvs"], now["default_iallocator"], now["uid_pool"]) == ([], "", [])
    assert now["default_iallocator_params"] == {}
    assert "so already" in modify(cluster, "--uid-pool=")


def test_nodes_are_told(cluster: DevCluster) -> None:
    modify(cluster, "--user-shutdown", "yes", "--maintain-node-health", "yes")
    for name in ("enabled_user_shutdown", "maintain_node_health"):
        path = cluster.nodes[1].ssconf(name)
        wait_until(partial(_says, path, "True\n"), f"{path.name} on node2")


def _says(path: Path, text: str) -> bool:
    return path.read_text() == text


def test_the_pool_is_refilled(cluster: DevCluster) -> None:
    modify(cluster, "-C", "1")
    cluster.must("gnt-node", "modify", "-C", "no", "node2")
    assert "node2.example.com" in modify(cluster, "-C", "2")
    role = cluster.must("gnt-node", "list", "--no-headers", "-o", "role", "node2")
    assert role.strip() == "C"
    assert len(settings(cluster)["candidate_certs"]) == 2


def test_instances_keep_what_they_use(cluster: DevCluster) -> None:
    cluster.must(
        "gnt-instance", "add", "-t", "file", "-s", "8M", "-n", "node1", "--no-install",
        "--no-nics", "inst1.example.com",
    )  # fmt: skip
    try:
        ran = cluster.on(1, "gnt-cluster", "modify", "--enabled-disk-templates", "diskless")
        assert (ran.code, "inst1.example.com" in ran.err) == (1, True)
        ran = cluster.on(1, "gnt-cluster", "modify", "--enabled-hypervisors", "kvm")
        assert (ran.code, "instance inst1.example.com uses it" in ran.err) == (1, True)
        out = modify(cluster, "--ipolicy-disk-templates", "diskless")
        assert "violate the instance policy: inst1.example.com" in out
    finally:
        modify(cluster, "--ipolicy-disk-templates", "default")
        cluster.must("gnt-instance", "remove", "-f", "inst1.example.com")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((), "at least one of the parameters"),
        (("-H", "fake:bogus=1"), "'bogus'"),
        (("-H", "fake:migration_mode=odd"), "'migration_mode' must be one of"),
        (("-H", "nosuch:a=b"), "hypervisor 'nosuch' is not installed"),
        (("-D", "file:x=y"), "unknown disk parameter of file 'x'"),
        (("-N", "mode=warp"), "network script 'warp'"),
        (("--node-parameters", "a=b"), "unknown node parameter 'a'"),
        (("--file-storage-dir=",), "cannot be unset"),
        (("--enabled-disk-templates", "nosuch"), "'nosuch' is not installed"),
        (("--enabled-disk-templates", "file"), "allows disk template"),
        (("--master-netmask", "wide"), "expects an int"),
        (("--instance-communication-network", "no such"), "'no such' cannot be the name"),
    ],
)
def test_refused(cluster: DevCluster, options: tuple[str, ...], text: str) -> None:
    before = settings(cluster)
    ran = cluster.on(1, "gnt-cluster", "modify", *options)
    assert (ran.code, text in ran.err) == (1, True), ran.err
    assert settings(cluster) == before


def test_network_for_instance_communication(cluster: DevCluster) -> None:
    """It is made with the setting and connected to every group, also to one added later."""
    out = modify(cluster, "--instance-communication-network", "talk")
    assert "Waiting for job" in out
    columns = "name,network,mac_prefix,group_list"
    listed = ("gnt-network", "list", "--no-headers", "--separator", "|", "-o", columns)
    first = "default (routed, communication_rt, )"
    assert cluster.must(*listed).strip() == f"talk|169.254.0.0/16|52:54:00|{first}"
    # said again, there is nothing left to do
    assert "job" not in modify(cluster, "--instance-communication-network", "talk")
    cluster.must("gnt-group", "add", "later")
    try:
        assert "later (routed, communication_rt" in cluster.must(*listed)
    finally:
        modify(cluster, "--instance-communication-network=")
        for group in ("default", "later"):
            cluster.must("gnt-network", "disconnect", "talk", group)
        cluster.must("gnt-network", "remove", "talk")
        cluster.must("gnt-group", "remove", "later")


def test_hook_refuses(cluster: DevCluster) -> None:
    folder = cluster.nodes[0].hooks_dir / "cluster-modify-pre.d"
    folder.mkdir(parents=True)
    hook = folder / "no"
    hook.write_text("#!/bin/sh\necho no $GANETI_OP_TARGET to $GANETI_NEW_VG_NAME\nexit 1\n")
    hook.chmod(0o755)
    try:
        ran = cluster.on(1, "gnt-cluster", "modify", "--vg-name", "vg7")
        assert ran.code == 1
        assert "to vg7" in ran.err
    finally:
        hook.unlink()


def test_deactivation_asks(cluster: DevCluster) -> None:
    ran = cluster.run(
        "gnt-devcluster", "exec", "--root", str(cluster.root), "node1", "--",
        "gnt-cluster", "deactivate-master-ip", start_new_session=True,
    )  # fmt: skip
    assert (ran.code, "--yes answers yes" in ran.err) == (1, True)
    cluster.must("gnt-cluster", "deactivate-master-ip", "--yes")
    cluster.must("gnt-cluster", "activate-master-ip")


@pytest.mark.root
def test_master_address_moves() -> None:
    with DevCluster(1, "--mode", "netns") as own:

        def addresses() -> dict[str, list[str]]:
            lines = own.must("ip", "-brief", "-4", "address", "show").splitlines()
            return {line.split()[0]: line.split()[2:] for line in lines}

        master = settings(own)["master_ip"]
        modify(own, "--master-netmask", "24")
        assert f"{master}/24" in addresses()["br0"]
        modify(own, "--master-netdev", "lo", "--master-netmask", "32")
        assert f"{master}/32" in addresses()["lo"]
        assert not any(item.startswith(f"{master}/") for item in addresses()["br0"])
        ran = own.on(1, "gnt-cluster", "modify", "--master-netdev", "nodev9")
        assert (ran.code, "nodev9" in ran.err) == (1, True)
        assert f"{master}/32" in addresses()["lo"]
        assert settings(own)["master_netdev"] == "lo"
        own.must("gnt-cluster", "deactivate-master-ip", "--yes")
        assert master not in str(addresses())
        own.must("gnt-cluster", "activate-master-ip")
        assert f"{master}/32" in addresses()["lo"]
