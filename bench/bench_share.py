"""What it costs a broker to hand out records through a share group, beside plain fetching of the same records.

    python bench/bench_share.py ADDRESS PID [MEGABYTES]    of a running broker, Tailrace's or Apache Kafka's

Prints the CPU time of process PID, user and system, in seconds per GB: produced, consumed by a consumer group, consumed
and accepted by one member of a share group. The client is librdkafka's; its own cost is not counted.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from confluent_kafka import Consumer, Producer, ShareConsumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

RECORD_BYTES = 1000
DEADLINE_S = 300.0


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def prepare(address: str, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(name, 1)])[name].result(30)
    reset = ConfigEntry("share.auto.offset.reset", "earliest", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.GROUP, f"{name}-share", incremental_configs=[reset])
    for answer in admin.incremental_alter_configs([resource]).values():
        answer.result(30)


def produce(address: str, name: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": address, "linger.ms": 5, "queue.buffering.max.messages": 200_000})
    value = os.urandom(RECORD_BYTES)
    for _ in range(count):
        while True:
            try:
                producer.produce(name, value)
                break
            except BufferError:
                producer.poll(0.05)
    assert producer.flush(DEADLINE_S) == 0


def consume(address: str, name: str, count: int) -> None:
    consumer = Consumer({"bootstrap.servers": address, "group.id": f"{name}-plain", "enable.auto.commit": False})
    consumer.assign([TopicPartition(name, 0, 0)])
    got, until = 0, time.monotonic() + DEADLINE_S
    while got < count:
        assert time.monotonic() < until, got
        got += sum(1 for message in consumer.consume(10_000, 0.2) if message.error() is None)
    consumer.close()


def share(address: str, name: str, count: int) -> None:
    settings = {"bootstrap.servers": address, "group.id": f"{name}-share"}
    with ShareConsumer(settings) as consumer:
        consumer.subscribe([name])
        got, until = 0, time.monotonic() + DEADLINE_S
        while got < count:
            assert time.monotonic() < until, got
            got += sum(1 for message in consumer.poll(0.2) if message.error() is None)
        assert not any(consumer.commit_sync().values())


def main(address: str, pid: int, megabytes: int) -> None:
    name = f"bench-{time.time_ns()}"
    prepare(address, name)
    count = megabytes * 1_000_000 // RECORD_BYTES
    for step in (produce, consume, share):
        before, began = cpu_s(pid), time.monotonic()
        step(address, name, count)
        spent = cpu_s(pid) - before
        wall_s = time.monotonic() - began
        print(f"{step.__name__:8} {spent / megabytes * 1000:6.2f} CPU s/GB  {megabytes / wall_s:6.0f} MB/s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 200)
