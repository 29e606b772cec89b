"""Writing to the store from an event loop: one thread, many transactions, one wait for the disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from ganeti_kernel.errors import GenericError, StoreError
from ganeti_kernel.specs.store import MAX_OPERATIONS, MAX_VALUE_BYTES, Change, Compare, Put, Store

log = logging.getLogger(__name__)

T = TypeVar("T")

GROUP_LIMIT: Final = 256
"""Transactions that are written together."""


@dataclass(slots=True)
class _Pending:
    compare: Sequence[Compare]
    changes: Sequence[Change]
    done: asyncio.Future[int | None]


class Committer:
    """Commits in the order of the calls; concurrent calls share one group commit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._pending: list[_Pending] = []
        self._writer: asyncio.Task[None] | None = None
        self._confirming: set[asyncio.Task[None]] = set()
        self.guard: Callable[[], str] = lambda: ""
        """Says why nothing may be written now; "" when it may."""
        self.confirm: Callable[[int], Awaitable[None]] | None = None
        """Waits until a revision may be acknowledged; a commit returns only then."""

    async def commit(
        self, changes: Sequence[Change], compare: Sequence[Compare] = ()
    ) -> int | None:
        """Write changes in one transaction and return the store's revision; then it is durable.

        None: a comparison failed, nothing changed. Raises StoreError when it cannot be written.
        """
        check_size(changes)
        if problem := self.guard():
            raise StoreError(problem)
        done: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        done.add_done_callback(_seen)  # whoever waits may have been cancelled
        self._pending.append(_Pending(compare, changes, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        return await asyncio.shield(done)

    async def read(self, function: Callable[[Store], T]) -> T:
        """Run `function(store)` in the store's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, self._store)

    async def close(self) -> None:
        """Finish what was begun and close the store."""
        if self._writer is not None:
            await self._writer
        await asyncio.gather(*self._confirming)
        await self.read(lambda store: store.close())
        self._thread.shutdown()

    async def _write(self) -> None:
        while self._pending:
            batch = self._pending[:GROUP_LIMIT]
            del self._pending[:GROUP_LIMIT]
            try:
                answers = await self.read(
                    lambda store, batch=batch: store.txn_group(  # type: ignore[misc]
                        [(item.compare, item.changes) for item in batch]
                    )
                )
            except Exception as error:  # whatever it was, nobody may wait for ever
                failure = error if isinstance(error, GenericError) else StoreError(str(error))
                log.error("cannot write to the store: %s", error)
                for item in batch:
                    _settle(item.done, failure)
            else:
                task = asyncio.create_task(self._acknowledge(batch, answers))
                self._confirming.add(task)
                task.add_done_callback(self._confirming.discard)

    async def _acknowledge(self, batch: list[_Pending], answers: Sequence[int | None]) -> None:
        revision = max((answer for answer in answers if answer is not None), default=0)
        try:
            if self.confirm is not None and revision:
                await self.confirm(revision)
        except GenericError as error:
            for item in batch:
                _settle(item.done, error)
            return
        for item, answer in zip(batch, answers, strict=True):
            _settle(item.done, answer)


def check_size(changes: Sequence[Change]) -> None:
    """Refuse what no store takes, so that it cannot spoil a group it is written with."""
    if len(changes) > MAX_OPERATIONS:
        raise StoreError(f"{len(changes)} changes in one transaction, at most {MAX_OPERATIONS}")
    for change in changes:
        if isinstance(change, Put) and len(change.value) > MAX_VALUE_BYTES:
            raise StoreError(
                f"{change.key} would be {len(change.value)} bytes, at most {MAX_VALUE_BYTES}"
            )


def _seen(future: asyncio.Future[int | None]) -> None:
    if not future.cancelled():
        future.exception()


def _settle(future: asyncio.Future[int | None], outcome: int | Exception | None) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
