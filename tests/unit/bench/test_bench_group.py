"""The group load of bench/peers.py: it begins when each member has its share, and an idle member holds up no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bench.rig import loads
from confluent_kafka import TopicPartition


class Message:
    """A record."""

    def error(self) -> None:
        return None


class Member:
    """A consumer: `shares` are the partitions that its n-th poll gives it; `held` records are there to read."""

    def __init__(self, shares: list[int] | None = None, held: int = 0) -> None:
        self.shares, self.held = shares or [], held
        self.polled = 0
        self.paused: list[TopicPartition] = []
        self.assigned: list[TopicPartition] = []

    def subscribe(self, topics: list[str], on_assign: Callable[[Any, list[TopicPartition]], None]) -> None:
        self.on_assign = on_assign

    def poll(self, timeout_s: float) -> None:
        share = self.shares[min(self.polled, len(self.shares) - 1)]
        self.polled += 1
        if share != len(self.assigned):
            self.on_assign(self, [TopicPartition("t", number) for number in range(share)])

    def assignment(self) -> list[TopicPartition]:
        return self.assigned

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned = partitions

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused = partitions

    def consume(self, number: int, timeout_s: float) -> list[Message]:
        assert timeout_s == 0, "waiting at one member, the others are not read"
        taken = min(number, self.held)
        self.held -= taken
        return [Message()] * taken


def test_the_first_member_that_has_all_partitions_is_not_the_group() -> None:
    members = [Member([6, 6, 6, 2]), Member([0, 0, 0, 2]), Member([0, 0, 2, 2])]
    loads._form(members, "t", 6)  # type: ignore[arg-type]
    assert [len(member.assigned) for member in members] == [2, 2, 2]
    assert all(member.paused == member.assigned for member in members), "nothing is read before"


def test_a_group_that_is_never_whole_is_a_failure(monkeypatch) -> None:
    monkeypatch.setattr(loads, "JOIN_MAX_S", 0.01)
    with pytest.raises(loads.LoadFailed, match="not formed"):
        loads._form([Member([6]), Member([0])], "t", 6)  # type: ignore[list-item]


def test_records_are_read_from_whoever_has_them() -> None:
    members = [Member(held=25_000), Member(), Member(held=7)]
    loads._read_all(members, 25_007)  # type: ignore[arg-type]
    assert [member.held for member in members] == [0, 0, 0]
