"""The share coordinator: finds a key's partition, gives each key its turns, and keeps the topic short.

    operation ──> partition of the key ──> its turn ──> state's next record ──> append ──> committed: replay, answer
                    not here: NOT_COORDINATOR                                    refused: answer the error
                    loading:  COORDINATOR_LOAD_IN_PROGRESS

Invariant: a state is what its partition's committed records say; a write that was answered with success is there after
any crash. Not its business: what the offsets mean, who may consume them. Source: Kafka's `ShareCoordinatorService`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Answer, Pending
from tailrace.cluster.image import MetadataImage
from tailrace.coordinator.decision import Decision
from tailrace.coordinator.limits import RECORDS_PER_STEP
from tailrace.coordinator.partitioning import partition_for
from tailrace.coordinator.ports import CoordinatorRecord, PartitionWriter, Timers
from tailrace.coordinator.share_state import state as states
from tailrace.coordinator.share_state.limits import COLD_SNAPSHOT_MS, PRUNE_INTERVAL_MS
from tailrace.coordinator.share_state.ports import (
    UNCHANGED,
    PartitionState,
    SharePartitionKey,
    StateSummary,
    StateWrite,
)
from tailrace.coordinator.share_state.records import snapshot_record, state_tombstone, update_record
from tailrace.coordinator.share_state.settings import ShareStateSettings
from tailrace.coordinator.share_state.shard import ShareStateShard
from tailrace.coordinator.share_state.state import ShareState, Update
from tailrace.coordinator.turns import Limit, Turn, Turns, refuse_nobody, refuse_waiting

Refuse = Callable[[ErrorCode], None]


class StateLog(PartitionWriter, Protocol):
    """The coordinator's topic: what is appended is found again by offset, and what is not needed is deleted."""

    def next_offset(self, partition: int) -> int:
        """The offset that the next record appended gets."""
        ...

    def records_with_offsets(self, partition: int) -> Iterator[tuple[int, CoordinatorRecord]]:
        """Every committed record from the start of the log, in order."""
        ...

    def delete_before(self, partition: int, offset: int) -> bool:
        """Delete what is before `offset`. Whether it could be done; it is asked again at the next occasion."""
        ...


