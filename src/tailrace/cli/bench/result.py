"""What a run found, as JSON and as a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tailrace.cli.bench.histogram import Histogram
from tailrace.cli.bench.workload import Workload
from tailrace.cli.failure import CommandFailed
from tailrace.cli.output import note, print_json, print_table

PERCENTS: Final = (50.0, 99.0, 99.9)
KEPT_UP: Final = 0.95
"""A run that moved less than this share of its rate did not keep up. The time for the last answers is in it."""


@dataclass
class Result:
    """Records that were acknowledged (or read), in `elapsed_s`, and how long each took, where that was asked."""

    bench: str
    workload: Workload
    records: int = 0
    elapsed_s: float = 0.0
    failed: int = 0
    latency: Histogram = field(default_factory=Histogram)
    end_to_end: Histogram | None = None

    @property
    def records_per_s(self) -> float:
        """Acknowledged (or read) records a second."""
        return self.records / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def mb_per_s(self) -> float:
        """Megabytes (10^6) of record values a second."""
        return self.records_per_s * self.workload.record_bytes / 1e6

    @property
    def kept_up(self) -> bool:
        """Whether the run had the rate it was asked for; always, when none was."""
        asked = self.workload.rate_per_s
        return asked is None or (self.failed == 0 and self.records_per_s >= asked * KEPT_UP)

    def as_json(self) -> dict[str, Any]:  # JSON
        """Everything, under names that do not change."""
        document: dict[str, Any] = {
            "bench": self.bench,
            "workload": self.workload.as_json(),
            "records": self.records,
            "bytes": self.records * self.workload.record_bytes,
            "elapsed_s": round(self.elapsed_s, 6),
            "records_per_s": round(self.records_per_s, 1),
            "mb_per_s": round(self.mb_per_s, 3),
            "failed": self.failed,
            "kept_up": self.kept_up,
        }
        for name, histogram in self._histograms():
            document[name] = latency_json(histogram)
        return document

    def show(self, *, as_json: bool) -> None:
        """Print it; failed records are a failure of the command."""
        if as_json:
            print_json(self.as_json())
        else:
            self._print()
        if self.failed:
            raise CommandFailed(f"{self.failed:,} records were not acknowledged.")

    def _print(self) -> None:
        figures = (f"{self.elapsed_s:.2f}", f"{self.records_per_s:,.0f}", f"{self.mb_per_s:.1f}")
        print_table(("records", "seconds", "records/s", "MB/s"), [(f"{self.records:,}", *figures)])
        rows = [(title, *_milliseconds(histogram)) for title, histogram in self._histograms()]
        if rows:
            columns = ("latency, ms", "mean", *(f"p{percent:g}" for percent in PERCENTS), "max")
            print_table(columns, [(title.removesuffix("_ms").replace("_", " "), *cells) for title, *cells in rows])
        if not self.kept_up:
            note(
                f"the cluster did not keep up with {self.workload.rate_per_s:,.0f} records/s: "
                "the latencies are those of a queue that grew"
            )

    def _histograms(self) -> list[tuple[str, Histogram]]:
        named = [("acknowledged_ms", self.latency), ("end_to_end_ms", self.end_to_end or Histogram())]
        return [(name, histogram) for name, histogram in named if histogram.count]


def latency_json(histogram: Histogram) -> dict[str, float]:
    """Milliseconds: mean, percentiles, the longest; and how many there were."""
    names = [f"p{percent:g}" for percent in PERCENTS]
    values = [value_us / 1000 for value_us in histogram.percentiles_us(PERCENTS)]
    found = {"count": float(histogram.count), "mean": round(histogram.mean_us / 1000, 3)}
    return {**found, **dict(zip(names, values, strict=True)), "max": histogram.max_us / 1000}


def write_distribution(path: Path, histogram: Histogram) -> None:
    """The whole distribution as HdrHistogram's own plotter reads it (a `.hgrm` file), in milliseconds."""
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    seen = 0
    for percent, value_us, here in histogram.distribution():
        seen += here
        share = percent / 100
        tail = f"{1 / (1 - share):14.2f}" if share < 1 else ""
        lines.append(f"{value_us / 1000:12.3f} {share:14.12f} {seen:10d} {tail}".rstrip())
    lines.append(f"#[Mean    = {histogram.mean_us / 1000:12.3f}, Max = {histogram.max_us / 1000:12.3f}]")
    lines.append(f"#[Total count = {histogram.count}]")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _milliseconds(histogram: Histogram) -> list[str]:
    values_us = [histogram.mean_us, *histogram.percentiles_us(PERCENTS), histogram.max_us]
    return [f"{value_us / 1000:.3f}" for value_us in values_us]
