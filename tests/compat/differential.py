"""Asks Apache Kafka and the broker under test the same questions and compares the answers field by field.

A scenario is a function that puts labelled questions to a `Session`; it runs once against each broker and must not
know which. What may differ between two brokers that behave alike is listed in FREE, with the reason, and nowhere else.
"""

import itertools
import struct
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import crc32c
from tests.compat.raw import Peer

from tailrace.cluster.own_configs import OWN_CONFIGS

# An hour ago: not the time of arrival, and not so old that retention deletes it. The same for both brokers.
BASE_TIMESTAMP_MS = int(time.time() * 1000) - 3_600_000
ZERO_UUID = uuid.UUID(int=0)
READY_TIMEOUT_S = 90.0
BARRIER = "barrier"
"""A topic of which nothing is asked but whether a change of it has arrived."""
_marks = itertools.count(1_000_000_000)
TRANSIENT = {
    "leader_not_available",
    "not_leader_or_follower",
    "unknown_topic_or_partition",
    "coordinator_not_available",
    "coordinator_load_in_progress",
    "not_coordinator",
    "unknown_topic_id",
}

# Fields that are compared as a name given in order of appearance: who got the same one must get the same one there.
NAMED = {
    "node_id": "node",  # a cluster numbers its brokers as it likes
    "leader_id": "node",
    "controller_id": "node",
    "broker_id": "node",
    "replica_nodes": "node",
    "isr_nodes": "node",
    "offline_replicas": "node",
    "topic_id": "topic id",  # random by design
    "cluster_id": "cluster",
    "member_id": "member",  # client id and a random part
    "leader": "member",
    "producer_id": "producer",  # counted by each cluster
    "session_id": "session",  # random by design
}
# Values of those fields that mean "none" and are compared as they are.
NOBODY = {"node": (-1,), "topic id": (None, ZERO_UUID), "cluster": (None,), "member": ("", None), "producer": (-1,),
          "session": (0,)}  # fmt: skip
# Fields of which only the presence is compared.
PRESENCE = {
    "error_message",  # wording; the code beside it is compared
    "batch_index_error_message",
    "documentation",  # wording
    "host",
    "port",
    "log_dir",
    "total_bytes",  # of the disk
    "usable_bytes",
    "finalized_features_epoch",  # an offset in Kafka's metadata log
    "throttle_time",
    "last_timestamp",  # of a producer: wall clock of the append
}

# Where Kafka leaves the words out and we say them: more is no difference to a program.
MORE_SAID = (".error_message",)

# Answers that differ on purpose, by the beginning of their label, with the reason.
ON_PURPOSE = {
    "group.initial.rebalance.delay.ms": "our default is 0, and it is shown among the synonyms",
    "offsets.topic.num.partitions": "our default is 4, and it is shown among the synonyms",
    "m-2 unknown topic": "Kafka: UNKNOWN_SERVER_ERROR for a new session as a whole; we: UNKNOWN_TOPIC_ID for the topic",
    "unknown codec": "Kafka: UNKNOWN_SERVER_ERROR, its parser throws; we: INVALID_RECORD, whose fault it is",
    "codec that does not fit the bytes": "Kafka inflates every batch; we only when a rule needs it",
}


