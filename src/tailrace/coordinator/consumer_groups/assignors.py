"""The assignors that run in the broker: `uniform` and `range`.

    uniform  as even as subscriptions allow, and what a member has it keeps unless balance wants it
    range    of each topic a run of consecutive partitions; partitions of like number go together

Pure functions of members and topics. Racks are not looked at: one broker is one rack.
Source: KIP-848; Kafka's `UniformAssignor` and `RangeAssignor` give assignments of the same shape, not the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from uuid import UUID

from tailrace.coordinator.consumer_groups.limits import BALANCE_ROUNDS_MAX
from tailrace.coordinator.consumer_groups.member import Place


class Assignee(NamedTuple):
    """One member, as an assignor sees it."""

    member_id: str
    instance_id: str | None
    topics: frozenset[UUID]
    """What it is subscribed to, of what exists."""
    target: frozenset[Place]
    """What it was to own so far."""


Assignment = dict[str, frozenset[Place]]
"""Member id -> its partitions."""


def uniform(assignees: list[Assignee], partition_counts: Mapping[UUID, int]) -> Assignment:
    """Loads differ by one at most where all subscribe alike; otherwise no single move makes them more even."""
    if not assignees:
        return {}
    ordered = sorted(assignees)
    if all(each.topics == ordered[0].topics for each in ordered):
        return _spread_alike(ordered, partition_counts)
    return _spread_unlike(ordered, partition_counts)


def _places(topics: frozenset[UUID], partition_counts: Mapping[UUID, int]) -> list[Place]:
    return [
        (topic, index)
        for topic in sorted(topics, key=lambda each: each.int)
        for index in range(partition_counts[topic])
    ]


def _spread_alike(ordered: list[Assignee], partition_counts: Mapping[UUID, int]) -> Assignment:
    places = _places(ordered[0].topics, partition_counts)
    least, spare = divmod(len(places), len(ordered))
    free = dict.fromkeys(places)
    given: dict[str, list[Place]] = {}
    for each in ordered:
        kept = sorted(place for place in each.target if place in free)
        room = least + 1 if len(kept) > least and spare else least
        spare -= room > least and len(kept) > least
        given[each.member_id] = kept[:room]
        for place in kept[:room]:
            del free[place]
    rest = list(free)
    rest.reverse()
    for own in given.values():
        while len(own) < least:
            own.append(rest.pop())
    for own in given.values():
        if rest and len(own) == least:
            own.append(rest.pop())
    assert not rest
    return {member_id: frozenset(own) for member_id, own in given.items()}


def _spread_unlike(ordered: list[Assignee], partition_counts: Mapping[UUID, int]) -> Assignment:
    subscribers: dict[UUID, list[str]] = {}
    for each in ordered:
        for topic in each.topics:
            subscribers.setdefault(topic, []).append(each.member_id)
    places = _places(frozenset(subscribers), partition_counts)
    owners = {
        place: each.member_id
        for each in reversed(ordered)
        for place in each.target
        if place[0] in each.topics and place[1] < partition_counts[place[0]]
    }
    load = dict.fromkeys((each.member_id for each in ordered), 0)
    for owner in owners.values():
        load[owner] += 1
    for place in sorted(places, key=lambda each: len(subscribers[each[0]])):
        if place not in owners:
            owner = owners[place] = min(subscribers[place[0]], key=load.__getitem__)
            load[owner] += 1
    for _ in range(BALANCE_ROUNDS_MAX):
        if not _even_out(places, owners, load, subscribers):
            break
    given: dict[str, list[Place]] = {each.member_id: [] for each in ordered}
    for place in places:
        given[owners[place]].append(place)
    return {member_id: frozenset(own) for member_id, own in given.items()}


def _even_out(
    places: list[Place], owners: dict[Place, str], load: dict[str, int], subscribers: Mapping[UUID, list[str]]
) -> bool:
    """Give each partition to a subscriber with less to do, where that is more even. Whether anything moved."""
    has_moved = False
    least_loaded = min(load.values())
    for place in places:
        owner = owners[place]
        if load[owner] - least_loaded < 2:
            continue
        taker = min(subscribers[place[0]], key=load.__getitem__)
        if load[taker] + 1 < load[owner]:
            load[owner] -= 1
            load[taker] += 1
            owners[place] = taker
            has_moved = True
    return has_moved


def range_(assignees: list[Assignee], partition_counts: Mapping[UUID, int]) -> Assignment:
    """Static members first, by instance id; then the others, by member id."""
    ordered = sorted(assignees, key=lambda each: (each.instance_id is None, each.instance_id or each.member_id))
    subscribers: dict[UUID, list[str]] = {}
    for each in ordered:
        for topic in each.topics:
            subscribers.setdefault(topic, []).append(each.member_id)
    given: dict[str, list[Place]] = {each.member_id: [] for each in ordered}
    for topic, members in subscribers.items():
        least, spare = divmod(partition_counts[topic], len(members))
        start = 0
        for position, member_id in enumerate(members):
            end = start + least + (position < spare)
            given[member_id] += [(topic, index) for index in range(start, end)]
            start = end
    return {member_id: frozenset(own) for member_id, own in given.items()}


ASSIGNORS: Final[Mapping[str, Callable[[list[Assignee], Mapping[UUID, int]], Assignment]]] = {
    "uniform": uniform,
    "range": range_,
}
"""By the names of `group.consumer.assignors`."""
