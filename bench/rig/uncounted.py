"""`tailrace serve` for `bench_observation`: from one SIGUSR2 to the next it counts nothing of requests, from one SIGHUP
to the next it takes a CPU profile that nobody gets.

What is left out is all that /metrics has of single requests: the two looks at the clock, histograms, error codes of
waiting answers. Counts of records and bytes by topic stay: they are two additions within an append.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any

from tailrace.base.clock import SystemClock
from tailrace.broker.dispatch import Dispatch
from tailrace.cli.main import main
from tailrace.observe.cpu_profile import CpuProfile

counted = Dispatch._metered
profiles: list[CpuProfile] = []
"""The one that is being taken."""


def uncounted(dispatch: Dispatch, peer: Any, header: Any, frame: memoryview, received_ms: float) -> Any:
    """As `Dispatch._metered`, without the counts."""
    dispatch.last_key = header.api_key
    return dispatch._answer(peer, header, frame)


def switch(number: int, frame: FrameType | None) -> None:
    """Count no more, or again."""
    Dispatch._metered = uncounted if Dispatch._metered is counted else counted  # type: ignore[method-assign]


def profile(number: int, frame: FrameType | None) -> None:
    """Begin a profile, or end it."""
    if profiles:
        profiles.pop().stop()
    else:
        profiles.append(CpuProfile(SystemClock()))


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, switch)
    signal.signal(signal.SIGHUP, profile)
    sys.exit(main(sys.argv[1:]))
