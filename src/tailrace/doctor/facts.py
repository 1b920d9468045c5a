"""What a cluster tells when it is examined: values, gathered by `questions` and judged by the checks. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tailrace.client.cluster_state import ClusterState
from tailrace.client.plain_requests import BrokerAddress
from tailrace.doctor.figures import Figures
from tailrace.doctor.reach import Reach

Place = tuple[str, int]
"""Topic and partition."""


class Advertised(NamedTuple):
    """A broker's advertised address, tried from here. `cluster_id`: who answers there; empty when nobody says."""

    broker: int
    reach: Reach
    cluster_id: str = ""


class TopicSettings(NamedTuple):
    """Settings of a topic. `given`: the names that are set at the topic itself."""

    values: dict[str, str]
    given: frozenset[str]

    def number(self, name: str) -> int | None:
        """A whole number; None where the cluster does not tell it."""
        text = self.values.get(name, "")
        return int(text) if text.removeprefix("-").isdecimal() else None


class Volume(NamedTuple):
    """The volume under a broker's log directory."""

    broker: int
    log_dir: str
    total_bytes: int
    usable_bytes: int


class GroupPosition(NamedTuple):
    """A group's position in one partition. `late_offset`: the first record that is younger than LATE_MS, the end where
    none is; None where that is not known."""

    topic: str
    partition: int
    committed_offset: int
    log_start_offset: int | None
    end_offset: int | None
    late_offset: int | None


class GroupFacts(NamedTuple):
    """One group as its coordinator lists it."""

    group_id: str
    state: str
    positions: list[GroupPosition]


class OpenTransaction(NamedTuple):
    """A transaction that holds readers of a partition back.

    `transactional_id`, `state`, `timeout_ms`: of the id that has this producer and this partition open; empty and None
    where no coordinator knows of it.
    """

    topic: str
    partition: int
    producer_id: int
    start_offset: int
    last_write_ms: int
    held_back_records: int
    transactional_id: str = ""
    state: str = ""
    timeout_ms: int | None = None


@dataclass(slots=True)
class ClusterFacts:
    """Everything that was asked. What a cluster did not tell is empty, and named in `untold`."""

    bootstrap: list[BrokerAddress]
    now_ms: int
    state: ClusterState
    advertised: list[Advertised] = field(default_factory=list)
    topics: dict[str, TopicSettings] = field(default_factory=dict)
    brokers: dict[int, TopicSettings] = field(default_factory=dict)
    volumes: list[Volume] = field(default_factory=list)
    log_starts: dict[Place, int] = field(default_factory=dict)
    ends: dict[Place, int] = field(default_factory=dict)
    """High watermarks."""
    latest_ms: dict[Place, int] = field(default_factory=dict)
    """The largest timestamp of a partition's records."""
    groups: list[GroupFacts] = field(default_factory=list)
    transactions: list[OpenTransaction] = field(default_factory=list)
    figures: Figures | None = None
    untold: list[str] = field(default_factory=list)
