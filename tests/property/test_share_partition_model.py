"""A share partition against a dumb twin that keeps one entry for each record (KIP-932).

What holds after every step, whatever the order of fetches, acknowledgements, lost writes, expired locks, members that
leave, restarts and deleted records: nobody gets a record that another holds or that is done with; the start never goes
back and never passes a record that is not done with; and in the end every record was accepted, rejected, given up at
the delivery limit or deleted: none was skipped.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tailrace.base.errors import KafkaError
from tailrace.broker.share.requests import Acknowledgements, AcknowledgeType, AcquireWish, BatchSpan, ShareSettings
from tailrace.broker.share.runs import Run
from tailrace.broker.share.share_partition import SharePartition, kept_batches
from tailrace.coordinator.share_state.batches import combined
from tailrace.coordinator.share_state.ports import StateBatch

LOCK_MS = 100
LIMIT = 4
LOCKS = 30
MEMBERS = ("a", "b", "c")
KINDS = (AcknowledgeType.ACCEPT, AcknowledgeType.RELEASE, AcknowledgeType.REJECT, AcknowledgeType.GAP)


@dataclass
class Twin:
    """What is known of one record."""

    holder: str = ""
    until_ms: float = 0
    deliveries: int = 0
    is_done: bool = False
    is_changing: bool = False


class SharePartitionTwin(RuleBasedStateMachine):
    members = st.sampled_from(MEMBERS)

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0.0
        self.log: list[BatchSpan] = []
        self.log_end = 0
        self.log_start = 0
        self.twins: dict[int, Twin] = {}
        self.kept: tuple[int, list[StateBatch]] = (0, [])
        self.writes: list[tuple[list[Run], int, list[StateBatch]]] = []
        self.settings = ShareSettings(LOCK_MS, LIMIT, LOCKS)
        self.partition = SharePartition(0, [], self.settings)
        self.highest_start = 0

    # what happens to the log

    @initialize(sizes=st.lists(st.integers(1, 8), min_size=1, max_size=9))
    def begin(self, sizes: list[int]) -> None:
        self.produce(sizes, 0)

    @precondition(lambda self: self.partition.end_offset >= self.log_end - 8)
    @rule(sizes=st.lists(st.integers(1, 8), min_size=1, max_size=4), hole=st.integers(0, 5))
    def produce(self, sizes: list[int], hole: int) -> None:
        if hole == 5:
            self.log_end += 3  # offsets without a record, as compaction leaves them
        for size in sizes:
            self.log.append(BatchSpan(self.log_end, self.log_end + size - 1))
            for offset in range(self.log_end, self.log_end + size):
                self.twins[offset] = Twin()
            self.log_end += size

    @rule(by=st.integers(1, 12), often=st.integers(0, 9))
    def delete_records(self, by: int, often: int) -> None:
        if often:
            return
        self.log_start = min(self.log_start + by, self.log_end)
        self.partition.on_log_start(self.log_start)
        self.twins = {offset: twin for offset, twin in self.twins.items() if offset >= self.log_start}

    @rule(ms=st.integers(1, LOCK_MS))
    def wait(self, ms: int) -> None:
        self.now_ms += ms
        expired = self.partition.expire(self.now_ms)
        for twin in self.twins.values():
            if twin.holder and not twin.is_changing and twin.until_ms <= self.now_ms:
                twin.holder = ""
                twin.is_done |= twin.deliveries >= LIMIT
        self._keep(kept_batches(expired))
        self.partition.settle()

    # what members do

    @rule(member=members, most=st.integers(1, 20), batch_size=st.integers(1, 9), strict=st.booleans())
    def fetch(self, member: str, most: int, batch_size: int, strict: bool) -> None:
        offset = self.partition.next_fetch_offset()
        batches = [batch for batch in self.log if batch.last_offset >= max(offset, self.log_start)]
        could = self.partition.can_acquire()
        in_flight = self.partition.in_flight_count
        got = self.partition.acquire(member, AcquireWish(most, batch_size, strict), offset, batches, self.now_ms)
        if could and batches and batches[-1].last_offset >= offset:
            assert got, "a fetch that could get something gets something"
        taken = [at for each in got for at in range(each.first_offset, each.last_offset + 1)]
        assert taken == sorted(set(taken))
        if strict:
            assert len(taken) <= most
        if in_flight >= LOCKS:
            assert all(at < self.partition.end_offset for at in taken)
        for each in got:
            for at in range(each.first_offset, each.last_offset + 1):
                self._hold(member, at, each.delivery_count)

    def _hold(self, member: str, offset: int, delivery_count: int) -> None:
        twin = self.twins.get(offset)
        if twin is None:
            return  # no record there: its member will say so
        assert not twin.is_done and not twin.holder and not twin.is_changing
        twin.holder, twin.until_ms = member, self.now_ms + LOCK_MS
        twin.deliveries += 1
        assert twin.deliveries == delivery_count <= LIMIT

    def _held(self) -> list[Run]:
        return [run for run in self.partition.runs if run.is_locked]

    @precondition(lambda self: self._held())
    @rule(kind=st.sampled_from(KINDS), data=st.data(), is_kept=st.sampled_from((True, False, None)))
    def acknowledge_a_run(self, kind: AcknowledgeType, data: st.DataObject, is_kept: bool | None) -> None:
        run = data.draw(st.sampled_from(self._held()))
        self._acknowledge(run.member_id, run.first_offset, run.last_offset, [kind], is_kept)

    @precondition(lambda self: self._held())
    @rule(kind=st.sampled_from(KINDS), data=st.data(), is_kept=st.sampled_from((True, True, False, None)))
    def acknowledge_a_part(self, kind: AcknowledgeType, data: st.DataObject, is_kept: bool | None) -> None:
        run = data.draw(st.sampled_from(self._held()))
        first = data.draw(st.integers(run.first_offset, run.last_offset))
        last = data.draw(st.integers(first, run.last_offset))
        if data.draw(st.booleans()):
            types = [data.draw(st.sampled_from(KINDS)) for _ in range(first, last + 1)]
        else:
            types = [kind]
        self._acknowledge(run.member_id, first, last, types, is_kept)

    def _acknowledge(
        self, member: str, first: int, last: int, types: list[AcknowledgeType], is_kept: bool | None
    ) -> None:
        changed = self.partition.acknowledge(member, [Acknowledgements(first, last, types)], self.now_ms)
        said = types * (last - first + 1) if len(types) == 1 else types
        for offset, one in zip(range(first, last + 1), said, strict=True):
            twin = self.twins.get(offset)
            if twin is None:
                continue
            assert twin.holder == member
            twin.is_changing = True
            twin.is_done = one is not AcknowledgeType.RELEASE or twin.deliveries >= LIMIT
        self._write(changed, is_kept)

    @rule(member=members, first=st.integers(0, 60), size=st.integers(1, 10))
    def acknowledge_anything(self, member: str, first: int, size: int) -> None:
        """What a member does not hold it cannot acknowledge, and a refusal changes nothing."""
        last = first + size - 1
        before = [repr(run) for run in self.partition.runs]
        wanted = range(max(first, self.partition.start_offset), last + 1)
        held = {
            offset
            for run in self.partition.runs
            if run.is_locked and run.member_id == member
            for offset in range(run.first_offset, run.last_offset + 1)
        }
        if all(offset in held or offset not in self.twins for offset in wanted):
            return
        try:
            self.partition.acknowledge(member, [Acknowledgements(first, last, [AcknowledgeType.ACCEPT])], self.now_ms)
        except KafkaError:
            after: list[tuple[int, str]] = _by_offset(self.partition)
            assert after == _expanded(before)
        else:
            raise AssertionError("it was not refused")

    @rule(member=members, often=st.integers(0, 4))
    def leave(self, member: str, often: int) -> None:
        if often == 0:
            self._leave(member)

    def _leave(self, member: str) -> None:
        changed = self.partition.release(member)
        for twin in self.twins.values():
            if twin.holder == member and not twin.is_changing:
                twin.is_changing = True
                twin.is_done = twin.deliveries >= LIMIT
        self._write(changed, True)

    # the store

    def _write(self, changed: list[Run], is_kept: bool | None) -> None:
        """The write succeeds, fails, or is answered later (None)."""
        self.writes.append((changed, self.partition.start_offset, kept_batches(changed)))
        if is_kept is not None:
            self._answer(is_kept)

    @precondition(lambda self: self.writes)
    @rule(is_kept=st.booleans())
    def answer_write(self, is_kept: bool) -> None:
        self._answer(is_kept)

    def _answer(self, is_kept: bool) -> None:
        """Writes are answered in order; the first refusal is not the last."""
        while self.writes:
            changed, start, batches = self.writes.pop(0)
            if is_kept:
                self._keep(batches, start)
            for run in changed:
                for offset in range(run.first_offset, run.last_offset + 1):
                    twin = self.twins.get(offset)
                    if twin is not None and twin.is_changing:
                        self._end_change(twin, run, is_kept)
            self.partition.complete(changed, is_kept, self.now_ms)

    def _end_change(self, twin: Twin, run: Run, is_kept: bool) -> None:
        assert run.undo is not None
        twin.is_changing = False
        if is_kept:
            twin.holder = ""
        else:
            twin.is_done = False
            if twin.until_ms <= self.now_ms:
                twin.holder = ""
                twin.is_done = twin.deliveries >= LIMIT

    def _keep(self, batches: list[StateBatch], start: int | None = None) -> None:
        start = max(self.kept[0], self.partition.start_offset if start is None else start)
        self.kept = (start, list(combined([*self.kept[1], *batches], start)))

    @rule(often=st.integers(0, 9))
    def restart(self, often: int) -> None:
        """What was not kept is forgotten: such records come again, and none that was done with and kept."""
        if often:
            return
        start, batches = self.kept
        self.writes = []
        self.partition = SharePartition(start, batches, self.settings)
        self.partition.on_log_start(self.log_start)
        self.highest_start = self.partition.start_offset
        known = {offset: batch for batch in batches for offset in range(batch.first_offset, batch.last_offset + 1)}
        for offset, twin in self.twins.items():
            batch = known.get(offset)
            twin.holder, twin.is_changing = "", False
            if batch is None:
                twin.is_done, twin.deliveries = offset < start, 0
            else:
                twin.is_done, twin.deliveries = batch.delivery_state != 0 or offset < start, batch.delivery_count

    # what always holds

    @invariant()
    def the_start_never_goes_back_nor_passes_what_is_not_done(self) -> None:
        start = self.partition.start_offset
        assert start >= self.highest_start
        self.highest_start = start
        for offset, twin in self.twins.items():
            if offset < start:
                assert twin.is_done and not twin.is_changing

    @invariant()
    def runs_say_what_the_twins_say(self) -> None:
        expected = self.partition.start_offset
        for run in self.partition.runs:
            assert run.first_offset == expected
            expected = run.last_offset + 1
            for offset in range(run.first_offset, run.last_offset + 1):
                twin = self.twins.get(offset)
                if twin is not None:
                    assert run.is_terminal == twin.is_done, (run, twin)
                    assert (run.undo is not None) == twin.is_changing
                    if not twin.is_changing:
                        assert run.member_id == twin.holder
        assert expected == self.partition.end_offset

    def teardown(self) -> None:
        """Everybody stays until all is done: nothing is left out."""
        self._answer(True)
        for member in MEMBERS:
            self._leave(member)
        for _ in range(1000):
            offset = self.partition.next_fetch_offset()
            batches = [batch for batch in self.log if batch.last_offset >= max(offset, self.log_start)]
            got = self.partition.acquire("a", AcquireWish(10, 10), offset, batches, self.now_ms)
            if not got:
                break
            said = [Acknowledgements(each.first_offset, each.last_offset, [AcknowledgeType.ACCEPT]) for each in got]
            for each in got:
                for at in range(each.first_offset, each.last_offset + 1):
                    self._hold("a", at, each.delivery_count)
                    if at in self.twins:
                        self.twins[at].holder, self.twins[at].is_done = "", True
            self.partition.complete(self.partition.acknowledge("a", said, self.now_ms), True, self.now_ms)
        assert all(twin.is_done for twin in self.twins.values())
        assert self.partition.start_offset >= max(self.twins, default=-1) + 1


def _expanded(texts: list[str]) -> list[tuple[int, str]]:
    """Of each offset what its run said."""
    found = []
    for text in texts:
        span, _, rest = text.partition(" ")
        first, last = (int(part) for part in span.split("-"))
        found += [(offset, rest) for offset in range(first, last + 1)]
    return found


def _by_offset(partition: SharePartition) -> list[tuple[int, str]]:
    return _expanded([repr(run) for run in partition.runs])


SharePartitionTwin.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestSharePartitionTwin = SharePartitionTwin.TestCase
