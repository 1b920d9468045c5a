"""The assignor of share groups, `simple`: every partition to as many members as it takes for each to have some.

    2 members, 4 partitions    each has two, as with consumer groups
    4 members, 2 partitions    each has one, and each partition two members

What a member has it keeps unless that is more than its share. Where all subscribe alike the whole group is spread at
once, otherwise each topic over those who want it. Pure. Source: Kafka's `SimpleAssignor` and its two builders; which of
the equally good assignments comes out may differ.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID

from tailrace.coordinator.share_groups.member import Place


class Assignee(NamedTuple):
    """One member, as the assignor sees it."""

    member_id: str
    topics: frozenset[UUID]
    """What it is subscribed to, of what exists."""
    target: frozenset[Place]
    """What it was to have so far."""


def simple(assignees: Sequence[Assignee], assignable: Mapping[UUID, Sequence[int]]) -> dict[str, frozenset[Place]]:
    """Member id -> its partitions. `assignable` has the partitions, rising, that may be assigned, of every topic."""
    if not assignees:
        return {}
    found: dict[str, set[Place]] = {each.member_id: set() for each in assignees}
    topics = sorted({topic for each in assignees for topic in each.topics})
    if all(each.topics == assignees[0].topics for each in assignees):
        places = [(topic, index) for topic in topics for index in assignable.get(topic, ())]
        _spread(assignees, places, found)
    else:
        for topic in topics:
            wanting = [each for each in assignees if topic in each.topics]
            _spread(wanting, [(topic, index) for index in assignable.get(topic, ())], found)
    return {member_id: frozenset(places) for member_id, places in found.items()}


def _spread(members: Sequence[Assignee], places: Sequence[Place], found: dict[str, set[Place]]) -> None:
    """Give each of `places` to as many of `members` as it takes, adding to `found`."""
    if not places:
        return
    sharing = -(-len(members) // len(places))  # how many members a partition has: one where there are enough of them
    given = dict.fromkeys(places, 0)
    lacks: dict[str, int] = {}
    for member, share in zip(members, _shares(sharing * len(places), len(members)), strict=True):
        kept = [place for place in sorted(member.target) if given.get(place, sharing) < sharing][:share]
        found[member.member_id].update(kept)
        for place in kept:
            given[place] += 1
        if len(kept) < share:
            lacks[member.member_id] = share - len(kept)
    _fill(lacks, given, sharing, found)


def _shares(total: int, count: int) -> list[int]:
    """`total` in `count` parts that differ by one at most."""
    ends = [-(-total * position // count) for position in range(count + 1)]
    return [end - start for start, end in pairwise(ends)]


def _fill(lacks: dict[str, int], given: dict[Place, int], sharing: int, found: dict[str, set[Place]]) -> None:
    """Give what is left of each partition to members that have less than their share, in turn."""
    waiting = deque(lacks)
    for place in given:
        for _ in range(len(waiting)):
            if given[place] == sharing:
                break
            member_id = waiting.popleft()
            if place not in found[member_id]:
                found[member_id].add(place)
                given[place] += 1
                lacks[member_id] -= 1
            if lacks[member_id]:
                waiting.append(member_id)
