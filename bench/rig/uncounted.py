"""`tailrace serve` that counts nothing of requests between one SIGUSR2 and the next: for `bench_observation`.

What is left out is all that /metrics has of single requests: the two looks at the clock, histograms, error codes of
waiting answers. Counts of records and bytes by topic stay: they are two additions within an append.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any

from tailrace.broker.dispatch import Dispatch
from tailrace.cli.main import main

counted = Dispatch._metered


def uncounted(dispatch: Dispatch, peer: Any, header: Any, frame: memoryview, received_ms: float) -> Any:
    """As `Dispatch._metered`, without the counts."""
    dispatch.last_key = header.api_key
    return dispatch._answer(peer, header, frame)


def switch(number: int, frame: FrameType | None) -> None:
    """Count no more, or again."""
    Dispatch._metered = uncounted if Dispatch._metered is counted else counted  # type: ignore[method-assign]


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, switch)
    sys.exit(main(sys.argv[1:]))
