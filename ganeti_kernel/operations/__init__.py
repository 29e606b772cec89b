"""What opcodes do: one module per noun. Importing this package registers all operations."""

from ganeti_kernel.operations import (
    cluster,
    diagnose,
    instance_create,
    instance_power,
    instance_query,
    instance_remove,
    network,
    node,
    test,
    verify,
)

__all__ = [
    "cluster",
    "diagnose",
    "instance_create",
    "instance_power",
    "instance_query",
    "instance_remove",
    "network",
    "node",
    "test",
    "verify",
]
