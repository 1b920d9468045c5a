"""Moving a group's committed offsets, or a share group's start offsets: a plan first, then its execution.

A target always lands within what the partition holds, earliest <= new <= latest, as Kafka's own tool does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import click
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tailrace.cli.cluster import Cluster
from tailrace.cli.failure import CommandFailed
from tailrace.cli.group_details import DEAD_STATES, committed_offsets, describe_state
from tailrace.cli.positions import Position
from tailrace.cli.share_groups import ShareGroupDetails, alter_start_offsets, find_share_group
from tailrace.cli.topic_details import Places, list_offsets

MOVABLE_STATES: Final = frozenset({"empty", "dead", "unknown"})


class Move(NamedTuple):
    """One partition's offset before (None: none was committed) and after."""

    topic: str
    partition: int
    committed_offset: int | None
    new_offset: int


def plan_moves(
    cluster: Cluster, admin: AdminClient, group: str, topics: Sequence[str], position: Position
) -> list[Move]:
    """What `position` means for each partition; `topics` are `TOPIC` or `TOPIC:P,P`, empty for all committed ones."""
    committed = committed_offsets(cluster, admin, group)
    if not committed:
        shared = find_share_group(cluster, group)
        if shared is not None:
            committed = _start_offsets(shared)
    places = _chosen_places(cluster, admin, topics) if topics else sorted(committed)
    earliest = list_offsets(cluster, admin, places, OffsetSpec.earliest())
    latest = list_offsets(cluster, admin, places, OffsetSpec.latest())
    at_time: Places = {}
    if position.kind == "time":
        at_time = list_offsets(cluster, admin, places, OffsetSpec.for_timestamp(position.number))
    moves = []
    for place in places:
        low, high = earliest[place], latest[place]
        target = _target(place, position, committed, {"low": low, "high": high, "at_time": at_time.get(place, -1)})
        moves.append(Move(*place, committed.get(place), min(max(target, low), high)))
    return moves


def commit(cluster: Cluster, admin: AdminClient, group: str, moves: Sequence[Move]) -> None:
    """Carry the plan out. Fails, and changes nothing, while the group has members."""
    state = describe_state(cluster, admin, group).state.name.lower()
    if state in DEAD_STATES and find_share_group(cluster, group) is not None:
        alter_start_offsets(cluster, group, [(move.topic, move.partition, move.new_offset) for move in moves])
        return
    if state not in MOVABLE_STATES:
        raise CommandFailed(
            f"cannot move the offsets of group {group}: it is {state} and has members; stop them first."
        )
    offsets = [TopicPartition(move.topic, move.partition, move.new_offset) for move in moves]
    futures = admin.alter_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group, offsets)], request_timeout=cluster.timeout_s
    )
    cluster.wait(futures[group], f"cannot move the offsets of group {group}")


def _start_offsets(group: ShareGroupDetails) -> Places:
    """Where a share group begins in each partition that it knows."""
    return {
        (each.topic, each.partition): each.start_offset for each in group.partitions if each.start_offset is not None
    }


def _target(place: tuple[str, int], position: Position, committed: Places, known: Mapping[str, int]) -> int:
    match position.kind:
        case "earliest":
            return known["low"]
        case "latest":
            return known["high"]
        case "offset":
            return position.number
        case "time":
            return known["at_time"] if known["at_time"] >= 0 else known["high"]
        case "shift":
            if place not in committed:
                raise CommandFailed(
                    f"cannot shift {place[0]}-{place[1]}: the group has committed no offset there; use another target."
                )
            return committed[place] + position.number


def _chosen_places(cluster: Cluster, admin: AdminClient, topics: Sequence[str]) -> list[tuple[str, int]]:
    known = cluster.metadata(admin).topics
    places: list[tuple[str, int]] = []
    for word in topics:
        topic, _, numbers = word.partition(":")
        if topic not in known:
            raise CommandFailed(f"no topic {topic}; `tailrace topics list` shows the topics there are.")
        partitions = sorted(known[topic].partitions)
        wanted = _parse_numbers(word, numbers) if numbers else partitions
        for partition in wanted:
            if partition not in partitions:
                raise CommandFailed(f"no partition {partition} in {topic}; it has {len(partitions)}.")
        places.extend((topic, partition) for partition in wanted)
    return places


def _parse_numbers(word: str, numbers: str) -> list[int]:
    try:
        return [int(number) for number in numbers.split(",")]
    except ValueError as failure:
        raise click.UsageError(f"--topic takes TOPIC or TOPIC:0,1, but got {word!r}") from failure
