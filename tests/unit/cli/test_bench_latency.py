"""`tailrace bench latency` counts each record it reads, also those that come all at once after a stall. No broker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tailrace.base.clock import ManualClock
from tailrace.cli.bench.latency import RECORDS_PER_TAKE, RoundTrips
from tailrace.cli.bench.result import Result
from tailrace.cli.bench.workload import Workload

RECORDS = 2 * RECORDS_PER_TAKE + 500


@dataclass
class Read:
    """A message as the consumer hands it out."""

    data: bytes

    def error(self) -> None:
        return None

    def value(self) -> bytes:
        return self.data


class Sending:
    """Producers whose records are acknowledged at once."""

    topic, failed, refusal = "t", 0, None

    def __init__(self) -> None:
        self.sent: deque[Read] = deque()

    def send(self, value: bytes, callback: Callable[..., None] | None = None) -> None:
        self.sent.append(Read(value))

    def poll(self, timeout_s: float = 0.0) -> None:
        """There are no answers to look at."""

    settle = poll


class Stalled:
    """A consumer that can read nothing before the last record was sent, and then all of them."""

    def __init__(self, sending: Sending, clock: ManualClock) -> None:
        self.sending, self.clock, self.stalls = sending, clock, True

    def poll(self, timeout_s: float) -> Read | None:
        self.stalls = self.stalls and len(self.sending.sent) < RECORDS
        if self.stalls or not self.sending.sent:
            self.clock.advance(max(1.0, timeout_s * 1000))
            return None
        return self.sending.sent.popleft()


def test_what_comes_all_at_once_after_a_stall_is_counted_to_the_last_record() -> None:
    clock = ManualClock()
    result = Result("latency", Workload(16, 0, 0.0, "all", "none", 1, 1, 1, 1000.0, RECORDS / 1000))
    sending = Sending()
    trips = RoundTrips(sending, Stalled(sending, clock), result, clock)  # type: ignore[arg-type]
    trips.run(bytes(16))
    trips.drain(timeout_s=1.0)
    assert (result.records, result.failed) == (RECORDS, 0)
    assert result.end_to_end is not None and result.end_to_end.count == RECORDS
