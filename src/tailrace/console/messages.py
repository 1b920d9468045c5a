"""The message browser: a page of messages, one of them whole, and what arrives.

Only offsets are asked to find where a page begins, so a topic of ten million records answers as one of ten does.
"""

from __future__ import annotations

import asyncio
from threading import Event
from typing import Any

from confluent_kafka import Message
from confluent_kafka.admin import OffsetSpec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tailrace.console import streams
from tailrace.console.asked import choice, whole
from tailrace.console.beginnings import Asked, onward, where
from tailrace.console.context import Console
from tailrace.console.decoding import FORMATS, Shown
from tailrace.console.limits import MESSAGES_MAX, MESSAGES_TIME_MAX_MS, PER_PAGE, SHOWN_WHOLE_MAX
from tailrace.console.problems import not_found
from tailrace.console.reading import Found, Limits, Record, SliceReader, newest, oldest, record_of
from tailrace.console.searching import Search, asked_search
from tailrace.console.shown_messages import shown_message
from tailrace.console.tailing import Tail


class Messages:
    """The addresses of a topic's messages that only read."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._kafka = console.kafka

    def routes(self) -> list[Route]:
        """What is served."""
        topic = "/api/topics/{topic}"
        one = f"{topic}/messages/{{partition:int}}/{{offset:int}}"
        return [
            Route(f"{topic}/messages", self.page, methods=["GET"]),
            Route(f"{topic}/tail", self.tail, methods=["GET"]),
            Route(f"{topic}/search", self.search, methods=["GET"]),
            Route(one, self.one, methods=["GET"]),
            Route(f"{one}/{{part}}", self.download, methods=["GET"]),
        ]

    async def page(self, request: Request) -> JSONResponse:
        """A page of messages."""
        limit = whole(request, "limit", PER_PAGE, 1, MESSAGES_MAX)
        clock = self._console.clock
        begun_ms = clock.monotonic_ms()
        asked = await where(self._console, request)
        limits = Limits(clock, begun_ms + MESSAGES_TIME_MAX_MS, Event())

        def work() -> tuple[Found, list[dict[str, Any]]]:
            consumer = self._kafka.looking_consumer(is_committed=asked.is_committed)
            try:
                found = look(SliceReader(consumer, asked.topic, limits), asked, limit)
            finally:
                consumer.close()
            return found, [shown_message(self._console.decoder, each, asked.shown) for each in found.records]

        try:
            found, items = await self._kafka.read(work)
        except asyncio.CancelledError:
            limits.stopped.set()
            raise
        return JSONResponse(
            {
                "items": items,
                "is_complete": found.is_complete,
                "took_ms": round(clock.monotonic_ms() - begun_ms),
                "partitions": [
                    {"partition": each, "begin_offset": asked.begins[each], "end_offset": asked.ends[each]}
                    for each in sorted(asked.begins)
                ],
                "next": onward(found.next, asked),
            }
        )

    async def tail(self, request: Request) -> StreamingResponse:
        """What arrives from now on."""
        asked = await where(self._console, request)
        return await streams.from_thread(self._kafka, Tail(self._console, asked).run)

    async def search(self, request: Request) -> StreamingResponse:
        """The messages in which something is found."""
        wanted = asked_search(request)
        asked = await where(self._console, request)
        return await streams.from_thread(self._kafka, Search(self._console, asked, wanted).run)

    async def one(self, request: Request) -> JSONResponse:
        """One message, with the whole of its text."""
        shown = Shown(choice(request, "format", FORMATS), SHOWN_WHOLE_MAX)
        found = await self._one(request)
        return JSONResponse(await self._kafka.call(shown_message, self._console.decoder, found, shown))

    async def download(self, request: Request) -> Response:
        """The bytes of a key or a value."""
        part = request.path_params["part"]
        if part not in ("key", "value"):
            raise not_found("Only the key and the value of a message can be had.")
        found = await self._one(request)
        data = found.key if part == "key" else found.value
        if data is None:
            raise not_found(f"The {part} of this message is null.")
        name = f"{found.partition}-{found.offset}.{part}.bin"
        return Response(
            data,
            media_type="application/octet-stream",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    async def _one(self, request: Request) -> Record:
        topic, partition = request.path_params["topic"], request.path_params["partition"]
        offset = request.path_params["offset"]
        known = await self._kafka.topic(topic)
        if partition not in known.partitions:
            raise not_found(f"There is no partition {partition}.")
        limits = Limits(self._console.clock, self._console.clock.monotonic_ms() + MESSAGES_TIME_MAX_MS, Event())
        place = [(topic, partition)]
        begin, end = await asyncio.gather(
            self._kafka.offsets(place, OffsetSpec.earliest()), self._kafka.offsets(place, OffsetSpec.latest())
        )
        found: list[Record] = []

        def work() -> None:
            consumer = self._kafka.looking_consumer(is_committed=False)
            try:
                SliceReader(consumer, topic, limits).read({partition: (offset, offset + 1)}, 1, _first(found))
            finally:
                consumer.close()

        if begin.get(place[0], 0) <= offset < end.get(place[0], 0):
            await self._kafka.read(work)
        if not found or found[0].offset != offset:
            raise not_found(f"There is no message {offset} in partition {partition}.", "It may have expired.")
        return found[0]


def _first(found: list[Record]) -> Any:
    def take(message: Message) -> bool:
        found.append(record_of(message))
        return False

    return take


def look(reader: SliceReader, asked: Asked, limit: int) -> Found:
    """A page in the direction that is asked for."""
    if asked.is_backwards:
        return newest(reader, asked.begins, asked.starts, limit)
    return oldest(reader, asked.starts, asked.ends, limit)
