"""What is counted of requests, by API: how many, how long each part of them took, which error codes were answered.

    queue    from the turn of the loop in which the bytes were found to the handler: what others did before it
    local    in the handler
    remote   waiting for something: records, replicas, the disk, other members
    send     from the answer's first write to the kernel's having all of it; answers that it took at once are not here
    total    from the turn in which the bytes were found to the answer's being there

Counted where it happens in plain integers; nothing is put together before somebody looks. How many there were, how many
wait, errors, and the remote part are exact. To look at the clock for each request, and to touch the histograms, would
cost several percent of a small one; so of an API that is asked for often, one of each block of requests is timed, drawn
by chance, and stands for its block: queue, local and total of those that are answered at once are true on the average.
Blocks are as long as lets TIMED_HZ be timed. Source: Kafka RequestMetrics, whose names the parts have; drawing one of
each block is stratified sampling.
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
"""Who waited less for its turn counts as not having waited: it is below the shortest time that is shown."""
TIMED_HZ: Final = 50
"""So many requests of an API are timed in a second, or all where there are fewer. One costs several us more than
others: what it touches is cold by then."""
BLOCK_MAX: Final = 256
LOOK_COUNT: Final = 32
"""After so many that were timed the length of blocks is reconsidered: a burst of fewer is timed in full."""
BLOCK_STEP: Final = 4
"""Blocks become longer and shorter by this factor at the most."""
IDLE_NS: Final = 4_000_000_000 // TIMED_HZ
"""Where two that were timed are further apart, blocks become shorter at once."""


class RequestMeter:
    """Counts of one API, and the drawing of those that are timed.

    The owner takes one from `untimed_count` for each request that it does not time; at 0 the next is timed, and `draw`
    says for how many it stands. Invariant: a block's length is settled before it begins, and each of its requests is
    drawn as often as any other, wherever in a turn of the loop it comes.
    """

    __slots__ = (
        "_after_count",
        "_block",
        "_chance",
        "_drawn_count",
        "_last_ns",
        "_look_drawn_count",
        "_look_ns",
        "_timed_count",
        "local",
        "queue",
        "remote",
        "send",
        "total",
        "untimed_count",
        "waiting_count",
    )

    def __init__(self) -> None:
        self.queue, self.local, self.remote, self.send, self.total = (Durations() for _ in range(5))
        self.waiting_count = 0
        """Requests that wait at this moment: Kafka's purgatory."""
        self.untimed_count = 0
        """How many go by before the next that is timed."""
        self._drawn_count = 0
        """Requests up to the next that is timed, that one left out."""
        self._block = 1
        self._after_count = 0
        """Those of the present block that come after its timed one."""
        self._chance = 1
        self._last_ns = 0
        """When the last was timed."""
        self._timed_count = 0
        self._look_ns = 0
        """When the length of blocks was considered, and `_drawn_count` by then."""
        self._look_drawn_count = 0

    @property
    def count(self) -> int:
        """Requests that were handled, whether or not they wait for something still."""
        return self._drawn_count - self.untimed_count

    def draw(self, now_ns: int) -> int:
        """One is timed, at `now_ns`: for how many it stands. Draws the next."""
        weight = self._block
        if weight > 1 and now_ns - self._last_ns > IDLE_NS:
            self._block = max(weight // BLOCK_STEP, 1)
            self._look(now_ns)
        elif self._timed_count == LOOK_COUNT:
            wanted = (self._drawn_count - self._look_drawn_count) * 1_000_000_000
            wanted //= TIMED_HZ * max(now_ns - self._look_ns, 1)
            self._block = max(min(wanted, weight * BLOCK_STEP, BLOCK_MAX), weight // BLOCK_STEP, 1)
            self._look(now_ns)
        elif not self._last_ns:
            self._look(now_ns)
        self._last_ns = now_ns
        self._timed_count += 1
        self._chance = (self._chance * 1_103_515_245 + 12_345) & 0x7FFF_FFFF  # its low bits have short periods
        before_count = (self._chance >> 12) % self._block
        self.untimed_count = self._after_count + before_count
        self._drawn_count += 1 + self.untimed_count
        self._after_count = self._block - 1 - before_count
        return weight

    def _look(self, now_ns: int) -> None:
        self._timed_count, self._look_ns, self._look_drawn_count = 0, now_ns, self._drawn_count

    def count_beside(self) -> int:
        """One is timed whose turn it was not: it stands for itself."""
        self._drawn_count += 1
        return 1

    def add_timed(self, queue_ns: int, local_ns: int, waits: bool, weight: int) -> None:
        """The times of one that stands for `weight`. One that waits has its total when it has waited."""
        if queue_ns >= SHORT_QUEUE_NS:
            self.queue.add(queue_ns, weight)
        self.local.add(local_ns, weight)
        if not waits:
            self.total.add(queue_ns + local_ns, weight)


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
