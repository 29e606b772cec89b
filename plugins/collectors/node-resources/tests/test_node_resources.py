from __future__ import annotations

import pytest
from ganeti_collectors_node_resources import NodeResources
from ganeti_collectors_node_resources.sources import (
    parse_loadavg,
    parse_meminfo,
    parse_mounts,
    parse_net_dev,
)

from ganeti_kernel.errors import CommandError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.testing.collector import CollectorContract

MOUNTS = r"""
/dev/vda1 / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
/dev/vda1 /srv/bind ext4 rw 0 0
server:/export /mnt/nfs nfs4 rw 0 0
tmpfs /run tmpfs rw 0 0
tmpfs /dev/shm tmpfs rw 0 0
/dev/vdb /srv/with\040space xfs rw 0 0
"""
NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo:     100       2    0    0    0     0          0         0      100       2    0    0 0 0 0 0
  eth0:1234567     800    1    3    0     0          0         0   765432     700    2    4 0 0 0 0
"""


class TestContract(CollectorContract):
    @pytest.fixture
    def plugin_class(self) -> type[NodeResources]:
        return NodeResources


def test_this_machine() -> None:
    data = NodeResources(PluginContext(paths=Paths())).collect()
    assert 0 < data["memory"]["free"] <= data["memory"]["total"]
    assert "lo" in {nic["name"] for nic in data["nics"]}
    assert all(fs["available"] <= fs["size"] for fs in data["filesystems"])


def test_meminfo() -> None:
    text = "MemTotal:  24000000 kB\nMemFree: 5 kB\nHugePages_Total: 0\nSwapTotal: 7 kB\n"
    assert parse_meminfo(text) == {"total": 24000000, "free": 5, "swap_total": 7}


def test_loadavg() -> None:
    assert parse_loadavg("0.50 1.25 2.00 3/412 9999\n") == (0.5, 1.25, 2.0, 412)
    with pytest.raises(CommandError, match="loadavg"):
        parse_loadavg("busy")


def test_only_local_file_systems_once_each() -> None:
    assert [place for _device, place, _kind in parse_mounts(MOUNTS)] == [
        "/",
        "/run",
        "/dev/shm",
        "/srv/with space",
    ]


def test_traffic() -> None:
    traffic = parse_net_dev(NET_DEV)
    assert traffic["eth0"]["rx_bytes"] == 1234567
    assert (traffic["eth0"]["rx_dropped"], traffic["eth0"]["tx_errors"]) == (3, 2)
    with pytest.raises(CommandError, match="net/dev"):
        parse_net_dev("a\nb\neth0: 1 2\n")
