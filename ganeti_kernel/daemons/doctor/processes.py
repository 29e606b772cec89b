"""Daemons: which should run here, which do, and whether they answer."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator
from typing import Final

from ganeti_kernel.config.ssconf import read_ssconf
from ganeti_kernel.constants import CONFD_PORT, MOND_PORT, NODED_PORT
from ganeti_kernel.daemons import control
from ganeti_kernel.daemons.common import LOG_FILES
from ganeti_kernel.daemons.doctor.report import ERROR, WARNING, Finding, Site
from ganeti_kernel.errors import CommandError, ConfigurationError, GenericError
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins.kinds import KINDS
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.specs.base import PluginContext

ANSWER_SECONDS: Final = 5.0


def expected(site: Site) -> list[str]:
    """Daemons that belong on this node."""
    return [*(control.MASTER_DAEMONS if site.is_master else ()), *control.NODE_DAEMONS]


def check_daemons(site: Site) -> Iterator[Finding]:
    for name in expected(site):
        if control.pid_of(site.paths, name) is None:
            text, advice = _not_running(site.paths, name)
            yield Finding(ERROR, "daemons", text, advice)
            continue
        problem = _ANSWERS[name](site)
        if problem is not None:
            log = site.paths.log_dir / f"{LOG_FILES[name]}.log"
            text = f"{name} runs and does not answer: {problem}"
            yield Finding(ERROR, "daemons", text, f"see {log}; daemon-util restart {name}")
    if not site.is_master:
        for name in control.MASTER_DAEMONS:
            if control.pid_of(site.paths, name) is not None:
                text = f"{name} runs although {site.master or 'another node'} is the master"
                yield Finding(ERROR, "daemons", text, f"daemon-util stop {name}")


def _not_running(paths: Paths, name: str) -> tuple[str, str]:
    stale = paths.run_dir / f"{name}.pid"
    log = paths.log_dir / f"{LOG_FILES[name]}.log"
    how = " (it was ended without notice)" if stale.exists() else ""
    return f"{name} does not run{how}", f"daemon-util start {name}; {log} says why it ended"


def address_of(site: Site, name: str, port: int) -> tuple[str, int]:
    """Where a daemon listens: its options `-b` and `-p`, else this machine and the usual port."""
    try:
        words = control.arguments(site.paths, name)
    except CommandError:
        words = []
    given = dict(itertools.pairwise(words))
    address = given.get("-b") or given.get("--bind") or "127.0.0.1"
    text = given.get("-p") or given.get("--port") or ""
    return address, int(text) if text.isdigit() else port


def _tcp(name: str, port: int) -> Callable[[Site], str | None]:
    def ask(site: Site) -> str | None:
        address, number = address_of(site, name, port)
        try:
            socket.create_connection((address, number), timeout=ANSWER_SECONDS).close()
        except OSError as error:
            return f"{address} port {number}: {error.strerror or error}"
        return None

    return ask


def _confd(site: Site) -> str | None:
    from ganeti_kernel.confd.client import ConfdClient

    address, port = address_of(site, "ganeti-confd", CONFD_PORT)
    try:
        ConfdClient.of_node(site.paths, [address], port).ask(0, timeout=ANSWER_SECONDS)
    except GenericError as error:
        return str(error)
    return None


def _masterd(site: Site) -> str | None:
    from ganeti_kernel.luxi.client import Client

    try:
        with Client(site.paths.master_socket, timeout=ANSWER_SECONDS) as client:
            client.query_config_values(["cluster_name"])
    except GenericError as error:
        return str(error)
    return None


_ANSWERS: Final[dict[str, Callable[[Site], str | None]]] = {
    "ganeti-masterd": _masterd,
    "ganeti-noded": _tcp("ganeti-noded", NODED_PORT),
    "ganeti-confd": _confd,
    "ganeti-mond": _tcp("ganeti-mond", MOND_PORT),
}


def check_plugins(site: Site) -> Iterator[Finding]:
    """Plugins that are installed and cannot be used; enabled ones that are not here."""
    registry = Registry(PluginContext(paths=site.paths, node_name=site.name))
    if registry.config_problem:
        yield Finding(ERROR, "plugins", registry.config_problem, "mend the file")
    enabled = {"hypervisor": set(site.lines("hypervisor_list"))}
    for kind in KINDS:
        good, broken = registry.load_all(kind)
        missing = enabled.get(kind, set()) - set(good) - {item.name for item in broken} - {""}
        for item in broken:
            severity = ERROR if item.name in enabled.get(kind, ()) else WARNING
            text = f"{kind} {item.name} ({item.distribution}): {item.reason}"
            yield Finding(severity, "plugins", text, f"gnt-plugins check {kind} {item.name}")
        for name in sorted(missing):
            text = f"{kind} {name} is enabled in the cluster and cannot be used on this node"
            advice = "install it here, or see whether plugins.toml switches it off"
            yield Finding(ERROR, "plugins", text, advice)


def check_name(site: Site) -> Iterator[Finding]:
    """Whether this node's name still leads to the address the cluster knows."""
    from ganeti_kernel.rpc.resolve import resolve

    try:
        read_ssconf(site.paths, "node_primary_ips")
    except ConfigurationError:
        return  # told with ssconf
    advice = "correct /etc/hosts or the name service"
    for name, address in site.addresses.items():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            found = resolve(site.paths, name, family)[1]
        except GenericError as error:
            yield Finding(ERROR, "names", str(error), advice)
            continue
        if found != address:
            text = f"{name} resolves to {found}, the cluster knows it by {address}"
            yield Finding(ERROR, "names", text, advice)
