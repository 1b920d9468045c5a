"""Loads by librdkafka in this process, the pieces `tailrace bench` is made of, and by Apache Kafka's own tools.

Each load gets a fresh topic, ends by itself, and returns `Moved`: records and bytes that were acknowledged or read.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import NewTopic
from tests.harness.brokers import java_command

from tailrace.base.clock import SystemClock
from tailrace.base.rand import SeededRandom
from tailrace.cli.bench.consume import Readers
from tailrace.cli.bench.histogram import Histogram
from tailrace.cli.bench.latency import RoundTrips
from tailrace.cli.bench.produce import Senders, produce_at_full_speed, produce_by_schedule
from tailrace.cli.bench.result import Result
from tailrace.cli.bench.workload import Workload, payload, temporary_topic
from tailrace.cli.cluster import ClientProperties, Cluster

from .brokers import pinned
from .process import Meter

TIMEOUT_S = 20.0
TOOL_TIMEOUT_S = 120.0
IN_FLIGHT = 5
"""Requests under way where a rate is looked for, as clients have it by default: what waits meanwhile is a batch."""
RECORDS_PER_LOOK = 100
JOIN_MAX_S = 40.0
QUICK_TO_JOIN: ClientProperties = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
"""tansu holds back its first answer to a JoinGroup for half of the session timeout; heartbeats tell of a rebalance."""
NOTHING_THERE_S = 0.001
AT_REST = 0.1
"""Of a core in a second: a broker that takes less than that has done what it was asked."""
AT_REST_MAX_S = 60
IDLE_S = 5.0
JAVA_EXCEPTION = re.compile(
    r"^(?:Exception in thread \S+ |Caused by: )?((?:\w+\.)+\w*(?:Error|Exception)\b.*)$", re.MULTILINE
)
ANY_ANSWER: ClientProperties = {"receive.message.max.bytes": 2_147_483_647}
"""noida-db answers a fetch with all that a partition has, whatever `fetch.max.bytes` says."""
KB, MB = 1000, 1_000_000

BASE = Workload(
    record_bytes=KB, batch_bytes=256 * KB, linger_ms=5, acks="all", compression="none", connections=1, partitions=1,
    replication_factor=1, rate_per_s=None, duration_s=10.0,
)  # fmt: skip


class LoadFailed(Exception):
    """A load was not served; the message says what happened."""


@dataclass
class Moved:
    """What a load did while the broker was measured. `requests` where each record is one.

    `own` are figures of this load alone. `traced`: the broker was slowed down to be looked at: `own` is all there is.
    """

    records: int
    bytes: int
    elapsed_s: float
    requests: int = 0
    latency: Histogram | None = None
    end_to_end: Histogram | None = None
    own: dict[str, float] = field(default_factory=dict)
    traced: bool = False


Measured = Callable[[], None]
"""Told when the part that counts begins: what was before it (connecting, filling) is not the broker's cost."""


def cluster(address: str) -> Cluster:
    """The broker as the command line sees it."""
    return Cluster(address, TIMEOUT_S, ANY_ANSWER)


@contextmanager
def senders(found: Cluster, workload: Workload, topic: str) -> Iterator[Senders]:
    """Producers, connected."""
    made = Senders(found, workload, topic)
    try:
        made.connect(payload(workload.record_bytes, SeededRandom(1)))
        yield made
    finally:
        made.close()


def produce(address: str, workload: Workload, bytes_max: int, begin: Measured) -> Moved:
    """Send `bytes_max`, or for the workload's duration, as fast as it goes; by schedule when it has a rate."""
    found, result = cluster(address), Result("produce", workload)
    value = payload(workload.record_bytes, SeededRandom(1))
    with temporary_topic(found, workload, _names()) as topic, senders(found, workload, topic) as made:
        begin()
        if workload.rate_per_s is None:
            produce_at_full_speed(made, result, value, bytes_max, SystemClock())
        else:
            produce_by_schedule(made, result, value, SystemClock())
    return _moved(result, requests=result.records if workload.batch_bytes == 0 else 0)


