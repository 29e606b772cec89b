"""Following the configuration in a store, for a reader on a machine that can reach it.

Every change of the configuration writes its head, `config/meta`, in the same transaction: one
look at that key's history costs microseconds whatever the rest of the store does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from ganeti_kernel.config.keys import CONFIG_META
from ganeti_kernel.config.writer import load_view
from ganeti_kernel.errors import ConfigurationError, PluginError, StoreError
from ganeti_kernel.objects.secrets import SecretRules
from ganeti_kernel.objects.view import ConfigView
from ganeti_kernel.specs.store import Store

log = logging.getLogger(__name__)

POLL: Final = 0.25
"""Seconds between two looks: as often as a `config.data` that changes all the time is read."""


class StoreFollower:
    """The ConfigSource of a store."""

    def __init__(
        self,
        open_store: Callable[[], Store],
        secrets: Callable[[], SecretRules],
        failed: Callable[[str], None] = lambda _problem: None,
    ) -> None:
        """`open_store` raises StoreError, ConfigurationError or PluginError; it is called for each
        look until it succeeds. `secrets` is asked for each reading, `failed(problem)` is called
        for each kind of failure."""
        self.problem = ""
        self.cpu_seconds = 0.0
        self._open = open_store
        self._secrets = secrets
        self._failed = failed
        self._changed: Callable[[ConfigView], None] = lambda _view: None
        self._store: Store | None = None
        self._head: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, changed: Callable[[ConfigView], None]) -> None:
        self._changed = changed
        self._poll()

    def refresh(self) -> None:
        self._head = None
        self._look()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._close()

    def _poll(self) -> None:
        self._look()
        self._timer = asyncio.get_running_loop().call_later(POLL, self._poll)

    def _look(self) -> None:
        with self._failures():
            if self._store is None:
                self._store = self._open()
            head = self._store.get(CONFIG_META)
            revision = 0 if head is None else head.revision
            if revision == self._head and not self.problem:
                return
            before = time.process_time()
            view, self._head = load_view(self._store, self._secrets())
            self.cpu_seconds = time.process_time() - before
            if self.problem:
                log.info("the store is readable again")
            self.problem = ""
            self._changed(view)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (StoreError, ConfigurationError, PluginError) as error:
            self._close()  # whatever is there next time is looked at from the beginning
            problem = str(error)
            if problem != self.problem:
                log.error("%s; the last good configuration, if any, stays in use", problem)
                self._failed(problem)
            self.problem = problem

    def _close(self) -> None:
        store, self._store, self._head = self._store, None, None
        if store is not None:
            store.close()
