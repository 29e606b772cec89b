"""The lock manager: no conflicting holders, order kept, nobody starves, restart."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ganeti_kernel.errors import LockError
from ganeti_kernel.jobs.locks import Claims, LockManager
from ganeti_kernel.jobs.operation import ALL, Lock

LOCKS = st.lists(
    st.builds(
        Lock,
        level=st.sampled_from(["cluster", "node", "instance"]),
        name=st.sampled_from(["a", "b", "c", ALL]),
        exclusive=st.booleans(),
    ),
    max_size=4,
)


def exclusive(name: str, level: str = "node") -> Lock:
    return Lock(level, name, exclusive=True)


def shared(name: str, level: str = "node") -> Lock:
    return Lock(level, name)


def naive_conflict(mine: Lock, theirs: Lock) -> bool:
    same = mine.level == theirs.level and (
        mine.name == theirs.name or ALL in {mine.name, theirs.name}
    )
    return same and (mine.exclusive or theirs.exclusive)


@given(LOCKS, LOCKS)
def test_conflict_is_what_the_definition_says(mine: list[Lock], theirs: list[Lock]) -> None:
    expected = any(naive_conflict(a, b) for a in mine for b in theirs)
    assert Claims(mine).conflict(Claims(theirs)) is expected
    assert Claims(theirs).conflict(Claims(mine)) is expected


@given(LOCKS)
def test_claims_cover_themselves(locks: list[Lock]) -> None:
    assert Claims(locks).cover(Claims(locks))


def test_set_lock_stands_for_all_names() -> None:
    manager = LockManager()
    assert manager.request(1, [exclusive(ALL)]) == [1]
    assert manager.request(2, [shared("a")]) == []
    assert manager.request(3, [shared("a", "instance")]) == [3]
    assert manager.release(1) == [2]


def test_earlier_request_is_not_overtaken_by_one_that_would_block_it() -> None:
    manager = LockManager()
    manager.request(1, [shared("a")])
    assert manager.request(2, [exclusive("a")]) == []
    assert manager.request(3, [shared("a")]) == []
    assert manager.release(1) == [2]
    assert manager.release(2) == [3]


def test_priority_goes_before_age() -> None:
    manager = LockManager()
    manager.request(1, [exclusive("a")])
    manager.request(2, [exclusive("a")], priority=10)
    manager.request(3, [exclusive("a")])
    assert [item.owner for item in manager.waiters()] == [3, 2]
    assert manager.set_priority(2, -10) == []
    assert manager.release(1) == [2]


def test_all_or_nothing() -> None:
    manager = LockManager()
    manager.request(1, [exclusive("a")])
    assert manager.request(2, [exclusive("a"), exclusive("b")]) == []
    assert manager.held(2) == []
    assert manager.release(1) == [2]
    assert manager.held(2) == [exclusive("a"), exclusive("b")]


def test_low_priority_is_served_though_urgent_ones_keep_coming() -> None:
    manager = LockManager()
    manager.request(0, [exclusive("a")])
    manager.request(1, [exclusive("a")], priority=10)
    current = 0
    for urgent in range(2, 60):
        manager.request(urgent, [exclusive("a")], priority=-10)
        (current,) = manager.release(current)
        if current == 1:
            break
    assert current == 1
    assert urgent <= 40


def test_repeated_request_and_restart() -> None:
    manager = LockManager()
    manager.reinstate(1, [exclusive("a")])
    assert manager.request(1, [shared("a")]) == [1]
    with pytest.raises(LockError, match="more locks"):
        manager.request(1, [exclusive("b")])
    with pytest.raises(LockError, match="both claim"):
        manager.reinstate(2, [shared("a")])


def test_withdraw_keeps_what_is_held() -> None:
    manager = LockManager()
    manager.request(1, [exclusive("a")])
    manager.request(2, [exclusive("a")])
    assert manager.withdraw(1) == []
    assert manager.held(1) == [exclusive("a")]
    assert manager.withdraw(2) == []
    assert manager.release(1) == []


def test_unknown_level_is_refused() -> None:
    with pytest.raises(LockError, match="planet/a is not a lock"):
        LockManager().request(1, [Lock("planet", "a")])


class LockMachine(RuleBasedStateMachine):
    """Any order of requests, releases and changes of priority."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = LockManager()
        self.asked: dict[int, list[Lock]] = {}
        self.next = 1

    def granted(self) -> list[int]:
        return [owner for owner in self.asked if not self.manager.is_waiting(owner)]

    @rule(locks=LOCKS, priority=st.integers(-20, 19))
    def ask(self, locks: list[Lock], priority: int) -> None:
        owner, self.next = self.next, self.next + 1
        self.asked[owner] = locks
        self.manager.request(owner, locks, priority)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        owner = data.draw(st.sampled_from(sorted(self.asked)))
        del self.asked[owner]
        for woken in self.manager.release(owner):
            assert woken in self.asked

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), priority=st.integers(-20, 19))
    def change(self, data: st.DataObject, priority: int) -> None:
        self.manager.set_priority(data.draw(st.sampled_from(sorted(self.asked))), priority)

    @invariant()
    def nobody_holds_what_conflicts(self) -> None:
        owners = self.granted()
        for one in owners:
            for other in owners:
                if one < other:
                    pairs = [(a, b) for a in self.asked[one] for b in self.asked[other]]
                    assert not any(naive_conflict(a, b) for a, b in pairs)

    @invariant()
    def a_waiter_has_a_reason(self) -> None:
        """Work conserving: the first waiter waits only for a holder."""
        waiters = self.manager.waiters()
        if waiters:
            first = list(waiters[0].claims)
            held = [lock for owner in self.granted() for lock in self.asked[owner]]
            assert any(naive_conflict(a, b) for a in first for b in held)

    def teardown(self) -> None:
        """Nobody waits for ever: when holders end one after the other, all are served."""
        served = set(self.granted())
        while remaining := self.granted():
            served |= set(self.manager.release(remaining[0]))
            del self.asked[remaining[0]]
        assert not self.manager.waiters()
        assert not self.asked


LockMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLockMachine = LockMachine.TestCase
