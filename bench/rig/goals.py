"""What Tailrace wants to be, as ratios of one run's medians, and by how much it misses that.

Each goal is shown with what was measured, or why it was not. Nothing here fails a run.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Runs = Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]
"""workload -> broker -> figures of each round."""
Failures = Mapping[str, Mapping[str, str]]

OTHERS = ("tansu", "noida-db", "kfake")
BULK = (
    "produce-100b", "produce-16kb", "produce-1mb", "produce-lz4", "acks-0", "acks-1", "fsync", "partitions-16",
    "partitions-256", "connections-50", "fetch-disk", "fanout-10", "fanout-100", "group",
    "java-produce", "java-consume",
)  # fmt: skip
"""Workloads counted in bytes, beside `produce` and `fetch`."""
REQUESTS = ("produce-one", "requests-1", "requests-50", "requests-1000", "transactions")
SMALL_REQUESTS = ("requests-1", "requests-50", "requests-1000")
FIGURES = {
    "mb_per_s": "MB/s",
    "requests_per_s": "requests/s",
    "cpu_s_per_gb": "CPU s/GB",
    "cpu_us_per_request": "CPU us/request",
    "cpu_percent": "CPU",
    "peak_mb": "peak memory",
    "rest_mb": "memory at rest",
    "ack_p99_ms": "p99 to the acknowledgement",
    "end_to_end_p99_ms": "p99 end to end",
    "first_record_ms": "time to the first acknowledged record",
    "copied": "bytes copied",
}


@dataclass(frozen=True)
class Goal:
    """`figure` of Tailrace under `workload` over that of `other`: at most `limit`, or at least with `least`."""

    workload: str
    figure: str
    other: str
    limit: float
    least: bool = False
    other_workload: str = ""

    @property
    def words(self) -> str:
        """`produce: CPU s/GB, tailrace over floor`."""
        against = f"its own under {self.other_workload}" if self.other_workload else self.other
        return f"{self.workload}: {FIGURES[self.figure]}, tailrace over {against}"

    @property
    def wanted(self) -> str:
        """`at most 0.5`."""
        return f"at {'least' if self.least else 'most'} {self.limit:.3g}"

    def missed_by(self, ratio: float) -> float:
        """The share that is missing; 0 or less when it is met."""
        return 1 - ratio / self.limit if self.least else ratio / self.limit - 1


@dataclass(frozen=True)
class Reached:
    """What a run says of a goal. `missed_by` as of `Goal`; `within_spread`: some two rounds would have met it."""

    ratio: float
    missed_by: float
    within_spread: bool

    @property
    def words(self) -> str:
        """`met`, or by how much not."""
        if self.missed_by <= 0:
            return "met"
        spread = ", within the spread of the rounds" if self.within_spread else ""
        return f"**missed by {self.missed_by:.0%}**{spread}"


GOALS: dict[str, tuple[Goal, ...]] = {
    "Beside the bare system calls": (
        Goal("produce", "cpu_s_per_gb", "floor", 1.5),
        Goal("fetch", "cpu_s_per_gb", "floor", 2.0),
        Goal("requests-1", "cpu_us_per_request", "floor", 2.0),
        Goal("requests-1000", "cpu_us_per_request", "tailrace", 1.2, other_workload="requests-50"),
    ),
    "Beside Apache Kafka: large batches": tuple(
        goal
        for workload in ("produce", "fetch")
        for goal in (
            Goal(workload, "mb_per_s", "kafka", 1.5, least=True),
            Goal(workload, "cpu_s_per_gb", "kafka", 0.5),
        )
    ),
    "Beside Apache Kafka: not behind anywhere": (
        *(Goal(workload, "mb_per_s", "kafka", 1.0, least=True) for workload in BULK),
        *(Goal(workload, "requests_per_s", "kafka", 1.0, least=True) for workload in REQUESTS),
        Goal("latency", "ack_p99_ms", "kafka", 1.0),
        Goal("latency", "end_to_end_p99_ms", "kafka", 1.0),
        Goal("idle", "cpu_percent", "kafka", 1.0),
        Goal("copies-produce", "copied", "kafka", 1.0),
    ),
    "Beside Apache Kafka: latency, memory, start": (
        Goal("latency-half", "ack_p99_ms", "kafka", 0.5),
        *(Goal(workload, "peak_mb", "kafka", 1 / 8) for workload in ("produce", "fetch", "requests-1000", "idle")),
        Goal("start", "rest_mb", "kafka", 1 / 8),
        Goal("start", "first_record_ms", "kafka", 1 / 5),
    ),
    "Beside small compiled brokers": tuple(
        goal
        for other in OTHERS
        for goal in (
            Goal("produce", "cpu_s_per_gb", other, 1 / 4),
            Goal("fetch", "cpu_s_per_gb", other, 1 / 8),
            Goal("produce", "peak_mb", other, 1 / 10),
            Goal("fetch", "peak_mb", other, 1 / 10),
            *(Goal(workload, "cpu_us_per_request", other, 1.0) for workload in SMALL_REQUESTS),
        )
    ),
}


def reached(goal: Goal, runs: Runs) -> Reached | None:
    """How far a goal is reached; None where one of its two figures was not measured."""
    ours = _values(runs, goal.workload, "tailrace", goal.figure)
    theirs = _values(runs, goal.other_workload or goal.workload, goal.other, goal.figure)
    if not ours or not theirs or not statistics.median(theirs):
        return None
    ratio = statistics.median(ours) / statistics.median(theirs)
    best = max(ours) / (min(theirs) or 1e-9) if goal.least else min(ours) / max(theirs)
    return Reached(ratio, goal.missed_by(ratio), goal.missed_by(best) <= 0)


def lines(runs: Runs, failures: Failures) -> list[str]:
    """The goals in Markdown: a table for each group of them, led by how many are met."""
    asked = {goal for goals in GOALS.values() for goal in goals if goal.workload in runs or goal.workload in failures}
    found = {goal: reached(goal, runs) for goal in asked}
    known = [each for each in found.values() if each is not None]
    if not known:
        return []
    met = sum(each.missed_by <= 0 for each in known)
    text = [f"Ratios of the medians below. {met} of the {len(known)} that could be measured are met."]
    for title, goals in GOALS.items():
        rows = [_row(goal, found[goal], failures) for goal in goals if goal in asked]
        if rows:
            text += ["", f"### {title}", "", "| | wanted | measured | |", "|---|---|---|---|", *rows]
    left_out = sorted({goal.workload for goals in GOALS.values() for goal in goals if goal not in asked})
    return [*text, *(["", f"Not part of this run: {', '.join(left_out)}."] if left_out else [])]


def _row(goal: Goal, found: Reached | None, failures: Failures) -> str:
    if found is not None:
        return f"| {goal.words} | {goal.wanted} | {found.ratio:.3g} | {found.words} |"
    why = "; ".join(_why_not(goal, failures)) or f"{goal.other} was not measured"
    return f"| {goal.words} | {goal.wanted} | | not measured: {why} |"


def _why_not(goal: Goal, failures: Failures) -> Iterator[str]:
    for workload, broker in ((goal.workload, "tailrace"), (goal.other_workload or goal.workload, goal.other)):
        if broker in failures.get(workload, {}):
            yield f"{broker}, {failures[workload][broker]}"


def _values(runs: Runs, workload: str, broker: str, figure: str) -> list[float]:
    return [found[figure] for found in runs.get(workload, {}).get(broker, ()) if figure in found]
