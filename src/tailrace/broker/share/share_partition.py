"""Share partition: one partition as one share group consumes it. A state machine; it waits for nothing.

    AVAILABLE --acquire--> ACQUIRED --accept--> ACKNOWLEDGED
        ^                     |-----reject, gap----> ARCHIVED
        |---release, lock ran out, member gone       ^
        |---the same at the delivery limit-----------|

Invariant: start_offset <= first run, runs without gap up to end_offset; everything below `start_offset` is done with
and everything from `end_offset` on was never delivered. `start_offset` never goes back. A record is acquired by one
member at a time. An acknowledgement changes runs at once and is kept or undone as a whole by `complete`.
Offsets whose fate nobody noted (a broker ended while they were acquired) are available when the state is loaded, so
no record is lost. Not its business: reading the log, the store, timers.
Source: KIP-932, KIP-1206, KIP-1222; Kafka SharePartition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from math import inf

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.share import acquiring
from tailrace.broker.share.requests import (
    Acknowledgements,
    AcknowledgeType,
    Acquired,
    AcquireWish,
    BatchSpan,
    ShareSettings,
)
from tailrace.broker.share.runs import RecordState, Run, Runs, Undo
from tailrace.coordinator.share_state.ports import StateBatch

_NEW_STATES = {
    AcknowledgeType.GAP: RecordState.ARCHIVED,
    AcknowledgeType.ACCEPT: RecordState.ACKNOWLEDGED,
    AcknowledgeType.RELEASE: RecordState.AVAILABLE,
    AcknowledgeType.REJECT: RecordState.ARCHIVED,
}


class SharePartition:
    """The state of the records in flight. Times are of a monotonic clock, in ms."""

    __slots__ = ("_may_be_available", "end_offset", "runs", "settings", "start_offset")

    def __init__(self, start_offset: int, batches: Iterable[StateBatch], settings: ShareSettings) -> None:
        """As it was kept. Raises UNKNOWN_SERVER_ERROR for batches that fall or overlap."""
        self.settings = settings
        self.runs = Runs()
        self.start_offset = start_offset
        """First offset that is not done with."""
        self.end_offset = start_offset
        """First offset that was never acquired."""
        for batch in batches:
            self._load(batch)
        self._may_be_available = len(self.runs) > 0
        self._move_start()

    def _load(self, batch: StateBatch) -> None:
        first = max(batch.first_offset, self.start_offset)
        if first < self.end_offset or batch.last_offset < first:
            raise KafkaError(ErrorCode.UNKNOWN_SERVER_ERROR, f"The state that was kept is not in order at {batch}.")
        if first > self.end_offset:
            self.runs.append(Run(self.end_offset, first - 1, RecordState.AVAILABLE, 0))
        self.runs.append(Run(first, batch.last_offset, RecordState(batch.delivery_state), batch.delivery_count))
        self.end_offset = batch.last_offset + 1

    # -- what there is ---------------------------------------------------------------------------------------------

    @property
    def in_flight_count(self) -> int:
        """Offsets between start and end: what the lock limit bounds."""
        return self.end_offset - self.start_offset

    @property
    def delivery_complete_count(self) -> int:
        """Offsets from the start on that are done with: what a group's lag leaves out."""
        return self.runs.done_count()

    @property
    def is_at_rest(self) -> bool:
        """Whether no record is held and no change is under way: nothing is lost with the memory of it."""
        return all(run.undo is None and run.state is not RecordState.ACQUIRED for run in self.runs)

    def next_fetch_offset(self) -> int:
        """From where to read: the first record that is available again, else the end."""
        if self._may_be_available:
            for run in self.runs:
                if run.is_available:
                    return run.first_offset
            self._may_be_available = False
        return self.end_offset

    def can_acquire(self) -> bool:
        """Whether reading is of use: something is available again, or the lock limit leaves room."""
        return (
            self.in_flight_count < self.settings.partition_max_record_locks
            or self.next_fetch_offset() < self.end_offset
        )

    def next_expiry_ms(self) -> float:
        """When the first lock runs out; infinite where there is none."""
        return min((run.lock_until_ms for run in self.runs if run.is_locked), default=inf)

    # -- acquiring -------------------------------------------------------------------------------------------------

    def acquire(
        self, member_id: str, wish: AcquireWish, fetch_offset: int, batches: Sequence[BatchSpan], now_ms: float
    ) -> list[Acquired]:
        """Lock records of `batches`, which were read at `fetch_offset`, for a member; by rising offset."""
        if wish.max_records <= 0 or not batches or batches[-1].last_offset < self.start_offset:
            return []
        self._archive_available(fetch_offset, batches[0].base_offset - 1)
        for batch in batches:
            if batch.is_aborted:
                self._archive_available(batch.base_offset, batch.last_offset)
        taken = acquiring.again(self.runs, self.settings, wish, batches)
        if taken.may_go_on and batches[-1].last_offset >= self.end_offset:
            room = self.settings.partition_max_record_locks - self.in_flight_count
            made = acquiring.anew(self.end_offset, wish, min(taken.left, room), batches)
            for run in made:
                self.runs.append(run)
                self.end_offset = run.last_offset + 1
            taken.runs.extend(run for run in made if run.state is RecordState.ACQUIRED)
        for run in taken.runs:
            run.member_id = member_id
            run.lock_until_ms = now_ms + self.settings.record_lock_duration_ms
        self._move_start()
        return [Acquired(run.first_offset, run.last_offset, run.delivery_count) for run in taken.runs]

    def _archive_available(self, first_offset: int, last_offset: int) -> None:
        """Nothing is there to be delivered: give the offsets up where they wait for it."""
        for run in self.runs.overlapping(first_offset, last_offset):
            if run.is_available:
                self.runs.cut(run, first_offset, last_offset).state = RecordState.ARCHIVED

    # -- acknowledging ---------------------------------------------------------------------------------------------

    def acknowledge(self, member_id: str, batches: Iterable[Acknowledgements], now_ms: float) -> list[Run]:
        """Change what the member says; answers the changed runs, to be kept and then given to `complete`.

        Offsets below the start are passed over: they were given up meanwhile. Raises INVALID_RECORD_STATE where the
        member does not hold a record, INVALID_REQUEST beyond what was acquired; then nothing is changed but locks that
        were renewed.
        """
        changed: list[Run] = []
        try:
            for batch in batches:
                if batch.last_offset >= self.start_offset:
                    self._check_range(batch)
                    for first, last, kind in _by_type(batch):
                        self._say(member_id, max(first, self.start_offset), last, kind, now_ms, changed)
        except KafkaError:
            self.complete(changed, False, now_ms)
            raise
        return changed

    def _check_range(self, batch: Acknowledgements) -> None:
        if not len(self.runs):
            raise KafkaError(ErrorCode.INVALID_RECORD_STATE, "None of the records is in flight.")
        if batch.last_offset >= self.end_offset:
            raise KafkaError(
                ErrorCode.INVALID_REQUEST, f"Offset {batch.last_offset} is beyond the records that were acquired."
            )

    def _say(
        self, member_id: str, first: int, last: int, kind: AcknowledgeType, now_ms: float, changed: list[Run]
    ) -> None:
        for run in self.runs.overlapping(first, last):
            if run.state is RecordState.ARCHIVED and not run.delivery_count:
                continue  # never delivered: a hole in the log between two batches
            if not run.is_locked:
                raise KafkaError(ErrorCode.INVALID_RECORD_STATE, f"Offset {run.first_offset} is not acquired.")
            if run.member_id != member_id:
                raise KafkaError(
                    ErrorCode.INVALID_RECORD_STATE, f"Offset {run.first_offset} is acquired by another member."
                )
            part = self.runs.cut(run, first, last)
            if kind is AcknowledgeType.RENEW:
                part.lock_until_ms = now_ms + self.settings.record_lock_duration_ms
            else:
                self._start(part, _NEW_STATES[kind])
                changed.append(part)

    def release(self, member_id: str) -> list[Run]:
        """Take back all that a member holds, which goes: as if it released each record. As `acknowledge`."""
        changed = [run for run in self.runs if run.is_locked and run.member_id == member_id]
        for run in changed:
            self._start(run, RecordState.AVAILABLE)
        return changed

    def _start(self, run: Run, state: RecordState) -> None:
        """Change a run until `complete` says whether that is so."""
        run.undo = Undo(run.state, run.member_id)
        run.state = self._at_limit(state, run.delivery_count)
        run.member_id = ""

    def _at_limit(self, state: RecordState, delivery_count: int) -> RecordState:
        if state is RecordState.AVAILABLE and delivery_count >= self.settings.delivery_count_limit:
            return RecordState.ARCHIVED
        return state

    def complete(self, changed: Iterable[Run], is_kept: bool, now_ms: float) -> None:
        """The change was kept, or is undone. A lock that ran out meanwhile is not taken up again."""
        for run in changed:
            undo, run.undo = run.undo, None
            assert undo is not None
            if not is_kept:
                run.state, run.member_id = undo
                if run.lock_until_ms <= now_ms:
                    self._unlock(run)
            self._may_be_available |= run.state is RecordState.AVAILABLE
        self._move_start()

    # -- what happens to it ----------------------------------------------------------------------------------------

    def expire(self, now_ms: float) -> list[Run]:
        """Take back what was held for too long; answers the runs, whose new state is in force and to be kept."""
        expired = [run for run in self.runs if run.is_locked and run.lock_until_ms <= now_ms]
        for run in expired:
            self._unlock(run)
            self._may_be_available |= run.state is RecordState.AVAILABLE
        return expired

    def _unlock(self, run: Run) -> None:
        run.state = self._at_limit(RecordState.AVAILABLE, run.delivery_count)
        run.member_id = ""

    def settle(self) -> None:
        """What expired is kept as far as it can be: go on from there."""
        self._move_start()

    def on_log_start(self, log_start_offset: int) -> None:
        """The log begins there: what is below it is given up, acquired or not."""
        if log_start_offset <= self.start_offset:
            return
        self.runs.drop_below(log_start_offset)
        self.start_offset = log_start_offset
        self.end_offset = max(self.end_offset, log_start_offset)
        self._move_start()

    def _move_start(self) -> None:
        end = self.runs.drop_done()
        if end is not None:
            assert self.start_offset < end <= self.end_offset
            self.start_offset = end


def kept_batches(runs: Iterable[Run]) -> list[StateBatch]:
    """What is to be kept of changed runs: neighbours of one fate together."""
    batches: list[StateBatch] = []
    for run in sorted(runs, key=lambda run: run.first_offset):
        made = StateBatch(run.first_offset, run.last_offset, run.state, run.delivery_count)
        last = batches[-1] if batches else None
        if last is not None and last.last_offset + 1 == made.first_offset and last[2:] == made[2:]:
            batches[-1] = last._replace(last_offset=made.last_offset)
        else:
            batches.append(made)
    return batches


def _by_type(batch: Acknowledgements) -> Iterator[tuple[int, int, AcknowledgeType]]:
    """Ranges of one type each."""
    if len(batch.types) == 1:
        yield batch.first_offset, batch.last_offset, AcknowledgeType(batch.types[0])
        return
    first = batch.first_offset
    for kind, same in groupby(batch.types):
        count = sum(1 for _ in same)
        yield first, first + count - 1, AcknowledgeType(kind)
        first += count
