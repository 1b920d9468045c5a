"""Which replica a consumer is sent to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.replicas import Replicas

from tailrace.replication.read_replica import THE_LEADER, closest_replica

RACKS = {1: "a", 2: "b", 3: "b"}


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[Replicas]:
    made = Replicas(tmp_path, 3)
    made.settle()
    made.nodes[1].produce(b"x")
    made.settle()
    yield made
    made.close()


def closest(replicas: Replicas, rack: str, offset: int = 0) -> int:
    return closest_replica(replicas.nodes[1].partition, offset, rack, 1, RACKS.get)


def test_one_in_the_same_rack_that_has_it(replicas: Replicas) -> None:
    assert closest(replicas, "a") == THE_LEADER
    assert closest(replicas, "c") == THE_LEADER
    assert closest(replicas, "b") in (2, 3)
    assert closest(replicas, "b", offset=1) in (2, 3), "what comes next"
    assert closest(replicas, "b", offset=2) == THE_LEADER, "nobody has that"


def test_the_one_that_has_most(replicas: Replicas) -> None:
    replicas.nodes[1].produce(b"y")
    replicas.nodes[3].send_fetch()
    replicas.deliver_all("fetch", "answer")
    replicas.nodes[3].send_fetch()
    replicas.deliver_all("fetch", "answer")
    assert closest(replicas, "b") == 3


def test_none_that_is_out_of_sync(replicas: Replicas) -> None:
    for broker in (2, 3):
        replicas.fence(broker)
    replicas.deliver_all()
    assert closest(replicas, "b") == THE_LEADER
