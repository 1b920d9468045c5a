"""A full volume under real clients: producing waits, all else goes on, service resumes, nothing is lost or twice.

The volume is a real tmpfs. wants C7, C8.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from tests.node.served import ServedBroker
from tests.support.small_volume import fill, ran_in_a_namespace, small_volume

VOLUME_BYTES = 32 << 20
RECORD_BYTES = 10_000
RECORD_COUNT = 5_000
"""50 MB: more than the volume holds."""
WAIT_S = 60.0
FILE_DELETE_DELAY_S = 60.0
"""What the broker has where nothing is set."""


class Writing:
    """An idempotent producer that writes numbered records in a thread, and knows which were acknowledged."""

    def __init__(self, servers: str, topic: str) -> None:
        self.acked: dict[int, int] = {}
        self.failed: list[KafkaError] = []
        self._topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "enable.idempotence": True,
                "message.timeout.ms": 120_000,
                "queue.buffering.max.messages": 200,
                "retry.backoff.ms": 50,
                "log_level": 0,
            }
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for number in range(RECORD_COUNT):
            value = number.to_bytes(8, "big") * (RECORD_BYTES // 8)
            while True:
                try:
                    self._producer.produce(self._topic, value, on_delivery=self._delivered)
                    break
                except BufferError:
                    self._producer.poll(0.1)
            self._producer.poll(0)
        self._producer.flush(120)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failed.append(error)
            return
        value = message.value()
        offset = message.offset()
        assert value is not None and offset is not None
        self.acked[int.from_bytes(value[:8], "big")] = offset

    def wait_until_stuck(self) -> int:
        """Wait until nothing has been acknowledged for two seconds; answers how much was."""
        count = -1
        while count != len(self.acked):
            count = len(self.acked)
            time.sleep(2)
        return count

    def join(self) -> None:
        self._thread.join(150)
        assert not self._thread.is_alive()


class Reading:
    """Reads everything, once, from the start."""

    def __init__(self, servers: str, topic: str) -> None:
        self.consumer = Consumer({"bootstrap.servers": servers, "group.id": "g", "enable.auto.commit": False})
        self.consumer.assign([TopicPartition(topic, 0, 0)])
        self.numbers: list[int] = []
        self.offset = 0

    def read(self, until: int) -> None:
        """Read until `until` records were read."""
        deadline = time.monotonic() + WAIT_S
        while len(self.numbers) < until:
            assert time.monotonic() < deadline, f"{len(self.numbers)} of {until} records in {WAIT_S} s"
            for message in self.consumer.consume(500, 0.5):
                assert message.error() is None, message.error()
                value, offset = message.value(), message.offset()
                assert value is not None and offset is not None
                self.numbers.append(int.from_bytes(value[:8], "big"))
                self.offset = offset + 1


def code_of(future: object) -> int:
    with pytest.raises(KafkaException) as failed:
        future.result(60)  # type: ignore[attr-defined]
    return int(failed.value.args[0].code())


@pytest.mark.slow
def test_producing_waits_for_space_and_everything_else_goes_on(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if ran_in_a_namespace(request, tmp_path):
        return
    with (
        small_volume(tmp_path / "volume", VOLUME_BYTES) as volume,
        ServedBroker(volume / "data", "--set", "log.segment.bytes=1048576") as broker,
    ):
        servers = "{}:{}".format(*broker.address)
        admin = AdminClient({"bootstrap.servers": servers})
        for future in admin.create_topics([NewTopic("t", 1), NewTopic("victim", 1)]).values():
            future.result(60)
        _write_plainly(servers, "victim", 4 << 20)
        writing = Writing(servers, "t")
        first = writing.wait_until_stuck()
        assert 0 < first < RECORD_COUNT

        filler = fill(volume)  # what the broker left free, taken by somebody else: not a byte is left
        reading = Reading(servers, "t")
        reading.read(first)
        refused = admin.create_topics([NewTopic("more", 1)])["more"]
        assert code_of(refused) == KafkaError.KAFKA_STORAGE_ERROR
        admin.delete_topics(["victim"])["victim"].result(60)
        deadline = time.monotonic() + FILE_DELETE_DELAY_S / 2
        while list((volume / "data").glob("victim-*")):
            assert time.monotonic() < deadline, "its files go at once, not after file.delete.delay.ms"
            time.sleep(0.05)
        filler.unlink()

        while len(writing.acked) < RECORD_COUNT:  # a reader that deletes what it has read keeps the writer going
            done = writing.wait_until_stuck()
            reading.read(done)
            target = TopicPartition("t", 0, reading.offset)
            futures = admin.delete_records([target])
            futures[target].result(60)
        writing.join()
        reading.read(RECORD_COUNT)
        assert writing.failed == []
        assert reading.numbers == list(range(RECORD_COUNT)), "every record, once, in order"
        committed = reading.consumer.commit(offsets=[TopicPartition("t", 0, 7)], asynchronous=False)
        assert committed is not None and committed[0].error is None
        admin.create_topics([NewTopic("more", 1)])["more"].result(60)
        reading.consumer.close()
        assert broker.stop() == 0
        assert (volume / "data" / ".kafka_cleanshutdown").exists()


def _write_plainly(servers: str, topic: str, size_bytes: int) -> None:
    producer = Producer({"bootstrap.servers": servers})
    for _ in range(size_bytes // 100_000):
        producer.produce(topic, bytes(100_000))
    assert producer.flush(30) == 0