def consume(address: str, workload: Workload, fill_bytes: int, begin: Measured) -> Moved:
    """Fill a topic, then `connections` readers of all of it for the workload's duration."""
    found, result = cluster(address), Result("consume", workload)
    with filled_topic(found, workload, fill_bytes) as (topic, records):
        readers = Readers(found, workload, topic, records)
        try:
            readers.connect()
            begin()
            result.elapsed_s = readers.run(workload.duration_s, SystemClock())
            result.records = readers.records
        finally:
            readers.close()
    return _moved(result)


def round_trips(address: str, workload: Workload, begin: Measured) -> Moved:
    """Records by schedule, each until a consumer has it."""
    found, result = cluster(address), Result("latency", workload)
    value = payload(workload.record_bytes, SeededRandom(1))
    with temporary_topic(found, workload, _names()) as topic, senders(found, workload, topic) as made:
        consumer = found.consumer(workload.consumer_properties(topic))
        try:
            trips = RoundTrips(made, consumer, result, SystemClock())
            trips.connect(value, TIMEOUT_S)
            write_out()
            begin()
            trips.run(value)
            trips.drain(TIMEOUT_S)
        finally:
            consumer.close()
    return _moved(result, requests=result.records)


def at_half(address: str, workload: Workload, search_s: float, begin: Measured) -> Moved:
    """Find how many records a second are acknowledged at most, then send half as many by schedule.

    The maximum is of the pair, broker and load: that of a broker which is faster than the load is the load's.
    """
    found = Cluster(address, TIMEOUT_S, {"max.in.flight.requests.per.connection": IN_FLIGHT})
    value = payload(workload.record_bytes, SeededRandom(1))
    some_rate = replace(workload, rate_per_s=1.0)  # with a rate, each acknowledgement is told
    with temporary_topic(found, workload, _names()) as topic, senders(found, some_rate, topic) as made:
        most_per_s = _most_per_s(made, value, search_s)
        result = Result("half", replace(workload, rate_per_s=most_per_s / 2))
        write_out()
        begin()
        produce_by_schedule(made, result, value, SystemClock())
    own = {"most_per_s": most_per_s, "asked_per_s": most_per_s / 2}
    return replace(_moved(result, requests=result.records), own=own)


def write_out() -> None:
    """Have the kernel write what was produced before: until it has, writes wait, longest those of a fast broker."""
    os.sync()


def _most_per_s(made: Senders, value: bytes, seconds: float) -> float:
    """Records a second that are acknowledged when they are sent as fast as it goes for `seconds`."""
    acknowledged = 0

    def on_delivery(error: object, message: object) -> None:
        nonlocal acknowledged
        acknowledged += error is None

    began_s = time.perf_counter()
    while time.perf_counter() - began_s < seconds:
        for _ in range(RECORDS_PER_LOOK):
            made.send(value, on_delivery)
        made.poll()
    made.settle()
    if made.refusal is not None or not acknowledged:
        raise LoadFailed(f"{made.sent - acknowledged} records were not acknowledged")
    return acknowledged / (time.perf_counter() - began_s)


def group(address: str, workload: Workload, fill_bytes: int, begin: Measured) -> Moved:
    """Fill a topic, then one consumer group of `connections` members reads it once and commits.

    Nothing is read before each member has its share: a member that joins late would find the others done, and the
    load would be that of one.
    """
    found = cluster(address)
    with filled_topic(found, workload, fill_bytes) as (topic, records):
        properties = {**workload.consumer_properties(topic), **QUICK_TO_JOIN, "enable.auto.commit": True}
        members = [found.consumer(properties) for _ in range(workload.connections)]
        try:
            formed_ms = _form(members, topic, workload.partitions)
            begin()
            for member in members:
                member.resume(member.assignment())
            took_s = _read_all(members, records)
        finally:
            for member in members:
                member.close()
    return Moved(records, records * workload.record_bytes, took_s, own={"formed_ms": formed_ms})


