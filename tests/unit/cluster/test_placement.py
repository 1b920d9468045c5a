"""Placement: racks, leaders, brokers that are fenced, and topics that grow."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.placement import Placing, UsableBroker, place_replicas


def brokers(count: int, racks: str = "", fenced: tuple[int, ...] = ()) -> list[UsableBroker]:
    """1..count; the racks in turn."""
    return [
        UsableBroker(each, racks[(each - 1) % len(racks)] if racks else None, each in fenced)
        for each in range(1, count + 1)
    ]


def place(
    count: int, factor: int, among: list[UsableBroker], first: int = 0, topic: str = "t"
) -> list[tuple[int, ...]]:
    return place_replicas(Placing(topic, first, count, factor), among)


def test_without_racks_the_brokers_are_a_ring() -> None:
    for one, next_one in pairwise(place(4, 3, brokers(4))):
        assert next_one == tuple(each % 4 + 1 for each in one)
        assert one[1] == one[0] % 4 + 1


@pytest.mark.parametrize(("count", "racks", "factor"), [(6, "ab", 2), (6, "abc", 3), (9, "abc", 2), (8, "abab", 3)])
def test_replicas_are_in_as_many_racks_as_there_can_be_and_leaders_are_dealt_evenly(
    count: int, racks: str, factor: int
) -> None:
    among = brokers(count, racks)
    rack_of = {broker.broker_id: broker.rack for broker in among}
    placed = place(4 * count, factor, among)
    for replicas in placed:
        assert len(set(replicas)) == factor
        assert len({rack_of[each] for each in replicas}) == min(factor, len(set(racks)))
    assert set(Counter(replicas[0] for replicas in placed).values()) == {4}
    held = Counter(each for replicas in placed for each in replicas)
    assert len(set(held.values())) == 1


def test_what_a_broker_leaves_behind_is_not_all_for_its_neighbour() -> None:
    placed = place(40, 2, brokers(5))
    assert len({replicas[1] for replicas in placed if replicas[0] == 1}) > 1


def test_a_topic_that_grows_goes_on_where_it_ended() -> None:
    among = brokers(5, "ab")
    assert place(13, 3, among) == place(4, 3, among) + place(9, 3, among, first=4)


def test_brokers_that_are_fenced_lead_nothing_and_are_the_last_choice() -> None:
    for replicas in place(12, 2, brokers(4, fenced=(2,))):
        assert 2 not in replicas
    for replicas in place(12, 3, brokers(3, fenced=(2,))):
        assert replicas[2] == 2
    among = brokers(4, "ab", fenced=(2, 4))
    for replicas in place(8, 2, among):
        assert replicas[0] in (1, 3) and replicas[1] in (2, 4), "the other rack counts for more"


@pytest.mark.parametrize("among", [brokers(2), brokers(3, fenced=(1, 2, 3)), []])
def test_refusals(among: list[UsableBroker]) -> None:
    with pytest.raises(KafkaError) as caught:
        place(1, 3, among)
    assert caught.value.code == ErrorCode.INVALID_REPLICATION_FACTOR
