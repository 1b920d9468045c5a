"""The APIs of the share coordinator: each asks about many states, and is answered when the last one is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.coordinator.share_state.ports import SharePartitionKey

T = TypeVar("T")

_UNINITIALIZED: Final = "Read or write of a share partition whose state was never made."


def ask_each(
    request: Any,
    ask: Callable[[SharePartitionKey, Any], Pending[T]],
    answer: Callable[[int, T], Any],
    respond: Callable[[Sequence[tuple[Any, list[Any]]]], Any],
) -> Pending[Any]:
    """Ask of every partition that a request names.

    `answer` makes a partition's result, `respond` the response of (topic id, results). A request without a group, or
    with a topic without partitions, is answered with nothing, as in Kafka. Requests and results are generated messages.
    """
    later: Pending[Any] = Pending()
    if not request.group_id or not request.topics or not all(topic.partitions for topic in request.topics):
        later.complete(respond(()))
        return later
    found = [(topic.topic_id, [None] * len(topic.partitions)) for topic in request.topics]
    left = sum(len(topic.partitions) for topic in request.topics)

    def note(topic: int, position: int, index: int, value: T) -> None:
        nonlocal left
        found[topic][1][position] = answer(index, value)
        left -= 1
        if not left:
            later.complete(respond(found))

    for number, topic in enumerate(request.topics):
        for position, partition in enumerate(topic.partitions):
            key = SharePartitionKey(request.group_id, topic.topic_id, partition.partition)
            ask(key, partition).on_complete(partial(note, number, position, partition.partition))
    return later


def words(code: ErrorCode | None) -> str | None:
    """What is said with a code."""
    if code is None:
        return None
    return _UNINITIALIZED if code is ErrorCode.INVALID_REQUEST else code.name
