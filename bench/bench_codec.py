"""The codec beside kio's and kafka-python's: the same messages, the same bytes, in one run.

    python bench/bench_codec.py                       # microseconds a message, medians
    python bench/bench_codec.py --rounds 21 --write bench/results/codec.json
    python bench/bench_codec.py --only Produce

The three take turns, round by round, so that a noisy minute hits all of them; a round is some milliseconds of one
operation, and the figures are medians of CPU time. Every codec first has to read our bytes and write them again
unchanged. Only message bodies are timed; `frame` rows are ours alone, with headers, as a connection uses them.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from tailrace.wire.api import Api, api
from tailrace.wire.frame import decode_request, decode_request_header, encode_request, encode_response
from tailrace.wire.messages.fetch import (
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
)
from tailrace.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from tailrace.wire.messages.metadata import (
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from tailrace.wire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)

ROUND_SECONDS = 0.01
TOPIC_ID = UUID(int=0x0123456789ABCDEF0123456789ABCDEF)
MEMBER = "rdkafka-0d3a1f5e-8a7f-4c0e-9a39-2f6b4e3a9a11"
Call = Callable[[], object]


class Case(NamedTuple):
    """One message in one version. `decode` and `encode` say which directions a broker's data path needs."""

    about: str
    version: int
    message: Any


def cases() -> list[Case]:
    found = []
    for version in (3, 7, 9, 13):
        found.append(Case("ProduceRequest, 1 partition", version, produce_request()))
    for version in (7, 9, 13):
        found += [Case(f"ProduceResponse, {count}", version, produce_response(count)) for count in (1, 50)]
    for version in (4, 11, 12, 17):
        found += [Case(f"FetchRequest, {count}", version, fetch_request(count)) for count in (1, 50)]
    for version in (4, 11, 12, 17):
        found += [Case(f"FetchResponse, {count} x 1 kB", version, fetch_response(count)) for count in (1, 50)]
    found.append(Case("MetadataResponse, 3 brokers, 50 partitions", 9, metadata_response()))
    for version in (3, 4):
        found.append(Case("HeartbeatRequest", version, HeartbeatRequest("group", 5, MEMBER)))
        found.append(Case("HeartbeatResponse", version, HeartbeatResponse()))
    return found


def produce_request() -> ProduceRequest:
    data = [PartitionProduceData(index=3, records=bytes(1000))]
    topic = TopicProduceData(name="events", topic_id=TOPIC_ID, partition_data=data)
    return ProduceRequest(acks=-1, timeout_ms=30000, topic_data=[topic])


def produce_response(count: int) -> ProduceResponse:
    answers = [PartitionProduceResponse(index=index, base_offset=10**7 + index) for index in range(count)]
    return ProduceResponse([TopicProduceResponse(name="events", topic_id=TOPIC_ID, partition_responses=answers)])


def fetch_request(count: int) -> FetchRequest:
    wanted = [
        FetchPartition(partition=index, fetch_offset=10**6 + index, partition_max_bytes=2**20) for index in range(count)
    ]
    topic = FetchTopic(topic="events", topic_id=TOPIC_ID, partitions=wanted)
    return FetchRequest(max_wait_ms=500, min_bytes=1, max_bytes=2**25, topics=[topic])


def fetch_response(count: int) -> FetchResponse:
    data = [
        PartitionData(partition_index=index, high_watermark=10**6, last_stable_offset=10**6, records=bytes(1000))
        for index in range(count)
    ]
    return FetchResponse(responses=[FetchableTopicResponse(topic="events", topic_id=TOPIC_ID, partitions=data)])


def metadata_response() -> MetadataResponse:
    brokers = [MetadataResponseBroker(node_id=node, host="127.0.0.1", port=9092 + node) for node in range(3)]
    partitions = [
        MetadataResponsePartition(
            partition_index=index, leader_id=index % 3, leader_epoch=4, replica_nodes=[0, 1, 2], isr_nodes=[0, 1, 2]
        )
        for index in range(50)
    ]
    topic = MetadataResponseTopic(name="events", partitions=partitions)
    return MetadataResponse(brokers=brokers, cluster_id="cluster", controller_id=0, topics=[topic])


