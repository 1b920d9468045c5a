"""Searching the messages of a topic: what is looked for, and going through the records until a bound is met.

    newest first     ... | slice 3 | slice 2 | slice 1 |     slices before each other, each read forwards once
    oldest first     | slice 1 | slice 2 | slice 3 | ...     the same the other way

Each slice is larger than the one before, until one takes SEARCH_SLICE_MS: the first hits come soon, and a partition
is entered anew, which costs a fetch of which most is thrown away, is entered some ten times and not thousands.
Invariant: `next` leaves out nothing that was not looked at, and of what was found only what was told.

An expression is matched in time that grows with the text alone (`base.patterns`): a search runs beside a broker, in
its process, and must not be a way to stop it. Between turns other threads run.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from confluent_kafka import Message
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
    READ_BYTES_MAX,
    SEARCH_RECORDS,
    SEARCH_RECORDS_MAX,
    SEARCH_SLICE_MS,
    SEARCH_TIME_MAX_MS,
    SEARCH_TIME_MS,
    SEARCH_TURN_RECORDS,
    SEARCHED_CHARACTERS_MAX,
)
from tailrace.console.problems import bad_request
from tailrace.console.reading import Limits, Record, SliceReader, Slices, merged, record_of
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

        return has if decoder.knows_schemas else lambda data: found_in(data) is not None
    folded = wanted.query.casefold()
    return lambda data: folded in decoder.searched(data, SEARCHED_CHARACTERS_MAX).casefold()


class Hits:
    """What a slice backwards has brought so far: of each partition the newest, at most so many and READ_BYTES_MAX."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._found: dict[int, deque[Record]] = {}
        self._forgotten: set[int] = set()
        """Partitions of which older hits were found than those that are here."""

    def __len__(self) -> int:
        return sum(map(len, self._found.values()))

    def add(self, record: Record) -> None:
        """Keep it; what is older in its partition goes when there is too much."""
        own = self._found.setdefault(record.partition, deque())
        own.append(record)
        self._bytes += record.size
        while len(own) > 1 and (len(own) > self._most or self._bytes > READ_BYTES_MAX):
            self._bytes -= own.popleft().size
            self._forgotten.add(record.partition)

    def newest(self, limit: int, slices: Slices) -> tuple[list[Record], dict[int, int]]:
        """The `limit` newest, newest first, and where to go on backwards in each partition of the slices."""
        held = {each: list(self._found.get(each, ()))[::-1] for each in slices}
        taken, counts = merged(held, limit, -1)
        following = {}
        for partition, (low, high) in slices.items():
            count, records = counts[partition], held[partition]
            if count == len(records) and partition not in self._forgotten:
                following[partition] = low
            else:
                following[partition] = records[count - 1].offset if count else high
        return taken, following


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
        self._hits = Hits(wanted.hits_max)
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
        """Go through slice after slice; returns where to go on."""
        at = dict(self._asked.starts)
        chunk = _FIRST_SLICE_RECORDS
        while slices := self._slices(at, chunk):
            begun_ms = self._console.clock.monotonic_ms()
            self._reached = {each: low for each, (low, _) in slices.items()}
            is_complete = reader.read(slices, chunk, lambda message: self._take(message, outlet))
            if self._asked.is_backwards:
                at.update(self._tell_newest(slices, outlet) if is_complete else {})
                self._hits = Hits(self._wanted.hits_max)
            else:
                at.update({each: high for each, (_, high) in slices.items()} if is_complete else self._reached)
            if not is_complete or self._is_spent():
                break
            if self._console.clock.monotonic_ms() - begun_ms < SEARCH_SLICE_MS:
                chunk *= _GROWTH
        return at

    def _slices(self, at: dict[int, int], chunk: int) -> dict[int, tuple[int, int]]:
        """Of each partition that has more the next `chunk` records, and not more of all than may still be read."""
        begins, ends = self._asked.begins, self._asked.ends
        if self._asked.is_backwards:
            more = {each: high for each, high in at.items() if high > begins[each]}
        else:
            more = {each: low for each, low in at.items() if low < ends[each]}
        chunk = max(1, min(chunk, (self._wanted.records_max - self._scanned) // max(1, len(more))))
        if self._asked.is_backwards:
            return {each: (max(begins[each], high - chunk), high) for each, high in more.items()}
        return {each: (low, min(ends[each], low + chunk)) for each, low in more.items()}

    def _take(self, message: Message, outlet: Outlet) -> bool:
        self._scanned += 1
        if self._matches(message):
            if self._asked.is_backwards:
                self._hits.add(record_of(message))
            else:
                self._tell(record_of(message), outlet)
        if self._scanned % SEARCH_TURN_RECORDS == 0:
            if self._console.options.is_inside_broker:
                outlet.stopped.wait(_PAUSE_S)  # lets the broker's loop have the interpreter
            self._tell_progress(outlet)
        if self._asked.is_backwards:
            return True  # a slice is read to its end: what is newest of it comes last
        self._reached[message.partition() or 0] = (message.offset() or 0) + 1
        return not self._is_spent()

    def _matches(self, message: Message) -> bool:
        """Whether a part that is wanted has it. Asked of every record: nothing is made that is not needed."""
        parts, has = self._wanted.parts, self._has
        value, key = message.value(), message.key()
        self._bytes += len(value or b"") + len(key or b"")
        if value is not None and "value" in parts and has(value):
            return True
        if key is not None and "key" in parts and has(key):
            return True
        return "headers" in parts and bool(message.headers()) and self._is_in_headers(record_of(message))

    def _is_in_headers(self, record: Record) -> bool:
        return any(
            self._has(name.encode()) or (value is not None and self._has(value)) for name, value in record.headers
        )

    def _tell_newest(self, slices: Slices, outlet: Outlet) -> dict[int, int]:
        """Tell the hits of a slice backwards, the newest first; returns where to go on."""
        taken, following = self._hits.newest(self._wanted.hits_max - self._hit_count, slices)
        for each in taken:
            self._tell(each, outlet)
        return following

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
            "hits": self._hit_count + len(self._hits),
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