def _form(members: Sequence[Consumer], topic: str, partitions: int) -> float:
    """Milliseconds until the members share all partitions. What they have is paused."""

    def on_assign(member: Consumer, assigned: list[TopicPartition]) -> None:
        member.assign(assigned)
        member.pause(assigned)

    began_s = time.perf_counter()
    for member in members:
        member.subscribe([topic], on_assign=on_assign)
    while not _shared([len(member.assignment()) for member in members], partitions):
        if time.perf_counter() > began_s + JOIN_MAX_S:
            raise LoadFailed(f"the group was not formed in {JOIN_MAX_S:g} s")
        for member in members:
            if member.poll(0.01) is not None:
                raise LoadFailed("a record came before the group was formed")
    return (time.perf_counter() - began_s) * 1000


def _shared(shares: Sequence[int], partitions: int) -> bool:
    """Whether everybody has a part, and together they have it all."""
    return sum(shares) == partitions and all(shares)


def read_once(address: str, workload: Workload, fill_bytes: int, begin: Measured) -> Moved:
    """Fill a topic, then one reader of all of it, once. `begin` may do to the files what it likes."""
    found = cluster(address)
    with filled_topic(found, workload, fill_bytes) as (topic, records):
        reader = found.consumer(workload.consumer_properties(topic))
        try:
            begin()
            reader.assign([TopicPartition(topic, number, 0) for number in range(workload.partitions)])
            took_s = _read_all([reader], records)
        finally:
            reader.close()
    return Moved(records, records * workload.record_bytes, took_s)


@contextmanager
def filled_topic(found: Cluster, workload: Workload, fill_bytes: int) -> Iterator[tuple[str, int]]:
    """A topic of the run's own and how many records it holds: `fill_bytes`, or what 10 s were enough for."""
    filling = replace(workload, connections=1, duration_s=10.0)
    result = Result("fill", filling)
    with temporary_topic(found, workload, _names()) as topic:
        made = Senders(found, filling, topic)
        try:
            value = payload(workload.record_bytes, SeededRandom(1))
            produce_at_full_speed(made, result, value, fill_bytes, SystemClock())
        finally:
            made.close()
        _moved(result)
        yield topic, result.records


def transactions(address: str, workload: Workload, records_each: int, begin: Measured) -> Moved:
    """Transactions of `records_each` records, one after another. The requests counted are transactions."""
    found = cluster(address)
    value = payload(workload.record_bytes, SeededRandom(1))
    with temporary_topic(found, workload, _names()) as topic:
        properties = {**workload.producer_properties(), "transactional.id": topic, "linger.ms": 0}
        producer = found.producer({**properties, "acks": "all"})
        producer.init_transactions(TIMEOUT_S)
        _one_transaction(producer, topic, value, records_each)
        begin()
        began_s, done = time.perf_counter(), 0
        while time.perf_counter() - began_s < workload.duration_s:
            _one_transaction(producer, topic, value, records_each)
            done += 1
        took_s = time.perf_counter() - began_s
    records = done * records_each
    return Moved(records, records * workload.record_bytes, took_s, requests=done)


