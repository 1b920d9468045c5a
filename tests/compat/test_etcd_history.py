"""Real clients on a cluster whose brokers are killed, paused, cut off, filled up: what they were told must be right.

TAILRACE_CLUSTER_SCHEDULES says how many schedules (2), TAILRACE_CLUSTER_SEED where to begin (1); they are longer then.
A failure names the command that runs its schedule again and the history it left. Needs root, for network namespaces.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.history.cluster_run import ClusterPlan, run_cluster

IS_LONG = "TAILRACE_CLUSTER_SCHEDULES" in os.environ
SCHEDULES = int(os.environ.get("TAILRACE_CLUSTER_SCHEDULES", "2"))
SEED = int(os.environ.get("TAILRACE_CLUSTER_SEED", "1"))
SECONDS = 10.0 if IS_LONG else 4.0

pytestmark = [pytest.mark.compat, pytest.mark.timeout(400)]


@pytest.mark.parametrize("seed", range(SEED, SEED + SCHEDULES))
def test_what_clients_were_told_is_right(seed: int, tmp_path: Path) -> None:
    result = run_cluster(ClusterPlan(seed, SECONDS), tmp_path)
    print(f"{result.plan.command}: {result.figures}")
    assert not result.found, (result.plan.command, str(result.journal), len(result.found), result.found[:10])


def loses_what_acks_1_may(tmp_path: Path) -> None:
    """The leader alone acknowledged, and died: the checker finds that out, and nothing of acks=all is among it."""
    result = run_cluster(ClusterPlan(SEED, SECONDS, is_leader_only=True), tmp_path)
    lost = [each for each in result.found if each.startswith(("unseen", "lost-write"))]
    assert lost, result.found[:10]
    assert all(": leader-only." in each for each in lost), lost[:10]
    print(f"{result.figures}: {len(lost)} acknowledged and lost")


if IS_LONG:  # a consumer of librdkafka has aborted the process once, after what it had read was gone; why is not known
    test_what_acks_1_loses_is_seen = loses_what_acks_1_may
