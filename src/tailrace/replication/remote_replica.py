"""A follower as its leader knows it: by its fetches.

Invariant: `log_end_offset` is what the follower said when it last fetched, UNKNOWN before it did in this leader epoch.
A fetch at offset N says: everything below N is here.
Source: Kafka `server.replica.Replica`, ReplicaState.
"""

from __future__ import annotations

from typing import Final

UNKNOWN: Final = -1

NEVER_MS: Final = float("-inf")


class RemoteReplica:
    """One follower of one partition, in one leader epoch."""

    __slots__ = (
        "_fetched_ms",
        "_leader_end_offset",
        "broker_epoch",
        "broker_id",
        "caught_up_ms",
        "log_end_offset",
        "log_start_offset",
    )

    broker_epoch: int
    """In which life of its broker it last fetched; UNKNOWN before."""
    caught_up_ms: float
    """When it last had everything that the leader had then. Monotonic clock."""

    def __init__(self, broker_id: int, caught_up_ms: float) -> None:
        """`caught_up_ms`: now for one in sync, which gives it time to fetch before it is dropped; else NEVER_MS."""
        self.broker_id = broker_id
        self.broker_epoch = UNKNOWN
        self.log_end_offset = UNKNOWN
        self.log_start_offset = UNKNOWN
        self.caught_up_ms = caught_up_ms
        self._fetched_ms = 0.0
        self._leader_end_offset = 0

    def on_fetch(self, offset: int, log_start_offset: int, leader_end_offset: int, now_ms: float) -> None:
        """It fetches from `offset` on. One that asks for what was the end at its last fetch was caught up then."""
        if offset >= leader_end_offset:
            self.caught_up_ms = max(self.caught_up_ms, now_ms)
        elif offset >= self._leader_end_offset:
            self.caught_up_ms = max(self.caught_up_ms, self._fetched_ms)
        self.log_end_offset = offset
        self.log_start_offset = log_start_offset
        self._fetched_ms = now_ms
        self._leader_end_offset = leader_end_offset

    def is_caught_up(self, leader_end_offset: int, now_ms: float, lag_max_ms: int) -> bool:
        """Whether it has everything, or had not longer than `lag_max_ms` ago."""
        return self.log_end_offset == leader_end_offset or now_ms - self.caught_up_ms <= lag_max_ms
