"""Where the batches of a range of a segment begin and end: their headers are read, their records are not.

Source: Kafka reads the same from `Records.batches()`; here the records go from the file to the socket unseen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from tailrace.base.disk import File
from tailrace.broker.share.limits import HEADERS_READ_BYTES
from tailrace.broker.share.requests import BatchSpan
from tailrace.records.batch import CONTROL_MASK, HEADER, HEADER_SIZE, LOG_OVERHEAD, TRANSACTIONAL_MASK


class Aborted(Protocol):
    """An aborted transaction of a producer: its batches lie between the offsets, both within."""

    @property
    def producer_id(self) -> int: ...

    @property
    def first_offset(self) -> int: ...

    @property
    def last_offset(self) -> int: ...


def batch_spans(
    file: File, position: int, size: int, until_offset: int, aborted: Sequence[Aborted] = ()
) -> list[BatchSpan]:
    """The whole batches of `size` bytes from `position`, up to the one that holds `until_offset`.

    Raises StorageError, and NotResident within a ReadScope.
    """
    found = []
    for span, producer_id, attributes in _headers(file, position, size):
        if aborted and attributes & TRANSACTIONAL_MASK and not attributes & CONTROL_MASK:
            span = span._replace(is_aborted=_is_aborted(span, producer_id, aborted))
        found.append(span)
        if span.last_offset >= until_offset:
            break
    return found


def _headers(file: File, position: int, size: int) -> Iterator[tuple[BatchSpan, int, int]]:
    """(span, producer id, attributes) of each whole batch."""
    end = position + size
    window, window_at = b"", position
    read_bytes = HEADERS_READ_BYTES
    while position + HEADER_SIZE <= end:
        at = position - window_at
        if at + HEADER_SIZE > len(window):
            window, window_at, at = file.pread(min(read_bytes, end - position), position), position, 0
            if len(window) < HEADER_SIZE:
                return
        header = HEADER.unpack_from(window, at)
        base_offset, batch_length = header[0], header[1]
        batch_bytes = LOG_OVERHEAD + batch_length
        if position + batch_bytes > end:
            return
        span = BatchSpan(base_offset, base_offset + header[6], False, position, batch_bytes)
        yield span, header[9], header[5]
        position += batch_bytes
        read_bytes = HEADERS_READ_BYTES if batch_bytes < HEADERS_READ_BYTES else HEADER_SIZE


def _is_aborted(span: BatchSpan, producer_id: int, aborted: Sequence[Aborted]) -> bool:
    return any(
        entry.producer_id == producer_id
        and entry.first_offset <= span.base_offset
        and span.last_offset <= entry.last_offset
        for entry in aborted
    )
