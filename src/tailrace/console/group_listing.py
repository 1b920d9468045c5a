"""Every group of a cluster, of all protocols, asked of each broker (ListGroups; KIP-848 and KIP-932 name the type)."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from tailrace.base.errors import TailraceError
from tailrace.client.plain_requests import BrokerAddress
from tailrace.console.kafka import KafkaCluster
from tailrace.console.limits import ANSWER_TIMEOUT_S
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.list_groups import ListGroupsRequest


class ListedGroup(NamedTuple):
    """One group in a list. `coordinator` is None where librdkafka was asked, which does not tell."""

    group: str
    kind: str
    state: str
    protocol_type: str
    coordinator: int | None


async def list_groups(kafka: KafkaCluster) -> list[ListedGroup]:
    """All groups, by name. Brokers that do not answer are left out, unless none does."""
    if not kafka.options.is_plain:
        return await _through_librdkafka(kafka)
    brokers = await kafka.broker_addresses()
    told = await asyncio.gather(*(_of_broker(kafka, each, address) for each, address in brokers.items()),
                                return_exceptions=True)  # fmt: skip
    failures = [each for each in told if isinstance(each, BaseException)]
    if failures and (len(failures) == len(told) or not isinstance(failures[0], TailraceError)):
        raise failures[0]
    return sorted(group for each in told if not isinstance(each, BaseException) for group in each)


async def _of_broker(kafka: KafkaCluster, number: int, address: BrokerAddress) -> list[ListedGroup]:
    answer = await kafka.ask(ApiKey.LIST_GROUPS, ListGroupsRequest(), address)
    return [
        ListedGroup(each.group_id, (each.group_type or "classic").lower(), each.group_state, each.protocol_type, number)
        for each in answer.groups
    ]


async def _through_librdkafka(kafka: KafkaCluster) -> list[ListedGroup]:
    admin = await kafka.admin()
    future = await kafka.call(lambda: admin.list_consumer_groups(request_timeout=ANSWER_TIMEOUT_S))
    found = await kafka.answer(future, "The groups cannot be listed")
    return sorted(
        ListedGroup(each.group_id, each.type.name.lower() if each.type else "classic",
                    each.state.name.title().replace("_", "") if each.state else "Unknown", "consumer", None)
        for each in found.valid
    )  # fmt: skip