class Session:
    """One scenario against one broker: asks, and keeps the answers in a form that can be compared."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.peer = Peer(address)
        self.others: list[Peer] = []
        self.answers: list[tuple[str, Any]] = []
        self._names: dict[tuple[str, Any], str] = {}

    def note(self, label: str, api: str, version: int, **fields: Any) -> Any:
        """Ask, keep the answer for the comparison, and give it as it came."""
        return self.keep(f"{label} [{api} v{version}]", self.peer.ask(api, version, **fields))

    def keep(self, label: str, answer: Any) -> Any:
        """Keep an answer that was got another way."""
        self.answers.append((label, self.comparable(answer)))
        return answer

    def other_peer(self) -> Peer:
        """A second connection to the same broker."""
        self.others.append(Peer(self.address))
        return self.others[-1]

    def settle(self, api: str, version: int, **fields: Any) -> Any:
        """Ask until no transient error is in the answer: leaders and coordinators need a moment."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            answer = self.peer.ask(api, version, **fields)
            if not TRANSIENT & set(error_codes(answer)):
                return answer
            assert time.monotonic() < deadline, f"{api} v{version} stays {answer}"
            time.sleep(0.05)

    def create_topic(self, name: str, partitions: int = 1, **configs: str) -> uuid.UUID:
        """A topic whose leaders answer; its id."""
        entries = [{"name": key.replace("_", "."), "value": value} for key, value in configs.items()]
        topic = {"name": name, "num_partitions": partitions, "replication_factor": 1, "configs": entries}
        answer = self.peer.ask("create_topics", 7, topics=[topic], timeout=10_000)
        assert answer["topics"][0]["error_code"] == "none", answer
        self.settle("list_offsets", 7, replica_id=-1, topics=[{"name": name, "partitions": latest(partitions)}])
        topic_id = answer["topics"][0]["topic_id"]
        assert isinstance(topic_id, uuid.UUID)
        return topic_id

    def produce(self, topic: str, partition: int, records: bytes) -> int:
        """The base offset a good batch got."""
        answer = self.settle("produce", 9, **produce_fields(topic, partition, records))
        [entry] = answer["responses"][0]["partition_responses"]
        assert entry["error_code"] == "none", answer
        return int(entry["base_offset"])

    def find_coordinator(self, group: str) -> None:
        """Wait until the group has a coordinator that has loaded, and that has heard of all topics."""
        self.settle("find_coordinator", 4, key_type=0, coordinator_keys=[group])
        self.settle("offset_fetch", 7, group_id=group, topics=None)
        self.catch_up()

    def catch_up(self) -> None:
        """Wait until the broker obeys, in every part, what was altered or created before.

        Apache Kafka's controller answers before its broker has heard of a change, and the broker tells of a change
        before all its parts go by it. It takes one after the other: when it tells of a second, it is done with the
        first.
        """
        self.peer.ask("create_topics", 7, topics=[{"name": BARRIER, "num_partitions": 1, "replication_factor": 1}])
        for _ in range(2):
            mark = str(next(_marks))
            config = {"name": "retention.ms", "config_operation": 0, "value": mark}
            resource = {"resource_type": 2, "resource_name": BARRIER}
            self.settle("incremental_alter_configs", 1, resources=[{**resource, "configs": [config]}])
            deadline = time.monotonic() + READY_TIMEOUT_S
            while True:
                asked = {**resource, "configuration_keys": ["retention.ms"]}
                told = self.settle("describe_configs", 4, resources=[asked])["results"][0]["configs"]
                if told[0]["value"] == mark:
                    break
                assert time.monotonic() < deadline, told
                time.sleep(0.01)

    def comparable(self, answer: Any, field: str = "") -> Any:
        """`answer` with its free fields made equal."""
        if isinstance(answer, dict):
            return {name: self.comparable(value, name) for name, value in answer.items()}
        if isinstance(answer, list):
            answer = [value for value in answer if not _is_own_config(value)]
            named = [self.comparable(value, field) for value in sorted(answer, key=place)]
            return sorted(named, key=place)  # members can be put in order only once they have names
        if answer in ("NONE", "") and field == "error_message":
            return None  # FindCoordinator's two ways to say that there is no error
        if field in PRESENCE:
            return None if answer is None else "<some>"
        kind = NAMED.get(field)
        if kind is None or answer in NOBODY[kind]:
            return answer
        return self._names.setdefault((kind, answer), f"<{kind} {sum(k == kind for k, _ in self._names)}>")

    def close(self) -> None:
        for peer in [self.peer, *self.others]:
            peer.close()


def compare(scenario: Callable[[Session], None], oracle: str, tested: str) -> None:
    """AssertionError with every field in which the two brokers differ."""
    answers = []
    for address in (oracle, tested):
        session = Session(address)
        try:
            scenario(session)
        finally:
            session.close()
        answers.append(session.answers)
    expected, got = answers
    asked, asked_of_us = ([label for label, _ in side] for side in (expected, got))
    assert asked == asked_of_us, (
        f"only with Kafka: {set(asked) - set(asked_of_us)}; only with us: {set(asked_of_us) - set(asked)}"
    )
    lines = [
        f"{label}: {line}"
        for (label, e), (_, g) in zip(expected, got, strict=True)
        if not label.startswith(tuple(ON_PURPOSE))
        for line in differences(e, g)
    ]
    assert not lines, f"{len(lines)} fields differ from Apache Kafka:\n" + "\n".join(lines)


