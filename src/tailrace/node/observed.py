"""What the pages of a broker's HTTP listener look at. Built by the server; pages read and change nothing."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from tailrace.broker.services import Services
from tailrace.net.address import Address
from tailrace.net.loop import Engine


class Phase(Enum):
    """Where a broker is in its life, once it can be asked."""

    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"


class Observed(NamedTuple):
    """One broker. `started_ms` is on the monotonic clock of `services.clock`; `kafka` is where clients reach it."""

    engine: Engine
    services: Services
    phase: Callable[[], Phase]
    started_ms: float
    kafka: Address
