"""The number by which a group knows that its topics changed (KIP-1101).

It is our own: it is only ever compared with one this broker wrote, and where Kafka wrote it the group is assigned once
more. Source: Kafka's `Utils.computeGroupHash`.
"""

from __future__ import annotations

from collections.abc import Iterable
from zlib import adler32, crc32

from tailrace.cluster.image import MetadataImage


def topics_hash(image: MetadataImage, names: Iterable[str]) -> int:
    """A number that changes when one of these topics comes, goes, is made anew or grows; 0 for no topics."""
    known = []
    for name in sorted(names):
        topic = image.topic(name)
        if topic is not None:
            known.append(f"{name} {topic.topic_id} {len(topic.partitions)}")
    if not known:
        return 0
    data = "\n".join(known).encode()
    return crc32(data) << 31 ^ adler32(data)
