"""What is to be asked of other brokers, gathered: one request at a time to each, and in it all that came meanwhile.

    put(broker, item) ──> lane of the broker ──> idle: a request with everything that waits
                                                 busy: waits for the answer to the last one

Invariant: the items of a lane are asked in the order they were put, and told in it: each exactly once.
Not its business: trying again, choosing the broker. Source: Kafka AddPartitionsToTxnManager,
TransactionMarkerChannelManager, which gather so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from tailrace.client.broker_client import Refusal, Told

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Gathering(NamedTuple, Generic[T]):
    """How items become a request, and its response their answers."""

    message_of: Callable[[Sequence[T]], Any]
    on_response: Callable[[Sequence[T], Any], None]
    """Tells each item, with a response of the type of the request, or with a `Refusal`."""
    items_max: int
    """Most items of one request; the others wait for the next."""


class Lanes(Generic[K, T]):
    """A lane for each broker that is being asked, or for what else tells apart what cannot go into one request.

    `ask` asks with a message, and tells once, later.
    """

    def __init__(self, ask: Callable[[K, Any, Told], None], gathering: Gathering[T]) -> None:
        self._ask = ask
        self._gathering = gathering
        self._waiting: dict[K, deque[T]] = {}
        """By lane; one has an entry while a request to it is on its way."""

    def put(self, lane: K, item: T) -> None:
        """Ask in `lane` about `item`: at once, or with the next request."""
        waiting = self._waiting.get(lane)
        if waiting is None:
            self._waiting[lane] = deque()
            self._send(lane, [item])
        else:
            waiting.append(item)

    def _send(self, lane: K, items: Sequence[T]) -> None:
        told = partial(self._on_response, lane, items)
        self._ask(lane, self._gathering.message_of(items), told)

    def _on_response(self, lane: K, items: Sequence[T], response: Any | Refusal) -> None:
        try:
            self._gathering.on_response(items, response)
        finally:
            waiting = self._waiting[lane]
            if waiting:
                self._send(lane, [waiting.popleft() for _ in range(min(len(waiting), self._gathering.items_max))])
            else:
                del self._waiting[lane]
