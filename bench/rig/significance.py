"""Whether a figure got worse by more than chance: pairs of runs, the signs of their differences flipped in every way.

A pair is two runs one after the other, so what the machine does meanwhile falls on both. The statistic is Wilcoxon's
signed rank sum over the logarithms of the ratios; under "no difference" each sign is as likely as the other, and all
2^n of them are counted, so the probability is exact and no shape of noise is assumed.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PAIRS_MIN = 5
"""With fewer, no result could be beyond chance at 5 %."""
PAIRS_MAX = 16
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Verdict:
    """A figure of two versions. `ratio` is the median of changed / base; `p_*` are corrected."""

    name: str
    ratio: float
    p_slower: float
    p_faster: float
    tolerance: float

    @property
    def word(self) -> str:
        """`slower`, `faster` or `same`: what cannot be told from chance, or is within the tolerance, is the same."""
        if self.p_slower < SIGNIFICANCE and self.ratio > 1 + self.tolerance:
            return "slower"
        if self.p_faster < SIGNIFICANCE and self.ratio < 1 - self.tolerance:
            return "faster"
        return "same"


def p_value(pairs: Sequence[tuple[float, float]]) -> float:
    """How often chance makes (base, changed) pairs look at least as much slower as these. Figures are above 0."""
    assert PAIRS_MIN <= len(pairs) <= PAIRS_MAX, "the number of pairs"
    differences = [math.log(changed / base) for base, changed in pairs]
    ranks = _ranks([abs(difference) for difference in differences])
    observed = sum(rank for rank, difference in zip(ranks, differences, strict=True) if difference > 0)
    counted = [rank for rank, difference in zip(ranks, differences, strict=True) if difference != 0]
    as_extreme = sum(
        sum(itertools.compress(counted, signs)) >= observed - 1e-9
        for signs in itertools.product((False, True), repeat=len(counted))
    )
    return float(as_extreme / 2 ** len(counted))


def judged(figures: Mapping[str, Sequence[tuple[float, float]]], tolerance: float) -> list[Verdict]:
    """A verdict for each figure; the probabilities are corrected for their number (Holm)."""
    slower = _corrected({name: p_value(pairs) for name, pairs in figures.items()})
    faster = _corrected({name: p_value([(b, a) for a, b in pairs]) for name, pairs in figures.items()})
    return [
        Verdict(name, statistics.median(b / a for a, b in pairs), slower[name], faster[name], tolerance)
        for name, pairs in figures.items()
    ]


def _corrected(found: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down: the smallest times their number, the next times one less, never falling."""
    corrected, highest = {}, 0.0
    for index, (name, value) in enumerate(sorted(found.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, value * (len(found) - index)))
        corrected[name] = highest
    return corrected


def _ranks(sizes: Sequence[float]) -> list[float]:
    """Ranks from 1; equal sizes share the mean of theirs, and 0 has none."""
    ordered = sorted(size for size in sizes if size > 0)
    return [
        (ordered.index(size) + 1 + ordered.index(size) + ordered.count(size)) / 2 if size > 0 else 0.0 for size in sizes
    ]
