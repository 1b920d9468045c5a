"""State batches and the share coordinator against dumb twins: one entry for each offset, one dictionary of states."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.support.share_states import KEY, StateBench, write

from tailrace.coordinator.share_state.batches import combined, merged
from tailrace.coordinator.share_state.ports import PartitionState, SharePartitionKey, StateBatch

OFFSETS = st.integers(0, 24)


@st.composite
def state_batches(draw: st.DrawFn) -> StateBatch:
    first, last = sorted((draw(OFFSETS), draw(OFFSETS)))
    return StateBatch(first, last, draw(st.sampled_from((0, 2, 4))), draw(st.integers(1, 3)))


def by_offset(batches: list[StateBatch] | tuple[StateBatch, ...], start: int) -> dict[int, tuple[int, int]]:
    """Of each offset the greatest (count, state)."""
    found: dict[int, tuple[int, int]] = {}
    for batch in batches:
        for offset in range(max(batch.first_offset, start), batch.last_offset + 1):
            found[offset] = max(found.get(offset, (-1, -1)), (batch.delivery_count, batch.delivery_state))
    return found


@given(st.lists(state_batches(), max_size=8), st.integers(-1, 24))
def test_batches_say_the_same_of_every_offset(batches: list[StateBatch], start: int) -> None:
    together = combined(batches, start)
    assert by_offset(together, start) == by_offset(batches, start)
    for one, next_one in pairwise(together):
        assert one.last_offset < next_one.first_offset, "rising, apart"
        assert one.last_offset + 1 < next_one.first_offset or one[2:] != next_one[2:], "alike neighbours are one"
    assert combined(together, start) == together


@given(st.lists(state_batches(), max_size=8), st.lists(state_batches(), max_size=4), st.integers(-1, 24))
def test_merging_is_combining(known: list[StateBatch], new: list[StateBatch], start: int) -> None:
    before = combined(known, -1)
    assert merged(before, new, start) == combined((*before, *new), start)


class ShareStatesTwin(RuleBasedStateMachine):
    """Random operations, restarts and upkeep; what is read is what the twin has."""

    keys = st.sampled_from([SharePartitionKey(group, KEY.topic_id, index) for group in "ab" for index in range(3)])

    def __init__(self) -> None:
        super().__init__()
        self.bench = StateBench(partitions=2)
        self.known: dict[SharePartitionKey, tuple[int, int, dict[int, tuple[int, int]]]] = {}

    @rule(key=keys, start=st.integers(-1, 24))
    def initialize(self, key: SharePartitionKey, start: int) -> None:
        epoch = self.known[key][0] + 1 if key in self.known else 1
        assert self.bench.states.initialize_state(key, epoch, start).value is None
        self.known[key] = (epoch, start, {})

    @rule(key=keys, batches=st.lists(state_batches(), max_size=3), start=st.integers(-1, 24))
    def write(self, key: SharePartitionKey, batches: list[StateBatch], start: int) -> None:
        if key not in self.known:
            return
        epoch, was, offsets = self.known[key]
        start = start if start == -1 else max(start, was)
        assert self.bench.states.write_state(key, write(*batches, start=start, state_epoch=epoch)).value is None
        now = was if start == -1 else start
        merged = dict(offsets)
        for offset, said in by_offset(batches, max(start, 0)).items():
            merged[offset] = max(merged.get(offset, said), said)
        self.known[key] = (epoch, now, {offset: said for offset, said in merged.items() if offset >= now})

    @rule(key=keys)
    def delete(self, key: SharePartitionKey) -> None:
        assert self.bench.states.delete_state(key).value is None
        self.known.pop(key, None)

    @rule(ms=st.integers(1, 400_000))
    def advance(self, ms: int) -> None:
        self.bench.advance(ms)

    @rule()
    def restart(self) -> None:
        self.bench.restart()

    @invariant()
    def reads_are_the_twins(self) -> None:
        for key, (epoch, start, offsets) in self.known.items():
            state = self.bench.states.read_state(key, -1).value
            assert isinstance(state, PartitionState)
            assert (state.state_epoch, state.start_offset) == (epoch, start)
            assert by_offset(state.batches, start) == offsets


ShareStatesTwin.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestShareStates = ShareStatesTwin.TestCase
