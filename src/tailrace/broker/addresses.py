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
    is_fenced: bool = False


def broker_addresses(
    services: Services, context: RequestContext, *, include_fenced: bool = False
) -> list[BrokerAddress]:
    """Every live broker. This one has the address that suits the asking client (`Services.advertised`)."""
    image = services.metadata.image
    return [
        BrokerAddress(
            broker.broker_id,
            *(services.advertised(context) if broker.broker_id == services.node_id else (broker.host, broker.port)),
            broker.rack,
            image.is_fenced(broker.broker_id),
        )
        for broker in image.brokers.values()
        if include_fenced or not image.is_fenced(broker.broker_id)
    ]
