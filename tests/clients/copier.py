"""Copies a topic exactly once, in transactions that hold the output and the offsets read: a program to be killed.

python -m tests.clients.copier CLIENT BOOTSTRAP INPUT OUTPUT GROUP TRANSACTIONAL_ID
"""

import asyncio
import sys
import time
from typing import Any

import aiokafka
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

TRANSACTION_RECORDS = 10
PAUSE_S = 0.02
"""Between the first write of a transaction and its end: time in which to be killed."""
WAIT_S = 60.0
CONSUMER = {
    "isolation.level": "read_committed",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "session.timeout.ms": 6_000,
    "heartbeat.interval.ms": 500,
}


def copy_with_confluent(bootstrap: str, source: str, target: str, group: str, transactional_id: str) -> None:
    """For ever. An error that is not abortable ends the program: whoever started it starts another."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": transactional_id, "linger.ms": 0})
    producer.init_transactions(WAIT_S)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, **CONSUMER})
    consumer.subscribe([source])
    while True:
        messages = [each for each in consumer.consume(TRANSACTION_RECORDS, 0.2) if each.error() is None]
        if not messages:
            continue
        try:
            producer.begin_transaction()
            for message in messages:
                producer.produce(target, message.value(), partition=message.partition())
            time.sleep(PAUSE_S)
            producer.send_offsets_to_transaction(ends(messages), consumer.consumer_group_metadata(), WAIT_S)
            producer.commit_transaction(WAIT_S)
        except KafkaException as error:
            if not error.args[0].txn_requires_abort():
                raise
            producer.abort_transaction(WAIT_S)
            rewind(consumer)


def ends(messages: list[Message]) -> list[TopicPartition]:
    """The offsets after the messages."""
    last = {(each.topic(), each.partition()): each.offset() + 1 for each in messages}
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in last.items()]


def rewind(consumer: Consumer) -> None:
    """Go back to what is committed."""
    for position in consumer.committed(consumer.assignment(), WAIT_S):
        offset = max(position.offset, 0)
        consumer.seek(TopicPartition(position.topic, position.partition, offset))


async def copy_with_aiokafka(bootstrap: str, source: str, target: str, group: str, transactional_id: str) -> None:
    """For ever; any error ends the program."""
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=transactional_id)
    await producer.start()
    consumer = aiokafka.AIOKafkaConsumer(
        source,
        bootstrap_servers=bootstrap,
        group_id=group,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6_000,
        heartbeat_interval_ms=500,
    )
    await consumer.start()
    while True:
        batches: dict[Any, Any] = await consumer.getmany(timeout_ms=200, max_records=TRANSACTION_RECORDS)
        if not batches:
            continue
        async with producer.transaction():
            for partition, messages in batches.items():
                for message in messages:
                    await producer.send(target, message.value, partition=partition.partition)
            await asyncio.sleep(PAUSE_S)
            offsets = {partition: messages[-1].offset + 1 for partition, messages in batches.items()}
            await producer.send_offsets_to_transaction(offsets, group)


def main(arguments: list[str]) -> None:
    client, *rest = arguments
    if client == "confluent":
        copy_with_confluent(*rest)
    else:
        asyncio.run(copy_with_aiokafka(*rest))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KafkaException as error:
        print(f"{time.monotonic():.3f} ends with {error}", file=sys.stderr)
        sys.exit(1)
