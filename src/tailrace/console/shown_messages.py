"""A message as the console tells it. May fetch a schema: called in threads."""

from __future__ import annotations

from typing import Any

from tailrace.console.decoding import Decoder, Shown
from tailrace.console.limits import HEADERS_SHOWN_MAX
from tailrace.console.reading import Record


def shown_message(decoder: Decoder, record: Record, shown: Shown) -> dict[str, Any]:
    """One message; of many headers the first."""
    show = decoder.show
    return {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "timestamp_type": record.timestamp_type,
        "key": show(record.key, shown),
        "value": show(record.value, shown),
        "headers": [{"name": name, "value": show(value, shown)} for name, value in record.headers[:HEADERS_SHOWN_MAX]],
    }
