"""The topics inside consumers' subscriptions: all that the coordinator reads of the consumer protocol.

    | version i16 | topics [string] | ... |      version 0 is a prefix of every later version

Source: Kafka's `ConsumerProtocol` and `ClassicGroup.computeSubscribedTopics`.
"""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.wire.primitives import DecodeError, StructError, read_array_length, read_string


def subscribed_topics(subscriptions: Iterable[bytes]) -> frozenset[str] | None:
    """Topics of all subscriptions together; None when one of them cannot be read."""
    topics: set[str] = set()
    try:
        for subscription in subscriptions:
            view = memoryview(subscription)
            count, position = read_array_length(view, 2)
            for _ in range(count):
                topic, position = read_string(view, position)
                topics.add(topic)
    except (DecodeError, StructError, IndexError):
        return None
    return frozenset(topics)
