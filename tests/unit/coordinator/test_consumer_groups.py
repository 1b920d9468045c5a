"""Assignors and regular expressions of consumer groups."""

from __future__ import annotations

from uuid import UUID

import pytest

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.coordinator.consumer_groups.assignors import Assignee, range_, uniform
from tailrace.coordinator.consumer_groups.limits import REGEX_MAX_CHARS
from tailrace.coordinator.consumer_groups.regexes import matching

T1, T2, T3 = (UUID(int=number) for number in (1, 2, 3))
NOTHING: frozenset[tuple[UUID, int]] = frozenset()


def member(name: str, *topics: UUID, target: frozenset[tuple[UUID, int]] = NOTHING) -> Assignee:
    return Assignee(name, None, frozenset(topics), target)


class TestUniform:
    def test_loads_differ_by_one_at_most(self) -> None:
        given = uniform([member(name, T1, T2) for name in "abc"], {T1: 5, T2: 3})
        assert sorted(map(len, given.values())) == [2, 3, 3]
        assert len(frozenset().union(*given.values())) == 8

    def test_a_third_member_takes_only_what_balance_wants(self) -> None:
        counts = {T1: 9}
        before = uniform([member(name, T1) for name in "ab"], counts)
        after = uniform([*(member(name, T1, target=before[name]) for name in "ab"), member("c", T1)], counts)
        assert all(after[name] <= before[name] for name in "ab")
        assert sorted(map(len, after.values())) == [3, 3, 3]

    def test_partitions_that_are_gone_and_claimed_twice_are_no_trouble(self) -> None:
        both = frozenset({(T1, 0), (T1, 7)})
        given = uniform([member("a", T1, target=both), member("b", T1, target=both)], {T1: 2})
        assert given == {"a": frozenset({(T1, 0)}), "b": frozenset({(T1, 1)})}

    def test_unlike_subscriptions_are_evened_out(self) -> None:
        counts = {T1: 4, T2: 4, T3: 1}
        given = uniform([member("a", T1, T2), member("b", T2), member("c", T1, T3), member("d")], counts)
        assert sorted(map(len, given.values())) == [0, 3, 3, 3]
        assert given["b"] == {place for place in given["b"] if place[0] == T2}
        assert sum(map(len, given.values())) == 9

    def test_nobody(self) -> None:
        assert uniform([], {T1: 1}) == {}


def test_range_gives_runs_and_like_numbers_to_one_member() -> None:
    given = range_([member("b", T1, T2), member("a", T1, T2)], {T1: 3, T2: 3})
    assert given["a"] == {(T1, 0), (T1, 1), (T2, 0), (T2, 1)}
    assert given["b"] == {(T1, 2), (T2, 2)}


def test_range_puts_static_members_first() -> None:
    given = range_([member("a", T1), Assignee("z", "i", frozenset({T1}), NOTHING)], {T1: 3})
    assert given["z"] == {(T1, 0), (T1, 1)}


class TestRegex:
    def test_whole_names(self) -> None:
        names = ["t2", "t10", "at1", "T1", "t"]
        assert matching("t.*", names) == ["t", "t10", "t2"]
        assert matching("(?i)T1", names) == ["T1"]

    @pytest.mark.parametrize("regex", ["a(b", "(?=a)b", r"(a)\1", "a" * (REGEX_MAX_CHARS + 1)])
    def test_refused(self, regex: str) -> None:
        with pytest.raises(KafkaError) as refused:
            matching(regex, ["a"])
        assert refused.value.code is ErrorCode.INVALID_REGULAR_EXPRESSION

    def test_costly_ones_are_refused(self) -> None:
        names = [f"{number:b}".replace("0", "b").replace("1", "a") * 15 for number in range(3000, 5000)]
        with pytest.raises(KafkaError, match="too costly"):
            matching("(?:.*a.{200}){3}", names)
