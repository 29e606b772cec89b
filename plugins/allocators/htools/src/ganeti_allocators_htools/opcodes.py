"""The opcodes that move instances, with the fields upstream's programs give them (release 3.0)."""

from __future__ import annotations

from typing import Any


def migrate(name: str, target: str | None = None) -> dict[str, Any]:
    """Migrate, or fail over if it does not run: to its secondary or, shared storage, ``target``."""
    job: dict[str, Any] = {"OP_ID": "OP_INSTANCE_MIGRATE", "instance_name": name}
    if target is not None:
        job["target_node"] = target
    return job | {
        "allow_runtime_changes": False,
        "ignore_ipolicy": False,
        "cleanup": False,
        "allow_failover": True,
        "ignore_hvversions": True,
    }


def replace_secondary(name: str, **where: str | None) -> dict[str, Any]:
    """Give the disks a new secondary: ``remote_node``, or the one an ``iallocator`` chooses."""
    return {
        "OP_ID": "OP_INSTANCE_REPLACE_DISKS",
        "instance_name": name,
        "early_release": False,
        "ignore_ipolicy": False,
        "mode": "replace_new_secondary",
        "disks": [],
        **where,
    }
