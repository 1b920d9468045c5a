"""What is counted of requests, by API: how many, how long each part of them took, which error codes were answered.

    queue    from the turn of the loop in which the bytes were found to the handler: what others did before it
    local    in the handler
    remote   waiting for something: records, replicas, the disk, other members
    send     from the answer's first write to the kernel's having all of it; answers that it took at once are not here
    total    from the turn in which the bytes were found to the answer's being there

Counted where it happens in plain integers; nothing is put together before somebody looks. Source: Kafka RequestMetrics,
whose names the parts have.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from tailrace.observe.durations import Durations
from tailrace.wire.primitives import Message

ERROR_PARTS_MAX: Final = 100
"""Most parts of one list of an answer that are looked at for error codes: an answer about 10,000 partitions must not
cost more for being counted. Codes beyond are not counted."""
SHORT_QUEUE_NS: Final = 2**14
"""A request that came so lately, and is answered at once, is a plain one and has one count, for its time in the
handler. What it waited before is below the shortest time that is shown, and left out."""


class RequestMeter:
    """Counts of one API. Whoever shows them adds `plain` to `local` and to `total`."""

    __slots__ = ("local", "plain", "plain_counts", "queue", "remote", "send", "total", "waiting_count")

    def __init__(self) -> None:
        self.plain = Durations()
        """In the handler, of plain requests (SHORT_QUEUE_NS); the others are in the rest."""
        self.plain_counts = self.plain.counts
        self.queue, self.local, self.remote, self.send, self.total = (Durations() for _ in range(5))
        self.waiting_count = 0
        """Requests that wait at this moment: Kafka's purgatory."""

    @property
    def count(self) -> int:
        """Requests that were handled, whether or not they wait for something still."""
        return self.plain.count + self.local.count


class RequestMeters:
    """Counts of every API of one broker. One owner: the loop's thread."""

    __slots__ = ("errors", "meters")

    def __init__(self) -> None:
        self.meters: dict[int, RequestMeter] = {}
        """By API key, of those that were asked for."""
        self.errors: Counter[tuple[int, int]] = Counter()
        """By API key and error code, 0 left out."""

    def note_error(self, key: int, code: int) -> None:
        """An answer of this API says `code`, of itself or of a part. 0 is none."""
        if code:
            self.errors[key, code] += 1

    def note_errors(self, key: int, response: object) -> None:
        """Count the error codes in an answer that is about to be written, or in a part of one.

        Not for Produce and Fetch, of which every answer counts in microseconds: their handlers know which are worth it.
        """
        part: Any = response  # a generated message
        for name in part.__slots__:
            value = getattr(part, name)
            if name == "error_code":
                if value:
                    self.errors[key, int(value)] += 1
            elif type(value) is list and value and isinstance(value[0], Message):
                for each in value[:ERROR_PARTS_MAX]:
                    self.note_errors(key, each)
