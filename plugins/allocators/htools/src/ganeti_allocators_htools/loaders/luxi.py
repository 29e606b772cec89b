"""The cluster as the master daemon tells it through LUXI."""

from __future__ import annotations

from ganeti_allocators_htools.errors import LoadError
from ganeti_allocators_htools.luxi import Client, LuxiError, default_socket
from ganeti_allocators_htools.model import Cluster

from .records import GROUP_FIELDS, INSTANCE_FIELDS, NODE_FIELDS, build


def read(path: str, kvm_node_memory: int = 0) -> Cluster:
    """Query the master at the socket ``path`` ("" for the default); raises `LoadError`."""
    try:
        with Client(path or default_socket()) as client:
            nodes = client.query("node", NODE_FIELDS)
            instances = client.query("instance", INSTANCE_FIELDS)
            info = client.call("QueryClusterInfo")
            groups = client.query("group", GROUP_FIELDS)
    except LuxiError as err:
        raise LoadError(str(err)) from err
    if not isinstance(info, dict):
        raise LoadError("QueryClusterInfo: unexpected answer")
    return build(nodes, instances, groups, info, kvm_node_memory)
