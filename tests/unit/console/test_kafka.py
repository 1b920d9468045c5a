"""How long the console uses again what the cluster has told it of itself."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tailrace.base.clock import ManualClock
from tailrace.console import kafka
from tailrace.console.kafka import KafkaCluster
from tailrace.console.limits import METADATA_KEPT_MAX_MS, METADATA_KEPT_MS
from tailrace.console.options import ConsoleOptions

SHORTLY_MS = 10
WAIT_S = 30.0


class SlowAdmin:
    """A cluster that takes so long to tell its topics, or until `may_answer`. No client is connected to anything."""

    def __init__(self, clock: ManualClock, asking_ms: float = 0) -> None:
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._clock = clock
        self._asking_ms = asking_ms

    def list_topics(self, timeout: float) -> str:
        """Metadata that is told apart from the last."""
        self.asked += 1
        answer = f"answer {self.asked}"
        assert self.may_answer.wait(WAIT_S)
        self._clock.advance(self._asking_ms)
        return answer


def told(metadata: object) -> str:
    """Which answer it is."""
    return str(metadata)


@pytest.mark.parametrize(
    ("asking_ms", "kept_ms"),
    [(1, METADATA_KEPT_MS), (800, 4_000), (25_000, METADATA_KEPT_MAX_MS)],
    ids=["at once", "slowly", "very slowly"],
)
def test_metadata_is_kept_as_long_as_asking_took_but_within_bounds(
    monkeypatch: pytest.MonkeyPatch, asking_ms: float, kept_ms: float
) -> None:
    clock = ManualClock()
    admin = SlowAdmin(clock, asking_ms)
    monkeypatch.setattr(kafka, "AdminClient", lambda *_, **__: admin)

    async def look() -> None:
        cluster = KafkaCluster(ConsoleOptions("127.0.0.1:1"), clock)
        first = told(await cluster.metadata())
        clock.advance(kept_ms - SHORTLY_MS)
        assert told(await cluster.metadata()) == first
        clock.advance(SHORTLY_MS)
        assert told(await cluster.metadata()) != first
        assert admin.asked == 2
        await cluster.close()

    asyncio.run(look())


def test_what_was_asked_before_a_change_is_neither_kept_nor_told_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    admin = SlowAdmin(clock)
    monkeypatch.setattr(kafka, "AdminClient", lambda *_, **__: admin)

    async def look() -> None:
        cluster = KafkaCluster(ConsoleOptions("127.0.0.1:1"), clock)
        admin.may_answer.clear()
        before = asyncio.create_task(cluster.metadata())
        while not admin.asked:
            await asyncio.sleep(0)
        cluster.changed()
        after = asyncio.create_task(cluster.metadata())
        while admin.asked < 2 and not after.done():
            await asyncio.sleep(0)
            admin.may_answer.set()
        assert (told(await before), told(await after)) == ("answer 1", "answer 2")
        assert told(await cluster.metadata()) == "answer 2"
        await cluster.close()

    asyncio.run(asyncio.wait_for(look(), WAIT_S))
