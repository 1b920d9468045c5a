"""Real clients on a cluster whose brokers are killed, paused, cut off, filled up: what they were told must be right.

TAILRACE_CLUSTER_SCHEDULES says how many schedules (2), TAILRACE_CLUSTER_SEED where to begin (1); they are longer then.
A failure names the command that runs its schedule again and the history it left. Needs root, for network namespaces.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.history.apart import run_surely
from tests.history.cluster_run import ClusterPlan

IS_LONG = "TAILRACE_CLUSTER_SCHEDULES" in os.environ
SCHEDULES = int(os.environ.get("TAILRACE_CLUSTER_SCHEDULES", "2"))
SEED = int(os.environ.get("TAILRACE_CLUSTER_SEED", "1"))
SECONDS = 10.0 if IS_LONG else 4.0

pytestmark = [pytest.mark.compat, pytest.mark.timeout(600)]


@pytest.mark.parametrize("seed", range(SEED, SEED + SCHEDULES))
def test_what_clients_were_told_is_right(seed: int, tmp_path: Path) -> None:
    command = ClusterPlan(seed, SECONDS).command
    verdict = run_surely(command, tmp_path)
    print(f"{command}: {verdict.figures}")
    assert not verdict.found, (command, str(tmp_path), len(verdict.found), verdict.found[:10])


def loses_what_acks_1_may(tmp_path: Path) -> None:
    """The leader alone acknowledged, and died: the checker finds that out, and nothing of acks=all is among it."""
    verdict = run_surely(ClusterPlan(SEED, SECONDS, is_leader_only=True).command, tmp_path)
    lost = [each for each in verdict.found if each.startswith(("unseen", "lost-write"))]
    assert lost, verdict.found[:10]
    assert all(": leader-only." in each for each in lost), lost[:10]
    print(f"{verdict.figures}: {len(lost)} acknowledged and lost")


if IS_LONG:  # the simulator shows the same loss in a hundredth of the time
    test_what_acks_1_loses_is_seen = loses_what_acks_1_may
