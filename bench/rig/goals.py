"""What Tailrace wants to be, as ratios of one run's medians, and how far it is from that.

A goal whose two figures were not both measured is left out; nothing here fails a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .workloads import ENTRIES

Medians = Mapping[str, Mapping[str, Mapping[str, float]]]

OTHERS = ("tansu", "noida-db", "kfake")
AHEAD_BY_MORE = ("produce", "fetch")
"""Where it is not enough not to be behind Apache Kafka."""


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
        """`produce, cpu_s_per_gb: tailrace over floor`."""
        against = f"{self.other} under {self.other_workload}" if self.other_workload else self.other
        return f"{self.workload}, {self.figure}: tailrace over {against}"

    def met_by(self, ratio: float) -> bool:
        """Whether that is good enough."""
        return ratio >= self.limit if self.least else ratio <= self.limit


GOALS = (
    Goal("produce", "cpu_s_per_gb", "floor", 1.5),
    Goal("fetch", "cpu_s_per_gb", "floor", 2.0),
    Goal("requests-1", "cpu_us_per_request", "floor", 2.0),
    Goal("requests-1000", "cpu_us_per_request", "tailrace", 1.2, other_workload="requests-50"),
    *(Goal(workload, "mb_per_s", "kafka", 1.5, least=True) for workload in AHEAD_BY_MORE),
    *(Goal(workload, "cpu_s_per_gb", "kafka", 0.5) for workload in AHEAD_BY_MORE),
    *(
        Goal(workload, figure, "kafka", 1.0, least=True)
        for workload in ENTRIES
        if workload not in AHEAD_BY_MORE
        for figure in ("mb_per_s", "requests_per_s")
    ),
    Goal("latency", "ack_p99_ms", "kafka", 0.5),
    Goal("produce", "peak_mb", "kafka", 1 / 8),
    Goal("start", "first_record_ms", "kafka", 1 / 5),
    *(Goal("produce", "cpu_s_per_gb", other, 1 / 4) for other in OTHERS),
    *(Goal("fetch", "cpu_s_per_gb", other, 1 / 8) for other in OTHERS),
    *(Goal("produce", "peak_mb", other, 1 / 10) for other in OTHERS),
    *(Goal("requests-50", "cpu_us_per_request", other, 1.0) for other in OTHERS),
)


def ratios(medians: Medians) -> Iterator[tuple[Goal, float]]:
    """The goals that this run can tell of, each with its ratio."""
    for goal in GOALS:
        ours = medians.get(goal.workload, {}).get("tailrace", {}).get(goal.figure)
        theirs = medians.get(goal.other_workload or goal.workload, {}).get(goal.other, {}).get(goal.figure)
        if ours is not None and theirs:
            yield goal, ours / theirs


def table(medians: Medians) -> list[str]:
    """A row for each goal, in Markdown."""
    rows = [
        f"| {goal.words} | {ratio:.2f} | {'at least' if goal.least else 'at most'} {goal.limit:.3g} | "
        f"{'yes' if goal.met_by(ratio) else '**no**'} |"
        for goal, ratio in ratios(medians)
    ]
    return ["| ratio | measured | wanted | met |", "|---|---|---|---|", *rows] if rows else []
