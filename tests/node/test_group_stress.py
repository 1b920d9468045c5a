"""A large group through everything that happens to groups: stable again, each partition owned once, no commit lost.

TAILRACE_GROUP_MEMBERS says how many members (1,000 over 10,000 partitions is what `bench/bench_groups.py` measures).
"""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.brokers import TailraceProcess
from tests.harness.group_load import Crowd, Plan
from tests.node.served import RawClient

from tailrace.wire.api import ApiKey
from tailrace.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest

MEMBERS = int(os.environ.get("TAILRACE_GROUP_MEMBERS", "60"))
PARTITIONS = 10 * MEMBERS
SETTLE_S = 90.0
SESSION_TIMEOUT_MS = 10_000
"""The dead are waited for so long; the living must not lose their sessions on a busy machine."""
SETTINGS = {
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.session.timeout.ms": str(SESSION_TIMEOUT_MS),
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "1000",
}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[TailraceProcess]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * MEMBERS + 500)), hard))
    started = TailraceProcess(tmp_path, SETTINGS)
    started.start()
    yield started
    started.kill()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def client(broker: TailraceProcess) -> RawClient:
    return RawClient((broker.host, broker.port))


async def live_through_it(broker: TailraceProcess, crowd: Crowd) -> None:
    await crowd.prepare()
    tenth = MEMBERS // 10
    crowd.grow(MEMBERS)
    await crowd.until_stable(SETTLE_S)
    # Some die while others come, in the middle of the rebalance that makes.
    crowd.grow(tenth)
    await asyncio.sleep(0.05)
    await crowd.vanish(crowd.members[:tenth])
    await crowd.until_stable(SETTLE_S)
    static = crowd.grow(tenth, "static", is_static=True)
    await crowd.until_stable(SETTLE_S)
    generation, outcasts = max(member.generation for member in crowd.members), crowd.witness.outcasts
    for member in static:
        await crowd.restart(member)
    await crowd.until_stable(SETTLE_S)
    is_quiet = max(member.generation for member in crowd.members) == generation
    assert is_quiet or crowd.witness.outcasts > outcasts, "static members come back quietly"
    # The coordinator is killed in the middle of a rebalance, twice in a row.
    crowd.grow(tenth)
    await asyncio.sleep(0.1)
    broker.kill_and_restart()
    await asyncio.sleep(0.1)
    broker.kill_and_restart()
    await crowd.until_stable(SETTLE_S)
    await crowd.leave(crowd.members[: tenth * 2])
    await crowd.until_stable(SETTLE_S)
    assert crowd.plan.commits and len(crowd.witness.acknowledged) == PARTITIONS
    await crowd.leave([member for member in crowd.members if member.instance_id is None])


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_crowd_comes_dies_restarts_and_goes(broker: TailraceProcess, protocol: str) -> None:
    with client(broker) as raw:
        made = raw.ask(ApiKey.CREATE_TOPICS, 7, CreateTopicsRequest([CreatableTopic("wide", PARTITIONS, 1)], 60_000))
        assert not made.topics[0].error_code
    plan = Plan(
        broker.address, "crowd", "wide", PARTITIONS, protocol, session_timeout_ms=SESSION_TIMEOUT_MS, heartbeat_s=1.0
    )
    crowd = Crowd(plan)

    async def run() -> None:
        try:
            await live_through_it(broker, crowd)
        finally:
            await crowd.vanish(list(crowd.members))

    asyncio.run(run())
    crowd.check()
