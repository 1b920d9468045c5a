"""What the coordinator reads of a consumer's subscription."""

from __future__ import annotations

import pytest

from tailrace.coordinator.groups.subscription import subscribed_topics
from tailrace.wire.messages.consumer_protocol_subscription import ConsumerProtocolSubscription, TopicPartition


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_topics_of_every_version(version: int) -> None:
    """Version 0 is a prefix of every later one."""
    out = bytearray(version.to_bytes(2, "big"))
    ConsumerProtocolSubscription(["t1", "t2"], b"user", [TopicPartition("t1", [0])], 7, "rack").encode(out, version)
    assert subscribed_topics([bytes(out), b"\0\0\0\0\0\1\0\2t3\xff\xff\xff\xff"]) == {"t1", "t2", "t3"}


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\0\0\0\0\0\1", b"\0\0\0\0\0\1\0\5t", b"\0\0\x7f\xff\xff\xff", b"hello world"]
)
def test_unreadable(data: bytes) -> None:
    """One subscription that is not a consumer's makes the topics unknown."""
    assert subscribed_topics([b"\0\0\0\0\0\0", data]) is None
