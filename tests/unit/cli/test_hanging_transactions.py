"""What hangs, by the answers of brokers that are made up: the cases that no healthy cluster shows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tailrace.cli.failure import CommandFailed
from tailrace.cli.transaction_details import OpenTransaction, hanging_transactions
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.describe_producers import (
    DescribeProducersResponse,
    PartitionResponse,
    ProducerState,
    TopicResponse,
)
from tailrace.wire.messages.describe_transactions import (
    DescribeTransactionsResponse,
    TopicData,
    TransactionState,
)
from tailrace.wire.messages.list_transactions import (
    ListTransactionsResponse,
)
from tailrace.wire.messages.list_transactions import (
    TransactionState as ListedState,
)
from tailrace.wire.messages.metadata import (
    MetadataResponse,
    MetadataResponsePartition,
    MetadataResponseTopic,
)

BROKER = ("b", 1)
OPEN = ProducerState(7, 3, last_timestamp=1000, coordinator_epoch=2, current_txn_start_offset=40)


class Cluster:
    """Partition 0 of "t" holds producer 7's transaction open; its id "id" is in `state` with `partitions` of "t"."""

    def __init__(self, state: str | None, partitions: list[int], transaction_state_leader: int = 1) -> None:
        self.state = state
        self.partitions = partitions
        self.leader = transaction_state_leader

    async def brokers(self) -> list[tuple[str, int]]:
        return [BROKER]

    async def leaders(self, topics: list[str] | None) -> dict[tuple[str, int], tuple[str, int]]:
        return {("t", 0): BROKER}

    async def coordinator(self, transactional_id: str) -> tuple[str, int]:
        return BROKER

    async def ask(self, key: ApiKey, request: Any, broker: object = None) -> Any:
        match key:
            case ApiKey.METADATA:
                partitions = [MetadataResponsePartition(0, 0, self.leader)]
                return MetadataResponse(topics=[MetadataResponseTopic(0, "__transaction_state", partitions=partitions)])
            case ApiKey.DESCRIBE_PRODUCERS:
                return DescribeProducersResponse(
                    0, [TopicResponse("t", [PartitionResponse(0, active_producers=[OPEN])])]
                )
            case ApiKey.LIST_TRANSACTIONS:
                listed = [] if self.state is None else [ListedState("id", 7, self.state)]
                return ListTransactionsResponse(transaction_states=listed)
            case ApiKey.DESCRIBE_TRANSACTIONS:
                topics = [TopicData("t", self.partitions)] if self.partitions else []
                assert self.state is not None
                state = TransactionState(0, "id", self.state, 60_000, 0, 7, 3, topics)
                return DescribeTransactionsResponse(transaction_states=[state])
        raise AssertionError(key)


def hanging(cluster: Cluster, since_ms: int = 2000) -> list[OpenTransaction]:
    return asyncio.run(hanging_transactions(cluster, None, since_ms))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "partitions", "hangs"),
    [
        (None, [], True),
        ("Ongoing", [0], False),
        ("PrepareCommit", [0], False),
        ("Ongoing", [1], True),
        ("CompleteCommit", [], True),
        ("Empty", [], True),
    ],
)
def test_what_its_coordinator_will_not_end_hangs(state: str | None, partitions: list[int], hangs: bool) -> None:
    expected = [OpenTransaction("t", 0, 7, 3, 2, 40, 1000)] if hangs else []
    assert hanging(Cluster(state, partitions)) == expected


def test_one_that_was_just_written_to_is_given_time() -> None:
    assert hanging(Cluster(None, []), since_ms=999) == []


def test_without_its_coordinator_nothing_is_said_to_hang() -> None:
    """The id is not in the list because its disk is offline: it may well have been decided to commit."""
    with pytest.raises(CommandFailed, match="nobody coordinates partition 0 of __transaction_state"):
        hanging(Cluster(None, [], transaction_state_leader=-1))
