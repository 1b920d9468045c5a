"""Workers that die are started again, with more and more time between; a signal ends all, and nothing is left."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from typing import Any, cast

import pytest

from tailrace.base.clock import Clock, SystemClock
from tailrace.local import supervisor as module
from tailrace.local.supervisor import RESTART_CALM_MS, Supervisor
from tailrace.local.worker import NotServing, Worker

WAIT_S = 20.0


class FakeWorker:
    """A worker without a process. `fails`: how many of its starts do."""

    def __init__(self, number: int, fails: int = 0, ends_with: int = 0) -> None:
        self.number = number
        self.starts = 0
        self.asked: list[str] = []
        self._fails = fails
        self._ends_with = ends_with
        self._ended: asyncio.Future[int] | None = None
        self.on_start: Callable[[int], None] = lambda _: None

    @property
    def pid(self) -> int:
        return 1000 + self.starts

    @property
    def is_running(self) -> bool:
        return self._ended is not None and not self._ended.done()

    async def start(self) -> None:
        self.starts += 1
        self._ended = asyncio.get_running_loop().create_future()
        if self.starts <= self._fails:
            self.die(1)
            raise NotServing(f"worker {self.number} did not start: exit status 1")
        self.on_start(self.starts)

    async def wait(self) -> int:
        assert self._ended is not None
        return await asyncio.shield(self._ended)

    def die(self, status: int) -> None:
        assert self._ended is not None
        self._ended.set_result(status)

    def ask_to_stop(self) -> None:
        self.asked.append("stop")
        if self._ends_with <= 0:
            self.die(self._ends_with)

    def kill(self) -> None:
        self.asked.append("kill")
        self.die(-signal.SIGKILL)


class SteppedClock:
    """Each look at it is `step_ms` after the last."""

    def __init__(self, step_ms: float) -> None:
        self._step_ms = step_ms
        self._now_ms = 0.0

    def monotonic_ms(self) -> float:
        self._now_ms += self._step_ms
        return self._now_ms


def run(workers: list[FakeWorker], clock: Any = None, stop_max_ms: float = 20_000) -> tuple[int, int]:
    """(exit status, how often all were ready) of a run that ends itself with a signal."""
    ready = []

    async def supervised() -> int:
        supervisor = Supervisor(
            cast("list[Worker]", workers), cast("Clock", clock or SystemClock()), stop_max_ms=stop_max_ms
        )
        supervisor.listen_for_signals()
        return await asyncio.wait_for(supervisor.run(lambda: ready.append(1)), WAIT_S)

    return asyncio.run(supervised()), len(ready)


def end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "RESTART_FIRST_MS", 1)
    monkeypatch.setattr(module, "RESTART_MAX_MS", 4)
    caplog.set_level(logging.INFO, "tailrace.workers")


def ends(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "ended" in record.getMessage()]


def test_one_that_dies_is_started_again_and_the_others_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    one, other = FakeWorker(1), FakeWorker(2)

    def on_start(count: int) -> None:
        if count < 5:
            asyncio.get_running_loop().call_soon(one.die, -signal.SIGKILL)
        else:
            end()

    one.on_start = on_start
    assert run([one, other]) == (0, 1)
    assert (one.starts, other.starts) == (5, 1)
    delays = ["0.001", "0.002", "0.004", "0.004"]
    assert ends(caplog) == [f"worker 1 ended (SIGKILL); it is started again in {delay} s" for delay in delays]
    assert one.asked == other.asked == ["stop"]


def test_one_that_served_for_long_is_started_again_as_quickly_as_the_first_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = FakeWorker(1)
    one.on_start = lambda count: (
        asyncio.get_running_loop().call_soon(one.die, 3) if count < 4 else end()  # type: ignore[func-returns-value]
    )
    assert run([one], SteppedClock(RESTART_CALM_MS))[0] == 0
    assert ends(caplog) == ["worker 1 ended (exit status 3); it is started again in 0.001 s"] * 3


def test_one_that_does_not_come_back_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    one = FakeWorker(1)
    one.on_start = lambda count: None

    def die_once(count: int) -> None:
        if count == 1:
            one._fails = 3
            asyncio.get_running_loop().call_soon(one.die, 1)
        else:
            end()

    one.on_start = die_once
    assert run([one]) == (0, 1)
    assert one.starts == 4
    assert len(ends(caplog)) == 3
    assert any("worker 1 serves again, process 1004" in record.getMessage() for record in caplog.records)


def test_where_one_does_not_come_up_at_start_none_stays() -> None:
    one, other = FakeWorker(1), FakeWorker(2, fails=1)
    with pytest.raises(NotServing, match="worker 2 did not start"):
        run([one, other])
    assert one.asked == ["stop"] and other.asked == []


@pytest.mark.parametrize(("ends_with", "status"), [(0, 0), (-signal.SIGTERM, 0), (-signal.SIGKILL, 1)])
def test_the_exit_status_is_of_how_they_ended(ends_with: int, status: int) -> None:
    one, other = FakeWorker(1), FakeWorker(2, ends_with=ends_with)
    one.on_start = lambda _: end()
    assert run([one, other])[0] == status


def test_one_that_does_not_stop_is_killed() -> None:
    one = FakeWorker(1, ends_with=1)
    one.on_start = lambda _: end()
    assert run([one], stop_max_ms=1)[0] == 1
    assert one.asked == ["stop", "kill"]


def test_a_second_signal_kills_what_is_left() -> None:
    one = FakeWorker(1, ends_with=1)
    one.on_start = lambda _: end()
    one.ask_to_stop = end  # type: ignore[method-assign]
    assert run([one])[0] == 1
    assert one.asked == ["kill"]
