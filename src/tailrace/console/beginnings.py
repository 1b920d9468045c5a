"""Where reading begins: the fields of an address, made into offsets of each partition, and back into `next`.

from=newest              backwards from the end         at=0:350 overrides the end
from=oldest|offset|time  forwards from there            at=0:350 overrides the beginning
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from confluent_kafka.admin import OffsetSpec
from starlette.requests import Request

from tailrace.console.asked import choice, numbers, whole_or_none
from tailrace.console.context import Console
from tailrace.console.decoding import FORMATS, Shown
from tailrace.console.problems import Problem, bad_request, not_found

BEGINNINGS = ("newest", "oldest", "offset", "time")


class Asked(NamedTuple):
    """What is to be read: bounds of each partition, and where to begin."""

    topic: str
    begins: dict[int, int]
    ends: dict[int, int]
    starts: dict[int, int]
    """Backwards: where the page ends, exclusive; forwards: where it begins."""
    is_backwards: bool
    is_committed: bool
    shown: Shown


async def where(console: Console, request: Request) -> Asked:
    """What the fields of an address mean for the topic's partitions as they are now."""
    topic = request.path_params["topic"]
    known = sorted((await console.kafka.topic(topic)).partitions)
    chosen = numbers(request, "partition") or known
    for each in chosen:
        if each not in known:
            raise not_found(f"There is no partition {each}; the topic has {len(known)}.")
    is_committed = choice(request, "isolation", ("read_committed", "read_uncommitted")) == "read_committed"
    places = [(topic, each) for each in chosen]
    beginning = choice(request, "from", BEGINNINGS)
    begins, ends = await asyncio.gather(
        console.kafka.offsets(places, OffsetSpec.earliest()),
        console.kafka.offsets(places, OffsetSpec.latest(), is_committed=is_committed),
    )
    if not ends:
        raise Problem(503, "LEADER_NOT_AVAILABLE", f"No partition of {topic} can be read.", "See its partitions.")
    low = {number: offset for (_, number), offset in begins.items() if (topic, number) in ends}
    high = {number: max(offset, low[number]) for (_, number), offset in ends.items() if number in low}
    starts = await _starts(console, request, topic, beginning, (low, high))
    shown = Shown(choice(request, "format", FORMATS))
    return Asked(topic, low, high, starts, beginning == "newest", is_committed, shown)


async def _starts(
    console: Console, request: Request, topic: str, beginning: str, bounds: tuple[dict[int, int], dict[int, int]]
) -> dict[int, int]:
    low, high = bounds
    given = request.query_params.get("at", "")
    if given:
        at = _at(given)
        return {each: min(max(at.get(each, high[each] if beginning == "newest" else low[each]), low[each]), high[each])
                for each in low}  # fmt: skip
    if beginning == "newest":
        return dict(high)
    if beginning == "oldest":
        return dict(low)
    if beginning == "offset":
        offset = whole_or_none(request, "offset")
        if offset is None:
            raise bad_request("offset is missing.")
        return {each: min(max(offset, low[each]), high[each]) for each in low}
    time_ms = whole_or_none(request, "time_ms")
    if time_ms is None:
        raise bad_request("time_ms is missing.")
    places = [(topic, each) for each in low]
    found = await console.kafka.offsets(places, OffsetSpec.for_timestamp(time_ms))
    offsets = {each: found.get((topic, each), -1) for each in low}
    return {each: min(max(offset, low[each]), high[each]) if offset >= 0 else high[each]
            for each, offset in offsets.items()}  # fmt: skip


def _at(text: str) -> dict[int, int]:
    try:
        pairs = [each.split(":") for each in text.split(",")]
        return {int(partition): int(offset) for partition, offset in pairs}
    except ValueError as error:
        raise bad_request(
            "at is PARTITION:OFFSET, comma separated.", 'Take it from "next" of the last answer.'
        ) from error


def onward(following: dict[int, int], asked: Asked) -> dict[str, int] | None:
    """`next` as it is told: None at the end."""
    ends = asked.begins if asked.is_backwards else asked.ends
    if all(offset <= ends[each] if asked.is_backwards else offset >= ends[each] for each, offset in following.items()):
        return None
    return {str(each): offset for each, offset in sorted(following.items())}
