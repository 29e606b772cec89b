"""Carrying the configuration to the nodes: ssconf to all.

Master candidates get `config.data` and the secrets that a master needs as well; both are taken away
from a node that is no candidate any more.

This node's own files are written first. Changes that come while nodes are being told are told
together; a node that could not be reached is tried again until it was, or went offline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from ganeti_kernel.config.ssconf import is_candidate, ssconf_values, write_ssconf
from ganeti_kernel.errors import GenericError, RemoteError
from ganeti_kernel.files import write_durably
from ganeti_kernel.jobs.configuration import SharedConfig
from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.trust import CANDIDATE_SECRETS

log = logging.getLogger(__name__)

CONFIG_MODE: Final = 0o640

RETRY_SECONDS: Final = (1.0, 60.0)
"""Seconds before the first repetition for nodes that failed, and at most."""

SETTLE_SECONDS: Final = 30.0
ROUND_SECONDS: Final = 300.0


class ManyNodes(Protocol):
    """What is needed of the node client."""

    async def call_many(
        self, nodes: Sequence[Node], name: str, args: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Return node UUID -> result with `ok` and `error`."""


class Distributor:
    """Follows a SharedConfig; run it as a task."""

    def __init__(self, paths: Paths, config: SharedConfig, nodes: ManyNodes) -> None:
        self._paths = paths
        self._config = config
        self._nodes = nodes
        self._local = asyncio.Event()
        self._remote = asyncio.Event()
        self._written = 0
        self._progress = asyncio.Condition()
        self._failed: dict[str, str] = {}
        self._asked = 0
        self._served = 0
        self._given: dict[str, Mapping[str, str]] = {}
        """What each node has of the candidates' secrets, as far as this process knows."""
        self._told: dict[str, Mapping[str, str]] = {}
        """The ssconf values that each node wrote last: most changes leave them as they are."""
        config.listeners.append(self._local.set)

    async def run(self) -> None:
        """Never returns; cancel it. What the nodes have is not known at first: they are told."""
        self._local.set()
        await asyncio.gather(self._write_here(), self._tell_nodes())

    async def settled(self, serial: int) -> None:
        """Wait until this node's files hold configuration `serial` (or give up with a log line)."""
        try:
            async with asyncio.timeout(SETTLE_SECONDS), self._progress:
                await self._progress.wait_for(lambda: self._written >= serial)
        except TimeoutError:
            log.error("configuration %d could not be written to this node's files", serial)

    def tell_failed(self) -> None:
        """Do not wait with nodes that failed: one of them may answer again."""
        if self._failed:
            self._remote.set()

    async def everywhere(self) -> dict[str, str]:
        """Write everything anew, here and on all nodes that are online.

        Returns those that failed, by UUID, with the reason; they are tried again as ever. Raises
        RemoteError when it does not come to an end.
        """
        self._asked += 1
        wanted = self._asked
        self._local.set()
        try:
            async with asyncio.timeout(ROUND_SECONDS), self._progress:
                await self._progress.wait_for(lambda: self._served >= wanted)
        except TimeoutError:
            raise RemoteError(
                f"the nodes were not all told within {ROUND_SECONDS:g} seconds; the master "
                "daemon's log says which are slow, and it goes on trying"
            ) from None
        return dict(self._failed)

    async def _write_here(self) -> None:
        while True:
            await self._local.wait()
            self._local.clear()
            view, text = self._config.view, self._config.text()
            try:
                await asyncio.to_thread(_write_files, self._paths, view, text)
            except (OSError, GenericError) as error:  # a full disk: the store has it all the same
                log.error("cannot write the configuration's files: %s", error)
                await asyncio.sleep(RETRY_SECONDS[0])
                self._local.set()
                continue
            async with self._progress:
                self._written = view.serial_no
                self._progress.notify_all()
            self._remote.set()

    async def _tell_nodes(self) -> None:
        pause, longest = RETRY_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause if self._failed else None):
                    await self._remote.wait()
            fresh = self._remote.is_set()
            self._remote.clear()
            asked = self._asked if fresh else self._served
            if asked != self._served:
                self._told.clear()  # somebody wants all of it written anew
            view, text = self._config.view, self._config.text()
            only = None if fresh else set(self._failed)
            self._failed = await self._tell(view, text, only)
            async with self._progress:
                self._served = asked
                self._progress.notify_all()
            pause = RETRY_SECONDS[0] if fresh else min(longest, pause * 2)

    async def _tell(self, view: ConfigView, text: bytes, only: set[str] | None) -> dict[str, str]:
        """Tell nodes (all, or `only` these); returns those that failed with the reason."""
        nodes = [
            node
            for uuid, node in view.nodes.items()
            if not node.offline
            and uuid != view.cluster.master_node
            and (only is None or uuid in only)
        ]
        candidates = [node for node in nodes if is_candidate(view, node.uuid)]
        secrets = await asyncio.to_thread(_secrets, self._paths)
        enter = [node for node in candidates if self._given.get(node.uuid) != secrets]
        leave = [
            node for node in nodes if node not in candidates and self._given.get(node.uuid) != {}
        ]
        failed: dict[str, str] = {}
        values = await asyncio.to_thread(ssconf_values, view)
        changed = [node for node in nodes if self._told.get(node.uuid) != values]
        rounds: list[tuple[list[Node], str, dict[str, Any]]] = [
            (changed, "ssconf_write", {"values": values}),
            (enter, "candidate_enter", {"files": secrets}),
            (candidates, "config_write", {"content": text.decode()}),
            (leave, "candidate_leave", {}),
        ]
        for targets, name, args in rounds:
            if not targets:
                continue
            results = await self._nodes.call_many(targets, name, args)
            for node in targets:
                result = results.get(node.uuid)
                if result is None or not result.ok:
                    reason = "no answer" if result is None else str(result.error)
                    failed[node.uuid] = reason
                    if self._failed.get(node.uuid) != reason:
                        log.warning("%s on node %s: %s", name, node.name, reason)
                elif name == "ssconf_write":
                    self._told[node.uuid] = values
                elif name in ("candidate_enter", "candidate_leave"):
                    self._given[node.uuid] = args.get("files", {})
        return failed


def _secrets(paths: Paths) -> dict[str, str]:
    """The secrets of master candidates that this cluster has: file name -> content."""
    out = {}
    for name in CANDIDATE_SECRETS:
        with contextlib.suppress(FileNotFoundError):
            out[name] = (paths.data_dir / name).read_text("ascii")
    return out


def _write_files(paths: Paths, view: ConfigView, text: bytes) -> None:
    write_durably(paths.config_file, text, CONFIG_MODE)
    write_ssconf(paths, ssconf_values(view))
