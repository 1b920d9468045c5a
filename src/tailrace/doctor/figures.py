"""A broker's own figures, from /metrics of its HTTP listener: Tailrace has one, other brokers do not. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_SAMPLE: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: .*)?")
_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')

Labels = dict[str, str]


class Figures(NamedTuple):
    """Samples by name, read at `read_ms` by the wall clock here."""

    samples: dict[str, list[tuple[Labels, float]]]
    read_ms: float
    address: str = ""

    def value(self, name: str) -> float | None:
        """The sum over all labels; None where there is no such metric."""
        found = self.samples.get(name)
        return None if found is None else sum(value for _, value in found)

    @property
    def cluster_id(self) -> str:
        """The cluster of the broker that told; empty where it does not say."""
        found = self.samples.get("tailrace_broker_info", [])
        return found[0][0].get("cluster_id", "") if found else ""

    @property
    def age_s(self) -> float:
        """How long the process has been running."""
        started_s = self.value("process_start_time_seconds")
        return 0.0 if started_s is None else max(self.read_ms / 1000 - started_s, 0.0)


def read_figures(text: str, read_ms: float, address: str = "") -> Figures:
    """Parse the Prometheus text format; lines that are none are skipped."""
    samples: dict[str, list[tuple[Labels, float]]] = {}
    for line in text.splitlines():
        found = _SAMPLE.fullmatch(line)
        if found is None or line.startswith("#"):
            continue
        labels = dict(_LABEL.findall(found[2] or ""))
        samples.setdefault(found[1], []).append((labels, float(found[3])))
    return Figures(samples, read_ms, address)
