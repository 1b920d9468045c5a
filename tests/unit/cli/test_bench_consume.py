"""The readers of `tailrace bench consume` end with their run, however that ends. No broker."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from tailrace.base.clock import SystemClock
from tailrace.cli.bench.consume import Readers
from tailrace.cli.bench.workload import Workload


class Endless:
    """A consumer that always has a record, until it is closed."""

    closed = False

    def assign(self, partitions: list[Any]) -> None:
        if self.closed:
            raise RuntimeError("Consumer closed")

    def consume(self, number: int, timeout_s: float) -> list[Any]:
        time.sleep(0.001)
        self.assign([])
        return [SimpleNamespace(error=lambda: None)]

    def close(self) -> None:
        self.closed = True


def test_a_run_that_is_interrupted_while_its_readers_start_leaves_none_behind(monkeypatch) -> None:
    cluster: Any = SimpleNamespace(timeout_s=5.0, consumer=lambda properties: Endless())
    readers = Readers(cluster, Workload(1000, 0, 0.0, "all", "none", 3, 1, 1, None, 1.0), "t", 1000)
    start, started, raised = threading.Thread.start, [], []

    def start_two(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise TimeoutError("it took too long")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_two)
    monkeypatch.setattr(threading, "excepthook", raised.append)
    with pytest.raises(TimeoutError):
        readers.run(1.0, SystemClock())
    readers.close()
    for thread in started:
        thread.join(5.0)
    assert not any(thread.is_alive() for thread in started) and not raised
