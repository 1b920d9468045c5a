"""Timers: the wheel beside asyncio's heap, in one run.

    python bench/bench_timers.py [--write bench/results/timers.json]

First the cost of one insert, reset and cancel with 1,000, 100,000 and 1,000,000 timers waiting (best of many runs of
1,000). Then a minute of a gateway's life on a virtual clock: 100,000 connections with three timers each (heartbeat,
registration, authorisation; 1 to 60 s, ticks of 1 s) and a heartbeat from each every 30 s, as the CPU it takes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import bench_echo
from tailrace.net.timers import Timer, TimingWheel

CHURN = 1000
CONNECTION_COUNT = 100_000


def best_ns(action: Callable[[], None], runs: int) -> float:
    """Nanoseconds of CHURN operations in the fastest of `runs`, each."""
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter_ns()
        action()
        best = min(best, time.perf_counter_ns() - start)
    return round(best / CHURN, 1)


def wheel_costs(population: int) -> dict[str, float]:
    wheel = TimingWheel()
    waiting = [wheel.schedule(1000 + index % 59_000, int) for index in range(population)]
    made: list[Timer] = []

    def insert() -> None:
        made[:] = [wheel.schedule(1000 + index * 59, int) for index in range(CHURN)]

    def reset() -> None:
        for timer in waiting[:CHURN]:
            timer.reset(60_000)

    def insert_and_cancel() -> None:
        insert()
        for timer in made:
            timer.cancel()

    return {
        "insert_and_cancel_ns": best_ns(insert_and_cancel, 100),
        "reset_ns": best_ns(reset, 100),
    }


def asyncio_costs(population: int) -> dict[str, float]:
    loop = asyncio.new_event_loop()
    waiting = [loop.call_later(1 + index % 59_000 / 1000, int) for index in range(population)]

    def insert_and_cancel() -> None:
        made = [loop.call_later(1 + index * 0.059, int) for index in range(CHURN)]
        for handle in made:
            handle.cancel()

    def reset() -> None:
        for index in range(CHURN):
            waiting[index].cancel()
            waiting[index] = loop.call_later(60, int)

    costs = {"insert_and_cancel_ns": best_ns(insert_and_cancel, 30), "reset_ns": best_ns(reset, 30)}
    loop.close()
    return costs


def gateway_minute() -> dict[str, float]:
    """CPU seconds of one minute of 100,000 connections, timers alone."""
    wheel = TimingWheel(tick_ms=1000)
    heartbeats = [wheel.schedule(60_000, int) for _ in range(CONNECTION_COUNT)]
    for index in range(CONNECTION_COUNT):
        wheel.schedule(1000 + index % 59_000, int)
        wheel.schedule(60_000 - index % 30_000, int)
    start = time.process_time()
    longest = 0.0
    for second in range(60):
        for timer in heartbeats[second % 30 :: 30]:
            timer.reset(60_000)
        more = True
        while more:
            before = time.process_time()  # CPU: another process in between is not the wheel's doing
            more = wheel.advance(1000.0 * (second + 1))
            longest = max(longest, time.process_time() - before)
    spent = time.process_time() - start
    assert len(wheel) == CONNECTION_COUNT, "every heartbeat waits, everything else has fired"
    return {"cpu_percent_of_a_core": round(spent / 60 * 100, 2), "longest_slice_cpu_ms": round(longest * 1000, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="file for the results, as JSON")
    options = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    for population in (1000, 100_000, 1_000_000):
        results[f"wheel, {population} waiting"] = wheel_costs(population)
    for population in (1000, 100_000):
        results[f"asyncio, {population} waiting"] = asyncio_costs(population)
    results[f"a minute of {CONNECTION_COUNT} connections"] = gateway_minute()
    for name, row in results.items():
        print(f"{name:36}", "  ".join(f"{key} {value}" for key, value in row.items()))
    if options.write is not None:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        document = {"benchmark": "timers", "machine": bench_echo.machine(), "results": results}
        options.write.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
