"""What a reset of a group's offsets means: the offset each partition would get, within what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka.admin import OffsetSpec

from tailrace.console.asked import list_of, whole_of
from tailrace.console.group_questions import Place, Places, bounds
from tailrace.console.kafka import KafkaCluster
from tailrace.console.problems import bad_request, not_found

TARGETS: Final = ("earliest", "latest", "offset", "time", "shift")
_FAR: Final = (1 << 63) - 1


class Move(NamedTuple):
    """One partition: from where (None: nothing is committed) to where."""

    place: Place
    before: int | None
    to: int


async def plan_moves(
    kafka: KafkaCluster, committed: Places, asked: dict[str, Any]
) -> tuple[list[Move], Places, Places]:
    """The moves that `asked` means, and the bounds of their partitions. Changes nothing."""
    target = asked.get("to")
    if target not in TARGETS:
        raise bad_request(f"to is one of {', '.join(TARGETS)}.")
    places = await _chosen(kafka, committed, asked)
    begins, ends = await bounds(kafka, places)
    places = [each for each in places if each in begins and each in ends]
    at_time: Places = {}
    if target == "time":
        time_ms = whole_of(asked, "time_ms", 0, _FAR)
        if time_ms is None:
            raise bad_request("time_ms is missing.")
        at_time = await kafka.offsets(places, OffsetSpec.for_timestamp(time_ms))
    number = whole_of(asked, target, -_FAR, _FAR) if target in ("offset", "shift") else 0
    if number is None:
        raise bad_request(f"{target} is missing.")
    moves = []
    for place in places:
        wanted = _wanted(target, number, committed.get(place), {"low": begins[place], "high": ends[place],
                                                                "time": at_time.get(place, -1)})  # fmt: skip
        if wanted is not None:
            moves.append(Move(place, committed.get(place), min(max(wanted, begins[place]), ends[place])))
    return moves, begins, ends


def _wanted(target: str, number: int, before: int | None, known: Mapping[str, int]) -> int | None:
    """The offset before it is kept within bounds; None where nothing is committed that could be shifted."""
    match target:
        case "earliest":
            return known["low"]
        case "latest":
            return known["high"]
        case "offset":
            return number
        case "time":
            return known["time"] if known["time"] >= 0 else known["high"]
        case _:
            return None if before is None else before + number


async def _chosen(kafka: KafkaCluster, committed: Places, asked: dict[str, Any]) -> list[Place]:
    """The partitions that are named; those with a committed offset when none are."""
    named = asked.get("partitions")
    if named is not None:
        if not isinstance(named, dict) or not all(isinstance(each, list) for each in named.values()):
            raise bad_request('partitions is {"topic": [numbers]}.')
        places = [(str(topic), number) for topic, numbers in named.items() for number in numbers]
        for topic, number in places:
            if number not in (await kafka.topic(topic)).partitions:
                raise not_found(f"There is no partition {topic}-{number}.")
        return sorted(places)
    topics = list_of(asked, "topics")
    if not topics:
        return sorted(committed)
    known = [(topic, await kafka.topic(topic)) for topic in topics]
    return sorted((topic, number) for topic, found in known for number in found.partitions)
