"""Producing a record by hand."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tailrace.console.asked import body, whole_of
from tailrace.console.context import Console
from tailrace.console.limits import ANSWER_TIMEOUT_S, PRODUCED_COPIES_MAX, PRODUCED_MAX_BYTES
from tailrace.console.problems import Problem, bad_request, not_found, of_kafka
from tailrace.console.reading import Record, record_of

ENCODINGS: Final = ("text", "base64", "hex")
_TIME_MAX_MS: Final = (1 << 62) - 1


class Producing:
    """POST of messages."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._kafka = console.kafka

    def routes(self) -> list[Route]:
        """What is served."""
        return [Route("/api/topics/{topic}/messages", self.produce, methods=["POST"])]

    async def produce(self, request: Request) -> JSONResponse:
        """Send a record, or the same several times."""
        topic = request.path_params["topic"]
        asked = await body(request)
        record = _record(asked)
        count = whole_of(asked, "count", 1, PRODUCED_COPIES_MAX) or 1
        known = await self._kafka.topic(topic)
        if record.get("partition", 0) not in known.partitions:
            raise not_found(f"There is no partition {record['partition']}.")
        producer = await self._kafka.producer()
        told = await self._kafka.call(_send, producer, topic, record, count)
        for error, _ in told:
            if error is not None:
                raise of_kafka(error, self._kafka.options.bootstrap, "The record was not produced")
        items = [
            {"partition": each.partition, "offset": each.offset, "timestamp_ms": each.timestamp_ms} for _, each in told
        ]
        return JSONResponse({"items": items}, status_code=201)


def _send(producer: Producer, topic: str, record: dict[str, Any], count: int) -> list[tuple[KafkaError | None, Record]]:
    """Produce and wait for all answers. Blocks."""
    told: list[tuple[KafkaError | None, Record]] = []

    def on_delivery(error: KafkaError | None, message: Message) -> None:
        told.append((error, record_of(message)))

    for _ in range(count):
        producer.produce(topic, **record, on_delivery=on_delivery)
    producer.flush(ANSWER_TIMEOUT_S + 1)
    if len(told) < count:
        raise TimeoutError
    return told


def _record(asked: dict[str, Any]) -> dict[str, Any]:
    """The arguments of Producer.produce."""
    record: dict[str, Any] = {
        "key": decoded(asked.get("key"), asked.get("key_encoding"), "key"),
        "value": decoded(asked.get("value"), asked.get("value_encoding"), "value"),
        "headers": [_header(each) for each in _listed(asked.get("headers"))],
    }
    size = len(record["key"] or b"") + len(record["value"] or b"")
    if size > PRODUCED_MAX_BYTES:
        raise Problem(
            413, "TOO_LARGE", f"Key and value have {size} bytes; the console produces up to {PRODUCED_MAX_BYTES}.",
            "Use `tailrace produce`.",
        )  # fmt: skip
    partition = whole_of(asked, "partition", 0, (1 << 31) - 1)
    timestamp_ms = whole_of(asked, "timestamp_ms", 1, _TIME_MAX_MS)
    if partition is not None:
        record["partition"] = partition
    if timestamp_ms is not None:
        record["timestamp"] = timestamp_ms
    return record


def decoded(given: object, encoding: object, name: str) -> bytes | None:
    """The bytes of a text that was sent in one of ENCODINGS."""
    if given is None:
        return None
    if not isinstance(given, str):
        raise bad_request(f"{name} is a text or null.")
    if encoding not in (None, *ENCODINGS):
        raise bad_request(f"The encoding of {name} is one of {', '.join(ENCODINGS)}.")
    try:
        if encoding == "base64":
            return base64.b64decode(given, validate=True)
        if encoding == "hex":
            return bytes.fromhex(given)
        return given.encode()
    except (ValueError, binascii.Error) as error:  # UnicodeEncodeError of lone surrogates among them
        raise bad_request(f"{name} is not {encoding or 'text'}: {error}.") from error


def _header(given: object) -> tuple[str, bytes | None]:
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise bad_request("A header has a name.")
    return given["name"], decoded(given.get("value"), given.get("encoding"), f"header {given['name']}")


def _listed(given: object) -> list[object]:
    if given is None:
        return []
    if not isinstance(given, list):
        raise bad_request("headers is a list.")
    return given
