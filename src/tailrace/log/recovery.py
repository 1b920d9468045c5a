"""Opening a log: which files count, what is mended, where it ends.

    1. `.deleted`, `.cleaned`, `.tmp` go; a `.swap` that was whole is finished, the segments it replaces go
    2. segments in order; indexes without a log go; a segment without sane index files is rebuilt
    3. after an unclean stop all that lies above the recovery point is read: CRC of each batch, indexes written again;
       the first bad batch ends the log, and what lies beyond goes. The segment the recovery point lies in is read from
       there where its indexes fit the log, else whole
    4. a log that ends below its start offset is dropped and begins there
    5. epochs and producer state are brought to the log's end

Invariant: what is returned ends with a whole, valid batch; cost after a crash is what lies above the recovery point.
Source: Kafka LogLoader, LogSegment.recover.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from tailrace.base.disk import Disk, File
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.page_cache import Waiting
from tailrace.log import filenames as names
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.filenames import offset_of
from tailrace.log.leader_epochs import LeaderEpochs
from tailrace.log.producer_state import ProducerStates
from tailrace.log.recovery_progress import RecoveryProgress
from tailrace.log.segment import MAX_RELATIVE_OFFSET, Segment
from tailrace.log.segments import Segments
from tailrace.log.snapshots import Snapshots, aborted_txn, replay_batch
from tailrace.records.batch import HEADER_SIZE, LENGTH_OFFSET, LOG_OVERHEAD, MAGIC, MAGIC_OFFSET, RecordBatch

_READ_BYTES: Final = 1 << 20
_LEGACY_HEADER_SIZE: Final = 17
_LEGACY_MIN_SIZE: Final = 14
"""Of a message of format 0 after its size field; drawn in records/legacy.py."""
_SWAP_READ_BYTES: Final = 64 * 1024
_TEMPORARY_SUFFIXES: Final = (names.DELETED_SUFFIX, names.CLEANED_SUFFIX, ".tmp")
_INDEX_SUFFIXES: Final = (names.INDEX_SUFFIX, names.TIME_INDEX_SUFFIX, names.TXN_INDEX_SUFFIX)


class LoadedLog(NamedTuple):
    """What `load` found. Offsets as in `Log`."""

    segments: Segments
    snapshots: Snapshots
    leader_epochs: LeaderEpochs
    producer_states: ProducerStates
    log_start_offset: int
    log_end_offset: int
    recovery_point: int


class KnownOffsets(NamedTuple):
    """What the checkpoints say of a log."""

    recovery_point: int = 0
    log_start_offset: int = 0


NOTHING_KNOWN: Final = KnownOffsets()


def load(directory: Path, config: LogConfig, env: LogEnvironment, known: KnownOffsets, *, was_clean: bool) -> LoadedLog:
    """Open what is in `directory`.

    Raises StorageError; KafkaError(CORRUPT_MESSAGE) where a log said to be clean is not.
    """
    disk = env.disk
    recovery_point, log_start_offset = known
    found = _finish_swaps(disk, directory, _remove_temporary(disk, directory))
    opening = _Opening(directory, config, env, found)
    opening.open_segments(found)
    segments = opening.segments
    trusted_count = len(segments) if was_clean else segments.floor_index(recovery_point)
    opening.mend_indexes(trusted_count)
    if trusted_count < len(segments):
        with Waiting():
            recovery_point = opening.recover(trusted_count, recovery_point)
    end_offset = segments.active.next_offset() if len(segments) else -1
    if end_offset < log_start_offset:
        opening.drop_all()
    if not len(segments):
        opening.create(log_start_offset)
        end_offset = log_start_offset
    segments.active.resume()
    start_offset = max(log_start_offset, segments[0].base_offset)
    opening.finish(start_offset, end_offset)
    for segment in segments:
        segment.rest()
    return LoadedLog(
        segments,
        opening.snapshots,
        opening.leader_epochs,
        opening.producer_states,
        start_offset,
        end_offset,
        end_offset if was_clean else min(recovery_point, end_offset),
    )


def _remove_temporary(disk: Disk, directory: Path) -> list[str]:
    """Remove what a crash left half done; the names that stay."""
    found = disk.list(directory)
    cleaned = [_base_of(name) for name in found if name.endswith(names.CLEANED_SUFFIX)]
    # Compaction renames its `.cleaned` files to `.swap` from the highest offset down: with some `.cleaned` left, a
    # `.swap` at or above it is a part of an output that is not whole.
    first_cleaned = min((base for base in cleaned if base is not None), default=None)
    stay = []
    for name in found:
        base = _base_of(name)
        is_half_swap = (
            name.endswith(names.SWAP_SUFFIX)
            and first_cleaned is not None
            and base is not None
            and base >= first_cleaned
        )
        if name.endswith(_TEMPORARY_SUFFIXES) or is_half_swap:
            disk.remove(directory / name)
        else:
            stay.append(name)
    return stay


def _base_of(name: str) -> int | None:
    digits = name.split(".", 1)[0]
    return int(digits) if digits.isascii() and digits.isdigit() else None


def _finish_swaps(disk: Disk, directory: Path, found: list[str]) -> list[str]:
    """Replace the segments that a finished compaction wrote anew; the names after that."""
    swaps = [name for name in found if name.endswith(names.SWAP_SUFFIX)]
    if not swaps:
        return found
    replaced: set[int] = set()
    for name in swaps:
        base = offset_of(name.removesuffix(names.SWAP_SUFFIX), names.LOG_SUFFIX)
        if base is not None:
            end = _swap_end(disk, directory / name, base)
            bases = (offset_of(other, names.LOG_SUFFIX) for other in found)
            replaced.update(other for other in bases if other is not None and base <= other < end)
    for name in found:
        suffix = next((s for s in (names.LOG_SUFFIX, *_INDEX_SUFFIXES) if name.endswith(s)), None)
        if suffix is not None and offset_of(name, suffix) in replaced:
            disk.remove(directory / name)
    for name in swaps:
        disk.rename(directory / name, directory / name.removesuffix(names.SWAP_SUFFIX))
    disk.sync_directory(directory)
    return disk.list(directory)


def _swap_end(disk: Disk, path: Path, base: int) -> int:
    """Offset after the last batch of a `.swap` log, which was whole and synced before it got its name.

    The cleaner keeps at least the header of the last batch it read, so this lies above the base offset of every
    segment that went into it, but for empty ones, which may stay.
    """
    end = base + 1
    file = disk.open_existing(path)
    try:
        size = file.size()
        position = 0
        while size - position >= HEADER_SIZE:
            chunk = memoryview(file.pread(min(_SWAP_READ_BYTES, size - position), position))
            at = 0
            while len(chunk) - at >= HEADER_SIZE:
                batch = RecordBatch.parse_header(chunk[at : at + HEADER_SIZE])
                end = batch.next_offset
                at += batch.size
            position += at
    finally:
        file.close()
    return end


class _Opening:
    """State of one `load`."""

    def __init__(self, directory: Path, config: LogConfig, env: LogEnvironment, found: list[str]) -> None:
        self.directory = directory
        self.config = config
        self.env = env
        self.segments = Segments()
        self.snapshots = Snapshots(env.disk, directory, found)
        self.leader_epochs = LeaderEpochs(env.disk, directory / names.LEADER_EPOCHS)
        self.epochs_known = self.leader_epochs.load() and bool(self.leader_epochs.entries)
        self.epochs_on_disk = self.leader_epochs.entries
        self.progress = RecoveryProgress(env.on_recovery, directory)
        self.producer_states = ProducerStates()
        self.states_known = False

    def open_segments(self, found: list[str]) -> None:
        disk = self.env.disk
        bases = sorted(base for base in (offset_of(name, names.LOG_SUFFIX) for name in found) if base is not None)
        known = set(bases)
        for name in found:
            for suffix in _INDEX_SUFFIXES:
                base = offset_of(name, suffix)
                if base is not None and base not in known:
                    disk.remove(self.directory / name)
        for base in bases:
            self.segments.add(self._segment(base))

    def mend_indexes(self, count: int) -> None:
        """Rebuild the indexes of the first `count` segments where their files cannot be right.

        Those of the active one are read now anyway; the others are judged by their sizes.
        """
        for index, segment in enumerate(list(self.segments)[:count]):
            is_active = index + 1 == len(self.segments)
            if not (segment.has_sound_indexes() if is_active else segment.has_plausible_indexes()):
                with Waiting():
                    self._rebuild(index, segment)

    def _segment(self, base_offset: int) -> Segment:
        env = self.env
        interval_bytes = self.config.index_interval_bytes
        return Segment(env.disk, self.directory, base_offset, interval_bytes, env.clock.wall_ms(), env.open_files)

    def _rebuild(self, index: int, segment: Segment) -> None:
        """Write the indexes of a segment again from its headers; that its batches are whole is believed."""
        size = segment.size
        states = ProducerStates()
        has_aborted = self.env.disk.stat(segment.txn_index.path) is not None
        if has_aborted:  # what is in it is told by the batches alone, from the transactions that were open before
            self._restore(states, index, segment.base_offset)
        segment.start_rebuild()
        for position, batch in segment.headers(0, size):
            self._note(states if has_aborted else None, segment, position, batch)
        segment.seal()
        segment.flush()  # it lies below the recovery point, so the next start believes these too

    def _restore(self, states: ProducerStates, index: int, offset: int) -> None:
        """Bring `states` to `offset`, which lies in the segment at `index` or at its base."""
        self.snapshots.restore(states, _up_to(self.segments, index), offset)

    @staticmethod
    def _note(states: ProducerStates | None, segment: Segment, position: int, batch: RecordBatch) -> None:
        """Account for a batch in the indexes, and in `states`."""
        segment.note_present(position, batch)
        if states is None:
            return
        completed = replay_batch(states, segment, position, batch)
        if completed is not None and completed.is_aborted:
            segment.txn_index.append(aborted_txn(states, completed))
        states.map_end_offset = batch.next_offset

    def recover(self, first: int, recovery_point: int) -> int:
        """Read from the recovery point, in the segment at index `first`, to the end; end the log at a bad batch.

        Answers below which offset the log and its indexes are on the device.
        """
        suspects = list(self.segments)[first:]
        self.progress.begin(sum(segment.size for segment in suspects))
        segment = suspects[0]
        size = segment.size
        begin = self._rewind(first, recovery_point)
        is_whole = begin is None
        if begin is None:
            self._restore(self.producer_states, first, segment.base_offset)
            segment.start_rebuild()
            begin = 0, segment.base_offset
            recovery_point = segment.base_offset
        self.progress.advance(begin[0])
        # Epochs from here on are in the batches; the file may tell of batches that a power cut took.
        self.leader_epochs.truncate_from_end_in_memory(begin[1])
        self.epochs_known |= begin[1] <= self.segments[0].base_offset
        end = begin[1]
        while True:
            end = self._recover_segment(suspects.pop(0), (begin[0], end), size, recovery_point)
            if segment.size < size or not suspects or self._lacks_batches(end, suspects[0]):
                break
            segment.seal()  # the last one: when it rolls or is closed; its indexes are written when it is flushed
            segment = suspects[0]
            size = segment.size
            begin, end = (0, segment.base_offset), segment.base_offset
            segment.start_rebuild()
        # A log that ends below what was flushed lost it: what a snapshot says of that is not to be believed either.
        self.states_known = end >= recovery_point
        self.progress.finish(size - segment.size + sum(each.size for each in suspects), end)
        for segment in suspects:
            self._drop(segment)
        return recovery_point if is_whole else min(recovery_point, end)

    def _lacks_batches(self, end: int, following: Segment) -> bool:
        """Whether the power took the end of a segment, at a batch's end, and left the one after it: what follows a hole
        is not a log. Compaction leaves such holes too."""
        return end < following.base_offset and not self.config.compacts

    def _rewind(self, index: int, recovery_point: int) -> tuple[int, int] | None:
        """Bring the producers to the recovery point and the segment at `index` to before it: (position, offset).

        None where it must be read whole.
        """
        segment = self.segments[index]
        indexed = segment.indexed_below(recovery_point)
        if indexed is None:
            return None
        try:
            self._restore(self.producer_states, index, recovery_point)
        except KafkaError:  # a header that is none, below the recovery point
            return None
        position, batch = indexed
        return segment.rewind(position, batch, recovery_point), batch.next_offset

    def _recover_segment(self, segment: Segment, begin: tuple[int, int], size: int, replay_from: int) -> int:
        """Read a segment's file of `size` bytes from `begin`, (position, offset), and cut it after the last good batch.

        Its indexes tell of what lies before `begin`, and are written for what follows; the producers know of what lies
        below `replay_from`. Answers the offset after the last good batch.
        """
        epochs = self.leader_epochs
        end = begin[1]
        for position, batch in _valid_batches(segment, begin, size, self.progress):
            if batch.partition_leader_epoch > epochs.latest_epoch:
                epochs.assign_in_memory(batch.partition_leader_epoch, batch.base_offset)
            states = self.producer_states if batch.base_offset >= replay_from else None
            self._note(states, segment, position, batch)
            end = batch.next_offset
        if segment.size < size:
            _refuse_older_format(segment, size)
            segment.file.truncate(segment.size)
        return end

    def _drop(self, segment: Segment) -> None:
        for path in (*segment.paths(), self.snapshots.path(segment.base_offset)):
            self.env.disk.remove(path)
        self.segments.remove(segment)

    def drop_all(self) -> None:
        """Forget every segment and all that was learnt from them."""
        for segment in self.segments:
            self._drop(segment)
        self.producer_states.replace([], 0)
        self.states_known = False
        self.leader_epochs.clear()

    def create(self, base_offset: int) -> None:
        """The first segment of an empty log."""
        segment = self._segment(base_offset)
        if base_offset:  # else the file comes with the first batch: its name tells nothing
            segment.create()
        self.segments.add(segment)

    def finish(self, start_offset: int, end_offset: int) -> None:
        """Bring epochs, snapshots and producer state to the offsets of the log."""
        epochs = self.leader_epochs
        if not self.epochs_known:
            epochs.truncate_from_end_in_memory(-1)
            for _, _, batch in self.segments.batches_from(start_offset):
                if batch.partition_leader_epoch > epochs.latest_epoch:
                    epochs.assign_in_memory(batch.partition_leader_epoch, batch.base_offset)
        if epochs.entries != self.epochs_on_disk:
            epochs.write()
        epochs.truncate_from_start(start_offset)
        epochs.truncate_from_end(end_offset)
        self.snapshots.drop_above(end_offset)
        self.snapshots.drop_stray({segment.base_offset for segment in self.segments})
        if not self.states_known:
            self.snapshots.restore(self.producer_states, self.segments, end_offset)
        self.producer_states.map_end_offset = end_offset


def _up_to(segments: Segments, index: int) -> Segments:
    """The segments up to the one at `index`, itself too."""
    first = Segments()
    for segment in list(segments)[: index + 1]:
        first.add(segment)
    return first


def _valid_batches(
    segment: Segment, begin: tuple[int, int], size: int, progress: RecoveryProgress
) -> Iterator[tuple[int, RecordBatch]]:
    """(position, whole batch) of each from `begin` on, up to the first that is not a valid next batch."""
    file = segment.file
    position, expected = begin
    while position < size:
        chunk = memoryview(file.pread(min(_READ_BYTES, size - position), position))
        at = 0
        while at < len(chunk):
            batch = _parse(chunk, at)
            if batch is None and at == 0:
                batch = _parse_large(file, position, size)
            if batch is None:
                if at == 0:
                    return
                break
            if not _may_follow(batch, expected, segment.base_offset):
                return
            yield position + at, batch
            expected = batch.next_offset
            at += batch.size
        position += at
        progress.advance(at)


def _parse(chunk: memoryview, at: int) -> RecordBatch | None:
    try:
        return RecordBatch.parse(chunk, at)
    except KafkaError:
        return None


def _parse_large(file: File, position: int, size: int) -> RecordBatch | None:
    """A batch larger than a chunk; None where the bytes say otherwise."""
    try:
        header = RecordBatch.parse_header(memoryview(file.pread(HEADER_SIZE, position)))
    except KafkaError:
        return None
    if header.size <= _READ_BYTES or header.size > size - position:
        return None
    return _parse(memoryview(file.pread(header.size, position)), 0)


def _refuse_older_format(segment: Segment, size: int) -> None:
    """Raise where the log goes on in a format that ours does not read: it is not damage, and is not to be cut off."""
    head = segment.file.pread(_LEGACY_HEADER_SIZE, segment.size)
    if len(head) < _LEGACY_HEADER_SIZE or head[MAGIC_OFFSET] >= MAGIC:
        return
    message_size = int.from_bytes(head[LENGTH_OFFSET:LOG_OVERHEAD], "big")
    if not _LEGACY_MIN_SIZE <= message_size <= size - segment.size - LOG_OVERHEAD:
        return
    message = segment.file.pread(message_size, segment.size + LOG_OVERHEAD)
    if crc32(message[4:]) == int.from_bytes(message[:4], "big"):
        raise KafkaError(
            ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT,
            f"{segment.path} holds messages of format {head[MAGIC_OFFSET]}, from before Kafka 0.11, which are not "
            "served; nothing was changed.",
        )


def _may_follow(batch: RecordBatch, expected: int, base_offset: int) -> bool:
    return (
        batch.base_offset >= expected
        and batch.last_offset_delta >= 0
        and batch.last_offset - base_offset <= MAX_RELATIVE_OFFSET
        and batch.crc_valid()
    )