def many_topics(address: str, partitions: int, begin: Measured, meter: Meter) -> Moved:
    """Idle partitions: made, and left alone. `IDLE_S` are measured, once what making them began is done."""
    found = cluster(address)
    admin = found.admin()
    names = [f"idle-{uuid.uuid4().hex[:8]}-{number}" for number in range(max(1, partitions // 100))]
    made = admin.create_topics([NewTopic(name, min(partitions, 100), 1) for name in names], operation_timeout=TIMEOUT_S)
    for future in made.values():
        future.result(TIMEOUT_S)
    waited_s = wait_for_rest(meter)
    begin()
    time.sleep(IDLE_S)
    return Moved(0, 0, IDLE_S, own={"busy_before_s": waited_s})


def wait_for_rest(meter: Meter) -> float:
    """Until three seconds in a row took less than `AT_REST` each, `AT_REST_MAX_S` at most. How long that was, in s."""
    begun, calm = time.monotonic(), 0
    while calm < 3 and time.monotonic() - begun < AT_REST_MAX_S:
        before_s = meter.cpu_s()
        time.sleep(1)
        calm = calm + 1 if meter.cpu_s() - before_s < AT_REST else 0
    return time.monotonic() - begun


def java_produce(address: str, workload: Workload, bytes_max: int, begin: Measured, core: int | None) -> Moved:
    """Apache Kafka's ProducerPerformance."""
    records = bytes_max // workload.record_bytes
    found = cluster(address)
    with temporary_topic(found, workload, _names()) as topic:
        begin()
        words = _java(
            "org.apache.kafka.tools.ProducerPerformance", core,
            ["--topic", topic, "--num-records", str(records), "--record-size", str(workload.record_bytes),
             "--throughput", "-1", "--producer-props", f"bootstrap.servers={address}", f"acks={workload.acks}",
             f"batch.size={workload.batch_bytes}", f"linger.ms={workload.linger_ms:g}", "enable.idempotence=false"],
        )  # fmt: skip
    rate = re.findall(r"([\d.]+) records/sec", words)
    if not rate:
        raise LoadFailed(f"ProducerPerformance said: {words[-300:]}")
    return Moved(records, records * workload.record_bytes, records / float(rate[-1]))


def java_consume(address: str, workload: Workload, fill_bytes: int, begin: Measured, core: int | None) -> Moved:
    """Fill a topic, then Apache Kafka's ConsumerPerformance reads it once, as a group of one."""
    found = cluster(address)
    with filled_topic(found, workload, fill_bytes) as (topic, records):
        begin()
        words = _java(
            "org.apache.kafka.tools.ConsumerPerformance", core,
            ["--bootstrap-server", address, "--topic", topic, "--num-records", str(records), "--timeout", "30000"],
        )  # fmt: skip
    # start.time, end.time, MB, MB/s, records, records/s, rebalance ms, fetch ms, MB/s and records/s of the fetch time
    columns = words.strip().splitlines()[-1].split(",") if words.strip() else []
    if len(columns) < 10 or int(columns[4]) < records:
        raise LoadFailed(f"ConsumerPerformance said: {words[-300:]}")
    return Moved(records, records * workload.record_bytes, int(columns[7]) / 1000)


def _java(main: str, core: int | None, arguments: list[str]) -> str:
    command = [*pinned(core), *java_command("-Xmx2g"), main, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise LoadFailed(f"{main.rsplit('.', 1)[-1]} failed: {java_failure(done.stderr or done.stdout)}")
    return done.stdout


def java_failure(written: str) -> str:
    """What a Java program failed of: the last exception that it names, or else its last words."""
    named = re.findall(
        r"^(?:Exception in thread \S+ |Caused by: )?((?:\w+\.)+\w*(?:Error|Exception)\b.*)$", written, re.M
    )
    return str(named[-1]) if named else written.strip()[-300:]


def _one_transaction(producer: Producer, topic: str, value: bytes, records: int) -> None:
    producer.begin_transaction()
    for _ in range(records):
        producer.produce(topic, value)
    producer.commit_transaction(TIMEOUT_S)


def _read_all(members: Sequence[Consumer], records: int) -> float:
    """Seconds until the last of `records` has been handed to a member. One that has nothing holds up no other."""
    began_s = time.perf_counter()
    seen, silent_until_s = 0, began_s + TIMEOUT_S
    while seen < records:
        before = seen
        for member in members:
            found = member.consume(min(10_000, records - seen) or 1, 0)
            for message in found:
                if message.error() is not None:
                    raise KafkaException(message.error())
            seen += len(found)
        if seen > before:
            silent_until_s = time.perf_counter() + TIMEOUT_S
        else:
            time.sleep(NOTHING_THERE_S)
        if time.perf_counter() > silent_until_s:
            raise LoadFailed(f"{seen} of {records} records were read, then none for {TIMEOUT_S:g} s")
    return time.perf_counter() - began_s


def _moved(result: Result, requests: int = 0) -> Moved:
    if result.failed:
        raise LoadFailed(f"{result.failed} records were not acknowledged")
    size = result.records * result.workload.record_bytes
    return Moved(result.records, size, result.elapsed_s, requests, result.latency, result.end_to_end)


def _names() -> SeededRandom:
    """Names of topics that never come twice."""
    return SeededRandom(uuid.uuid4().int)
