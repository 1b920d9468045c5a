"""Real clients on a broker that is killed, paused, cut off and slowed by seed: what they were told must be right.

TAILRACE_SCHEDULES says how many schedules, TAILRACE_SCHEDULES_SEED where to begin (1); they are longer then, and every
planted bug is looked for. A failure names the command that runs its schedule again and the history it left.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.history.planted import BUGS
from tests.history.run import Plan, run_schedule

IS_LONG = "TAILRACE_SCHEDULES" in os.environ
SCHEDULES = int(os.environ.get("TAILRACE_SCHEDULES", "2"))
SEED = int(os.environ.get("TAILRACE_SCHEDULES_SEED", "1"))
SECONDS = 10.0 if IS_LONG else 4.0
IN_DEFAULT_RUN = ("past-stable",)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(SEED, SEED + SCHEDULES))
def test_what_clients_were_told_is_right(seed: int, tmp_path: Path) -> None:
    result = run_schedule(Plan(seed, SECONDS), tmp_path)
    print(f"{result.plan.command}: {result.figures}")
    assert not result.found, (result.plan.command, str(result.journal), len(result.found), result.found[:10])


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("bug", BUGS if IS_LONG else IN_DEFAULT_RUN)
def test_a_planted_bug_is_found(bug: str, tmp_path: Path) -> None:
    result = run_schedule(Plan(SEED, SECONDS, bug), tmp_path)
    print(f"{bug}: {len(result.found)} anomalies, {sorted(result.kinds)}")
    assert result.kinds & BUGS[bug].expected, (result.plan.command, result.found[:10])
