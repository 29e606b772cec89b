"""How parameters are inherited: built-in values, then cluster, then group, then the object.

Source: upstream 3.0's documentation of parameters; every function returns a new dict.
"""

from __future__ import annotations

from typing import Any, Final

from ganeti_kernel.objects.cluster import Cluster, Node, NodeGroup
from ganeti_kernel.objects.instance import Nic

Params = dict[str, Any]

BE_DEFAULTS: Final[Params] = {
    "maxmem": 128,
    "minmem": 128,
    "vcpus": 1,
    "auto_balance": True,
    "always_failover": False,
    "spindle_use": 1,
}
NIC_DEFAULTS: Final[Params] = {"mode": "bridged", "link": "xen-br0", "vlan": ""}
ND_DEFAULTS: Final[Params] = {
    "oob_program": "",
    "spindle_count": 1,
    "exclusive_storage": False,
    "ovs": False,
    "ovs_name": "switch1",
    "ovs_link": "",
    "ssh_port": 22,
    "cpu_speed": 1.0,
}
SPEC_KEYS: Final = (
    "memory-size",
    "cpu-count",
    "disk-count",
    "disk-size",
    "nic-count",
    "spindle-use",
)
IPOLICY_DEFAULTS: Final[Params] = {
    "minmax": [
        {
            "min": dict(zip(SPEC_KEYS, (128, 1, 1, 1024, 1, 1), strict=True)),
            "max": dict(zip(SPEC_KEYS, (32768, 8, 16, 1048576, 8, 12), strict=True)),
        }
    ],
    "std": dict(zip(SPEC_KEYS, (128, 1, 1, 1024, 1, 1), strict=True)),
    "vcpu-ratio": 4.0,
    "spindle-ratio": 32.0,
}


def fill(*layers: Params | None) -> Params:
    """Merge layers; a later one wins."""
    out: Params = {}
    for layer in layers:
        if layer:
            out.update(layer)
    return out


def fill_be(cluster: Cluster, own: Params) -> Params:
    return fill(BE_DEFAULTS, cluster.beparams.get("default"), own)


def fill_hv(cluster: Cluster, hypervisor: str, os_name: str, own: Params) -> Params:
    """Cluster, then the OS's own settings for this hypervisor, then the instance."""
    os_layer = cluster.os_hvp.get(os_base(os_name), {}).get(hypervisor)
    return fill(cluster.hvparams.get(hypervisor), os_layer, own)


def fill_nic(cluster: Cluster, nic: Nic) -> Params:
    return fill(NIC_DEFAULTS, cluster.nicparams.get("default"), nic.nicparams)


def fill_nd(cluster: Cluster, group: NodeGroup | None, node: Node) -> Params:
    return fill(ND_DEFAULTS, cluster.ndparams, group.ndparams if group else None, node.ndparams)


def fill_disk(cluster: Cluster, template: str, group: NodeGroup | None) -> Params:
    return fill(cluster.diskparams.get(template), group.diskparams.get(template) if group else None)


def fill_ipolicy(cluster: Cluster, group: NodeGroup | None) -> Params:
    return fill(IPOLICY_DEFAULTS, cluster.ipolicy, group.ipolicy if group else None)


def fill_os(cluster: Cluster, os_name: str, own: Params) -> Params:
    """The OS's parameters, then those of OS+variant, then the instance's."""
    base = os_base(os_name)
    variant = cluster.osparams.get(os_name) if os_name != base else None
    return fill(cluster.osparams.get(base), variant, own)


def os_base(os_name: str) -> str:
    """`debian+minimal` -> `debian`."""
    return os_name.partition("+")[0]
