"""The text that Prometheus reads, in its own format 0.0.4 or as OpenMetrics 1.0; sans-IO.

    # HELP name words
    # TYPE name counter
    name_total{label="value"} 17

Names of counters are given without `_total`, which both formats' samples bear. A family is written once, whole.
Invariant: whatever a label's value holds, a line stays a line. Not its business: which metrics there are.
Source: Prometheus exposition formats; OpenMetrics 1.0.0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from tailrace.observe.durations import Durations

TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

FIRST_BITS: Final = 14
LAST_BITS: Final = 36
"""Buckets that are shown: below 16 µs nothing differs that anybody would act upon; above 69 s no request waits."""

Labels = Mapping[str, str]
Sample = tuple[Labels, float]
NO_LABELS: Final[Labels] = {}


class Exposition:
    """One answer in the making."""

    def __init__(self, *, is_openmetrics: bool) -> None:
        self._is_openmetrics = is_openmetrics
        self._lines: list[str] = []
        self._names: set[str] = set()

    def counter(self, name: str, words: str, samples: Iterable[Sample]) -> None:
        """A family of values that only rise."""
        assert not name.endswith("_total"), name
        self._begin(name if self._is_openmetrics else f"{name}_total", "counter", words)
        for labels, value in samples:
            self._add(f"{name}_total", labels, value)

    def gauge(self, name: str, words: str, samples: Iterable[Sample]) -> None:
        """A family of values that rise and fall."""
        self._begin(name, "gauge", words)
        for labels, value in samples:
            self._add(name, labels, value)

    def durations_ms(self, name: str, words: str, samples: Iterable[tuple[Labels, Durations, int]]) -> None:
        """A family of histograms in milliseconds. The third of a sample: how many more there were that took no time."""
        self._begin(name, "histogram", words)
        for labels, durations, instant_count in samples:
            for bits in range(FIRST_BITS, LAST_BITS + 1):
                below = durations.count_below(bits) + instant_count
                self._add(f"{name}_bucket", {**labels, "le": f"{2**bits / 1e6:g}"}, below)
            count = durations.count + instant_count
            self._add(f"{name}_bucket", {**labels, "le": "+Inf"}, count)
            self._add(f"{name}_count", labels, count)
            self._add(f"{name}_sum", labels, durations.sum_ns / 1e6)

    def finish(self) -> bytes:
        """The whole answer."""
        end = ["# EOF"] if self._is_openmetrics else []
        return "\n".join([*self._lines, *end, ""]).encode()

    def _begin(self, name: str, kind: str, words: str) -> None:
        assert name not in self._names, f"{name} is there already"
        self._names.add(name)
        self._lines.append(f"# HELP {name} {_escaped_words(words)}")
        self._lines.append(f"# TYPE {name} {kind}")

    def _add(self, name: str, labels: Labels, value: float) -> None:
        if labels:
            inner = ",".join(f'{key}="{_escaped_value(text)}"' for key, text in labels.items())
            self._lines.append(f"{name}{{{inner}}} {_number(value)}")
        else:
            self._lines.append(f"{name} {_number(value)}")


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(int(value))
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value)


def _escaped_words(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escaped_value(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
