"""What is to be asked of other brokers, gathered: one request at a time to each, and in it all that came meanwhile.

    put(broker, item) ──> lane of the broker ──> idle: a request with everything that waits
                                                 busy: waits for the answer to the last one

Invariant: the items of a lane are asked in the order they were put, and told in it: each exactly once.
Not its business: trying again, choosing the broker. Source: Kafka AddPartitionsToTxnManager,
TransactionMarkerChannelManager, which gather so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from tailrace.client.broker_client import Refusal, Told

T = TypeVar("T")

Ask = Callable[[int, Any, Told], None]
"""Asks a broker, by its id, with a message; tells once."""


class Gathering(NamedTuple, Generic[T]):
    """How items become a request, and its response their answers."""

    message_of: Callable[[Sequence[T]], Any]
    on_response: Callable[[Sequence[T], Any], None]
    """Tells each item, with a response of the type of the request, or with a `Refusal`."""
    items_max: int
    """Most items of one request; the others wait for the next."""


class Lanes(Generic[T]):
    """A lane for each broker that was asked."""

    def __init__(self, ask: Ask, gathering: Gathering[T]) -> None:
        self._ask = ask
        self._gathering = gathering
        self._waiting: dict[int, deque[T]] = {}
        """By broker; a broker has an entry while a request to it is on its way."""

    def put(self, broker_id: int, item: T) -> None:
        """Ask `broker_id` about `item`: at once, or with the next request."""
        waiting = self._waiting.get(broker_id)
        if waiting is None:
            self._waiting[broker_id] = deque()
            self._send(broker_id, [item])
        else:
            waiting.append(item)

    def _send(self, broker_id: int, items: Sequence[T]) -> None:
        told = partial(self._on_response, broker_id, items)
        self._ask(broker_id, self._gathering.message_of(items), told)

    def _on_response(self, broker_id: int, items: Sequence[T], response: Any | Refusal) -> None:
        try:
            self._gathering.on_response(items, response)
        finally:
            waiting = self._waiting[broker_id]
            if waiting:
                self._send(broker_id, [waiting.popleft() for _ in range(min(len(waiting), self._gathering.items_max))])
            else:
                del self._waiting[broker_id]
