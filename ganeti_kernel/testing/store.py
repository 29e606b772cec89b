"""Conformance suite of the store contract.

The tests use nothing but the contract, so the same suite runs on an embedded and on a distributed
store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from ganeti_kernel.errors import StoreError
from ganeti_kernel.specs.store import (
    MAX_OPERATIONS,
    MAX_VALUE_BYTES,
    Change,
    Compare,
    Delete,
    Event,
    Put,
    Store,
    StoreBackend,
)
from ganeti_kernel.testing.plugin import PluginContract

LEASE_SECONDS = 0.2


class Stores:
    """Makes stores of one backend and closes what a test left open."""

    def __init__(self, backend: StoreBackend, new_url: Callable[[], str]) -> None:
        self.backend = backend
        self.new_url = new_url
        self._open: list[Store] = []

    def create(self, url: str | None = None) -> Store:
        return self._keep(self.backend.open(url or self.new_url(), True))

    def reopen(self, url: str) -> Store:
        return self._keep(self.backend.open(url, False))

    def close(self) -> None:
        for store in self._open:
            store.close()
        self._open.clear()

    def _keep(self, store: Store) -> Store:
        self._open.append(store)
        return store


class StoreContract(PluginContract):
    """Opens real stores.

    To fill in: `plugin_class`, `new_store_url`.
    Never to be overridden: the tests, `plugin`, `stores`.
    """

    CONTRACT = StoreBackend

    @pytest.fixture
    def new_store_url(self) -> Callable[[], str]:
        """Return a function that gives the URL of a store that does not exist yet."""
        raise NotImplementedError("fill in the fixture new_store_url: a function")

    @pytest.fixture
    def stores(self, plugin: StoreBackend, new_store_url: Callable[[], str]) -> Iterator[Stores]:
        handles = Stores(plugin, new_store_url)
        yield handles
        handles.close()

    # -- opening -------------------------------------------------------------------------------

    def test_describe_names_the_scheme(self, stores: Stores) -> None:
        description = stores.backend.describe()
        assert stores.new_url().startswith(f"{description.name}:")
        assert description.summary
        assert description.version

    def test_missing_store_is_refused(self, stores: Stores) -> None:
        with pytest.raises(StoreError):
            stores.reopen(stores.new_url())

    def test_creating_twice_is_refused_and_keeps_the_first(self, stores: Stores) -> None:
        url = stores.new_url()
        stores.create(url).txn([], [Put("a", b"1")])
        stores.close()
        with pytest.raises(StoreError):
            stores.create(url)
        assert values(stores.reopen(url)) == {"a": b"1"}

    def test_new_store_is_empty(self, stores: Stores) -> None:
        store = stores.create()
        assert list(store.list("")) == []
        assert store.get("a") is None
        assert list(store.watch("", store.revision())) == []

    def test_close_twice(self, stores: Stores) -> None:
        store = stores.create()
        store.close()
        store.close()

    # -- reading and writing -------------------------------------------------------------------

    def test_put_get_delete(self, stores: Stores) -> None:
        store = stores.create()
        first = store.txn([], [Put("a", b'{"x": 1}')])
        assert first is not None
        entry = store.get("a")
        assert entry is not None
        assert (entry.key, entry.value, entry.revision) == ("a", b'{"x": 1}', first)
        second = store.txn([], [Delete("a")])
        assert second is not None
        assert second > first
        assert store.get("a") is None

    def test_deleting_what_is_not_there_is_no_error(self, stores: Stores) -> None:
        store = stores.create()
        before = store.revision()
        assert store.txn([], [Delete("a")]) is not None
        assert list(store.watch("", before)) == []

    def test_list_takes_exactly_the_prefix_in_order(self, stores: Stores) -> None:
        store = stores.create()
        keys = ["b", "a/2", "a/10", "a", "a0", "a/", "a/é", "A/1"]
        store.txn([], [Put(key, b"0") for key in keys])
        assert [entry.key for entry in store.list("a/")] == ["a/", "a/10", "a/2", "a/é"]
        assert [entry.key for entry in store.list("")] == sorted(keys)
        assert list(store.list("c")) == []

    def test_revision_of_a_key_is_that_of_its_last_write(self, stores: Stores) -> None:
        store = stores.create()
        first = store.txn([], [Put("a", b"1"), Put("b", b"1")])
        second = store.txn([], [Put("b", b"2")])
        assert revisions(store) == {"a": first, "b": second}
        assert store.revision() == second

    def test_values_are_kept_as_they_are(self, stores: Stores) -> None:
        store = stores.create()
        value = '"\\u0000 é \U0001f600"'.encode()
        store.txn([], [Put("a", value), Put("b", b"")])
        assert values(store) == {"a": value, "b": b""}

    # -- transactions --------------------------------------------------------------------------

    def test_comparison_of_revision(self, stores: Stores) -> None:
        store = stores.create()
        first = store.txn([], [Put("a", b"1")])
        assert first is not None
        assert store.txn([Compare("a", first)], [Put("a", b"2")]) is not None
        assert store.txn([Compare("a", first)], [Put("a", b"3")]) is None
        assert values(store) == {"a": b"2"}

    def test_comparison_with_zero_means_absent(self, stores: Stores) -> None:
        store = stores.create()
        assert store.txn([Compare("a", 0)], [Put("a", b"1")]) is not None
        assert store.txn([Compare("a", 0)], [Put("a", b"2")]) is None
        store.txn([], [Delete("a")])
        assert store.txn([Compare("a", 0)], [Put("a", b"3")]) is not None

    def test_failed_comparison_changes_nothing(self, stores: Stores) -> None:
        store = stores.create()
        revision = store.txn([], [Put("a", b"1")])
        assert revision is not None
        compare = [Compare("a", revision), Compare("b", revision)]
        assert store.txn(compare, [Put("c", b"1"), Delete("a")]) is None
        assert values(store) == {"a": b"1"}
        assert store.revision() == revision
        assert list(store.watch("", revision)) == []

    def test_limits_are_kept_and_nothing_changes_beyond(self, stores: Stores) -> None:
        store = stores.create()
        full = [Put(f"k{index:03d}", b"0") for index in range(MAX_OPERATIONS)]
        assert store.txn([], full) is not None
        revision = store.revision()
        with pytest.raises(StoreError):
            store.txn([], [*full, Put("one more", b"0")])
        assert store.txn([], [Put("big", b"0" * MAX_VALUE_BYTES)]) is not None
        with pytest.raises(StoreError):
            store.txn([], [Put("a", b"0"), Put("bigger", b"0" * (MAX_VALUE_BYTES + 1))])
        assert len(values(store)) == MAX_OPERATIONS + 1
        assert store.get("a") is None
        assert [event.key for event in store.watch("", revision)] == ["big"]

    def test_group_gives_what_single_transactions_give(self, stores: Stores) -> None:
        store = stores.create()
        answers = store.txn_group(
            [
                ([Compare("a", 0)], [Put("a", b"1")]),
                ([Compare("a", 0)], [Put("b", b"1"), Put("c", b"1")]),
                ([Compare("b", 0)], [Put("b", b"2")]),
                ([], [Delete("a")]),
            ]
        )
        assert len(answers) == 4
        assert answers[1] is None
        done = [answer for answer in answers if answer is not None]
        assert len(done) == 3
        assert done == sorted(set(done))
        assert values(store) == {"b": b"2"}
        assert revisions(store) == {"b": answers[2]}

    def test_empty_group(self, stores: Stores) -> None:
        assert list(stores.create().txn_group([])) == []

    # -- durability ----------------------------------------------------------------------------

    def test_what_was_written_is_there_after_reopening(self, stores: Stores) -> None:
        url = stores.new_url()
        store = stores.create(url)
        store.txn([], [Put("a", b"1"), Put("b", b"1")])
        store.txn([], [Put("b", b"2")])
        store.txn([], [Delete("a")])
        before = (values(store), revisions(store), store.revision())
        stores.close()
        again = stores.reopen(url)
        assert (values(again), revisions(again), again.revision()) == before
        later = again.txn([], [Put("c", b"1")])
        assert later is not None
        assert later > before[2]

    # -- watching ------------------------------------------------------------------------------

    def test_watch_tells_every_change_in_order(self, stores: Stores) -> None:
        store = stores.create()
        start = store.revision()
        one = store.txn([], [Put("a/1", b"1"), Put("b/1", b"1")])
        two = store.txn([], [Put("a/1", b"2")])
        three = store.txn([], [Delete("a/1"), Put("a/2", b"3")])
        assert one is not None
        assert two is not None
        assert three is not None
        events = list(store.watch("a/", start))
        assert events[:2] == [Event("a/1", b"1", one), Event("a/1", b"2", two)]
        assert sorted(events[2:], key=lambda event: event.key) == [
            Event("a/1", None, three),
            Event("a/2", b"3", three),
        ]
        assert list(store.watch("a/", two)) == events[2:]
        assert list(store.watch("a/", three)) == []

    # -- leases --------------------------------------------------------------------------------

    def test_lease_belongs_to_one_owner(self, stores: Stores) -> None:
        store = stores.create()
        assert store.lease("master", "node1", 60)
        assert store.lease("master", "node1", 60)
        assert not store.lease("master", "node2", 60)
        assert store.lease("other", "node2", 60)

    def test_lease_can_be_given_back(self, stores: Stores) -> None:
        store = stores.create()
        assert store.lease("master", "node1", 60)
        store.release("master", "node2")
        assert not store.lease("master", "node2", 60)
        store.release("master", "node1")
        store.release("master", "node1")
        assert store.lease("master", "node2", 60)

    def test_lease_runs_out(self, stores: Stores) -> None:
        store = stores.create()
        assert store.lease("master", "node1", LEASE_SECONDS)
        deadline = time.monotonic() + 10 * LEASE_SECONDS
        while not store.lease("master", "node2", 60):
            assert time.monotonic() < deadline, "the lease never ran out"
            time.sleep(LEASE_SECONDS / 4)
        assert not store.lease("master", "node1", LEASE_SECONDS)

    def test_lease_leaves_keys_alone(self, stores: Stores) -> None:
        store = stores.create()
        revision = store.revision()
        store.lease("a", "node1", 60)
        assert values(store) == {}
        assert list(store.watch("", revision)) == []

    # -- everything together -------------------------------------------------------------------

    def test_behaves_like_the_model(self, stores: Stores) -> None:
        class Machine(_StoreMachine):
            handles = stores

        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=30,
                stateful_step_count=20,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


KEYS = st.sampled_from(["a", "a/1", "a/2", "b", "b/1"])
CHANGE_SETS = st.dictionaries(
    KEYS, st.one_of(st.none(), st.binary(max_size=4)), min_size=1, max_size=4
)
COMPARISONS = st.dictionaries(KEYS, st.sampled_from(["right", "absent", "stale"]), max_size=2)


class _StoreMachine(RuleBasedStateMachine):
    """Any sequence of transactions, with reopening in between, against a dict."""

    handles: Stores

    def __init__(self) -> None:
        super().__init__()
        self.url = self.handles.new_url()
        self.store = self.handles.create(self.url)
        self.start = self.store.revision()
        self.model: dict[str, tuple[bytes, int]] = {}
        self.events: list[Event] = []

    def teardown(self) -> None:
        self.handles.close()

    def _plan(
        self, changes: dict[str, bytes | None], wanted: dict[str, str]
    ) -> tuple[list[Compare], list[Change]]:
        compare = []
        for key, kind in wanted.items():
            now = self.model.get(key, (b"", 0))[1]
            compare.append(Compare(key, {"right": now, "absent": 0, "stale": now + 1000}[kind]))
        return compare, [
            Delete(key) if value is None else Put(key, value) for key, value in changes.items()
        ]

    def _expect(self, compare: list[Compare], changes: list[Change], answer: int | None) -> None:
        held = all(self.model.get(c.key, (b"", 0))[1] == c.revision for c in compare)
        assert (answer is not None) == held
        if answer is None:
            return
        for change in changes:
            if isinstance(change, Put):
                self.model[change.key] = (change.value, answer)
                self.events.append(Event(change.key, change.value, answer))
            elif self.model.pop(change.key, None) is not None:
                self.events.append(Event(change.key, None, answer))

    @rule(changes=CHANGE_SETS, wanted=COMPARISONS)
    def transaction(self, changes: dict[str, bytes | None], wanted: dict[str, str]) -> None:
        compare, operations = self._plan(changes, wanted)
        self._expect(compare, operations, self.store.txn(compare, operations))

    @rule(group=st.lists(CHANGE_SETS, max_size=3))
    def group(self, group: list[dict[str, bytes | None]]) -> None:
        plans = [self._plan(changes, {}) for changes in group]
        for plan, answer in zip(plans, self.store.txn_group(plans), strict=True):
            self._expect(*plan, answer)

    @rule()
    def reopen(self) -> None:
        self.handles.close()
        self.store = self.handles.reopen(self.url)

    @invariant()
    def state_is_the_models(self) -> None:
        assert {e.key: (e.value, e.revision) for e in self.store.list("")} == self.model

    @invariant()
    def history_is_the_models(self) -> None:
        assert _by_key(list(self.store.watch("", self.start))) == _by_key(self.events)


def _by_key(events: list[Event]) -> dict[str, list[Any]]:
    """Within one transaction the order between keys is free; that of one key is not."""
    out: dict[str, list[Any]] = {}
    for event in events:
        out.setdefault(event.key, []).append((event.revision, event.value))
    return out


def values(store: Store) -> dict[str, bytes]:
    """Everything in the store: key -> value."""
    return {entry.key: entry.value for entry in store.list("")}


def revisions(store: Store) -> dict[str, int]:
    """Everything in the store: key -> revision."""
    return {entry.key: entry.revision for entry in store.list("")}
