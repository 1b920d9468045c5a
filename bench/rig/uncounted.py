"""`tailrace serve` for `bench_observation`: from one SIGUSR2 to the next it counts nothing of requests, from one SIGHUP
to the next it takes a CPU profile that nobody gets, of as many samples a second as PROFILE_HZ in the environment says.

What is left out is all that /metrics has of single requests: the count, looks at the clock, histograms, error codes of
waiting answers. Counts of records and bytes by topic stay: they are two additions within an append. One function is
always in the way and asks a list what to do: to replace a method while it runs would have the interpreter forget what
it has learned of the class, and be slower for a while with either.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

from tailrace.base.clock import SystemClock
from tailrace.broker.dispatch import Dispatch
from tailrace.broker.slow_lane import SLOW_KEYS
from tailrace.cli.main import main
from tailrace.observe.cpu_profile import CpuProfile
from tailrace.observe.limits import SAMPLE_RATE_HZ
from tailrace.wire.frame import decode_request_header

counted = Dispatch.answer
profiles: list[CpuProfile] = []
"""The one that is being taken."""


def uncounted(dispatch: Dispatch, peer: Any, frame: memoryview, received_ms: float) -> Any:
    """As `Dispatch.answer`, without the counts."""
    header = decode_request_header(frame)
    dispatch.last_key = key = header.api_key
    if key in SLOW_KEYS and not dispatch._slow_lane.is_free():
        return dispatch._answer_later(peer, header, bytes(frame), received_ms)
    route = dispatch._routes.get(key) or dispatch._route(key)
    return dispatch._answer(route, peer, header, frame)


chosen = [counted]
"""The one that answers."""


def answer(dispatch: Dispatch, peer: Any, frame: memoryview, received_ms: float) -> Any:
    """As `Dispatch.answer`, counting or not."""
    return chosen[0](dispatch, peer, frame, received_ms)


def switch(number: int, frame: FrameType | None) -> None:
    """Count no more, or again."""
    chosen[0] = uncounted if chosen[0] is counted else counted


def profile(number: int, frame: FrameType | None) -> None:
    """Begin a profile, or end it."""
    if profiles:
        profiles.pop().stop()
    else:
        profiles.append(CpuProfile(SystemClock(), int(os.environ.get("PROFILE_HZ", SAMPLE_RATE_HZ))))


if __name__ == "__main__":
    Dispatch.answer = answer  # type: ignore[method-assign]
    signal.signal(signal.SIGUSR2, switch)
    signal.signal(signal.SIGHUP, profile)
    sys.exit(main(sys.argv[1:]))
