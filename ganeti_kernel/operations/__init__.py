"""What opcodes do: one module per noun. Importing this package registers all operations."""

from ganeti_kernel.operations import (
    cluster,
    diagnose,
    group,
    instance_create,
    instance_power,
    instance_query,
    instance_remove,
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
    "diagnose",
    "group",
    "instance_create",
    "instance_power",
    "instance_query",
    "instance_remove",
    "network",
    "network_modify",
    "node",
    "node_modify",
    "tags",
    "test",
    "verify",
]
