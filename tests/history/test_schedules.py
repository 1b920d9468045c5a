"""Real clients on a broker that is killed, paused, cut off and slowed by seed: what they were told must be right.

TAILRACE_SCHEDULES says how many schedules, TAILRACE_SCHEDULES_SEED where to begin (1); they are longer then, and every
planted bug is looked for. A failure names the command that runs its schedule again and the history it left.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.history.apart import Died, run_apart, run_surely
from tests.history.planted import BUGS
from tests.history.run import Plan

IS_LONG = "TAILRACE_SCHEDULES" in os.environ
SCHEDULES = int(os.environ.get("TAILRACE_SCHEDULES", "2"))
SEED = int(os.environ.get("TAILRACE_SCHEDULES_SEED", "1"))
SECONDS = 10.0 if IS_LONG else 4.0
IN_DEFAULT_RUN = ("past-stable",)
PLANTED_TRIES = 3
"""A bug strikes now and then; a run of some seconds on a busy machine may do too little to meet it."""


@pytest.mark.slow
@pytest.mark.timeout(700)
@pytest.mark.parametrize("seed", range(SEED, SEED + SCHEDULES))
def test_what_clients_were_told_is_right(seed: int, tmp_path: Path) -> None:
    command = Plan(seed, SECONDS).command
    verdict = run_surely(command, tmp_path)
    print(f"{command}: {verdict.figures}")
    assert not verdict.found, (command, str(tmp_path), len(verdict.found), verdict.found[:10])


@pytest.mark.slow
@pytest.mark.timeout(700)
@pytest.mark.parametrize("bug", BUGS if IS_LONG else IN_DEFAULT_RUN)
def test_a_planted_bug_is_found(bug: str, tmp_path: Path) -> None:
    told = []
    for number in range(PLANTED_TRIES):
        command = Plan(SEED + number, SECONDS, bug).command
        try:
            verdict = run_apart(command, tmp_path / str(number))
        except Died as death:
            print(death)
            told.append(f"{command} died")
            continue
        print(f"{bug}: {len(verdict.found)} anomalies, {sorted(verdict.kinds)}")
        if verdict.kinds & BUGS[bug].expected:
            return
        told.append(f"{command}: {verdict.found[:10]}")
    pytest.fail("\n".join(told))
