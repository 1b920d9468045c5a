"""A record as JSON: what `consume --json` prints and `produce --input json` reads.

    {"topic": "orders", "partition": 0, "offset": 7, "timestamp": 1700000000000, "timestamp_type": "create",
     "key": "42", "value": "paid", "headers": [["trace", "abc"]]}

`timestamp` is milliseconds since 1970, or null. A key, value or header value that is not UTF-8 is null under its own
name and stands, in base64, under that name with `_base64` added (a header becomes [name, null, base64]). A tombstone
is a null `value` without `value_base64`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, Message

from tailrace.cli.byte_text import header_to_json, put_bytes

TIMESTAMP_TYPES: Final = {TIMESTAMP_CREATE_TIME: "create", TIMESTAMP_LOG_APPEND_TIME: "log_append"}

Header = tuple[str, bytes | None]


@dataclass(slots=True)
class InputRecord:
    """A record to send. None means null for key and value, and "the cluster decides" for the rest."""

    key: bytes | None = None
    value: bytes | None = None
    headers: list[Header] = field(default_factory=list)
    partition: int | None = None
    timestamp_ms: int | None = None


def record_to_json(message: Message) -> dict[str, Any]:
    """The document of one consumed record."""
    kind, timestamp_ms = message.timestamp()
    document: dict[str, Any] = {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": timestamp_ms if kind in TIMESTAMP_TYPES else None,
        "timestamp_type": TIMESTAMP_TYPES.get(kind),
    }
    put_bytes(document, "key", message.key())
    put_bytes(document, "value", message.value())
    document["headers"] = [header_to_json(name, value) for name, value in headers_of(message)]
    return document


def headers_of(message: Message) -> Sequence[Header]:
    """The headers in order, as bytes; empty when there are none."""
    headers = message.headers()
    if not headers:
        return ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs]


def record_from_json(document: Any) -> InputRecord:  # anything json.loads returns
    """The record a document describes. `topic`, `offset` and `timestamp_type` are ignored.

    Raises:
        ValueError: it is not an object of that shape; the message says which field.
    """
    if not isinstance(document, dict):
        raise ValueError("it must be an object")
    headers = document.get("headers")
    if headers is None:
        headers = []
    if not isinstance(headers, list):
        raise ValueError("headers must be a list of [name, value]")
    return InputRecord(
        key=_get_bytes(document, "key"),
        value=_get_bytes(document, "value"),
        headers=[_header_from_json(header) for header in headers],
        partition=_get_integer(document, "partition"),
        timestamp_ms=_get_integer(document, "timestamp"),
    )


def _header_from_json(header: Any) -> Header:
    match header:
        case [str(name), str(text)]:
            return name, text.encode()
        case [str(name), None]:
            return name, None
        case [str(name), None, str(encoded)]:
            return name, _from_base64(encoded, "headers")
    raise ValueError("a header must be [name, value]")


def _get_bytes(document: dict[str, Any], name: str) -> bytes | None:
    encoded = document.get(f"{name}_base64")
    if isinstance(encoded, str):
        return _from_base64(encoded, name)
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} must be a string or null")
    return None if value is None else value.encode()


def _get_integer(document: dict[str, Any], name: str) -> int | None:
    value = document.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise ValueError(f"{name} must be an integer from 0 up, or null")
    return value


def _from_base64(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as failure:
        raise ValueError(f"{name}_base64 is not base64") from failure
