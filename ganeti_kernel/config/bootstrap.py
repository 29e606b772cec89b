"""The first configuration of a cluster, and putting a whole configuration into a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ganeti_kernel.config.changes import new_uuid
from ganeti_kernel.config.history import HISTORY_PREFIX
from ganeti_kernel.config.keys import (
    CONFIG_CLUSTER,
    CONFIG_META,
    CONFIG_PREFIX,
    META_FORMAT,
    object_key,
)
from ganeti_kernel.config.verify import problems
from ganeti_kernel.config.writer import ConfigMeta, identity
from ganeti_kernel.constants import DEFAULT_GROUP, DEFAULT_MAC_PREFIX
from ganeti_kernel.errors import ConfigurationError, StoreError
from ganeti_kernel.objects import Cluster, ConfigView, Node, NodeGroup, params, to_wire
from ganeti_kernel.specs.store import MAX_OPERATIONS, Change, Compare, Delete, Put, Store
from ganeti_kernel.version import CONFIG_VERSION

STORE_FORMAT: Final = 1


def initial_view(
    *,
    cluster_name: str,
    node_name: str,
    primary_ip: str,
    master_ip: str,
    hvparams: Mapping[str, Mapping[str, Any]],
    enabled_hypervisors: list[str],
    enabled_disk_templates: list[str],
    now: float,
    secondary_ip: str = "",
    diskparams: Mapping[str, Mapping[str, Any]] | None = None,
    candidate_cert: str | None = None,
    beparams: Mapping[str, Any] | None = None,
    nicparams: Mapping[str, Any] | None = None,
    ndparams: Mapping[str, Any] | None = None,
    ipolicy: Mapping[str, Any] | None = None,
    **cluster_fields: Any,
) -> ConfigView:
    """Return the configuration of a new cluster: one node, its master, in the default group.

    `hvparams` are every known hypervisor's parameters filled in, `diskparams` every template's;
    `candidate_cert` is the SHA-1 fingerprint of the node's certificate. The parameter layers
    go on top of the built-in values; other keywords are fields of the Cluster, as they are.
    `now` is seconds since the epoch. Raises ConfigurationError for what makes no sound whole.
    """
    if not enabled_hypervisors:
        raise ConfigurationError("a cluster needs at least one enabled hypervisor")
    unknown = [name for name in enabled_hypervisors if name not in hvparams]
    if unknown:
        raise ConfigurationError(f"hypervisor {unknown[0]} is enabled but not known")
    times: dict[str, Any] = {"ctime": now, "mtime": now}
    group = NodeGroup(uuid=new_uuid(), name=DEFAULT_GROUP, **times)
    node = Node(
        uuid=new_uuid(),
        name=node_name,
        primary_ip=primary_ip,
        secondary_ip=secondary_ip or primary_ip,
        master_candidate=True,
        group=group.uuid,
        **times,
    )
    built_in: dict[str, Any] = {"mac_prefix": DEFAULT_MAC_PREFIX}
    cluster = Cluster(
        uuid=new_uuid(),
        cluster_name=cluster_name,
        master_node=node.uuid,
        master_ip=master_ip,
        enabled_hypervisors=enabled_hypervisors,
        hvparams={name: dict(values) for name, values in hvparams.items()},
        enabled_disk_templates=enabled_disk_templates,
        diskparams={name: dict(values) for name, values in (diskparams or {}).items()},
        beparams={"default": params.fill(params.BE_DEFAULTS, dict(beparams or {}))},
        nicparams={"default": params.fill(params.NIC_DEFAULTS, dict(nicparams or {}))},
        ndparams=params.fill(params.ND_DEFAULTS, dict(ndparams or {})),
        ipolicy=params.fill(
            params.IPOLICY_DEFAULTS,
            {"disk-templates": list(enabled_disk_templates)},
            dict(ipolicy or {}),
        ),
        candidate_certs={node.uuid: candidate_cert} if candidate_cert else {},
        **times,
        **(built_in | cluster_fields),
    )
    return ConfigView(
        cluster=cluster,
        nodes={node.uuid: node},
        nodegroups={group.uuid: group},
        version=CONFIG_VERSION,
        serial_no=1,
        **times,
    )


def store_view(store: Store, view: ConfigView, *, replace: bool = False) -> None:
    """Put a whole configuration into a store, with `replace` in place of the one it holds.

    Serial numbers stay as they are. A store that is interrupted in between holds no configuration
    that could be taken for a whole one: its head is removed first and written last. Raises
    ConfigurationError when the configuration is not sound, StoreError when the store holds one
    already (without `replace`) or cannot be written.
    """
    found = problems(view)
    if found:
        raise ConfigurationError(
            f"the configuration is not sound ({len(found)} problems): " + "; ".join(found[:5])
        )
    head = store.get(CONFIG_META)
    if head is not None and not replace:
        raise StoreError("the store holds the configuration of a cluster already")
    revision = head.revision if head is not None else 0
    wanted: dict[str, bytes] = {
        object_key(table, uuid): _encode(value) for table, uuid, value in view.objects()
    }
    wanted[CONFIG_CLUSTER] = _encode(view.cluster)
    changes: list[Change] = [Put(key, value) for key, value in wanted.items()]
    changes += [
        Delete(entry.key)
        for entry in store.list(CONFIG_PREFIX)
        if entry.key not in wanted and entry.key != CONFIG_META
    ]
    changes += [Delete(entry.key) for entry in store.list(HISTORY_PREFIX)]  # of another one
    meta = ConfigMeta(view.version, view.serial_no, view.ctime, view.mtime)
    group: list[tuple[list[Compare], list[Change]]] = [
        ([Compare(CONFIG_META, revision)], [Delete(CONFIG_META)])
    ]
    absent = [Compare(CONFIG_META, 0)]
    for start in range(0, len(changes), MAX_OPERATIONS):
        group.append((absent, changes[start : start + MAX_OPERATIONS]))
    last: list[Change] = [
        Put(META_FORMAT, msgspec.json.encode(STORE_FORMAT)),
        identity(view.cluster),
        Put(CONFIG_META, msgspec.json.encode(meta)),
    ]
    group.append((absent, last))
    if None in store.txn_group(group):
        raise StoreError("somebody else changed the store meanwhile; stop the master daemon first")


def _encode(value: Any) -> bytes:
    return msgspec.json.encode(to_wire(value))
