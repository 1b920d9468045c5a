"""Ten million small records in a topic within seconds: one batch of each codec, made once and produced again and again.

They go the way a client's do: Produce over a socket, checked, stamped and written by the broker.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from node.served import RawClient
from tailrace.records.builder import build_batch
from tailrace.records.compression import Codec
from tailrace.records.record import Record
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

BATCH_RECORDS = 2_000
"""Of a producer that lingers: some 60 KB. What is in a record repeats after so many."""

PRODUCE_VERSION = 12
TIMEOUT_MS = 30_000


def value_at(offset: int) -> bytes:
    """What the record at an offset of any partition is."""
    return b"reading %04d" % (offset % BATCH_RECORDS)


def fill(address: tuple[str, int], topic: str, codecs: Sequence[Codec], records: int) -> None:
    """Write so many records to a new topic, as many to each partition; partition n is compressed with `codecs[n]`."""
    each, rest = divmod(records, BATCH_RECORDS * len(codecs))
    assert not rest, f"{records} records are not batches of {BATCH_RECORDS} in {len(codecs)} partitions"
    now_ms = int(time.time() * 1000)
    made = [Record(at, now_ms, b"sensor-%d" % (at % 40), value_at(at)) for at in range(BATCH_RECORDS)]
    partitions = [PartitionProduceData(index, build_batch(made, codec=codec)) for index, codec in enumerate(codecs)]
    request = ProduceRequest(None, 1, TIMEOUT_MS, [TopicProduceData(topic, partition_data=partitions)])
    with RawClient(address) as client:
        for _ in range(each):
            answer = client.ask(ApiKey.PRODUCE, PRODUCE_VERSION, request)
            (told,) = answer.responses
            assert {one.error_code for one in told.partition_responses} == {0}
