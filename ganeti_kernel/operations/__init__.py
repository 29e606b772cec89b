"""What opcodes do: one module per noun. Importing this package registers all operations."""

from ganeti_kernel.operations import (
    cluster,
    cluster_modify,
    diagnose,
    group,
    instance_create,
    instance_power,
    instance_query,
    instance_remove,
    master_ip,
    network,
    network_modify,
    node,
    node_modify,
    tags,
    test,
    verify,
)

__all__ = [
    "cluster",
    "cluster_modify",
    "diagnose",
    "group",
    "instance_create",
    "instance_power",
    "instance_query",
    "instance_remove",
    "master_ip",
    "network",
    "network_modify",
    "node",
    "node_modify",
    "tags",
    "test",
    "verify",
]
