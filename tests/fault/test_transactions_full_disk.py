"""Transactional producers on a volume that fills up: they wait or abort, go on when there is room, and no transaction
is half visible, not even when the broker is killed while the volume is full. The volume is a real tmpfs. wants C7, C13.
"""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from tests.node.served import ServedBroker
from tests.support.small_volume import fill, ran_in_a_namespace, small_volume

VOLUME_BYTES = 24 << 20
PARTITIONS = 2
SETTINGS = [
    word
    for name, value in {
        "transaction.state.log.num.partitions": 1,
        "offsets.topic.num.partitions": 1,
        "log.segment.bytes": 1 << 20,
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500,
    }.items()
    for word in ("--set", f"{name}={value}")
]
WAIT_S = 60.0


class Transacting:
    """Transactions in a thread, one after the other: each writes its name to every partition; every third aborts."""

    def __init__(self, servers: str, name: str) -> None:
        self.committed: set[str] = set()
        self.aborted: set[str] = set()
        """Those the producer was told of. What is in neither may have gone either way, but whole."""
        self.errors: set[int] = set()
        self._servers = servers
        self._name = name
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def wait_for(self, more: int) -> None:
        """Wait until `more` transactions are committed beyond those that are."""
        enough, deadline = len(self.committed) + more, time.monotonic() + WAIT_S
        while len(self.committed) < enough:
            assert time.monotonic() < deadline, f"{len(self.committed)} of {enough} transactions; {self.errors}"
            time.sleep(0.02)

    def wait_for_trouble(self) -> None:
        """Wait until the producer was told that something did not work."""
        deadline = time.monotonic() + WAIT_S
        while not self.errors:
            assert time.monotonic() < deadline, "it did not meet the full volume"
            time.sleep(0.02)

    def _run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            producer = Producer(
                {
                    "bootstrap.servers": self._servers,
                    "transactional.id": self._name,
                    "transaction.timeout.ms": 5000,
                    "message.timeout.ms": 4000,
                    "retry.backoff.ms": 50,
                    "reconnect.backoff.max.ms": 200,
                    "log_level": 0,
                }
            )
            try:
                producer.init_transactions(5)
                while not self._stopping.is_set():
                    number += 1
                    self._transact(producer, f"{self._name}/{number}", is_commit=number % 3 != 0)
            except KafkaException as error:  # fatal, or no end in sight: another producer with the same id goes on
                self._note(error)

    def _transact(self, producer: Producer, name: str, *, is_commit: bool) -> None:
        producer.begin_transaction()
        for index in range(PARTITIONS):
            producer.produce("t", name.encode().ljust(2000), partition=index)
        try:
            if is_commit:
                self._insist(producer.commit_transaction)
                self.committed.add(name)
                return
        except KafkaException as error:
            self._note(error)
            if not self._is(error, KafkaError.txn_requires_abort):
                raise
        self._insist(producer.abort_transaction)
        self.aborted.add(name)

    def _insist(self, end: object) -> None:
        """Commit or abort, again while the client says that may help."""
        while True:
            try:
                end(2)  # type: ignore[operator]
                return
            except KafkaException as error:
                self._note(error)
                if self._stopping.is_set() or not self._is(error, KafkaError.retriable):
                    raise

    def _is(self, error: KafkaException, what: object) -> bool:
        return bool(what(error.args[0]))  # type: ignore[operator]

    def _note(self, error: KafkaException) -> None:
        self.errors.add(error.args[0].code())


def visible(servers: str) -> list[list[str]]:
    """What a reader of committed records finds in each partition, in order; it has to get to the very end."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "g",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    found: list[list[str]] = [[] for _ in range(PARTITIONS)]
    consumer.assign([TopicPartition("t", index, 0) for index in range(PARTITIONS)])
    ended: set[int] = set()
    deadline = time.monotonic() + WAIT_S
    while len(ended) < PARTITIONS:
        assert time.monotonic() < deadline, "a transaction hangs"
        message = consumer.poll(0.5)
        if message is None:
            continue
        index = message.partition()
        assert index is not None
        error = message.error()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF, error
            _, high = consumer.get_watermark_offsets(TopicPartition("t", index))
            if consumer.position([TopicPartition("t", index)])[0].offset >= high:
                ended.add(index)
            continue
        value = message.value()
        assert value is not None
        found[index].append(value.decode().strip())
    consumer.close()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("is_killed", [False, True], ids=["waiting", "killed"])
def test_no_transaction_is_half_visible(request: pytest.FixtureRequest, tmp_path: Path, is_killed: bool) -> None:
    if ran_in_a_namespace(request, tmp_path):
        return
    with small_volume(tmp_path / "volume", VOLUME_BYTES) as volume:
        broker = ServedBroker(volume / "data", *SETTINGS)
        try:
            servers = "{}:{}".format(*broker.address)
            admin = AdminClient({"bootstrap.servers": servers})
            admin.create_topics([NewTopic("t", PARTITIONS)])["t"].result(60)
            writing = [Transacting(servers, name) for name in ("a", "b")]
            for each in writing:
                each.wait_for(5)
            filler = fill(volume)
            for each in writing:
                each.wait_for_trouble()
            if is_killed:
                broker.stop(signal.SIGKILL)
                broker.process.communicate()
                broker = ServedBroker(volume / "data", *SETTINGS, listen=servers)
                assert broker.address[1], "a full volume is no reason not to start"
                time.sleep(2)
            filler.unlink()
            for each in writing:
                each.wait_for(5)
                each.stop()
            _check(visible(servers), writing)
        finally:
            broker.__exit__()


def _check(found: list[list[str]], writing: list[Transacting]) -> None:
    assert set(found[0]) == set(found[1]), "half of a transaction"
    for names in found:
        assert len(names) == len(set(names)), "twice"
    names = set(found[0])
    for each in writing:
        assert each.committed <= names, "lost"
        assert not each.aborted & names, "aborted and visible"
