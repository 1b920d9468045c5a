"""Searching the messages of a topic: what is looked for, and going through the records until a bound is met.

An expression is matched in time that grows with the text alone (`base.patterns`): a search runs beside a broker, in
its process, and must not be a way to stop it. Between turns other threads run.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from starlette.requests import Request

from tailrace.base.patterns import Pattern, PatternError
from tailrace.console.asked import flag, whole
from tailrace.console.beginnings import Asked, onward
from tailrace.console.context import Console
from tailrace.console.decoding import Decoder
from tailrace.console.limits import (
    MESSAGES_MAX,
    PER_PAGE,
    PROGRESS_INTERVAL_MS,
    READ_RECORDS_MAX,
    SEARCH_RECORDS,
    SEARCH_RECORDS_MAX,
    SEARCH_TIME_MAX_MS,
    SEARCH_TIME_MS,
    SEARCH_TURN_RECORDS,
    SEARCHED_CHARACTERS_MAX,
)
from tailrace.console.problems import bad_request
from tailrace.console.reading import Limits, Record, SliceReader, Slices, merged, per_partition
from tailrace.console.shown_messages import shown_message
from tailrace.console.streams import Outlet

_PARTS: Final = ("key", "value", "headers")
_PAUSE_S: Final = 0.001
_FIRST_SLICE_RECORDS: Final = 500
_GROWTH: Final = 4
_QUERY_MAX_CHARACTERS: Final = 1_000


class Wanted(NamedTuple):
    """What a search looks for, and how far."""

    query: str
    is_regex: bool
    is_case_sensitive: bool
    parts: frozenset[str]
    hits_max: int
    records_max: int
    time_max_ms: int


def asked_search(request: Request) -> Wanted:
    """The fields of a search. Raises Problem for an expression that is none."""
    parts = [each for each in request.query_params.get("in", "").split(",") if each] or _PARTS
    if not set(parts) <= set(_PARTS):
        raise bad_request(f"in is some of {', '.join(_PARTS)}.")
    query = request.query_params.get("query", "")
    if len(query) > _QUERY_MAX_CHARACTERS:
        raise bad_request(f"A search has at most {_QUERY_MAX_CHARACTERS} characters.")
    wanted = Wanted(
        query,
        flag(request, "regex"),
        flag(request, "case"),
        frozenset(parts),
        whole(request, "limit", PER_PAGE, 1, MESSAGES_MAX),
        whole(request, "max_records", SEARCH_RECORDS, 1, SEARCH_RECORDS_MAX),
        whole(request, "max_ms", SEARCH_TIME_MS, 1, SEARCH_TIME_MAX_MS),
    )
    matcher(wanted, Decoder(None))
    return wanted


def matcher(wanted: Wanted, decoder: Decoder) -> Callable[[bytes], bool]:
    """What tells whether some bytes hold what is wanted. Raises Problem for an expression that is none."""
    if wanted.is_regex:
        case = "" if wanted.is_case_sensitive else "i"
        try:
            pattern = Pattern(f"(?s{case}).*(?:{wanted.query}).*")
        except PatternError as error:
            raise bad_request(
                f"The expression is not one of RE2: {error}.", "Correct it, or search for text."
            ) from error
        return lambda data: pattern.matches(decoder.searched(data, SEARCHED_CHARACTERS_MAX))
    if wanted.is_case_sensitive or wanted.query.isascii():
        flags = re.DOTALL if wanted.is_case_sensitive else re.DOTALL | re.IGNORECASE
        found_in = re.compile(re.escape(wanted.query.encode()), flags).search

        def has(data: bytes) -> bool:
            if decoder.has_schema(data):
                data = decoder.searched(data, SEARCHED_CHARACTERS_MAX).encode()
            return found_in(data) is not None

        return has
    folded = wanted.query.casefold()
    return lambda data: folded in decoder.searched(data, SEARCHED_CHARACTERS_MAX).casefold()


class Search:
    """One search, from where `asked` begins."""

    def __init__(self, console: Console, asked: Asked, wanted: Wanted) -> None:
        self._console = console
        self._asked = asked
        self._wanted = wanted
        self._has = matcher(wanted, console.decoder)
        self._begun_ms = console.clock.monotonic_ms()
        self._told_ms = self._begun_ms
        self._scanned = self._bytes = 0
        self._hit_count = 0
        self._held: dict[int, deque[Record]] = {}
        """Hits of a turn backwards, of each partition the newest that may be told."""
        self._reached: dict[int, int] = {}
        far = asked.begins if asked.is_backwards else asked.ends
        self._total = sum(abs(start - far[each]) for each, start in asked.starts.items())

    def run(self, outlet: Outlet) -> None:
        """Put what is found, how far it is, and why it ended."""
        limits = Limits(self._console.clock, self._begun_ms + self._wanted.time_max_ms, outlet.stopped)
        consumer = self._console.kafka.consumer(is_committed=self._asked.is_committed)
        try:
            reader = SliceReader(consumer, self._asked.topic, limits)
            following = self._search(reader, outlet)
        finally:
            consumer.close()
        done = self._progress()
        why = self._why(limits)
        del done["bytes"]
        outlet.put("done", {**done, "why": why, "next": onward(following, self._asked)})

    def _search(self, reader: SliceReader, outlet: Outlet) -> dict[int, int]:
        """Go through slice after slice, each larger than the one before; returns where to go on."""
        asked = self._asked
        at = dict(asked.starts)
        largest = per_partition(min(READ_RECORDS_MAX, self._wanted.records_max), len(at))
        chunk = min(largest, _FIRST_SLICE_RECORDS)
        while True:
            if asked.is_backwards:
                slices = {each: (max(asked.begins[each], high - chunk), high) for each, high in at.items()}
            else:
                slices = {each: (low, min(asked.ends[each], low + chunk)) for each, low in at.items()}
            slices = {each: bounds for each, bounds in slices.items() if bounds[0] < bounds[1]}
            if not slices:
                return at
            self._reached = {each: low for each, (low, _) in slices.items()}
            is_complete = reader.read(slices, chunk, lambda record: self._take(record, outlet))
            if asked.is_backwards:
                at.update(self._tell_newest(slices, outlet) if is_complete or self._is_spent() else {})
            else:
                at.update({each: high for each, (_, high) in slices.items()} if is_complete else self._reached)
            if not is_complete or self._is_spent():
                return at
            chunk = min(largest, chunk * _GROWTH)

    def _take(self, record: Record, outlet: Outlet) -> bool:
        self._scanned += 1
        self._bytes += record.size
        self._reached[record.partition] = record.offset + 1
        if self._matches(record):
            if self._asked.is_backwards:
                self._held.setdefault(record.partition, deque(maxlen=self._wanted.hits_max)).append(record)
            else:
                self._tell(record, outlet)
        if self._scanned % SEARCH_TURN_RECORDS == 0:
            outlet.stopped.wait(_PAUSE_S)  # lets the broker's loop have the interpreter
            self._tell_progress(outlet)
        return not self._is_spent()

    def _matches(self, record: Record) -> bool:
        parts = self._wanted.parts
        if "value" in parts and record.value is not None and self._has(record.value):
            return True
        if "key" in parts and record.key is not None and self._has(record.key):
            return True
        return "headers" in parts and any(
            self._has(name.encode()) or (value is not None and self._has(value)) for name, value in record.headers
        )

    def _tell_newest(self, slices: Slices, outlet: Outlet) -> dict[int, int]:
        """Tell the hits of a turn backwards, the newest first; returns where to go on."""
        held = {each: list(self._held.get(each, ()))[::-1] for each in slices}
        taken, counts = merged(held, self._wanted.hits_max - self._hit_count, -1)
        for each in taken:
            self._tell(each, outlet)
        onward_at = {}
        for partition, (low, high) in slices.items():
            count, records = counts[partition], held[partition]
            if count == len(records) and count < self._wanted.hits_max:
                onward_at[partition] = low
            else:
                onward_at[partition] = records[count - 1].offset if count else high
        self._held.clear()
        return onward_at

    def _tell(self, record: Record, outlet: Outlet) -> None:
        self._hit_count += 1
        outlet.put("hit", shown_message(self._console.decoder, record, self._asked.shown))

    def _tell_progress(self, outlet: Outlet) -> None:
        now_ms = self._console.clock.monotonic_ms()
        if now_ms - self._told_ms >= PROGRESS_INTERVAL_MS:
            self._told_ms = now_ms
            outlet.put("progress", self._progress())

    def _progress(self) -> dict[str, Any]:
        return {
            "scanned": self._scanned,
            "hits": self._hit_count + sum(map(len, self._held.values())),
            "total": self._total,
            "bytes": self._bytes,
            "took_ms": round(self._console.clock.monotonic_ms() - self._begun_ms),
        }

    def _is_spent(self) -> bool:
        return self._scanned >= self._wanted.records_max or self._hit_count >= self._wanted.hits_max

    def _why(self, limits: Limits) -> str:
        if self._hit_count >= self._wanted.hits_max:
            return "limit"
        if self._scanned >= self._wanted.records_max:
            return "max_records"
        return "max_ms" if limits.is_over else "end"
