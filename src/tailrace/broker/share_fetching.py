"""One member's fetch on its way: reads ahead of what it acquires, and waits until that is worth an answer.

In each look every partition's next offset is read as far as its batches' headers; only if that is worth an answer are
records acquired, all in one step of the loop. So no lock is held while anything is waited for, and two members never
get the same record, though they may read it at the same time. Record bytes go from the segment to the socket, but for
a few that leave with the answer. Source: Kafka DelayedShareFetch, ShareFetchUtils.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from tailrace.base.disk import File
from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.limits import COLD_WAIT_MAX_MS, FETCH_FILES_MAX, INLINE_MAX_BYTES, INLINE_TOTAL_MAX_BYTES
from tailrace.base.page_cache import NotResident
from tailrace.base.pending import Pending
from tailrace.broker.services import Services
from tailrace.broker.share.batch_spans import batch_spans
from tailrace.broker.share.live_partition import LivePartition
from tailrace.broker.share.requests import AcquireWish, BatchSpan, ShareSettings
from tailrace.broker.share.share_sessions import ShareSession, TopicIdPartition
from tailrace.net.handler import FileRange
from tailrace.net.timers import Timer
from tailrace.replication.partition import IsolationLevel, Partition
from tailrace.wire.messages.share_fetch import AcquiredRecords, PartitionData, ShareFetchRequest

STRICT_MODE = 1


class Fetched(NamedTuple):
    """What a fetch found, or why the whole of it failed."""

    partitions: dict[TopicIdPartition, PartitionData]
    error: KafkaError | None = None


class _Reading(NamedTuple):
    """What can be had of one partition."""

    live: LivePartition
    offset: int
    file: File
    size: int
    batches: list[BatchSpan]


class ShareFetching:
    """The fetching part of one ShareFetch. Completes `fetched` once."""

    __slots__ = (
        "_acquirable",
        "_broken",
        "_errors",
        "_fetched",
        "_inline_left",
        "_is_over",
        "_keys",
        "_loading",
        "_max_bytes",
        "_min_bytes",
        "_missing",
        "_request",
        "_scheduled",
        "_scope",
        "_services",
        "_session",
        "_session_epoch",
        "_settings",
        "_timer",
        "_waiting_on",
    )

    def __init__(
        self,
        services: Services,
        request: ShareFetchRequest,
        session: ShareSession,
        settings: ShareSettings,
        fetched: Pending[Fetched],
    ) -> None:
        self._services = services
        self._request = request
        self._session = session
        self._session_epoch = session.epoch
        self._settings = settings
        self._fetched = fetched
        self._max_bytes = min(request.max_bytes, services.settings.integer("fetch.max.bytes"))
        self._min_bytes = min(request.min_bytes, self._max_bytes)
        self._keys = _rotated(list(session.partitions), request.share_session_epoch)
        self._acquirable: list[TopicIdPartition] = []
        """Partitions that the latest look read, whether or not there was anything."""
        self._errors: dict[TopicIdPartition, KafkaError] = {}
        self._missing: list[tuple[TopicIdPartition, NotResident]] = []
        self._broken: dict[TopicIdPartition, StorageError] = {}
        """What could not be loaded."""
        self._loading = 0
        self._scheduled = False
        self._is_over = False
        """Whether `max_wait_ms` has passed: what still waits, waits for the disk."""
        self._scope = services.cold_reads.scope()
        self._waiting_on: dict[LivePartition, None] = {}
        self._timer: Timer | None = None
        self._inline_left = INLINE_TOTAL_MAX_BYTES

    def start(self) -> None:
        """Look, and answer or wait."""
        if not self._keys or self._max_bytes <= 0 or self._request.max_records <= 0:
            self._fetched.complete(Fetched({}))
            return
        self._is_over = self._request.max_wait_ms <= 0
        self._look()
        if self._fetched.done:
            return
        wait_ms = COLD_WAIT_MAX_MS if self._is_over else self._request.max_wait_ms
        self._timer = self._services.timers.schedule(wait_ms, self._on_time)

    # -- looking ---------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        if not self._is_session_open():
            self._finish(Fetched({}, KafkaError(ErrorCode.SHARE_SESSION_NOT_FOUND)))
            return
        self._errors = {}
        self._missing = []
        with self._scope:
            readings = self._readings()
        if self._missing:
            self._load_missing()
        elif self._is_over or self._is_enough(readings):
            self._finish(Fetched(self._acquired(readings)))

    def _is_session_open(self) -> bool:
        session = self._session
        return self._services.share.sessions.is_open(session) and session.epoch == self._session_epoch

    def _is_enough(self, readings: list[_Reading]) -> bool:
        if len(self._errors) == len(self._keys):
            return True
        return bool(readings) and sum(reading.size for reading in readings) >= self._min_bytes

    def _readings(self) -> list[_Reading]:
        """What can be had now; `_errors` and `_missing` have the partitions where that cannot be told."""
        lives = [live for key in self._keys if (live := self._live(key)) is not None]
        self._acquirable = [(live.key.topic_id, live.key.partition) for live in lives]
        limit = max(self._max_bytes // max(len(lives), 1), 1)
        readings: list[_Reading] = []
        for live in lives:
            if len(readings) == FETCH_FILES_MAX:
                break
            key = (live.key.topic_id, live.key.partition)
            try:
                reading = self._read(live, limit, min_one_batch=not readings)
            except NotResident as missing:
                self._missing.append((key, missing))
            except KafkaError as error:
                self._errors[key] = error
            except StorageError as error:
                self._services.on_storage_error(error)
                self._errors[key] = KafkaError(ErrorCode.KAFKA_STORAGE_ERROR)
            else:
                if reading is not None:
                    readings.append(reading)
        return readings

    def _live(self, key: TopicIdPartition) -> LivePartition | None:
        """The share partition where reading is of use; told when that changes."""
        try:
            if key in self._broken:
                raise self._broken[key]
            live = self._services.share.of(self._session.group_id, *key, self._settings)
        except NotResident as missing:  # of a log that has to be opened first
            self._missing.append((key, missing))
            return None
        except KafkaError as error:
            self._errors[key] = error
            return None
        except StorageError as error:
            self._services.on_storage_error(error)
            self._errors[key] = KafkaError(ErrorCode.KAFKA_STORAGE_ERROR)
            return None
        if live not in self._waiting_on:
            self._waiting_on[live] = None
            live.add_waiter(self._on_progress)
            live.partition.add_waiter(self._on_records)
        return live if live.state is not None and live.state.can_acquire() else None

    def _read(self, live: LivePartition, max_bytes: int, min_one_batch: bool) -> _Reading | None:
        partition, state = live.partition, live.state
        assert state is not None
        state.on_log_start(partition.log_start_offset)
        offset = state.next_fetch_offset()
        if offset > partition.log_end_offset:
            return None  # the log lost its end, and grows again
        isolation = self._settings.isolation_level
        found = partition.read(offset, max_bytes, isolation, min_one_batch)
        if found.file is None:
            return None
        aborted = []
        if isolation == IsolationLevel.READ_COMMITTED:
            aborted = partition.log.aborted_transactions(found.first_offset, partition.last_stable_offset)
        wanted = min(self._request.max_records, self._settings.partition_max_record_locks)
        until = max(offset, state.end_offset) + wanted - 1
        batches = batch_spans(found.file, found.position, found.size, until, aborted)
        return _Reading(live, offset, found.file, found.size, batches) if batches else None

    # -- acquiring -------------------------------------------------------------------------------------------------

    def _acquired(self, readings: list[_Reading]) -> dict[TopicIdPartition, PartitionData]:
        found: dict[TopicIdPartition, PartitionData] = {}
        left = self._request.max_records
        is_strict = self._request.share_acquire_mode == STRICT_MODE
        for reading in readings:
            live = reading.live
            data = PartitionData(live.key.partition)
            data.records = b""
            wish = AcquireWish(left, max(self._request.batch_size, 1), is_strict)
            acquired = live.acquire(self._session.member_id, wish, reading.offset, reading.batches)
            if acquired:
                data.acquired_records = [AcquiredRecords(*each) for each in acquired]
                data.records = self._records(reading, acquired[0].first_offset, acquired[-1].last_offset)
                left -= sum(each.last_offset - each.first_offset + 1 for each in acquired)
            found[live.key.topic_id, live.key.partition] = data
        for key in self._acquirable:
            if key not in found and key not in self._errors:
                found[key] = PartitionData(key[1])
                found[key].records = b""
        for key, error in self._errors.items():
            data = found[key] = PartitionData(key[1], error.code, error.message)
            data.records = b""
        return self._told(found)

    def _records(self, reading: _Reading, first_offset: int, last_offset: int) -> bytes:
        """The batches with records in the range, as they are in the file."""
        wanted = [
            each for each in reading.batches if each.base_offset <= last_offset and each.last_offset >= first_offset
        ]
        position = wanted[0].position
        size = wanted[-1].position + wanted[-1].size - position
        if size <= min(INLINE_MAX_BYTES, self._inline_left):
            try:
                with self._scope:
                    records = reading.file.pread(size, position)
            except (NotResident, StorageError):
                pass  # the connection, which may wait, meets it
            else:
                self._inline_left -= size
                return records
        self._services.cold_reads.follow(reading.file, position, size)
        return FileRange(reading.file, position, size)  # type: ignore[return-value]

    def _told(self, found: dict[TopicIdPartition, PartitionData]) -> dict[TopicIdPartition, PartitionData]:
        """What must be said: once the session goes on, partitions without news are left out."""
        if self._request.share_session_epoch == 0:
            return found
        partitions = self._session.partitions
        for key in list(found):
            data = found[key]
            if data.records or data.error_code or partitions.get(key):
                if key in partitions:
                    partitions[key] = data.error_code != 0
            else:
                del found[key]
        return found

    # -- waiting ---------------------------------------------------------------------------------------------------

    def _on_records(self, _: Partition) -> None:
        self._on_progress()

    def _on_progress(self) -> None:
        """Something changed: look again, once, when the loop's turn is done with what else changes."""
        if not self._scheduled:
            self._scheduled = True
            self._services.call_soon(self._look_again)

    def _look_again(self) -> None:
        self._scheduled = False
        if not self._fetched.done and not self._loading:
            self._look()

    def _load_missing(self) -> None:
        self._loading = len(self._missing)
        for key, missing in self._missing:
            self._services.cold_reads.load(missing, partial(self._on_loaded, key, missing))

    def _on_loaded(self, key: TopicIdPartition, missing: NotResident, error: OSError | None) -> None:
        if error is not None:
            self._broken[key] = StorageError("read", str(missing.path), error)
        self._loading -= 1
        if not self._loading:
            self._look_again()

    def _on_time(self) -> None:
        if self._fetched.done:
            return
        if self._loading and not self._is_over:
            assert self._timer is not None
            self._is_over = True
            self._timer.reset(COLD_WAIT_MAX_MS)
            return
        if self._loading:  # the disk hangs
            self._finish(Fetched({}))
            return
        self._is_over = True
        self._look()

    def _finish(self, found: Fetched) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for live in self._waiting_on:
            live.remove_waiter(self._on_progress)
            live.partition.remove_waiter(self._on_records)
        self._fetched.complete(found)


def _rotated(keys: list[TopicIdPartition], epoch: int) -> list[TopicIdPartition]:
    """Another one goes first each time, so that none starves."""
    if len(keys) < 2 or epoch < 1:
        return keys
    at = epoch % len(keys)
    return keys[at:] + keys[:at]
