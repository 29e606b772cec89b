"""Making a cluster out of one machine, and unmaking the last one. No daemon runs yet (or any more).

Whatever fails, the machine is left as it was.
"""

from __future__ import annotations

import ipaddress
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from ganeti_kernel.config.bootstrap import initial_view, store_view
from ganeti_kernel.config.changes import apply
from ganeti_kernel.config.datafile import dump
from ganeti_kernel.config.ssconf import read_ssconf, ssconf_values, write_ssconf
from ganeti_kernel.errors import (
    ECODE_EXISTS,
    ECODE_INVAL,
    ConfigurationError,
    OpPrereqError,
    PluginError,
)
from ganeti_kernel.files import write_durably
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.operations import cluster_params, cluster_settings
from ganeti_kernel.paths import Paths, host_name
from ganeti_kernel.plugins import Registry
from ganeti_kernel.rpc.certificates import create_authority, fingerprint, issue_certificate
from ganeti_kernel.rpc.resolve import resolve
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.store.local import companions
from ganeti_kernel.store.opening import open_store

HMAC_BYTES: Final = 20


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """What `gnt-cluster init` was told; None or empty: the default.

    `settings`: fields of OP_CLUSTER_SET_PARAMS; `fields`: of the cluster, as they are.
    """

    name: str
    enabled_hypervisors: list[str] = field(default_factory=list)
    enabled_disk_templates: list[str] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    secondary_ip: str | None = None


def initialise(paths: Paths, options: ClusterOptions, say: Callable[[str], None]) -> ConfigView:
    """Make the cluster's keys, store and files on this machine; returns its configuration.

    Raises OpPrereqError when the machine is in a cluster already or an option is wrong.
    """
    refuse_member(paths)
    registry = Registry(PluginContext(paths=paths, node_name=host_name()))
    node_name, node_ip = resolve(paths, host_name())
    cluster_name, master_ip = resolve(paths, options.name)
    made: list[Path] = []
    try:
        _make_directories(paths)
        say("creating the cluster's keys")
        authority = create_authority(cluster_name)
        identity = issue_certificate(authority, node_name, node_ip)
        for path, content, mode in (
            (paths.ca_file, authority.certificate, 0o644),
            (paths.ca_key, authority.key, 0o400),
            (paths.node_certificate, identity.pem, 0o400),
            (paths.hmac_key, f"{secrets.token_hex(HMAC_BYTES)}\n".encode(), 0o440),
            (paths.domain_secret, f"{secrets.token_hex(32)}\n".encode(), 0o400),
        ):
            made.append(path)
            write_durably(path, content, mode)
        view = initial_view(
            cluster_name=cluster_name,
            node_name=node_name,
            primary_ip=node_ip,
            secondary_ip=_address(options.secondary_ip) or node_ip,
            master_ip=master_ip,
            candidate_cert=fingerprint(identity.certificate),
            now=time.time(),
            hvparams=_defaults(registry, "hypervisor"),
            enabled_hypervisors=_enabled_hypervisors(registry, options),
            diskparams=_defaults(registry, "disk_template"),
            enabled_disk_templates=_enabled_templates(registry, options),
            **options.fields,
        )
        view = with_settings(view, options.settings, say)
        say("creating the configuration store")
        made += [paths.store_file, *companions(paths.store_file), paths.config_file]
        store = open_store(paths, create=True)
        try:
            store_view(store, view)
        finally:
            store.close()
        write_durably(paths.config_file, dump(view), 0o640)
        made += [paths.ssconf(key) for key in ssconf_values(view)]
        write_ssconf(paths, ssconf_values(view))
    except BaseException:
        # Whatever it was, an interrupted set-up must not look like a cluster.
        for path in made:
            path.unlink(missing_ok=True)
        raise
    return view


def refuse_member(paths: Paths) -> None:
    """Refuse when this machine belongs to a cluster."""
    try:
        name = read_ssconf(paths, "cluster_name")
    except ConfigurationError:
        name = ""
    if name:
        raise OpPrereqError(
            f"Cluster is already initialised: this machine is in cluster {name} ({paths.data_dir})",
            ECODE_EXISTS,
        )
    if paths.store_file.exists():
        raise OpPrereqError(
            f"{paths.store_file} exists although there is no cluster here; it may be left from "
            "one: move it away first",
            ECODE_EXISTS,
        )


def forget_cluster(paths: Paths) -> list[Path]:
    """Remove the cluster's files of this node, keys included; returns what was removed.

    The configuration is kept beside its place as `config.data.destroyed`.
    """
    removed = []
    if paths.config_file.exists():
        shutil.copy2(paths.config_file, f"{paths.config_file}.destroyed")
    names = [
        paths.store_file,
        *companions(paths.store_file),
        paths.config_file,
        paths.ca_file,
        paths.ca_key,
        paths.node_certificate,
        paths.hmac_key,
        paths.domain_secret,
        paths.replica_file,
        *companions(paths.replica_file),
        paths.replicas_file,
        paths.data_dir / "epoch",
        *sorted(paths.data_dir.glob("ssconf_*")),
    ]
    for path in names:
        if path.exists():
            path.unlink()
            removed.append(path)
    return removed


def _make_directories(paths: Paths) -> None:
    for path in (paths.data_dir, paths.run_dir, paths.log_dir, paths.conf_dir, paths.socket_dir):
        path.mkdir(parents=True, exist_ok=True)


def _address(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise OpPrereqError(f"secondary IP '{text}' is not an address", ECODE_INVAL) from None


def with_settings(
    view: ConfigView, settings: Mapping[str, Any], say: Callable[[str], None]
) -> ConfigView:
    """A new cluster's configuration with settings of its own; refuses a wrong one by its name.

    `settings`: fields of OP_CLUSTER_SET_PARAMS.
    """
    fields = dict(cluster_settings.new_fields(view, settings, say))
    cluster = msgspec.structs.replace(view.cluster, **fields)
    cluster_params.check_templates(view, cluster)
    kept = {"serial_no": view.serial_no, "mtime": view.mtime}
    return apply(view, {("cluster", "cluster"): cluster}, **kept)


def _defaults(registry: Registry, kind: str) -> dict[str, dict[str, Any]]:
    """Every installed plugin's parameters as they are without settings."""
    good, _broken = registry.load_all(kind)
    return {name: plugin.describe().defaults() for name, plugin in good.items()}


def _enabled_hypervisors(registry: Registry, options: ClusterOptions) -> list[str]:
    names = options.enabled_hypervisors or registry.names("hypervisor")[:1]
    if not names:
        raise OpPrereqError(
            "no hypervisor plugin is installed; install one, for example with pip", ECODE_INVAL
        )
    for name in names:
        _describe(registry, "hypervisor", name)
    return names


def _enabled_templates(registry: Registry, options: ClusterOptions) -> list[str]:
    names = options.enabled_disk_templates or registry.names("disk_template")
    for name in names:
        _describe(registry, "disk_template", name)
    return names


def _describe(registry: Registry, kind: str, name: str) -> Any:
    try:
        return registry.describe(kind, name)
    except PluginError as error:
        raise OpPrereqError(str(error), ECODE_INVAL) from None
