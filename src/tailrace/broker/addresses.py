"""The brokers of the cluster as one client should see them."""

from __future__ import annotations

from typing import NamedTuple

from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.records import BrokerRecord


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

    def reached(broker: BrokerRecord) -> tuple[str, int]:
        if broker.broker_id == services.node_id:
            return services.advertised(context)
        if services.own_port is not None and services.advertised_address is None:
            return context.local_host, broker.port  # a worker: all of them are on the host that was dialled
        return broker.host, broker.port

    image = services.metadata.image
    return [
        BrokerAddress(
            broker.broker_id,
            *reached(broker),
            broker.rack,
            image.is_fenced(broker.broker_id),
        )
        for broker in image.brokers.values()
        if include_fenced or not image.is_fenced(broker.broker_id)
    ]
