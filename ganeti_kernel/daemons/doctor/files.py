"""Directories, permissions, keys, certificates and copies on this node."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Final

from ganeti_kernel.config import datafile
from ganeti_kernel.config.ssconf import ssconf_values
from ganeti_kernel.config.verify import problems
from ganeti_kernel.config.writer import load_view
from ganeti_kernel.daemons.doctor.report import ERROR, WARNING, Finding, Site
from ganeti_kernel.errors import ConfigurationError, GenericError
from ganeti_kernel.node import health
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.rpc import trust
from ganeti_kernel.rpc.certificates import check_pair
from ganeti_kernel.store.opening import open_store

DAY: Final = 86400.0
EXPIRES_SOON: Final = 30 * DAY

REDISTRIBUTE: Final = "gnt-cluster redist-conf on the master sends it again"
READD: Final = "gnt-node add --readd on the master sets the node up again"
RESTORE: Final = "restore it from a backup, or make another candidate the master"


def check_directories(site: Site) -> Iterator[Finding]:
    for problem in health.directory_problems(site.paths):
        advice = "make it, owned by the user the daemons run as; a daemon that starts makes it too"
        yield Finding(ERROR, "paths", problem, advice)
    for problem in health.room_problems(site.paths):
        yield Finding(ERROR, "disk room", problem, "make room there")
    owner = _owner(site)
    if owner is not None and owner != os.geteuid():
        text = f"{site.paths.data_dir} belongs to user {owner}, this is user {os.geteuid()}"
        yield Finding(WARNING, "paths", text, "run the doctor as the daemons' user")


def _owner(site: Site) -> int | None:
    try:
        return site.paths.data_dir.stat().st_uid
    except OSError:
        return None


def check_permissions(site: Site) -> Iterator[Finding]:
    for problem in health.mode_problems(site.paths):
        yield Finding(ERROR, "permissions", problem, "take the rights away with chmod")


def check_keys(site: Site) -> Iterator[Finding]:
    paths = site.paths
    try:
        if not paths.hmac_key.read_bytes().strip():
            yield Finding(ERROR, "keys", f"{paths.hmac_key} is empty", READD)
    except OSError as error:
        advice = RESTORE if site.is_master else READD
        yield Finding(ERROR, "keys", f"{paths.hmac_key}: {error.strerror}", advice)
    for name in sorted(trust.CANDIDATE_SECRETS):
        path = paths.data_dir / name
        if site.is_candidate and not site.is_master and not path.exists():
            text = f"{path} is missing on a master candidate"
            yield Finding(ERROR, "keys", text, "ganeti-masterd on the master sends it; is it up?")
        elif path.exists() and not site.is_candidate:
            text = f"{path} is here although this node is no master candidate"
            yield Finding(WARNING, "keys", text, "remove it")
    if site.is_master:
        try:
            authority = trust.read_authority(paths)
            check_pair(authority.key, authority.certificate)
        except GenericError as error:
            yield Finding(ERROR, "keys", f"the cluster's authority: {error}", RESTORE)


def check_certificates(site: Site) -> Iterator[Finding]:
    renew = "gnt-cluster renew-crypto on the master makes new ones"
    for name in health.CERTIFICATES:
        state = health.certificate_state(site.paths, name)
        left = state.expires - time.time()
        if state.problem:
            advice = RESTORE if site.is_master else READD
            yield Finding(ERROR, "certificates", f"{name}: {state.problem}", advice)
        elif left <= 0:
            yield Finding(ERROR, "certificates", f"{name} has expired", renew)
        elif left < EXPIRES_SOON:
            text = f"{name} expires in {left / DAY:.0f} days"
            yield Finding(WARNING, "certificates", text, renew)
        elif name == health.CERTIFICATES[0] and site.is_candidate:
            listed = trust.parse_candidates("\n".join(site.lines(trust.CANDIDATES_KEY)))
            if state.fingerprint not in listed:
                text = f"{name}: its fingerprint is not on the candidates' list of this node"
                yield Finding(ERROR, "certificates", text, f"no node takes its calls: {renew}")


def check_ssconf(site: Site) -> Iterator[Finding]:
    for key in ("cluster_name", "master_node", "node_list", "master_candidates"):
        if not site.value(key):
            path = site.paths.ssconf(key)
            text = f"{path} is {'empty' if path.exists() else 'missing'}"
            yield Finding(ERROR, "ssconf", text, REDISTRIBUTE)
    names = site.lines("node_list")
    if names and site.name not in names:
        text = f"{site.name} is not among the cluster's nodes"
        advice = "is GANETI_HOSTNAME or the host name right? else add the node again"
        yield Finding(ERROR, "ssconf", text, advice)


def check_configuration(site: Site) -> Iterator[Finding]:
    """The store on the master, `config.data` on candidates, and whether copies agree."""
    view: ConfigView | None = None
    if site.is_master:
        try:
            view = _load_store(site)
        except (GenericError, OSError) as error:
            yield Finding(ERROR, "store", str(error), RESTORE)
    if view is not None:
        for problem in problems(view)[:20]:
            yield Finding(ERROR, "store", problem, "gnt-cluster verify says more")
        if view.master is not None and view.master.name != site.name:
            text = f"it names {view.master.name} as the master, ssconf names {site.name}"
            yield Finding(ERROR, "store", text, "only one can be; see gnt-cluster getmaster there")
    if site.is_candidate:
        yield from _data_file(site, view)
    if view is not None:
        wanted = {key: health.ssconf_sum(value) for key, value in ssconf_values(view).items()}
        own = health.ssconf_sums(site.paths)
        old = sorted(key for key, digest in wanted.items() if own.get(key) != digest)
        if old:
            text = f"ssconf_{', ssconf_'.join(old)}: not what the store says"
            yield Finding(ERROR, "ssconf", text, "start ganeti-masterd: it writes them again")


def _load_store(site: Site) -> ConfigView:
    store = open_store(site.paths)
    try:
        return load_view(store)[0]
    finally:
        store.close()


def _data_file(site: Site, view: ConfigView | None) -> Iterator[Finding]:
    path = site.paths.config_file
    advice = "start ganeti-masterd: it writes it again" if site.is_master else REDISTRIBUTE
    try:
        own = datafile.load(path)
    except ConfigurationError as error:
        yield Finding(ERROR, "config.data", str(error), advice)
        return
    if view is not None and own.serial_no != view.serial_no:
        text = f"{path} has serial number {own.serial_no}, the store {view.serial_no}"
        yield Finding(ERROR, "config.data", text, advice)