class ShareStateCoordinator:
    """Every method is called in the loop's thread and returns at once. A `ShareStateKeeper`."""

    def __init__(
        self,
        settings: ShareStateSettings,
        log: StateLog,
        timers: Timers,
        clock: Clock,
        image: Callable[[], MetadataImage],
    ) -> None:
        self.settings = settings
        self._log = log
        self._turns = Turns(log, Limit(timers, lambda: settings.share_coordinator_write_timeout_ms))
        self._clock = clock
        self._image = image
        self._shards: dict[int, ShareStateShard] = {}
        self._upkeep = timers.schedule(PRUNE_INTERVAL_MS, self._on_upkeep)

    # Partitions

    def partition_for(self, key_text: str) -> int:
        """Partition of `__share_group_state` that keeps this key (`SharePartitionKey.text`)."""
        return partition_for(key_text, self.settings.share_coordinator_state_topic_num_partitions)

    def load(self, partition: int) -> None:
        """Load a partition in one go, as `load_steps` does it."""
        deque(self.load_steps(partition), maxlen=0)

    def load_steps(self, partition: int) -> Iterator[None]:
        """This broker leads `partition`: its states are loading from now on, until the last of these steps.

        A step raises DecodeError for a record nobody can read, or as the log does: the partition is then not served.
        Once it is unloaded there are no more steps.
        """
        self.unload(partition)
        shard = self._shards[partition] = ShareStateShard(partition)
        return self._load(shard)

    def _load(self, shard: ShareStateShard) -> Iterator[None]:
        try:
            for count, (offset, record) in enumerate(self._log.records_with_offsets(shard.partition), 1):
                shard.replay(record, offset)
                if count % RECORDS_PER_STEP == 0:
                    yield
                    if shard.is_closed:
                        return
        except BaseException:
            if not shard.is_closed:
                self.unload(shard.partition)
            raise
        shard.is_loading = False

    def unload(self, partition: int) -> None:
        """This broker no longer leads `partition`: refuse what waits there, forget its states."""
        shard = self._shards.pop(partition, None)
        if shard is not None:
            shard.is_closed = True
            refuse_waiting(shard)

    def close(self) -> None:
        """Unload everything and stop the timer."""
        self._upkeep.cancel()
        for partition in list(self._shards):
            self.unload(partition)

    # Operations

    def read_state(self, key: SharePartitionKey, leader_epoch: int) -> Pending[PartitionState | ErrorCode]:
        """The state, for a leader: see `ShareStates`."""
        answer: Pending[PartitionState | ErrorCode] = Answer()

        def decide(shard: ShareStateShard) -> Decision | None:
            state = _known(shard, key)
            state.check_leader(leader_epoch)
            self._check_topic(key)
            if leader_epoch in (UNCHANGED, state.leader_epoch):
                answer.complete(state.read())
                return None
            return self._update(shard, key, state.led(leader_epoch), lambda: answer.complete(state.read()), refuse)

        def refuse(code: ErrorCode) -> None:
            answer.complete(code)

        self._submit(key, decide, refuse)
        return answer

    def write_state(self, key: SharePartitionKey, write: StateWrite) -> Pending[ErrorCode | None]:
        """What a leader has to say: see `ShareStates`."""
        answer: Pending[ErrorCode | None] = Answer()

        def decide(shard: ShareStateShard) -> Decision:
            state = _known(shard, key)
            state.check_leader(write.leader_epoch)
            state.check_state_epoch(write.state_epoch)
            self._check_topic(key)
            return self._update(shard, key, state.update(write), lambda: answer.complete(None), answer.complete)

        self._submit(key, decide, answer.complete)
        return answer

    def initialize_state(
        self, key: SharePartitionKey, state_epoch: int, start_offset: int
    ) -> Pending[ErrorCode | None]:
        """Make a state, or make it anew: see `ShareStateKeeper`."""
        answer: Pending[ErrorCode | None] = Answer()

        def decide(shard: ShareStateShard) -> Decision:
            made = states.initialized(shard.states.get(key), state_epoch, start_offset, self._clock.wall_ms())
            self._check_topic(key)
            return self._snapshot(shard, key, made, lambda: answer.complete(None), answer.complete)

        self._submit(key, decide, answer.complete)
        return answer

    def delete_state(self, key: SharePartitionKey) -> Pending[ErrorCode | None]:
        """Forget a state; one that does not exist is forgotten already."""
        answer: Pending[ErrorCode | None] = Answer()

        def decide(shard: ShareStateShard) -> Decision | None:
            self._check_topic(key)
            if key not in shard.states:
                answer.complete(None)
                return None
            return Decision([state_tombstone(key)], lambda: answer.complete(None), answer.complete)

        self._submit(key, decide, answer.complete)
        return answer

    def summary(self, key: SharePartitionKey) -> Pending[StateSummary | ErrorCode]:
        """How far the group has come: see `ShareStateKeeper`."""
        answer: Pending[StateSummary | ErrorCode] = Answer()

        def decide(shard: ShareStateShard) -> None:
            self._check_topic(key)
            state = shard.states.get(key)
            if state is None:
                answer.complete(StateSummary())
            else:
                count = state.delivery_complete_count
                answer.complete(StateSummary(state.state_epoch, state.leader_epoch, state.start_offset, count))

        def refuse(code: ErrorCode) -> None:
            answer.complete(code)

        self._submit(key, decide, refuse)
        return answer

    # Turns

    def _submit(
        self, key: SharePartitionKey, decide: Callable[[ShareStateShard], Decision | None], refuse: Refuse
    ) -> None:
        if not key.group_id or key.partition < 0:
            refuse(ErrorCode.INVALID_REQUEST)
            return
        text = key.text
        shard = self._shards.get(self.partition_for(text))
        if shard is None:
            refuse(ErrorCode.NOT_COORDINATOR)
        elif shard.is_loading:
            refuse(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
        else:
            self._turns.take(shard, text, Turn(partial(decide, shard), refuse))

    def _check_topic(self, key: SharePartitionKey) -> None:
        topic = self._image().topic_by_id(key.topic_id)
        if topic is None or key.partition >= len(topic.partitions):
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)

    def _update(
        self, shard: ShareStateShard, key: SharePartitionKey, update: Update, done: Callable[[], None], refuse: Refuse
    ) -> Decision:
        """The decision that says `update`: as an update, or in the snapshot that is due."""
        state = shard.states[key]
        if state.update_count >= self.settings.share_coordinator_snapshot_update_records_per_snapshot:
            return self._snapshot(shard, key, state.updated(update).snapshot(self._clock.wall_ms()), done, refuse)
        return Decision([update_record(key, update)], done, refuse)

    def _snapshot(
        self,
        shard: ShareStateShard,
        key: SharePartitionKey,
        state: ShareState,
        done: Callable[[], None],
        refuse: Refuse,
    ) -> Decision:
        offset = self._log.next_offset(shard.partition)

        def commit() -> None:
            shard.snapshot_offsets[key] = offset
            done()

        return Decision([snapshot_record(key, state)], commit, refuse)

    # Upkeep

    def _on_upkeep(self) -> None:
        self._upkeep.reset(PRUNE_INTERVAL_MS)
        self.snapshot_cold_states()
        self.prune()

    def snapshot_cold_states(self) -> None:
        """Write again what nobody changed for long, once, so that what is older can be deleted."""
        until_ms = self._clock.wall_ms() - COLD_SNAPSHOT_MS
        for shard in list(self._shards.values()):
            if not shard.is_loading and not all(state.is_cold for state in shard.states.values()):
                for key in [key for key, state in shard.states.items() if state.written_ms <= until_ms]:
                    turn = Turn(partial(self._snapshot_cold, shard, key, until_ms), refuse_nobody)
                    self._turns.take(shard, key.text, turn)

    def _snapshot_cold(self, shard: ShareStateShard, key: SharePartitionKey, until_ms: int) -> Decision | None:
        state = shard.states.get(key)
        if state is None or state.written_ms > until_ms:
            return None
        return self._snapshot(shard, key, state.cold_snapshot(self._clock.wall_ms()), _nothing, refuse_nobody)

    def prune(self) -> None:
        """Delete what is below the oldest snapshot that counts."""
        for shard in self._shards.values():
            if shard.is_loading or shard.turns:
                continue  # not all snapshots are known, or one may be on its way into the log
            needed_from = shard.needed_from(self._log.next_offset(shard.partition))
            if needed_from > shard.pruned_to and self._log.delete_before(shard.partition, needed_from):
                shard.pruned_to = needed_from

    def on_topics_deleted(self) -> None:
        """Forget the states of topics that are gone."""
        image = self._image()
        for shard in list(self._shards.values()):
            for key in [key for key in shard.states if image.topic_by_id(key.topic_id) is None]:
                self._turns.take(shard, key.text, Turn(partial(_forget, shard, key), refuse_nobody))


def _known(shard: ShareStateShard, key: SharePartitionKey) -> ShareState:
    state = shard.states.get(key)
    if state is None:
        raise KafkaError(ErrorCode.INVALID_REQUEST)
    return state


def _forget(shard: ShareStateShard, key: SharePartitionKey) -> Decision | None:
    return Decision([state_tombstone(key)], _nothing, refuse_nobody) if key in shard.states else None


def _nothing() -> None:
    """Nobody waits for upkeep."""
