"""What a look at the live figures brings about."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tailrace.base.clock import ManualClock
from tailrace.console.live import Live
from tailrace.console.options import ConsoleOptions

WAIT_S = 30.0


async def no_answer(*_: Any) -> None:
    """Neither metrics nor offsets can be had."""
    raise OSError("not there")


@pytest.mark.parametrize("metrics", [("http://127.0.0.1:9080",), ()], ids=["metrics", "offsets"])
def test_lag_is_kept_from_the_first_look_on_wherever_figures_come_from(metrics: tuple[str, ...]) -> None:
    wanted: list[bool] = []
    kafka = SimpleNamespace(
        options=ConsoleOptions("127.0.0.1:9092", metrics=metrics), call=no_answer, metadata=no_answer
    )
    console: Any = SimpleNamespace(
        kafka=kafka, clock=ManualClock(), lags=SimpleNamespace(wanted=lambda: wanted.append(True))
    )

    async def look() -> None:
        request: Any = None
        answer = await Live(console).live(request)
        await anext(aiter(answer.body_iterator))

    asyncio.run(asyncio.wait_for(look(), WAIT_S))
    assert wanted