def differences(expected: Any, got: Any, path: str = "") -> Iterator[str]:
    """One line for each place where two answers differ."""
    if isinstance(expected, dict) and isinstance(got, dict) and expected.keys() == got.keys():
        for name in expected:
            yield from differences(expected[name], got[name], f"{path}.{name}")
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for index, (e, g) in enumerate(zip(expected, got, strict=True)):
            yield from differences(e, g, f"{path}[{index}]")
    elif expected != got and not (expected is None and path.endswith(MORE_SAID)):
        yield f"{path or '.'}: Kafka {shown(expected)}, we {shown(got)}"


def shown(value: Any) -> str:
    """A value short enough to read."""
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:400]}... ({len(text)} characters)"


def _is_own_config(value: Any) -> bool:
    """Whether an entry of an answer is a setting that Kafka does not have."""
    return isinstance(value, dict) and value.get("name") in OWN_CONFIGS


def place(value: Any) -> tuple[str, int]:
    """What entries of an answer are sorted by: nobody promises their order, and Kafka's comes from hash maps."""
    if not isinstance(value, dict):
        return ("", 0)
    texts = [
        value[field] for field in ("name", "topic", "topic_name", "group_id", "resource_name", "user") if field in value
    ]
    numbers = [value[field] for field in ("partition_index", "partition", "index", "api_key") if field in value]
    name = next((str(text) for text in texts if text is not None), str(value.get("member_id", "")))
    return (name, next(iter(numbers), 0))


def error_codes(answer: Any) -> Iterator[str]:
    """Every error code in an answer."""
    if isinstance(answer, dict):
        for name, value in answer.items():
            if name == "error_code":
                yield value
            else:
                yield from error_codes(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from error_codes(value)


def latest(partitions: int) -> list[dict[str, int]]:
    """What ListOffsets wants to know the end of each partition."""
    return [{"partition_index": p, "current_leader_epoch": -1, "timestamp": -1} for p in range(partitions)]


def produce_fields(topic: str | uuid.UUID, partition: int, records: bytes | None, acks: int = -1) -> dict[str, Any]:
    """A Produce request for one partition, named or by id."""
    data = {"index": partition, "records": records}
    key = "name" if isinstance(topic, str) else "topic_id"
    return {"acks": acks, "timeout": 10_000, "topic_data": [{key: topic, "partition_data": [data]}]}


def varint(value: int) -> bytes:
    """Zig-zag, as in record batches."""
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field_bytes(value: bytes | None) -> bytes:
    return varint(-1) if value is None else varint(len(value)) + value


def batch(
    records: Sequence[tuple[bytes | None, bytes | None]],
    *,
    producer: tuple[int, int, int] = (-1, -1, -1),
    attributes: int = 0,
    timestamp_ms: int = BASE_TIMESTAMP_MS,
    magic: int = 2,
    crc_error: int = 0,
) -> bytes:
    """An uncompressed batch, records a second apart; `producer` is id, epoch, first sequence."""
    body = b""
    for index, (key, value) in enumerate(records):
        record = b"\x00" + varint(index * 1000) + varint(index) + field_bytes(key) + field_bytes(value) + varint(0)
        body += varint(len(record)) + record
    last = len(records) - 1
    times = (timestamp_ms, timestamp_ms + max(last, 0) * 1000)
    checked = struct.pack(">hiqqqhii", attributes, last, *times, *producer, len(records)) + body
    crc = crc32c.crc32c(checked) ^ crc_error
    return struct.pack(">qiibI", 0, 9 + len(checked), -1, magic, crc) + checked


def simple(count: int, tag: str = "v", size: int = 10) -> list[tuple[bytes | None, bytes | None]]:
    """`count` keyed records."""
    return [(f"k{i}".encode(), f"{tag}{i}".encode().ljust(size, b".")) for i in range(count)]
