"""Eviction policies: what makes room, against plain models."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tta_dev_primitives.performance.policies import FIFO, LFU, LRU, POLICIES, S3FIFO

if TYPE_CHECKING:
    from collections.abc import Hashable

    from tta_dev_primitives.performance.policies import Entry, Policy

NAMES = tuple(POLICIES)


def put(policy: Policy, key: Hashable, room: int) -> Entry | None:
    return policy.put(key, f"value of {key}", math.inf, 0.0, None, room)


def use(policy: Policy, key: Hashable) -> None:
    """Find an entry as the cache does."""
    found = policy.entries[key]
    found.uses += 1
    if policy.hears:
        policy.touch(found)


def filled(policy: Policy, *keys: Hashable, room: int = 100) -> Policy:
    for key in keys:
        put(policy, key, room)
    return policy


# --- one by one ---------------------------------------------------------------------------------


def test_fifo_lets_the_oldest_go_however_often_it_was_used() -> None:
    """Uses do not count."""
    policy = filled(FIFO(), "a", "b")
    use(policy, "a")
    assert policy.evict().key == "a"


def test_lru_lets_go_what_was_not_used_for_the_longest_time() -> None:
    """A use renews."""
    policy = filled(LRU(), "a", "b")
    use(policy, "a")
    assert policy.evict().key == "b"


def test_lfu_lets_go_what_was_used_least_often_and_of_equals_the_first() -> None:
    """Counts are exact."""
    policy = filled(LFU(), "a", "b", "c", "d")
    for key in ("a", "a", "b", "c"):
        use(policy, key)
    assert [policy.evict().key for _ in range(4)] == ["d", "b", "c", "a"]


def test_s3_fifo_keeps_what_was_used_while_others_pass_through() -> None:
    """A scan of keys that are asked for once leaves it alone."""
    policy = filled(S3FIFO(), *range(10), room=10)
    use(policy, 3)
    filled(policy, *range(100, 200), room=10)
    assert 3 in policy.entries


def test_s3_fifo_takes_what_comes_back_soon_into_its_main_queue() -> None:
    """It was forgotten, but its hash was not: now a scan leaves it alone."""
    policy = filled(S3FIFO(), *range(20), room=20)
    filled(policy, "again", room=20)
    filled(policy, *range(100, 122), room=20)
    assert "again" not in policy.entries
    filled(policy, "again", room=20)
    filled(policy, *range(200, 210), room=20)
    assert "again" in policy.entries


def test_s3_fifo_does_not_keep_for_ever_what_was_popular_once() -> None:
    """Any number of uses is good for three more rounds."""
    policy = filled(S3FIFO(), *range(10), room=10)
    for _ in range(1_000):
        use(policy, 0)
    for key in range(100, 1_000):
        put(policy, key, 10)
        use(policy, key)
    assert 0 not in policy.entries


def test_s3_fifo_holds_no_more_than_is_kept_when_keys_are_dropped_and_put_back() -> None:
    """Queues are cleaned of what was dropped."""
    policy = S3FIFO()
    for _ in range(1_000):
        put(policy, "a", 10)
        policy.drop("a")
    held = len(policy._small) + len(policy._main)  # pyright: ignore[reportPrivateUsage] - nothing else tells
    assert held <= 17


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_policy_has_nothing_to_let_go(name: str) -> None:
    """An error, not an endless search."""
    policy = POLICIES[name]()
    with pytest.raises(KeyError):
        policy.evict()
    filled(policy, "a")
    policy.drop("a")
    with pytest.raises(KeyError):
        policy.evict()


@pytest.mark.parametrize("name", NAMES)
def test_a_new_value_replaces_the_old_one_of_its_key(name: str) -> None:
    """And is not counted twice."""
    policy = filled(POLICIES[name](), "a", "b", room=2)
    old = policy.entries["a"]
    assert put(policy, "a", 2) is old
    assert policy.entries["a"] is not old
    assert len(policy.entries) == 2


# --- against models -----------------------------------------------------------------------------


class Membership(RuleBasedStateMachine):
    """Any policy against a set of keys: what is in, what went, and how many there are."""

    name = ""

    @initialize(room=st.integers(1, 8))
    def start(self, room: int) -> None:
        self.room = room
        self.policy = POLICIES[self.name]()
        self.keys: set[int] = set()

    @rule(key=st.integers(0, 15))
    def put(self, key: int) -> None:
        gone = put(self.policy, key, self.room)
        if key in self.keys:
            assert gone is not None
            assert gone.key == key
        elif len(self.keys) == self.room:
            assert gone is not None
            assert gone.key in self.keys
            self.keys.discard(gone.key)
        else:
            assert gone is None
        self.keys.add(key)

    @rule(key=st.integers(0, 15), times=st.integers(1, 5))
    def use(self, key: int, times: int) -> None:
        if key in self.keys:
            for _ in range(times):
                use(self.policy, key)

    @rule(key=st.integers(0, 15))
    def drop(self, key: int) -> None:
        gone = self.policy.drop(key)
        assert (gone is not None) == (key in self.keys)
        self.keys.discard(key)

    @rule()
    def evict(self) -> None:
        if self.keys:
            gone = self.policy.evict()
            assert gone.key in self.keys
            self.keys.discard(gone.key)

    @rule()
    def clear(self) -> None:
        self.policy.clear()
        self.keys.clear()

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert set(self.policy.entries) == self.keys
        assert len(self.policy.entries) <= self.room
        assert all(key == found.key for key, found in self.policy.entries.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_policy_holds_what_was_put_and_not_taken(name: str) -> None:
    """Whatever is put, used, dropped and evicted in whatever order."""

    class Machine(Membership):
        pass

    Machine.name = name
    run_state_machine_as_test(Machine)


@given(keys=st.lists(st.integers(0, 12), max_size=200), room=st.integers(1, 6))
def test_lru_evicts_what_an_ordered_dict_would(keys: list[int], room: int) -> None:
    """Request by request."""
    policy = LRU()
    model: OrderedDict[int, None] = OrderedDict()
    for key in keys:
        if key in policy.entries:
            use(policy, key)
        else:
            put(policy, key, room)
        model[key] = None
        model.move_to_end(key)
        if len(model) > room:
            model.popitem(last=False)
        assert list(policy.entries) == list(model)


@given(keys=st.lists(st.integers(0, 12), max_size=200), room=st.integers(1, 6))
def test_lfu_evicts_a_key_with_the_least_uses(keys: list[int], room: int) -> None:
    """Never one that was used more often than another."""
    policy = LFU()
    uses: dict[object, int] = {}
    for key in keys:
        if key in policy.entries:
            use(policy, key)
            uses[key] += 1
            continue
        gone = put(policy, key, room)
        if gone is not None:
            assert uses.pop(gone.key) <= min(uses.values(), default=math.inf)
        uses[key] = 0


class PlainS3FIFO:
    """S3-FIFO with bare keys and lists, as it is described: slow, and easy to read."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.small: list[int] = []
        self.main: list[int] = []
        self.uses: dict[int, int] = {}
        self.ghosts: list[set[int]] = [set(), set()]

    def ask(self, key: int) -> bool:
        if key in self.uses:
            self.uses[key] += 1
            return True
        if len(self.uses) == self.room:
            self.let_one_go()
        queue = self.main if any(key in ghosts for ghosts in self.ghosts) else self.small
        queue.append(key)
        self.uses[key] = 0
        return False

    def let_one_go(self) -> None:
        if len(self.small) > self.room * 0.05 and not self.uses[self.small[0]]:
            key = self.small.pop(0)
        else:
            key = self.first_unused()
        del self.uses[key]
        self.ghosts[0].add(key)
        if len(self.ghosts[0]) > self.room * 0.75:
            self.ghosts = [set(), self.ghosts[0]]

    def first_unused(self) -> int:
        while True:
            if len(self.small) > (self.room + 1) * 0.05 or not self.main:  # with the newcomer
                key = self.small.pop(0)
                if not self.uses[key]:
                    return key
                self.uses[key] = 0
            else:
                key = self.main.pop(0)
                if not self.uses[key]:
                    return key
                self.uses[key] = min(self.uses[key], 3) - 1
            self.main.append(key)


@given(
    keys=st.lists(st.integers(0, 60) | st.integers(0, 9), max_size=400),
    room=st.integers(1, 45),
)
def test_s3_fifo_keeps_what_the_plain_algorithm_keeps(keys: list[int], room: int) -> None:
    """Request by request, though it looks at the commonest case first."""
    policy, model = S3FIFO(), PlainS3FIFO(room)
    for key in keys:
        hit = key in policy.entries
        if hit:
            use(policy, key)
        else:
            put(policy, key, room)
        assert model.ask(key) == hit
        assert set(policy.entries) == set(model.uses)