def ours(case: Case, data: bytes) -> dict[str, Call]:
    view = memoryview(data)
    kind, message, version = type(case.message), case.message, case.version
    return {"decode": lambda: kind.decode(view, 0, version), "encode": lambda: message.encode(bytearray(), version)}


def ours_framed(known: Api, case: Case) -> dict[str, Call]:
    message, version = case.message, case.version
    if type(message) is known.response:
        return {"encode": lambda: encode_response(known, version, 7, message)}
    content = memoryview(bytes(encode_request(known, version, 7, "rdkafka", message)))[4:]
    return {"decode": lambda: decode_request(known, decode_request_header(content), content)}


def kios(case: Case, data: bytes) -> dict[str, Call]:
    import kio.index
    import kio.serial
    from kio.static.constants import EntityType

    name = type(case.message).__name__
    entity = EntityType.request if name.endswith("Request") else EntityType.response
    kind = getattr(kio.index.load_payload_module(case.message.API_KEY, case.version, entity), name)
    read, write = kio.serial.entity_reader(kind), kio.serial.entity_writer(kind)
    message, _ = read(data, 0)

    def encode() -> bytes:
        out = BytesIO()
        write(out, message)
        return out.getvalue()

    assert encode() == data
    return {"decode": lambda: read(data, 0), "encode": encode}


def kafka_pythons(case: Case, data: bytes) -> dict[str, Call]:
    warnings.simplefilter("ignore", DeprecationWarning)
    import kafka.protocol.consumer
    import kafka.protocol.metadata
    import kafka.protocol.producer

    name = type(case.message).__name__
    packages = (kafka.protocol.consumer, kafka.protocol.metadata, kafka.protocol.producer)
    kind = next(getattr(package, name) for package in packages if hasattr(package, name))
    message = kind.decode(data, version=case.version)
    message._header = None  # its encoder looks for the header that a message read from bytes has not
    version = case.version
    assert bytes(message.encode(version=version)) == data
    return {"decode": lambda: kind.decode(data, version=version), "encode": lambda: message.encode(version=version)}


def microseconds(call: Call, count: int) -> float:
    start = time.process_time_ns()
    for _ in range(count):
        call()
    return (time.process_time_ns() - start) / count / 1000


def measure(case: Case, rounds: int) -> dict[str, dict[str, float]]:
    """Direction -> codec -> median microseconds."""
    out = bytearray()
    case.message.encode(out, case.version)
    data = bytes(out)
    known = api(case.message.API_KEY)
    assert known is not None
    codecs = {"ours": ours(case, data), "frame": ours_framed(known, case)}
    codecs |= {"kio": kios(case, data), "kafka-python": kafka_pythons(case, data)}
    result: dict[str, dict[str, float]] = {}
    for direction in ("decode", "encode"):
        calls = {name: codec[direction] for name, codec in codecs.items() if direction in codec}
        counts = {name: max(1, int(ROUND_SECONDS * 1e6 / microseconds(call, 20))) for name, call in calls.items()}
        samples: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds):
            for name, call in calls.items():
                samples[name].append(microseconds(call, counts[name]))
        result[direction] = {name: round(statistics.median(values), 2) for name, values in samples.items()}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="messages whose name holds this")
    parser.add_argument("--write", type=Path, help="a JSON file for the figures")
    arguments = parser.parse_args()
    columns = ("ours", "frame", "kio", "kafka-python")
    print(f"{'µs, medians of CPU time':52}" + "".join(f"{name:>14}" for name in columns))
    figures = []
    for case in cases():
        if arguments.only not in case.about:
            continue
        for direction, row in measure(case, arguments.rounds).items():
            label = f"{case.about} v{case.version} {direction}"
            print(f"{label:52}" + "".join(f"{row.get(name, ''):>14}" for name in columns), flush=True)
            figures.append({"message": case.about, "version": case.version, "direction": direction, "us": row})
    if arguments.write:
        machine = {"python": platform.python_version(), "build": platform.python_build()[0], "cpu": platform.machine()}
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"machine": machine, "rounds": arguments.rounds, "figures": figures}, indent=1)
        arguments.write.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
