"""The live stream: figures once a second for whoever looks, and those of the last minutes for who comes later.

One task samples for all browsers. It begins with the first and ends some minutes after the last: a console that nobody
looks at asks nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from http.client import HTTPException
from typing import Any
from urllib.request import urlopen

from confluent_kafka import KafkaException
from confluent_kafka.admin import OffsetSpec
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from tailrace.base.errors import TailraceError
from tailrace.console import streams
from tailrace.console.context import Console
from tailrace.console.figures import Ends, Reading, Samples, added, broker_of, figures_of, figures_of_ends, parse
from tailrace.console.limits import (
    FIGURES_MAX_BYTES,
    FIGURES_WAIT_S,
    LAG_IDLE_MS,
    LIVE_INTERVAL_MS,
    LIVE_OFFSETS_PARTITIONS_MAX,
    LIVE_PAST,
    LIVE_PLACES_KEPT_MS,
    STREAM_EVENTS_MAX,
)
from tailrace.console.problems import unreachable


class Live:
    """/api/live."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._kafka = console.kafka
        self._past: deque[dict[str, Any]] = deque(maxlen=LIVE_PAST)
        self._listeners: set[asyncio.Queue[bytes]] = set()
        self._sampling: asyncio.Task[None] | None = None
        self._left_ms = 0.0
        self._reading: Reading | None = None
        self._ends: Ends | None = None
        self._places: list[tuple[str, int]] = []
        self._places_ms = -1e12
        self._numbers: dict[str, int] = {}
        """Which broker answers at which address, once it has."""

    def routes(self) -> list[Route]:
        """What is served."""
        return [Route("/api/live", self.live, methods=["GET"])]

    async def live(self, request: Request) -> StreamingResponse:
        """Figures once a second."""
        return streams.answer(self._events())

    async def _events(self) -> AsyncIterator[bytes]:
        mine: asyncio.Queue[bytes] = asyncio.Queue(STREAM_EVENTS_MAX)
        if self._past:
            last = self._past[-1]
            yield streams.event("figures", {**last, "past": list(self._past)[:-1]})
        self._listeners.add(mine)
        if self._sampling is None:
            self._sampling = asyncio.create_task(self._sample_while_wanted())
        is_first = not self._past
        try:
            while True:
                taken = await mine.get()
                if is_first and self._past:
                    taken, is_first = streams.event("figures", {**self._past[-1], "past": []}), False
                yield taken
        finally:
            self._listeners.discard(mine)
            self._left_ms = self._console.clock.monotonic_ms()

    async def _sample_while_wanted(self) -> None:
        clock = self._console.clock
        try:
            while self._listeners or clock.monotonic_ms() - self._left_ms < LAG_IDLE_MS:
                begun_ms = clock.monotonic_ms()
                self._console.lags.wanted()
                try:
                    found = await (self._metrics() if self._kafka.options.metrics else self._offsets())
                except (TailraceError, KafkaException, TimeoutError, OSError) as error:
                    self._reading = self._ends = None
                    self._tell("unreachable", streams.failure(error, self._kafka.options.bootstrap))
                else:
                    if found is not None:
                        self._past.append(found)
                        self._tell("figures", found)
                took_ms = clock.monotonic_ms() - begun_ms
                await asyncio.sleep(max(LIVE_INTERVAL_MS / 10, LIVE_INTERVAL_MS - took_ms) / 1000)
        finally:
            self._sampling = None

    def _tell(self, name: str, value: dict[str, Any]) -> None:
        told = streams.event(name, value)
        for each in self._listeners:
            if not each.full():  # a browser that does not read misses some
                each.put_nowait(told)

    async def _metrics(self) -> dict[str, Any] | None:
        """Figures since the reading before; None at the first."""
        addresses = self._kafka.options.metrics
        told = await asyncio.gather(
            *(self._kafka.call(read_metrics, each) for each in addresses), return_exceptions=True
        )
        answered = {at: each for at, each in zip(addresses, told, strict=True) if not isinstance(each, BaseException)}
        failures = [each for each in told if isinstance(each, BaseException)]
        if not answered:
            raise unreachable(", ".join(addresses), str(failures[0]))
        for at, samples in answered.items():
            number = broker_of(samples)
            if number is not None:
                self._numbers[at] = number
        brokers = {number: at in answered for at, number in self._numbers.items()}
        clock = self._console.clock
        before, self._reading = self._reading, Reading(clock.monotonic_ms(), added(answered.values()), brokers)
        return None if before is None else figures_of(before, self._reading, clock.wall_ms())

    async def _offsets(self) -> dict[str, Any] | None:
        clock = self._console.clock
        if clock.monotonic_ms() - self._places_ms > LIVE_PLACES_KEPT_MS:
            metadata = await self._kafka.metadata()
            places = [(name, each) for name, topic in sorted(metadata.topics.items()) for each in topic.partitions]
            self._places, self._places_ms = places[:LIVE_OFFSETS_PARTITIONS_MAX], clock.monotonic_ms()
        ends = await self._kafka.offsets(self._places, OffsetSpec.latest())
        if self._places and not ends:
            self._places_ms = -1e12
            raise unreachable(self._kafka.options.bootstrap, "no partition's end can be had")
        before, self._ends = self._ends, (clock.monotonic_ms(), ends)
        if before is None:
            return None
        found = figures_of_ends(before, self._ends, clock.wall_ms())
        brokers = [{"id": each, "is_reachable": True} for each in await self._kafka.broker_addresses()]
        return {**found, "lag": self._console.lags.total, "brokers": brokers}


def read_metrics(base: str) -> Samples:
    """The metrics of one broker. Blocks; raises OSError."""
    try:
        with urlopen(f"{base}/metrics", timeout=FIGURES_WAIT_S) as answer:
            return parse(answer.read(FIGURES_MAX_BYTES).decode("utf-8", "replace"))
    except (HTTPException, ValueError) as error:
        raise OSError(f"{base} does not answer as a Tailrace does: {error}") from error
