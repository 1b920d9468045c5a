"""Asks a cluster everything that the checks look at, by APIs that Apache Kafka has too. Reads only, changes nothing.

Each part is asked on its own: a cluster that does not tell one (no such API, no permission, no answer) is examined by
the rest, and `untold` says what is missing. Not its business: groups and transactions (`group_questions`,
`transaction_questions`), judging.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tailrace.base.errors import ErrorCode, TailraceError
from tailrace.client.cluster_questions import Asks
from tailrace.client.cluster_state import BrokerState, ClusterState
from tailrace.doctor.facts import Advertised, ClusterFacts, Place, TopicSettings, Volume
from tailrace.doctor.limits import CONFIG_TOPICS_STEP, TIMESTAMP_PARTITIONS_MAX
from tailrace.doctor.reach import Outcome, try_to_reach
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.describe_cluster import DescribeClusterRequest
from tailrace.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from tailrace.wire.messages.describe_log_dirs import DescribeLogDirsRequest
from tailrace.wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic

LATEST: Final = -1
EARLIEST: Final = -2
MAX_TIMESTAMP: Final = -3
COMMITTED: Final = 1
"""Isolation level: the end of what readers of committed records see."""

_TOPIC: Final = 2
_BROKER: Final = 4
_FROM_TOPIC: Final = 1
"""DescribeConfigs' source of a value that is set at the topic."""


async def ask_offsets(
    asks: Asks, state: ClusterState, places: list[Place], timestamp: int, isolation: int = 0
) -> dict[Place, tuple[int, int]]:
    """(offset, timestamp) of each place, told by its leader; without those that nobody tells. Raises TailraceError when
    no leader answers."""
    leaders = {(each.topic, each.partition): each.leader for each in state.partitions}
    addresses = {each.broker: (each.host, each.port) for each in state.brokers if each.host and not each.is_fenced}
    by_leader: dict[int, dict[str, list[ListOffsetsPartition]]] = {}
    for topic, index in places:
        leader = leaders.get((topic, index), -1)
        if leader in addresses:
            wanted = ListOffsetsPartition(index, timestamp=timestamp)
            by_leader.setdefault(leader, {}).setdefault(topic, []).append(wanted)
    requests = [
        asks.ask(
            ApiKey.LIST_OFFSETS,
            ListOffsetsRequest(-1, isolation, [ListOffsetsTopic(name, wanted) for name, wanted in topics.items()]),
            addresses[leader],
        )
        for leader, topics in by_leader.items()
    ]
    answers = await asyncio.gather(*requests, return_exceptions=True)
    failures = [each for each in answers if isinstance(each, BaseException)]
    for failure in failures:
        if not isinstance(failure, TailraceError) or len(failures) == len(answers):
            raise failure
    return {
        (topic.name, each.partition_index): (each.offset, each.timestamp)
        for answer in answers
        if not isinstance(answer, BaseException)
        for topic in answer.topics
        for each in topic.partitions
        if each.error_code == ErrorCode.NONE
    }


async def ask_all(asks: Asks, facts: ClusterFacts, timeout_s: float) -> None:
    """Everything but groups and transactions, into `facts`."""
    await ask_advertised(asks, facts, timeout_s)
    await attempt(facts, "settings of topics", lambda: _ask_topics(asks, facts))
    await attempt(facts, "settings of brokers", lambda: _ask_brokers(asks, facts))
    await attempt(facts, "room on the brokers' volumes", lambda: _ask_volumes(asks, facts))
    await attempt(facts, "offsets of partitions", lambda: _ask_ends(asks, facts))
    await attempt(facts, "timestamps of records", lambda: _ask_timestamps(asks, facts))


async def attempt(facts: ClusterFacts, what: str, ask: Callable[[], Awaitable[None]]) -> None:
    """Ask; note in `untold` what was not answered."""
    try:
        await ask()
    except TailraceError as error:
        facts.untold.append(f"{what}: {error}")


