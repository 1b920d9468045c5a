"""The simulator finds what it is for: mistakes in the rules of replication, each put into the product."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.sim.faults import Fault
from tests.sim.mutants import MUTANTS, OF_TRANSACTIONS, mutant
from tests.sim.run import Verdict, harsh, harsh_with_transactions, run
from tests.sim.world import Shape

SEEDS_MAX = 200
"""Schedules that may pass before one fails; a tenth is the rule."""
FOUND_AT = {"coordinators-do-not-wait": 10, "lets-anybody-commit": 11, "never-times-out": 11, "tries-markers-once": 11}
"""Where to look first, as what a seed does was when this was written: to save time, no more."""


def schedule_of(name: str) -> Callable[[int], Verdict]:
    return harsh_with_transactions if name in OF_TRANSACTIONS else harsh


def first_failure(name: str) -> Verdict | None:
    with mutant(name):
        seeds = (FOUND_AT.get(name, 0), *range(SEEDS_MAX))
        verdicts = (schedule_of(name)(seed) for seed in seeds)
        return next((each for each in verdicts if each.complaints), None)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MUTANTS)
def test_it_is_found(name: str) -> None:
    found = first_failure(name)
    assert found is not None, f"{SEEDS_MAX} schedules do not show it"
    assert not schedule_of(name)(found.seed).complaints, "without the mistake all is well"


def test_what_acks_1_may_lose_is_seen() -> None:
    """A leader that is cut off from the others goes on for a while; nothing of what acks=all acknowledged is lost."""
    shape = Shape(partitions=1)
    verdicts = [run(seed, shape, [Fault(1500, "isolate", seed, "", 5000)]) for seed in (1, 2, 3)]
    assert not any(each.complaints for each in verdicts)
    assert sum(each.lost_with_acks_1 for each in verdicts) > 0
