"""The topic of share groups' state: there before anything needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tailrace.base.errors import KafkaError
from tailrace.base.pending import Pending
from tailrace.broker.services import Services
from tailrace.cluster.image import SHARE_GROUP_STATE_TOPIC

T = TypeVar("T")


def with_state_topic(services: Services, ask: Callable[[], Pending[T]]) -> Pending[T]:
    """Ask when the topic exists, or could not be made: then what needs it says so for itself."""
    made = services.auto_create(SHARE_GROUP_STATE_TOPIC)
    if made.done:
        return ask()
    later: Pending[T] = Pending()

    def go_on(_: dict[str, KafkaError]) -> None:
        ask().on_complete(later.complete)

    made.on_complete(go_on)
    return later
