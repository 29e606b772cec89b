"""The closed sets of words in a cluster's data: disk templates, statuses, allocation policies.

Facts are upstream's htools(1), releases 3.0 to 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from .errors import LoadError, quoted

#: How each disk template is mirrored: "none" cannot move, "internal" has a secondary (DRBD),
#: "external" can run anywhere.
MIRROR = {
    "diskless": "external",
    "file": "none",
    "sharedfile": "external",
    "plain": "none",
    "blockdev": "external",
    "drbd": "internal",
    "rbd": "external",
    "ext": "external",
    "gluster": "external",
}
#: Disk templates in upstream's order (it is also the default policy's).
TEMPLATES = tuple(MIRROR)
#: Templates whose disks take space on the node.
LOCAL_TEMPLATES = frozenset({"plain", "drbd"})

#: Instance statuses as Ganeti prints them.
STATUSES = (
    "running",
    "ADMIN_down",
    "ADMIN_offline",
    "ERROR_down",
    "ERROR_up",
    "ERROR_nodedown",
    "ERROR_nodeoffline",
    "ERROR_wrongnode",
    "USER_down",
)
#: Statuses that count as running when shown, and those whose memory a node's report includes.
RUNNING_STATUSES = frozenset({"running", "ERROR_up"})
MEMORY_STATUSES = frozenset(
    {"running", "ERROR_up", "ERROR_nodedown", "ERROR_nodeoffline", "ERROR_wrongnode"}
)

ALLOC_POLICIES = ("preferred", "last_resort", "unallocable")

#: An instance specification's numbers, in the order of `model.ISpec`, as JSON names them.
SPEC_NAMES = (
    "memory-size",
    "cpu-count",
    "disk-size",
    "disk-count",
    "nic-count",
    "spindle-use",
)


def choice(text: str, allowed: Sequence[str], kind: str) -> str:
    """``text`` if it is one of ``allowed``, else a `LoadError` naming the ``kind`` of value."""
    if text not in allowed:
        raise LoadError(f"Invalid string value for type {kind}: {quoted(text)}")
    return text
