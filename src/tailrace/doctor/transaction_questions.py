"""Open transactions that hold readers of committed records back, and whether a coordinator will end them. Reads only.

    ListOffsets twice      a last stable offset below the high watermark: something is open there
    DescribeProducers      of those partitions alone: whose it is, since when
    ListTransactions, DescribeTransactions
                           what the coordinators know of those producers

Source: KIP-664.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from tailrace.base.errors import ErrorCode, TailraceError
from tailrace.client.cluster_questions import Asks
from tailrace.client.cluster_state import NOBODY
from tailrace.client.plain_requests import BrokerAddress
from tailrace.doctor.facts import ClusterFacts, OpenTransaction, Place
from tailrace.doctor.limits import TRANSACTIONS_MAX
from tailrace.doctor.questions import COMMITTED, LATEST, ask_offsets
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from tailrace.wire.messages.describe_transactions import DescribeTransactionsRequest
from tailrace.wire.messages.list_transactions import ListTransactionsRequest

_TOPIC: Final = "__transaction_state"


async def ask_transactions(asks: Asks, facts: ClusterFacts) -> None:
    """Everything open, into `facts`. Raises TailraceError, also where a coordinator is missing: what it knows would
    look as if it hung."""
    if any(each.topic == _TOPIC and each.leader == NOBODY for each in facts.state.partitions):
        raise TailraceError(f"nobody leads a partition of {_TOPIC}, and what hangs cannot be told without it")
    places = [(each.topic, each.partition) for each in facts.state.partitions]
    stable = await ask_offsets(asks, facts.state, places, LATEST, COMMITTED)
    held = {
        place: facts.ends[place] - offset for place, (offset, _) in stable.items() if offset < facts.ends.get(place, 0)
    }
    found = await _ask_producers(asks, facts, held)
    owners = await _ask_owners(asks, facts, {each.producer_id for each in found}) if found else {}
    facts.transactions = sorted(_with_owner(each, owners) for each in found)


async def _ask_producers(asks: Asks, facts: ClusterFacts, held: dict[Place, int]) -> list[OpenTransaction]:
    leaders = {(each.topic, each.partition): each.leader for each in facts.state.partitions}
    addresses = {each.broker: (each.host, each.port) for each in facts.state.brokers}
    by_broker: dict[BrokerAddress, dict[str, list[int]]] = {}
    for topic, index in held:
        by_broker.setdefault(addresses[leaders[topic, index]], {}).setdefault(topic, []).append(index)
    found = []
    for address, topics in by_broker.items():
        request = DescribeProducersRequest([TopicRequest(name, indexes) for name, indexes in topics.items()])
        answer = await asks.ask(ApiKey.DESCRIBE_PRODUCERS, request, address)
        found += [
            OpenTransaction(
                topic.name,
                partition.partition_index,
                producer.producer_id,
                producer.current_txn_start_offset,
                producer.last_timestamp,
                held[topic.name, partition.partition_index],
            )
            for topic in answer.topics
            for partition in topic.partitions
            if partition.error_code == ErrorCode.NONE
            for producer in partition.active_producers
            if producer.current_txn_start_offset >= 0
        ]
    return found


_Owner = tuple[str, str, int, frozenset[Place]]
"""Transactional id, state, timeout, and the partitions it has open."""


async def _ask_owners(asks: Asks, facts: ClusterFacts, producers: Iterable[int]) -> dict[int, _Owner]:
    """What coordinators know, by producer id."""
    listed: list[tuple[str, BrokerAddress]] = []
    for broker in facts.state.brokers:
        if broker.host and not broker.is_fenced and not broker.trouble:
            address = broker.host, broker.port
            request = ListTransactionsRequest([], list(producers), -1, None)
            answer = await asks.ask(ApiKey.LIST_TRANSACTIONS, request, address)
            if answer.error_code:
                raise TailraceError(f"broker {broker.broker} does not list its transactions yet")
            listed += [(each.transactional_id, address) for each in answer.transaction_states]
    if len(listed) > TRANSACTIONS_MAX:
        facts.untold.append(f"transactions: {len(listed) - TRANSACTIONS_MAX:,} ids beyond the first")
    answers = await asyncio.gather(
        *(
            asks.ask(ApiKey.DESCRIBE_TRANSACTIONS, DescribeTransactionsRequest([each]), address)
            for each, address in listed[:TRANSACTIONS_MAX]
        )
    )
    return {
        state.producer_id: (
            state.transactional_id,
            state.transaction_state,
            state.transaction_timeout_ms,
            frozenset((topic.topic, index) for topic in state.topics for index in topic.partitions),
        )
        for answer in answers
        for state in answer.transaction_states
        if state.error_code == ErrorCode.NONE
    }


def _with_owner(found: OpenTransaction, owners: dict[int, _Owner]) -> OpenTransaction:
    owner = owners.get(found.producer_id)
    if owner is None or (found.topic, found.partition) not in owner[3]:
        return found
    return found._replace(transactional_id=owner[0], state=owner[1], timeout_ms=owner[2])
