"""An event loop in which waiting takes no time, and a disk that is a dictionary."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ganeti_kernel.errors import StoreError
from ganeti_kernel.specs.store import Change, Compare, Entry, Event, Put, Store


class Stuck(AssertionError):
    """Nobody has anything left to wait for, and not everything is done."""


class _Jump(selectors.BaseSelector):
    """Nothing ever arrives; waiting is a jump of the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, fileobj, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("nothing is left to happen")
        self.now += timeout
        return []

    def get_map(self) -> Any:
        return self._keys

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[fileobj]


class VirtualLoop(asyncio.SelectorEventLoop):
    """`disk_delay()`: seconds that the next use of the store's thread takes."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        self.disk_delay: Callable[[], float] = lambda: 0.0
        self._thread_free = 0.0
        self.under_way: list[tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def time(self) -> float:
        return self._jump.now

    def run_in_executor(  # type: ignore[override] # the stubs' variadic generics
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        """One thread, in order; the work is done at the end of its time."""
        future = self.create_future()
        item = (future, func, args)
        self.under_way.append(item)
        self._thread_free = max(self._thread_free, self.time()) + self.disk_delay()
        self.call_at(self._thread_free, self._work, item)
        return future

    def _work(self, item: Any) -> None:
        if item not in self.under_way:
            return  # the daemon was killed meanwhile
        self.under_way.remove(item)
        future, func, args = item
        try:
            result = func(*args)
        except Exception as error:
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(result)


class MemoryStore(Store):
    """What was committed; `full` refuses writing."""

    def __init__(self) -> None:
        self.values: dict[str, Entry] = {}
        self.full = False
        self._revision = 0

    def get(self, key: str) -> Entry | None:
        return self.values.get(key)

    def list(self, prefix: str) -> Sequence[Entry]:
        keys = sorted(key for key in self.values if key.startswith(prefix))
        return [self.values[key] for key in keys]

    def txn(self, compare: Sequence[Compare], changes: Sequence[Change]) -> int | None:
        if self.full:
            raise StoreError("cannot write store: database or disk is full")
        for item in compare:
            entry = self.values.get(item.key)
            if (entry.revision if entry else 0) != item.revision:
                return None
        self._revision += 1
        for change in changes:
            if isinstance(change, Put):
                self.values[change.key] = Entry(change.key, change.value, self._revision)
            else:
                self.values.pop(change.key, None)
        return self._revision

    def txn_group(
        self, group: Sequence[tuple[Sequence[Compare], Sequence[Change]]]
    ) -> Sequence[int | None]:
        return [self.txn(compare, changes) for compare, changes in group]

    def watch(self, prefix: str, revision: int) -> Iterator[Event]:
        return iter(())

    def revision(self) -> int:
        return self._revision

    def lease(self, name: str, owner: str, seconds: float) -> bool:
        return True

    def release(self, name: str, owner: str) -> None:
        pass

    def close(self) -> None:
        pass
