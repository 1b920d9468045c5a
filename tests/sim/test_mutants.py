"""The simulator finds what it is for: mistakes in the rules of replication, each put into the product."""

from __future__ import annotations

import pytest
from tests.sim.faults import Fault
from tests.sim.mutants import MUTANTS, mutant
from tests.sim.run import Verdict, harsh, run
from tests.sim.world import Shape

SEEDS_MAX = 200
"""Schedules that may pass before one fails; a tenth is the rule."""


def first_failure(name: str) -> Verdict | None:
    with mutant(name):
        verdicts = (harsh(seed) for seed in range(SEEDS_MAX))
        return next((each for each in verdicts if each.complaints), None)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MUTANTS)
def test_it_is_found(name: str) -> None:
    found = first_failure(name)
    assert found is not None, f"{SEEDS_MAX} schedules do not show it"
    assert not harsh(found.seed).complaints, "without the mistake all is well"


def test_what_acks_1_may_lose_is_seen() -> None:
    """A leader that is cut off from the others goes on for a while; nothing of what acks=all acknowledged is lost."""
    shape = Shape(partitions=1)
    verdicts = [run(seed, shape, [Fault(1500, "isolate", seed, "", 5000)]) for seed in (1, 2, 3)]
    assert not any(each.complaints for each in verdicts)
    assert sum(each.lost_with_acks_1 for each in verdicts) > 0
