"""One process's share of the daemon: key, request types, configuration, sockets."""

from __future__ import annotations

import gc
import logging
import socket
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from ganeti_kernel.confd.codec import MAX_CLOCK_SKEW
from ganeti_kernel.confd.counters import Counters
from ganeti_kernel.confd.key import read_key
from ganeti_kernel.confd.responder import NOTHING_LOADED, Responder
from ganeti_kernel.confd.udp import Receivers, timed
from ganeti_kernel.config import datafile
from ganeti_kernel.config.follow import ConfigSource, DataFile
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.objects.secrets import SecretRules
from ganeti_kernel.objects.view import ConfigView
from ganeti_kernel.paths import Paths, host_name
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.plugins.secrets import secret_parameters
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.specs.confd_query import ConfdQuery

log = logging.getLogger(__name__)


SECRETS_HIDDEN: Final = "hide"
SECRETS_HIDDEN_EVERYWHERE: Final = "hide-all"
SECRETS_SHOWN: Final = "show"
SECRET_POLICIES: Final = (SECRETS_HIDDEN, SECRETS_HIDDEN_EVERYWHERE, SECRETS_SHOWN)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an administrator chooses; the same for every process of the daemon."""

    max_skew: int = MAX_CLOCK_SKEW
    secrets: str = SECRETS_HIDDEN
    latencies: bool = False
    store: str | None = None
    """URL of the store to follow, "" the one of this node; None: `config.data`."""


class Service:
    """Serves datagrams on given sockets until stopped. Lives in an event loop."""

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        sockets: Sequence[socket.socket],
        counters: Counters,
        port: int,
        source: ConfigSource | None = None,
    ) -> None:
        """Raises ConfigurationError when there is no usable key."""
        self._paths = paths
        self._settings = settings
        self._counters = counters
        self._key = read_key(paths.hmac_key)
        self._registry = Registry(PluginContext(paths=paths, node_name=host_name()))
        self._secrets = self._secret_rules()
        self._source = source or self._source_of(settings)
        self.responder = Responder(self._key, self._queries(), counters, max_skew=settings.max_skew)
        self.responder.port = port
        reply = (
            timed(self.responder.reply, counters) if settings.latencies else self.responder.reply
        )
        self._receivers = Receivers(sockets, reply)

    def start(self) -> None:
        self._source.start(self._serve)
        self._receivers.start()

    def stop(self) -> None:
        self._receivers.stop()
        self._source.stop()

    def reload(self) -> None:
        """Take in what changed: plugins, the key, the configuration."""
        try:
            key = read_key(self._paths.hmac_key)
        except ConfigurationError as error:
            log.error("%s; the old key stays in use", error)
        else:
            if key != self._key:
                self._key = key
                self.responder.change_key(key)
                log.info("the key has changed")
        self._registry.rescan()
        self._secrets = self._secret_rules()
        self.responder.use(self._queries())
        self._source.refresh()

    def _source_of(self, settings: Settings) -> ConfigSource:
        if settings.store is None:
            return DataFile(self._paths.config_file, self._parse, self._unreadable)
        from ganeti_kernel.config.follow_store import StoreFollower
        from ganeti_kernel.store.opening import open_store

        url = settings.store or None
        return StoreFollower(
            lambda: open_store(self._paths, url, registry=self._registry),
            lambda: self._secrets,
            self._unreadable,
        )

    def _parse(self, data: bytes, name: str) -> ConfigView:
        # the collector would look at every object made here, and later at them all again
        gc.disable()
        try:
            return datafile.parse(data, name, secrets=self._secrets)
        finally:
            gc.enable()

    def _serve(self, view: ConfigView) -> None:
        self.responder.serve(view)
        gc.freeze()
        self._counters.add("reloads")
        self._counters.put("serial", view.serial_no)
        self._counters.put("stale_configuration", 0)
        seconds = self._source.cpu_seconds
        self._counters.add("reload_ns", int(seconds * 1e9))
        log.info(
            "serving configuration %d (%d nodes, %d instances), read in %.3f s",
            view.serial_no,
            len(view.nodes),
            len(view.instances),
            seconds,
        )

    def _unreadable(self, problem: str) -> None:
        self._counters.add("reload_failures")
        self._counters.put("stale_configuration", 1)
        self.responder.problem = f"{NOTHING_LOADED}: {problem}"

    def _queries(self) -> dict[int, ConfdQuery]:
        good, broken = self._registry.load_all("confd_query")
        for item in broken:
            log.warning("not served: %s", item)
        return by_number(good.values())

    def _secret_rules(self) -> SecretRules:
        return SecretRules(
            names=frozenset(secret_parameters(self._registry)),
            shown=self._settings.secrets == SECRETS_SHOWN,
            everywhere=self._settings.secrets == SECRETS_HIDDEN_EVERYWHERE,
        )


def by_number(queries: Iterable[ConfdQuery]) -> dict[int, ConfdQuery]:
    """Order request types by number; those that claim the same one are all left out and named."""
    out: dict[int, list[ConfdQuery]] = {}
    for query in queries:
        number: Any = getattr(query, "NUMBER", None)
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            log.error("not served: %s: NUMBER is %r", query.describe().name, number)
            continue
        out.setdefault(number, []).append(query)
    for number, claims in out.items():
        if len(claims) > 1:
            names = " and ".join(item.describe().name for item in claims)
            log.error("not served: request type %d is claimed by %s; disable one", number, names)
    return {number: claims[0] for number, claims in out.items() if len(claims) == 1}
