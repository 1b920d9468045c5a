"""Committed offsets of a group."""

from __future__ import annotations

from tailrace.coordinator.groups.offsets import CommittedOffset, Offsets

COMMITTED = CommittedOffset(5, -1, "", 0)


def test_set_get_remove() -> None:
    """A topic is listed as long as it has offsets, in the order of first commits; partitions rise."""
    offsets = Offsets()
    for topic, partition in (("b", 3), ("b", 1), ("a", 0)):
        offsets.set(topic, partition, COMMITTED)
    assert offsets.topics() == ["b", "a"]
    assert offsets.partitions("b") == [1, 3]
    assert len(offsets) == 3
    offsets.remove("a", 0)
    offsets.remove("a", 0)
    offsets.remove("zzz", 0)
    assert offsets.topics() == ["b"]
    assert offsets.get("a", 0) is None
    assert offsets.get("b", 3) == COMMITTED
    assert offsets.get("b", 2) is None
    assert sorted(offsets) == [("b", 1, COMMITTED), ("b", 3, COMMITTED)]
