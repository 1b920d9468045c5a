"""Schedules of faults against a cluster on virtual time: nothing that was promised is broken, whatever happens when.

`TAILRACE_SIM_SCHEDULES` says how many; what a failing seed prints is replayed by `python -m tests.sim --seeds N`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sim.faults import Fault
from tests.sim.run import LASTS_MS, run, shape_of, shrunk, transactional
from tests.sim.story import told
from tests.sim.world import Shape

SCHEDULES = int(os.environ.get("TAILRACE_SIM_SCHEDULES", "100"))
PARTS = 10
ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300 + SCHEDULES * 2)
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_promised_is_broken(part: int) -> None:
    for seed in range(part, SCHEDULES, PARTS):
        verdict = run(seed)
        if verdict.complaints:
            pytest.fail(told(shrunk(verdict)))
        assert verdict.is_forgiven or verdict.committed >= verdict.acknowledged > 20, "it was about something"


def test_a_quiet_cluster_commits_everything() -> None:
    verdict = run(1, faults=[])
    assert not verdict.complaints
    assert verdict.ends == verdict.unclean_elections == verdict.lost_with_acks_1 == 0


def test_quiet_transactions_and_groups_come_to_their_end() -> None:
    verdict = run(1, shape_of(1, with_transactions=True), faults=[])
    assert not verdict.complaints
    assert verdict.transactions > verdict.transactions_committed > 20


def test_a_seed_says_everything() -> None:
    assert run(7).digest == run(7).digest != run(8).digest


@pytest.mark.timeout(500)
def test_a_seed_says_everything_in_any_process() -> None:
    """Whatever order its sets of strings have."""
    program = "from tests.sim.run import transactional; print(transactional(7).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"src{os.pathsep}.", "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=200,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert digests == {f"{transactional(7).digest}\n"}


def test_the_schedules_are_about_every_fault() -> None:
    """Each kind is done to some world of the first seeds, and is in its story."""
    from tests.sim.faults import KINDS, MISFORTUNES, misfortunes, moves, plan

    planned = {fault.kind for seed in range(20) for fault in plan(seed, 3, LASTS_MS)}
    assert planned == set(KINDS)
    assert {fault.kind for seed in range(20) for fault in moves(seed, 3, LASTS_MS)} == {"move", "prefer"}
    assert {fault.kind for seed in range(20) for fault in misfortunes(seed, 3, LASTS_MS)} == set(MISFORTUNES)
    assert {bool(shape_of(seed).transactions) for seed in range(100)} == {False, True}


def test_a_partition_is_moved_and_its_records_with_it() -> None:
    verdict = run(1, Shape(brokers=5), [Fault(1500, "move", 2, str(each), 0) for each in (1, 2, 3)])
    assert not verdict.complaints
    assert any("moving from" in line for line in verdict.story)
