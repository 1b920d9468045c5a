"""What the cluster knows of transactions: its coordinators' ids, and the open ones that partitions have.

A transaction hangs when a partition holds it open and no coordinator will ever end it there: no id has its producer, or
the id's transaction is over or knows nothing of the partition. Readers of committed records then stand still.
Source: KIP-664, Kafka's TransactionsCommand.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tailrace.base.errors import ErrorCode
from tailrace.cli.failure import CommandFailed
from tailrace.cli.raw_requests import RawCluster, refusal
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from tailrace.wire.messages.describe_transactions import DescribeTransactionsRequest
from tailrace.wire.messages.list_transactions import ListTransactionsRequest
from tailrace.wire.messages.metadata import MetadataRequest, MetadataRequestTopic

_TOPIC: Final = "__transaction_state"
LIVE_STATES: Final = frozenset({"Ongoing", "PrepareCommit", "PrepareAbort"})


class Listed(NamedTuple):
    """One transactional id in a list."""

    transactional_id: str
    state: str
    producer_id: int


class Described(NamedTuple):
    """One transactional id as its coordinator sees it. `start_ms` is -1 when nothing is open."""

    transactional_id: str
    state: str
    producer_id: int
    producer_epoch: int
    timeout_ms: int
    start_ms: int
    partitions: list[tuple[str, int]]


class OpenTransaction(NamedTuple):
    """An open transaction as a partition sees it."""

    topic: str
    partition: int
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int
    start_offset: int
    last_timestamp_ms: int


class Producer(NamedTuple):
    """A producer as a partition knows it. `start_offset` is that of its open transaction."""

    producer_id: int
    producer_epoch: int
    coordinator_epoch: int
    last_sequence: int
    last_timestamp_ms: int
    start_offset: int | None


async def list_transactions(
    cluster: RawCluster, states: list[str], longer_than_ms: int = -1, pattern: str | None = None
) -> list[Listed]:
    """The transactional ids of every coordinator, by name."""
    found: list[Listed] = []
    for broker in await cluster.brokers():
        request = ListTransactionsRequest(states, [], longer_than_ms, pattern)
        answer = await cluster.ask(ApiKey.LIST_TRANSACTIONS, request, broker)
        if answer.error_code:
            raise refusal(answer.error_code, "cannot list transactions")
        if answer.unknown_state_filters:
            raise CommandFailed(f"there is no state {', '.join(answer.unknown_state_filters)}.")
        found += [Listed(each.transactional_id, each.transaction_state, each.producer_id)
                  for each in answer.transaction_states]  # fmt: skip
    return sorted(found)


async def describe_transaction(cluster: RawCluster, transactional_id: str) -> Described:
    """One id; a refusal ends the command."""
    broker = await cluster.coordinator(transactional_id)
    request = DescribeTransactionsRequest([transactional_id])
    answer = await cluster.ask(ApiKey.DESCRIBE_TRANSACTIONS, request, broker)
    (state,) = answer.transaction_states
    if state.error_code:
        raise refusal(state.error_code, f"transactional id {transactional_id}")
    return Described(
        transactional_id,
        state.transaction_state,
        state.producer_id,
        state.producer_epoch,
        state.transaction_timeout_ms,
        state.transaction_start_time_ms,
        [(topic.topic, index) for topic in state.topics for index in topic.partitions],
    )


async def producers_of(cluster: RawCluster, topic: str, index: int) -> list[Producer]:
    """Every producer that one partition knows, by id."""
    broker = (await cluster.leaders([topic])).get((topic, index))
    if broker is None:
        raise CommandFailed(f"there is no partition {topic}-{index}, or nobody leads it.")
    answer = await cluster.ask(
        ApiKey.DESCRIBE_PRODUCERS, DescribeProducersRequest([TopicRequest(topic, [index])]), broker
    )
    (partition,) = answer.topics[0].partitions
    if partition.error_code:
        raise refusal(partition.error_code, f"{topic}-{index}")
    return sorted(
        Producer(
            each.producer_id,
            each.producer_epoch,
            each.coordinator_epoch,
            each.last_sequence,
            each.last_timestamp,
            each.current_txn_start_offset if each.current_txn_start_offset >= 0 else None,
        )
        for each in partition.active_producers
    )


async def open_transactions(cluster: RawCluster, topics: list[str] | None) -> list[OpenTransaction]:
    """What is open in the partitions of `topics`, of all topics when None."""
    by_broker: dict[tuple[str, int], dict[str, list[int]]] = {}
    for (topic, index), broker in (await cluster.leaders(topics)).items():
        by_broker.setdefault(broker, {}).setdefault(topic, []).append(index)
    found: list[OpenTransaction] = []
    for broker, partitions in by_broker.items():
        request = DescribeProducersRequest([TopicRequest(topic, indexes) for topic, indexes in partitions.items()])
        answer = await cluster.ask(ApiKey.DESCRIBE_PRODUCERS, request, broker)
        for topic_answer in answer.topics:
            for partition in topic_answer.partitions:
                if partition.error_code not in (ErrorCode.NONE, ErrorCode.NOT_LEADER_OR_FOLLOWER):
                    raise refusal(partition.error_code, f"{topic_answer.name}-{partition.partition_index}")
                found += [
                    OpenTransaction(
                        topic_answer.name,
                        partition.partition_index,
                        producer.producer_id,
                        producer.producer_epoch,
                        producer.coordinator_epoch,
                        producer.current_txn_start_offset,
                        producer.last_timestamp,
                    )
                    for producer in partition.active_producers
                    if producer.current_txn_start_offset >= 0
                ]
    return sorted(found)


async def hanging_transactions(
    cluster: RawCluster, topics: list[str] | None, quiet_since_ms: int
) -> list[OpenTransaction]:
    """Those open in a partition, without a write since `quiet_since_ms`, that no coordinator will end there.

    Ends the command where a coordinator is missing: what it knows would look as if it hung, and aborting what it has
    decided to commit would tear a transaction apart.
    """
    await _check_coordinators(cluster)
    candidates = [each for each in await open_transactions(cluster, topics) if each.last_timestamp_ms <= quiet_since_ms]
    if not candidates:
        return []
    ids = {each.producer_id: each.transactional_id for each in await list_transactions(cluster, [])}
    hanging = []
    for each in candidates:
        transactional_id = ids.get(each.producer_id)
        if transactional_id is not None:
            known = await describe_transaction(cluster, transactional_id)
            if known.state in LIVE_STATES and (each.topic, each.partition) in known.partitions:
                continue
        hanging.append(each)
    return hanging


async def _check_coordinators(cluster: RawCluster) -> None:
    request = MetadataRequest([MetadataRequestTopic(name=_TOPIC)], allow_auto_topic_creation=False)
    (topic,) = (await cluster.ask(ApiKey.METADATA, request)).topics
    missing = [partition.partition_index for partition in topic.partitions if partition.leader_id < 0]
    if missing:
        shown = ", ".join(map(str, sorted(missing)))
        raise CommandFailed(f"nobody coordinates partition {shown} of {_TOPIC}; what hangs cannot be told without it.")
