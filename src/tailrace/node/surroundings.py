"""What the coordinators of a broker are given to work with. Built once, by the server."""

from __future__ import annotations

from typing import NamedTuple

from tailrace.base.clock import Clock
from tailrace.base.rand import Random
from tailrace.cluster.metadata import Metadata
from tailrace.coordinator.ports import Timers
from tailrace.log.logs import Logs
from tailrace.net.loop import Engine
from tailrace.replication.partitions import Partitions


class Surroundings(NamedTuple):
    """Where the coordinators live."""

    metadata: Metadata
    logs: Logs
    partitions: Partitions
    timers: Timers
    clock: Clock
    random: Random
    engine: Engine | None = None
    """Of a broker that may have others beside it: what it asks them with."""
