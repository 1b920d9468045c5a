"""Transactions: the ids of every coordinator, one of them, what is open on partitions, and ending one that hangs.

Asked by plain requests, which librdkafka lacks. Source: KIP-664.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tailrace.base.errors import ErrorCode
from tailrace.client.plain_requests import BrokerAddress
from tailrace.console.asked import body, confirmed, paged, text_of, whole_of
from tailrace.console.context import Console
from tailrace.console.group_questions import TRANSACTION_KEY, coordinator_of
from tailrace.console.limits import OPEN_TRANSACTIONS_PARTITIONS_MAX
from tailrace.console.problems import Problem, bad_request, not_found, of_code
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from tailrace.wire.messages.describe_transactions import DescribeTransactionsRequest
from tailrace.wire.messages.list_transactions import ListTransactionsRequest
from tailrace.wire.messages.write_txn_markers import WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest

_INT32_MAX: Final = (1 << 31) - 1
_INT64_MAX: Final = (1 << 63) - 1


class Transactions:
    """The addresses below /api/transactions."""

    def __init__(self, console: Console) -> None:
        self._kafka = console.kafka

    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route("/api/transactions", self.page, methods=["GET"]),
            Route("/api/transactions/open", self.open, methods=["GET"]),
            Route("/api/transactions/abort", self.abort, methods=["POST"]),
            Route("/api/transactions/id/{transactional_id:path}", self.describe, methods=["GET"]),
        ]

    async def page(self, request: Request) -> JSONResponse:
        """A page of the transactional ids."""
        wanted = request.query_params.get("q", "").lower()
        state = request.query_params.get("state", "").lower()
        brokers = await self._kafka.broker_addresses()
        answers = await asyncio.gather(*(self._list(address) for address in brokers.values()))
        found = [
            {
                "transactional_id": each.transactional_id,
                "producer_id": each.producer_id,
                "state": each.transaction_state,
                "coordinator": broker,
            }
            for broker, answer in zip(brokers, answers, strict=True)
            for each in answer.transaction_states
            if wanted in each.transactional_id.lower() and state in ("", each.transaction_state.lower())
        ]
        return JSONResponse(paged(request, sorted(found, key=lambda each: str(each["transactional_id"]))))

    async def describe(self, request: Request) -> JSONResponse:
        """One transactional id as its coordinator sees it."""
        name = request.path_params["transactional_id"]
        number, address = await coordinator_of(self._kafka, name, TRANSACTION_KEY)
        answer = await self._kafka.ask(ApiKey.DESCRIBE_TRANSACTIONS, DescribeTransactionsRequest([name]), address)
        (state,) = answer.transaction_states
        if state.error_code:
            raise of_code(state.error_code, f"{name} cannot be described")
        return JSONResponse(
            {
                "transactional_id": name,
                "state": state.transaction_state,
                "producer_id": state.producer_id,
                "producer_epoch": state.producer_epoch,
                "timeout_ms": state.transaction_timeout_ms,
                "started_ms": state.transaction_start_time_ms if state.transaction_start_time_ms >= 0 else None,
                "coordinator": number,
                "partitions": [
                    {"topic": topic.topic, "partition": index} for topic in state.topics for index in topic.partitions
                ],
            }
        )

    async def open(self, request: Request) -> JSONResponse:
        """What is open on partitions, also what no coordinator knows of."""
        metadata = await self._kafka.metadata()
        leaders = [
            (name, number, each.leader)
            for name, topic in sorted(metadata.topics.items())
            for number, each in sorted(topic.partitions.items())
            if each.leader >= 0
        ]
        asked = leaders[:OPEN_TRANSACTIONS_PARTITIONS_MAX]
        by_broker: dict[int, dict[str, list[int]]] = {}
        for topic, number, leader in asked:
            by_broker.setdefault(leader, {}).setdefault(topic, []).append(number)
        brokers = await self._kafka.broker_addresses()
        answers = await asyncio.gather(
            *(self._producers(brokers[broker], topics) for broker, topics in by_broker.items() if broker in brokers)
        )
        items = [each for answer in answers for each in answer]
        return JSONResponse({"items": items, "asked_partitions": len(asked), "total_partitions": len(leaders)})

    async def abort(self, request: Request) -> JSONResponse:
        """Write an abort marker for what a producer has open in a partition."""
        asked = await body(request)
        topic, number = text_of(asked, "topic"), _needed(asked, "partition", _INT32_MAX)
        confirmed(asked, f"{topic}-{number}")
        leader = (await self._kafka.topic(topic)).partitions.get(number)
        address = (await self._kafka.broker_addresses()).get(-1 if leader is None else leader.leader)
        if address is None:
            raise not_found(f"There is no partition {topic}-{number}, or nobody leads it.")
        wanted = _needed(asked, "producer_id", _INT64_MAX), _needed(asked, "producer_epoch", _INT32_MAX)
        here = await self._producers(address, {topic: [number]})
        if not any((each["producer_id"], each["producer_epoch"]) == wanted for each in here):
            raise Problem(
                409, "INVALID_TXN_STATE", f"Producer {wanted[0]} has nothing open in {topic}-{number}.", "Load again."
            )
        epoch = max(0, whole_of(asked, "coordinator_epoch", -1, _INT32_MAX) or 0)
        marker = WritableTxnMarker(*wanted, False, [WritableTxnMarkerTopic(topic, [number])], epoch)
        answer = await self._kafka.ask(ApiKey.WRITE_TXN_MARKERS, WriteTxnMarkersRequest([marker]), address)
        code = answer.markers[0].topics[0].partitions[0].error_code
        if code:
            raise of_code(code, "The transaction was not aborted")
        return JSONResponse({})

    async def _list(self, address: BrokerAddress) -> Any:
        answer = await self._kafka.ask(ApiKey.LIST_TRANSACTIONS, ListTransactionsRequest([], [], -1, None), address)
        if answer.error_code:
            raise of_code(answer.error_code, "Transactions cannot be listed")
        return answer

    async def _producers(self, address: BrokerAddress, topics: dict[str, list[int]]) -> list[dict[str, Any]]:
        request = DescribeProducersRequest([TopicRequest(topic, numbers) for topic, numbers in topics.items()])
        answer = await self._kafka.ask(ApiKey.DESCRIBE_PRODUCERS, request, address)
        return [
            {
                "topic": topic.name,
                "partition": partition.partition_index,
                "producer_id": each.producer_id,
                "producer_epoch": each.producer_epoch,
                "coordinator_epoch": each.coordinator_epoch,
                "first_offset": each.current_txn_start_offset,
                "last_timestamp_ms": each.last_timestamp,
            }
            for topic in answer.topics
            for partition in topic.partitions
            if partition.error_code == ErrorCode.NONE
            for each in partition.active_producers
            if each.current_txn_start_offset >= 0
        ]


def _needed(asked: dict[str, Any], name: str, most: int) -> int:
    found = whole_of(asked, name, 0, most)
    if found is None:
        raise bad_request(f"{name} is missing.")
    return found
