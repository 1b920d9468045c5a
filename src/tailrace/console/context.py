"""What all of the console's addresses share. Built once, in the console's loop."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.base.clock import Clock
from tailrace.console.decoding import Decoder
from tailrace.console.kafka import KafkaCluster
from tailrace.console.lag_history import LagHistory
from tailrace.console.options import ConsoleOptions
from tailrace.console.sizes import Sizes


@dataclass(frozen=True, slots=True)
class Console:
    """One console and its cluster."""

    options: ConsoleOptions
    clock: Clock
    kafka: KafkaCluster
    sizes: Sizes
    decoder: Decoder
    lags: LagHistory
    token: str
