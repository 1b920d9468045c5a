"""The `simple` assignor over random groups: everything wanted is somebody's, nobody has much more than the others."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.coordinator.share_groups.assignor import Assignee, simple

TOPICS = [UUID(int=number) for number in range(1, 4)]


@st.composite
def groups(draw: st.DrawFn) -> tuple[list[Assignee], dict[UUID, list[int]]]:
    counts = {topic: draw(st.integers(0, 7)) for topic in TOPICS}
    assignable = {topic: sorted(draw(st.sets(st.integers(0, 6), max_size=count))) for topic, count in counts.items()}
    alike = draw(st.booleans())
    wanted = draw(st.frozensets(st.sampled_from(TOPICS), min_size=1))
    places = st.tuples(st.sampled_from(TOPICS), st.integers(0, 8))
    members = [
        Assignee(
            f"m{number}",
            wanted if alike else draw(st.frozensets(st.sampled_from(TOPICS), min_size=1)),
            draw(st.frozensets(places, max_size=8)),
        )
        for number in range(draw(st.integers(1, 8)))
    ]
    return members, assignable


@settings(deadline=None)
@given(groups())
def test_everything_wanted_is_assigned_and_spread(group: tuple[list[Assignee], dict[UUID, list[int]]]) -> None:
    members, assignable = group
    found = simple(members, assignable)
    assert found.keys() == {member.member_id for member in members}
    owners: Counter[tuple[UUID, int]] = Counter()
    for member in members:
        for topic, index in found[member.member_id]:
            assert topic in member.topics, "nobody has what it does not want"
            assert index in assignable[topic], "nor what may not be assigned"
            owners[topic, index] += 1
    for topic in TOPICS:
        wanting = [member for member in members if topic in member.topics]
        places = [(topic, index) for index in assignable[topic]]
        if not wanting or not places:
            continue
        assert all(owners[place] for place in places), "every partition has a member"
        if len({member.topics for member in members}) > 1:
            most = -(-len(wanting) // len(places))
            assert all(owners[place] <= most for place in places)
            assert all(any(place in found[member.member_id] for place in places) for member in wanting), "each has some"
    again = [Assignee(member.member_id, member.topics, found[member.member_id]) for member in members]
    assert simple(again, assignable) == found, "what is even stays"


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9))
def test_members_that_want_the_same_have_the_same_or_one_more(members: int, partitions: int) -> None:
    topic = TOPICS[0]
    assignees = [Assignee(f"m{number}", frozenset({topic}), frozenset()) for number in range(members)]
    found = simple(assignees, {topic: list(range(partitions))})
    loads = sorted(len(places) for places in found.values())
    assert loads[-1] - loads[0] <= 1
    assert loads[0] >= 1