async def ask_advertised(asks: Asks, facts: ClusterFacts, timeout_s: float) -> None:
    """Try every broker's advertised address from here, and ask who answers there."""

    async def one(broker: BrokerState) -> Advertised:
        reach = await try_to_reach(broker.host, broker.port, timeout_s)
        if reach.outcome is not Outcome.REACHED:
            return Advertised(broker.broker, reach)
        try:
            request = DescribeClusterRequest()
            found = await asks.ask(ApiKey.DESCRIBE_CLUSTER, request, (broker.host, broker.port))
        except TailraceError:
            return Advertised(broker.broker, reach)
        return Advertised(broker.broker, reach, found.cluster_id)

    brokers = [each for each in facts.state.brokers if each.host and not each.is_fenced]
    facts.advertised = list(await asyncio.gather(*map(one, brokers)))


async def _ask_topics(asks: Asks, facts: ClusterFacts) -> None:
    names = sorted({each.topic for each in facts.state.partitions})
    for begin in range(0, len(names), CONFIG_TOPICS_STEP):
        resources = [DescribeConfigsResource(_TOPIC, name, None) for name in names[begin : begin + CONFIG_TOPICS_STEP]]
        answer = await asks.ask(ApiKey.DESCRIBE_CONFIGS, DescribeConfigsRequest(resources))
        for result in answer.results:
            if result.error_code == ErrorCode.NONE:
                facts.topics[result.resource_name] = _settings(result)


async def _ask_brokers(asks: Asks, facts: ClusterFacts) -> None:
    for broker in _answering(facts):
        resource = DescribeConfigsResource(_BROKER, str(broker.broker), None)
        answer = await asks.ask(ApiKey.DESCRIBE_CONFIGS, DescribeConfigsRequest([resource]), (broker.host, broker.port))
        for result in answer.results:
            if result.error_code == ErrorCode.NONE:
                facts.brokers[broker.broker] = _settings(result)


def _settings(result: Any) -> TopicSettings:
    values = {config.name: config.value for config in result.configs if config.value is not None}
    given = frozenset(config.name for config in result.configs if config.config_source == _FROM_TOPIC)
    return TopicSettings(values, given)


async def _ask_volumes(asks: Asks, facts: ClusterFacts) -> None:
    for broker in _answering(facts):
        answer = await asks.ask(ApiKey.DESCRIBE_LOG_DIRS, DescribeLogDirsRequest([]), (broker.host, broker.port))
        facts.volumes += [
            Volume(broker.broker, each.log_dir, each.total_bytes, each.usable_bytes)
            for each in answer.results
            if each.error_code == ErrorCode.NONE and each.total_bytes > 0
        ]


async def _ask_ends(asks: Asks, facts: ClusterFacts) -> None:
    places = [(each.topic, each.partition) for each in facts.state.partitions]
    ends = await ask_offsets(asks, facts.state, places, LATEST)
    starts = await ask_offsets(asks, facts.state, places, EARLIEST)
    facts.ends = {place: offset for place, (offset, _) in ends.items()}
    facts.log_starts = {place: offset for place, (offset, _) in starts.items()}


async def _ask_timestamps(asks: Asks, facts: ClusterFacts) -> None:
    filled = [place for place, end in facts.ends.items() if end > facts.log_starts.get(place, 0)]
    if len(filled) > TIMESTAMP_PARTITIONS_MAX:
        left_out = len(filled) - TIMESTAMP_PARTITIONS_MAX
        facts.untold.append(f"timestamps of records: of {left_out:,} partitions, which are beyond the first")
    found = await ask_offsets(asks, facts.state, filled[:TIMESTAMP_PARTITIONS_MAX], MAX_TIMESTAMP)
    facts.latest_ms = {place: timestamp for place, (_, timestamp) in found.items() if timestamp >= 0}


def _answering(facts: ClusterFacts) -> list[BrokerState]:
    return [each for each in facts.state.brokers if each.host and not each.is_fenced and not each.trouble]
