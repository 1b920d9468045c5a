"""The brokers of the cluster as one client should see them."""

from __future__ import annotations

from typing import NamedTuple

from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services


class BrokerAddress(NamedTuple):
    """Where a client reaches one broker."""

    broker_id: int
    host: str
    port: int
    rack: str | None


def broker_addresses(services: Services, context: RequestContext) -> list[BrokerAddress]:
    """Every registered broker. This one has the address that suits the asking client (`Services.advertised`)."""
    return [
        BrokerAddress(
            broker.broker_id,
            *(services.advertised(context) if broker.broker_id == services.node_id else (broker.host, broker.port)),
            broker.rack,
        )
        for broker in services.metadata.image.brokers.values()
    ]
