"""Where clients are told that the workers of a host are: where they dialled, each at its own port."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from tailrace.broker.addresses import broker_addresses
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.records import BrokerRecord

SHARED_PORT = 9092


def told(*, own_port: int | None, advertised: tuple[str, int] | None = None) -> dict[int, tuple[str, int]]:
    """What broker 1 tells a client that dialled the shared port at 10.0.0.7."""
    image = MetadataImage()
    image.replay([BrokerRecord(1, "127.0.0.1", 9093, None), BrokerRecord(2, "127.0.0.1", 9094, None)], 1)
    services: Any = SimpleNamespace(
        node_id=1, metadata=SimpleNamespace(image=image), own_port=own_port, advertised_address=advertised
    )
    context: Any = SimpleNamespace(local_host="10.0.0.7", local_port=SHARED_PORT)
    services.advertised = lambda it: Services.advertised(services, it)
    found = broker_addresses(services, cast("RequestContext", context))
    return {address.broker_id: (address.host, address.port) for address in found}


def test_a_worker_tells_the_host_that_was_dialled_and_every_workers_own_port() -> None:
    assert told(own_port=9093) == {1: ("10.0.0.7", 9093), 2: ("10.0.0.7", 9094)}


def test_a_worker_tells_what_is_advertised_where_that_is_set() -> None:
    assert told(own_port=9093, advertised=("kafka", 19093)) == {1: ("kafka", 19093), 2: ("127.0.0.1", 9094)}


def test_a_broker_of_another_cluster_knows_only_its_own_address_by_what_was_dialled() -> None:
    assert told(own_port=None) == {1: ("10.0.0.7", SHARED_PORT), 2: ("127.0.0.1", 9094)}
