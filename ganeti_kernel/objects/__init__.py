"""The typed model of a cluster, in upstream's field names."""

from ganeti_kernel.objects.cluster import Cluster, FilterRule, Network, Node, NodeGroup
from ganeti_kernel.objects.guest import BlockDevice, Guest, GuestDisk, GuestNic, NicNetwork
from ganeti_kernel.objects.instance import Disk, Instance, Nic
from ganeti_kernel.objects.view import ConfigView
from ganeti_kernel.objects.wire import from_wire, to_wire

__all__ = [
    "BlockDevice",
    "Cluster",
    "ConfigView",
    "Disk",
    "FilterRule",
    "Guest",
    "GuestDisk",
    "GuestNic",
    "Instance",
    "Network",
    "Nic",
    "NicNetwork",
    "Node",
    "NodeGroup",
    "from_wire",
    "to_wire",
]
