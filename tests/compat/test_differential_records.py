"""Produce, Fetch, offsets and epochs: our answers beside Apache Kafka's, records byte for byte."""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from tests.compat.differential import BASE_TIMESTAMP_MS, Session, batch, latest, produce_fields, simple
from tests.compat.raw import ConnectionClosed, Peer, decode_response, versions_known

from tailrace.records.builder import build_batch
from tailrace.records.compression import Codec
from tailrace.records.record import Record

Same = Callable[[Callable[[Session], None]], None]
UNKNOWN_ID = UUID("6f3c1f5e-0b52-4a8e-9c5e-3d2f1b0a9e88")
BY_ID = {"produce": 13, "fetch": 13}
LOG_APPEND_TIME = 8
TRANSACTIONAL = 16
CONTROL = 32


def produce(s: Session, label: str, version: int, topic: str | UUID, records: bytes | None, **more: Any) -> Any:
    fields = {**produce_fields(topic, more.pop("partition", 0), records, more.pop("acks", -1)), **more}
    return s.note(label, "produce", version, **fields)


@pytest.mark.parametrize("version", versions_known("produce"))
def test_produce(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        name = f"pr-v{version}"
        topic: str | UUID = s.create_topic(name)
        small: str | UUID = s.create_topic(name + "-small", max_message_bytes="500")
        unknown: str | UUID = UNKNOWN_ID
        if version < BY_ID["produce"]:
            topic, small, unknown = name, name + "-small", "never was"
        good = batch(simple(3))
        for acks in (-1, 1):
            produce(s, f"good, acks={acks}", version, topic, good, acks=acks)
        for acks in (2, -2):
            produce(s, f"bad acks {acks}", version, topic, good, acks=acks)
        produce(s, "unknown topic", version, unknown, good)
        produce(s, "unknown partition", version, topic, good, partition=7)
        produce(s, "negative partition", version, topic, good, partition=-1)
        produce(s, "too large", version, small, batch(simple(1, size=600)))
        produce(s, "just small enough", version, small, batch(simple(1, size=400)))
        produce(s, "larger than the broker's limit", version, topic, batch(simple(1, size=120_000)))
        produce(s, "bad checksum", version, topic, batch(simple(3), crc_error=1))
        produce(s, "truncated", version, topic, good[:-5])
        # Not asked: less than a header, and null. Apache Kafka 4.3 never answers those.
        produce(s, "no bytes", version, topic, b"")
        produce(s, "no records in the batch", version, topic, batch([]))
        produce(s, "two batches", version, topic, good + good)
        produce(s, "control batch", version, topic, batch(simple(1), attributes=CONTROL))
        produce(s, "transactional without an id", version, topic, batch(simple(1), attributes=TRANSACTIONAL))
        produce(s, "old magic", version, topic, batch(simple(1), magic=1))
        produce(s, "magic of the future", version, topic, batch(simple(1), magic=3))
        produce(s, "unknown codec", version, topic, batch(simple(1), attributes=5))
        s.note("end", "list_offsets", 7, replica_id=-1, topics=[{"name": name, "partitions": latest(1)}])
        produce(s, "codec that does not fit the bytes", version, topic, batch(simple(1), attributes=1))

    same(scenario)


def test_produce_without_an_answer(same: Same) -> None:
    """acks=0 gets no answer; on an error the broker hangs up instead, for nobody else would tell."""

    def scenario(s: Session) -> None:
        s.create_topic("acks0")
        peer = s.other_peer()
        peer.send("produce", 9, **produce_fields("acks0", 0, batch(simple(2)), acks=0))
        peer.send("metadata", 9, topics=[])
        s.keep("good: the next answer comes", decode_response("metadata", 9, peer.connection.receive())[0])
        s.keep(
            "stored", s.peer.ask("list_offsets", 7, replica_id=-1, topics=[{"name": "acks0", "partitions": latest(1)}])
        )
        for label, topic, records in (
            ("bad checksum", "acks0", batch(simple(1), crc_error=1)),
            ("unknown topic", "never was", batch(simple(1))),
        ):
            peer = s.other_peer()
            peer.send("produce", 9, **produce_fields(topic, 0, records, acks=0))
            peer.send("metadata", 9, topics=[])
            try:
                s.keep(label, decode_response("metadata", 9, peer.connection.receive())[0])
            except ConnectionClosed:
                s.keep(label, "closed")

    same(scenario)


def test_produce_idempotent(same: Same) -> None:
    def scenario(s: Session) -> None:
        s.create_topic("idem", 3)
        s.settle("init_producer_id", 4, transactional_id=None, transaction_timeout=1000)
        answer = s.note("init", "init_producer_id", 4, transactional_id=None, transaction_timeout=1000)
        me = answer["producer_id"]

        def send(label: str, epoch: int, sequence: int, count: int = 2, partition: int = 0, who: int = me) -> None:
            records = batch(simple(count), producer=(who, epoch, sequence))
            produce(s, label, 9, "idem", records, partition=partition)

        send("first", 0, 0)
        send("again", 0, 0)
        send("gap", 0, 5)
        for sequence in (2, 4, 6, 8, 10):
            send(f"sequence {sequence}", 0, sequence)
        send("oldest of the window", 0, 2)
        send("older than the window", 0, 0)
        send("part of a batch", 0, 10, 1)
        send("newest again", 0, 10)
        send("next epoch from the middle", 1, 12)
        send("next epoch from zero", 1, 0)
        send("old epoch", 0, 12)
        send("unknown producer from the middle", 0, 7, partition=1, who=me + 1_000_000)
        send("unknown producer from zero", 0, 0, partition=2, who=me + 1_000_000)
        send("unknown producer, gap", 0, 9, partition=2, who=me + 1_000_000)
        state = s.peer.ask("describe_producers", 0, topics=[{"name": "idem", "partition_indexes": [0]}])
        mine = [p for p in state["topics"][0]["partitions"][0]["active_producers"] if p["producer_id"] == me]
        s.keep("described", mine)

    same(scenario)


def test_produce_by_topic_settings(same: Same) -> None:
    def scenario(s: Session) -> None:
        now = BASE_TIMESTAMP_MS
        s.create_topic("compacted", cleanup_policy="compact")
        produce(s, "no key on a compacted topic", 9, "compacted", batch([(b"k", b"v"), (None, b"v")]))
        for codec in Codec:
            mixed = [Record(n, BASE_TIMESTAMP_MS, key, b"v") for n, key in enumerate((None, b"k", None))]
            records = bytes(build_batch(mixed, codec=codec))
            produce(s, f"no key on a compacted topic, codec {codec}", 9, "compacted", records)
        produce(s, "keys on a compacted topic", 9, "compacted", batch(simple(2)))
        s.create_topic("timed", message_timestamp_before_max_ms="600000", message_timestamp_after_max_ms="600000")
        produce(s, "too old", 9, "timed", batch(simple(2), timestamp_ms=now - 7_200_000))
        produce(s, "too new", 9, "timed", batch(simple(2), timestamp_ms=now + 36_000_000))
        s.create_topic("appended", message_timestamp_type="LogAppendTime")
        topics = produce_fields("appended", 0, batch(simple(2)))
        answer = s.peer.ask("produce", 9, **topics)["responses"][0]["partition_responses"][0]
        s.keep("append time is told", abs(answer.pop("log_append_time") - int(time.time() * 1000)) < 60_000)
        s.keep("append time", answer)
        s.create_topic("recoded", compression_type="gzip")
        produce(s, "recoded by the broker", 9, "recoded", batch(simple(5)))
        fetched = s.peer.ask("fetch", 11, **fetch_fields("recoded", 0))
        s.keep("codec of the stored batch", fetched["responses"][0]["partitions"][0]["records"][22])

    same(scenario)


def fetch_fields(topic: str | UUID, offset: int, **more: Any) -> dict[str, Any]:
    """A fetch of one partition. `more` names fields of the request, or of the partition with `p_` before them."""
    partition = {"partition": more.pop("p_index", 0), "fetch_offset": offset, "partition_max_bytes": 1 << 20}
    partition |= {key[2:]: value for key, value in more.items() if key.startswith("p_")}
    request = {"replica_id": -1, "max_wait": 100, "min_bytes": 1, "max_bytes": 1 << 20}
    request |= {key: value for key, value in more.items() if not key.startswith("p_")}
    key = "topic" if isinstance(topic, str) else "topic_id"
    return {**request, "topics": [{key: topic, "partitions": [partition]}]}


@pytest.mark.parametrize("version", versions_known("fetch"))
def test_fetch(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        name = f"fe-v{version}"
        topic: str | UUID = s.create_topic(name, 2)
        unknown: str | UUID = UNKNOWN_ID
        if version < BY_ID["fetch"]:
            topic, unknown = name, "never was"
        for _ in range(3):
            s.produce(name, 0, batch(simple(4, size=100)))

        def fetch(label: str, offset: int, topic: str | UUID = topic, **more: Any) -> Any:
            return s.note(label, "fetch", version, **fetch_fields(topic, offset, **more))

        fetch("from the start", 0)
        fetch("from within a batch", 6)
        fetch("at the end", 12)
        fetch("an empty partition", 0, p_index=1)
        fetch("after the end", 13)
        fetch("before the start", -1)
        fetch("negative", -7)
        fetch("unknown topic", 0, unknown)
        fetch("unknown partition", 0, p_index=5)
        fetch("one byte of the partition", 0, p_partition_max_bytes=1)
        fetch("one byte of all", 4, max_bytes=1)
        fetch("bytes for a batch and a half", 0, p_partition_max_bytes=800)
        fetch("zero bytes", 0, p_partition_max_bytes=0)
        fetch("committed only", 0, isolation_level=1)
        fetch("more than there is", 0, min_bytes=1 << 19)
        if version >= 9:
            fetch("epoch of the future", 0, p_current_leader_epoch=5)
            fetch("the epoch", 0, p_current_leader_epoch=0)
        if version >= 12:
            fetch("last epoch of the future", 4, p_last_fetched_epoch=3)
            fetch("last epoch", 4, p_last_fetched_epoch=0)
        s.peer.ask(
            "delete_records",
            2,
            timeout=5000,
            topics=[{"name": name, "partitions": [{"partition_index": 0, "offset": 5}]}],
        )
        fetch("deleted", 2)
        fetch("rest of a deleted batch", 5)

    same(scenario)


@pytest.mark.parametrize("version", [v for v in versions_known("fetch") if v >= 7])
def test_fetch_sessions(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        name = f"fs-v{version}"
        topic: str | UUID = s.create_topic(name, 2)
        if version < BY_ID["fetch"]:
            topic = name
        s.produce(name, 0, batch(simple(2)))

        def fetch(label: str, session: int, epoch: int, topics: list[Any], forget: list[Any] | None = None) -> Any:
            fields = fetch_fields(topic, 0, session_id=session, session_epoch=epoch, forgotten_topics_data=forget or [])
            return s.note(label, "fetch", version, **{**fields, "topics": topics})

        def both(offset: int) -> list[Any]:
            one = fetch_fields(topic, offset)["topics"][0]
            return [
                {
                    **one,
                    "partitions": [one["partitions"][0], {**one["partitions"][0], "partition": 1, "fetch_offset": 0}],
                }
            ]

        opened = fetch("a new session", 0, 0, both(0))
        mine = opened["session_id"]
        fetch(
            "an incremental one with a new offset",
            mine,
            1,
            [{**both(2)[0], "partitions": both(2)[0]["partitions"][:1]}],
        )
        fetch("nothing new", mine, 2, [])
        s.produce(name, 1, batch(simple(1)))
        fetch("news in one partition", mine, 3, [])
        fetch("the news again", mine, 4, [])
        key = {"topic": name} if isinstance(topic, str) else {"topic_id": topic}
        fetch("forget one", mine, 5, [], [{**key, "partitions": [1]}])
        fetch("an old epoch", mine, 2, [])
        fetch("an epoch too far", mine, 9, [])
        fetch("an unknown session", mine + 12345, 1, [])
        fetch("a new one for the old", mine, 0, both(0))
        fetch("no session", 0, -1, both(0))
        fetch("an incremental one of no session", 0, 1, both(0))

    same(scenario)


@pytest.mark.parametrize("version", versions_known("list_offsets"))
def test_list_offsets(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        name = f"lo-v{version}"
        s.create_topic(name, 2)
        s.produce(name, 0, batch(simple(4)))
        s.produce(name, 0, batch(simple(2), timestamp_ms=BASE_TIMESTAMP_MS + 60_000))
        s.produce(name, 0, batch(simple(2), timestamp_ms=BASE_TIMESTAMP_MS - 60_000))

        def ask(label: str, timestamp: int, topic: str = name, partition: int = 0, **more: Any) -> None:
            entry = {
                "partition_index": partition,
                "timestamp": timestamp,
                "current_leader_epoch": more.pop("epoch", -1),
            }
            fields = {"replica_id": -1, "timeout": 1000, "topics": [{"name": topic, "partitions": [entry]}], **more}
            s.note(label, "list_offsets", version, **fields)

        for special in (-1, -2, -3, -4, -5, -6, -7):
            ask(f"special {special}", special)
            ask(f"special {special} of an empty partition", special, partition=1)
        for delta in (-120_000, -60_000, -1, 0, 1, 1000, 3000, 3001, 60_000, 61_000, 61_001):
            ask(f"at {delta} ms", BASE_TIMESTAMP_MS + delta)
        ask("of an empty partition", BASE_TIMESTAMP_MS, partition=1)
        ask("unknown topic", -1, "never was")
        ask("unknown partition", -1, partition=9)
        if version >= 2:
            ask("committed only", -1, isolation_level=1)
        if version >= 4:
            ask("epoch of the future", -1, epoch=4)
            ask("the epoch", -1, epoch=0)
        entry = {"partition_index": 0, "timestamp": -1, "current_leader_epoch": -1}
        s.note("twice", "list_offsets", version, replica_id=-1, topics=[{"name": name, "partitions": [entry, entry]}])

    same(scenario)


@pytest.mark.parametrize("version", versions_known("offset_for_leader_epoch"))
def test_offset_for_leader_epoch(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        name = f"oe-v{version}"
        s.create_topic(name)
        s.produce(name, 0, batch(simple(4)))

        def ask(label: str, epoch: int, current: int = -1, topic: str = name, partition: int = 0) -> None:
            entry = {"partition": partition, "current_leader_epoch": current, "leader_epoch": epoch}
            fields = {"replica_id": -1, "topics": [{"topic": topic, "partitions": [entry]}]}
            s.note(label, "offset_for_leader_epoch", version, **fields)

        ask("the epoch", 0)
        ask("a future one", 3)
        ask("undefined", -1)
        ask("we are in the future", 0, current=7)
        ask("we know the epoch", 0, current=0)
        ask("unknown topic", 0, topic="never was")
        ask("unknown partition", 0, partition=4)

    same(scenario)


@pytest.mark.parametrize("version", versions_known("delete_records"))
def test_delete_records(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        name = f"dr-v{version}"
        s.create_topic(name)
        s.create_topic(name + "-compact", cleanup_policy="compact")
        s.produce(name, 0, batch(simple(10)))

        def delete(label: str, offset: int, topic: str = name, partition: int = 0) -> None:
            entry = {"partition_index": partition, "offset": offset}
            fields = {"timeout": 5000, "topics": [{"name": topic, "partitions": [entry]}]}
            s.note(label, "delete_records", version, **fields)

        delete("some", 4)
        delete("fewer", 2)
        delete("beyond the end", 11)
        delete("negative", -2)
        delete("unknown topic", 0, "never was")
        delete("unknown partition", 0, partition=3)
        delete("of a compacted topic", 0, name + "-compact")
        delete("all", -1)
        s.note(
            "bounds",
            "list_offsets",
            7,
            replica_id=-1,
            topics=[
                {
                    "name": name,
                    "partitions": [{"partition_index": 0, "timestamp": t, "current_leader_epoch": -1} for t in (-2,)],
                }
            ],
        )

    same(scenario)


@pytest.mark.parametrize("version", versions_known("init_producer_id"))
def test_init_producer_id(same: Same, version: int) -> None:
    if version > 5:
        version = 5  # 6 is not released: Kafka does not advertise it

    def scenario(s: Session) -> None:
        def init(label: str, **fields: Any) -> Any:
            return s.note(
                label,
                "init_producer_id",
                version,
                **{"transactional_id": None, "transaction_timeout": 60_000, **fields},
            )

        s.settle("init_producer_id", 4, transactional_id=None, transaction_timeout=1000)
        first = init("an idempotent producer")
        second = init("another one")
        s.keep("they differ", first["producer_id"] != second["producer_id"])
        init("no time-out", transaction_timeout=0)
        init("an empty transactional id", transactional_id="")
        if version >= 3:
            init("with its own id and epoch", producer_id=first["producer_id"], producer_epoch=0)
            init("with an id but no epoch", producer_id=first["producer_id"], producer_epoch=-1)
            init("with an epoch but no id", producer_id=-1, producer_epoch=3)

    same(scenario)


def test_describe_producers(same: Same) -> None:
    def scenario(s: Session) -> None:
        s.create_topic("dp", 2)

        def ask(label: str, topic: str, *partitions: int) -> None:
            s.note(label, "describe_producers", 0, topics=[{"name": topic, "partition_indexes": list(partitions)}])

        ask("nobody", "dp", 0, 1)
        ask("unknown partition", "dp", 4)
        ask("unknown topic", "never was", 0)
        ask("invalid topic", "bad name!", 0)

    same(scenario)


def test_unsupported_versions_end_the_connection(same: Same) -> None:
    """Only ApiVersions answers a version it does not know, in version 0 with error 35 and the range it knows."""

    def scenario(s: Session) -> None:
        import struct

        def raw(label: str, key: int, version: int, tail: bytes = b"") -> None:
            peer = Peer(s.address)
            s.others.append(peer)
            peer.connection.send(struct.pack(">hhih", key, version, 7, 1) + b"x" + tail)
            try:
                frame = peer.connection.receive()
            except ConnectionClosed:
                s.keep(label, "closed")
                return
            s.keep(label, (frame[:6], len(frame)) if key == 18 else frame)

        raw("ApiVersions of the far future", 18, 99, b"\x00")
        raw("ApiVersions, negative version", 18, -1, b"\x00")
        raw("Metadata of the future", 3, 99, b"\x00")
        raw("an API that was removed", 4, 0, b"\x00" * 16)
        raw("unknown API", 900, 0)
        raw("negative API", -1, 0)
        raw("an API for controllers", 52, 0)
        raw("a body cut short", 3, 1, b"\x00\x00")
        raw("an array of two thousand million", 3, 1, b"\x7f\xff\xff\xff")

    same(scenario)
