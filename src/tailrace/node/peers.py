"""The other brokers of the cluster, as this one asks them: a connection to each, made when there is something to ask.

Each purpose has its own `Peers`, so that what waits long on one does not keep another waiting. A broker that is fenced
or moves loses the connection: what was asked of it is told at once that it failed, and can be asked of the next.
Not its business: what is asked, trying again. Source: Kafka InterBrokerSendThread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from tailrace.client.broker_client import BrokerClient, ClientOptions, Refusal, Told
from tailrace.cluster.image import MetadataDelta
from tailrace.cluster.metadata import Metadata
from tailrace.net.address import Address
from tailrace.net.loop import Engine
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.api_versions import ApiVersionsRequest

Ask = Callable[[int, Any, Told], None]
"""Asks a broker, by its id, with a message of one API; tells once, later."""

_log = logging.getLogger("tailrace.node")


class Peers:
    """One client for each broker that was asked. One owner, the loop's thread."""

    def __init__(self, metadata: Metadata, engine: Engine, purpose: str) -> None:
        self._metadata = metadata
        self._engine = engine
        self._purpose = purpose
        self._clients: dict[int, tuple[Address | None, BrokerClient]] = {}
        self._troubles: set[int] = set()
        """Brokers that do not answer, of which that is in the log."""
        self._is_closed = False
        metadata.listen(self._on_delta)

    def ask(self, broker_id: int, key: ApiKey, message: Any, told: Told) -> None:
        """Ask. `told(response or Refusal)` is called once, in a later step where it cannot be sent now."""
        self._client_of(broker_id).send(key, message, partial(self._on_response, broker_id, told))

    def ask_whether_alive(self, broker_id: int, told: Callable[[bool], object]) -> None:
        """Ask what any broker answers, in service or not. `told(whether it answered)` is called once, later."""
        message = ApiVersionsRequest(client_software_name="tailrace", client_software_version="1")
        self.ask(broker_id, ApiKey.API_VERSIONS, message, lambda response: told(not isinstance(response, Refusal)))

    def close(self) -> None:
        """Ask no more; what is on its way is told that it failed."""
        self._is_closed = True
        for _, client in self._clients.values():
            client.close()

    def _on_response(self, broker_id: int, told: Told, response: Any) -> None:
        if isinstance(response, Refusal):
            if not self._is_closed and broker_id not in self._troubles:
                self._troubles.add(broker_id)
                _log.warning("broker %d does not answer about %s: %s", broker_id, self._purpose, response.reason)
        elif broker_id in self._troubles:
            self._troubles.discard(broker_id)
            _log.info("broker %d answers about %s again", broker_id, self._purpose)
        told(response)

    def _client_of(self, broker_id: int) -> BrokerClient:
        found = self._clients.get(broker_id)
        if found is not None:
            return found[1]
        settings = self._metadata.settings
        options = ClientOptions(
            f"broker-{self._metadata.node_id}-{self._purpose}",
            request_timeout_ms=settings.integer("request.timeout.ms"),
        )
        client = BrokerClient(self._engine, partial(self._address_of, broker_id), options)
        self._clients[broker_id] = self._address_of(broker_id), client
        if self._is_closed:
            client.close()
        return client

    def _address_of(self, broker_id: int) -> Address | None:
        image = self._metadata.image
        broker = image.brokers.get(broker_id)
        if broker is None or not broker.host or image.is_fenced(broker_id):
            return None
        return Address(broker.host, broker.port)

    def _on_delta(self, delta: MetadataDelta) -> None:
        for broker_id in delta.brokers_changed:
            found = self._clients.get(broker_id)
            if found is not None and found[0] != self._address_of(broker_id):
                del self._clients[broker_id]
                found[1].close()
