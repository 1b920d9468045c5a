"""Who leads instead: told with a refusal, so that a client need not ask for the metadata first (KIP-951).

Source: Kafka KafkaApis.getCurrentLeader.
"""

from __future__ import annotations

from tailrace.broker.addresses import BrokerAddress, broker_addresses
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services


class LeaderHints:
    """The hints of one answer."""

    def __init__(self, services: Services, context: RequestContext) -> None:
        self._services = services
        self._context = context
        self._leaders: set[int] = set()

    def of(self, topic: str, index: int) -> tuple[int, int] | None:
        """(leader, leader epoch) of a partition that another broker leads; None where nobody does, or this one."""
        found = self._services.metadata.image.partition(topic, index)
        if found is None or found.leader in (-1, self._services.node_id):
            return None
        self._leaders.add(found.leader)
        return found.leader, found.leader_epoch

    def addresses(self) -> list[BrokerAddress]:
        """Where the leaders that were named are."""
        if not self._leaders:
            return []
        return [each for each in broker_addresses(self._services, self._context) if each.broker_id in self._leaders]
