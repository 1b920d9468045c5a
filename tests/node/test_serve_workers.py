"""`tailrace serve --workers N`: several processes behind one port, as librdkafka and a terminal meet them."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient, ClusterMetadata, NewTopic

from node.served import ServedBroker, failed_start

WAIT_S = 60.0
PARTITIONS = 50
IN_USE = os.strerror(errno.EADDRINUSE)


class Workers:
    """Several workers, and clients of theirs."""

    def __init__(self, served: ServedBroker) -> None:
        self.served = served
        assert served.address[1], f"did not start: {served.line!r}"
        self.bootstrap = f"127.0.0.1:{served.address[1]}"
        self._settings: dict[str, Any] = {"bootstrap.servers": self.bootstrap, "log_level": 0}

    @property
    def pids(self) -> dict[int, int]:
        """The process of each worker, by its number."""
        found = {}
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.served.process.pid and words[-2].startswith(b"worker-"):
                    found[int(words[-2].removeprefix(b"worker-"))] = int(entry.name)
        return found

    def create(self, topic: str, partitions: int) -> None:
        admin = AdminClient(self._settings)
        for future in admin.create_topics([NewTopic(topic, partitions)], operation_timeout=WAIT_S).values():
            future.result(WAIT_S)

    def metadata(self, is_wanted: Callable[[ClusterMetadata], bool]) -> ClusterMetadata:
        """What they say of themselves, once it is as it is wanted."""
        admin, until = AdminClient(self._settings), time.monotonic() + WAIT_S
        while not is_wanted(found := admin.list_topics(timeout=WAIT_S)):
            assert time.monotonic() < until, (found.brokers, found.topics)
            time.sleep(0.1)
        return found

    def leaders(self, topic: str, partitions: int) -> dict[int, int]:
        """Who leads each partition, once all are led."""

        def are_led(found: ClusterMetadata) -> bool:
            known = found.topics.get(topic)
            return (
                known is not None
                and len(known.partitions) == partitions
                and all(p.leader > 0 for p in known.partitions.values())
            )

        return {index: p.leader for index, p in self.metadata(are_led).topics[topic].partitions.items()}

    def producer(self, **settings: object) -> Producer:
        return Producer({**self._settings, "message.timeout.ms": int(WAIT_S * 1000), **settings})

    def produce(self, topic: str, values: dict[bytes, int]) -> None:
        """Each value to its partition, all acknowledged."""
        producer, failures = self.producer(acks="all"), []
        for value, partition in values.items():
            producer.produce(topic, value, partition=partition, on_delivery=lambda e, _: failures.append(e) if e else 0)
        assert producer.flush(WAIT_S) == 0 and not failures, failures

    def read(self, topic: str, count: int, **settings: object) -> set[bytes]:
        """`count` values of a group's, or all that came in WAIT_S."""
        common = {"group.id": "g", "auto.offset.reset": "earliest", "topic.metadata.refresh.interval.ms": 500}
        consumer = Consumer({**self._settings, **common, **settings})
        consumer.subscribe([topic])
        found, until = set[bytes](), time.monotonic() + WAIT_S
        while len(found) < count and time.monotonic() < until:
            found |= {value_of(message) for message in consumer.consume(1000, 0.5) if message.error() is None}
        consumer.commit(asynchronous=False)
        consumer.close()
        return found


def value_of(message: Message) -> bytes:
    value = message.value()
    assert isinstance(value, bytes)
    return value


@contextmanager
def workers(data_dir: Path, count: int, *words: str) -> Iterator[Workers]:
    with ServedBroker(data_dir, "--workers", str(count), *words) as served:
        yield Workers(served)


def are_gone(pids: list[int]) -> bool:
    """Whether none of these processes is there within WAIT_S."""
    until = time.monotonic() + WAIT_S
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_clients_of_one_port_use_every_worker_and_a_stop_ends_all(tmp_path: Path) -> None:
    with workers(tmp_path / "data", 2) as served:
        served.create("t", PARTITIONS)
        leaders = served.leaders("t", PARTITIONS)
        assert sorted(set(leaders.values())) == [1, 2]
        brokers = served.metadata(lambda found: len(found.brokers) == 2).brokers
        assert len({broker.port for broker in brokers.values()} - {served.served.address[1]}) == 2
        values = {b"%d" % index: index % PARTITIONS for index in range(500)}
        served.produce("t", values)
        assert served.read("t", 500) == set(values)

        producer = served.producer(**{"transactional.id": "across", "transaction.timeout.ms": 60_000})
        producer.init_transactions(WAIT_S)
        for word in ("aborted", "committed"):
            producer.begin_transaction()
            for partition in leaders:
                producer.produce("t", f"{word} {partition}", partition=partition)
            if word == "aborted":
                producer.flush(WAIT_S)
                producer.abort_transaction(WAIT_S)
            else:
                producer.commit_transaction(WAIT_S)
        committed = {b"committed %d" % partition for partition in leaders}
        assert served.read("t", PARTITIONS, **{"isolation.level": "read_committed"}) == committed

        pids = list(served.pids.values())
        assert len(pids) == 2
        assert served.served.stop(signal.SIGTERM) == 0
        assert are_gone(pids)

    with workers(tmp_path / "data", 2) as served:
        everything = served.read("t", 550, **{"group.id": "other", "isolation.level": "read_committed"})
        assert everything == set(values) | committed


def test_a_worker_that_is_killed_comes_back_and_the_others_serve_on(tmp_path: Path) -> None:
    with workers(tmp_path / "data", 2) as served:
        served.create("t", 4)
        leaders = served.leaders("t", 4)
        before = served.pids
        values = {b"before %d" % index: index % 4 for index in range(100)}
        served.produce("t", values)
        os.kill(before[2], signal.SIGKILL)
        of_first = [partition for partition, leader in leaders.items() if leader == 1]
        served.produce("t", during := {b"during %d" % index: index % 4 for index in range(40) if index % 4 in of_first})
        served.produce("t", after := {b"after %d" % index: index % 4 for index in range(40)})
        assert served.read("t", 100 + len(during) + 40) == {*values, *during, *after}
        assert served.leaders("t", 4) == leaders
        assert served.pids[1] == before[1] and served.pids[2] != before[2]
        assert served.served.stop(signal.SIGINT) == 0
        assert served.served.process.stderr is not None
        lines = served.served.process.stderr.read().splitlines()
        assert sum("worker 2 ended (SIGKILL); it is started again in 0.1 s" in line for line in lines) == 1
        assert sum("tailrace.workers worker 2 serves again, process " in line for line in lines) == 1
        assert not any("worker 1 ended" in line for line in lines)


def test_no_worker_outlives_the_process_that_started_it_and_its_port_is_shared_with_no_stranger(
    tmp_path: Path,
) -> None:
    with workers(tmp_path / "data", 2) as served:
        pids = list(served.pids.values())
        assert len(pids) == 2
        status, _, words = failed_start(tmp_path / "other", "--workers", "2", "--listen", served.bootstrap)
        assert status == 1 and words == f"tailrace: cannot start: cannot listen on {served.bootstrap}: {IN_USE}\n"
        served.served.process.kill()
        assert are_gone(pids)


def test_a_broker_that_was_alone_becomes_the_first_of_two_which_are_not_made_fewer_with_their_data(
    tmp_path: Path,
) -> None:
    data_dir = tmp_path / "data"
    values = {b"%d" % index: index % 3 for index in range(30)}
    with ServedBroker(data_dir) as alone:
        one = Workers(alone)
        one.create("worker", 3)  # whose logs are called as a worker's directory might be
        one.produce("worker", values)
        assert one.read("worker", 30) == set(values)
        assert alone.stop() == 0

    with workers(data_dir, 2) as served:
        assert set(served.leaders("worker", 3).values()) == {1}
        assert served.read("worker", 30, **{"group.id": "another"}) == set(values)
        served.create("new", 4)
        assert set(served.leaders("new", 4).values()) == {1, 2}
        served.produce("worker", {b"more": 0})
        assert served.read("worker", 1) == {b"more"}, "the group goes on where it was"
        assert served.served.stop() == 0

    status, _, words = failed_start(data_dir, "--workers", "1", "--listen", "127.0.0.1:0")
    assert status == 1
    assert "worker 2 (broker 2) holds 2 partitions, such as new-" in words and "start with --workers 2" in words


@pytest.mark.slow
def test_workers_that_hold_nothing_any_more_go(tmp_path: Path) -> None:
    with workers(tmp_path, 3) as served:
        served.create("t", 3)
        assert set(served.leaders("t", 3).values()) == {1, 2, 3}
        admin = AdminClient({"bootstrap.servers": served.bootstrap, "log_level": 0})
        admin.delete_topics(["t"], operation_timeout=WAIT_S)["t"].result(WAIT_S)
        assert served.served.stop() == 0
    with workers(tmp_path, 1) as served:
        assert list(served.metadata(lambda found: bool(found.brokers)).brokers) == [1]
        served.create("t", 3)
        assert set(served.leaders("t", 3).values()) == {1}
        assert served.served.stop() == 0


def port_with_a_free_one_below() -> int:
    """Neither is of those that the system gives to whoever asks for port 0."""
    for port in range(20_000 + os.getpid() % 1000 * 10, 32_000, 2):
        with suppress(OSError), socket.socket() as own, socket.socket() as below:
            own.bind(("127.0.0.1", port))
            below.bind(("127.0.0.1", port - 1))
            return port
    raise AssertionError("no two ports in a row")


def test_what_keeps_workers_from_starting_is_one_sentence(tmp_path: Path) -> None:
    of_workers = tmp_path / "theirs"
    of_workers.mkdir()
    (of_workers / "workers.db").write_bytes(b"")
    alone = (1, "", f"tailrace: {of_workers} is of several workers; start it with --workers N\n")
    assert failed_start(of_workers) == alone

    def words(*given: str) -> str:
        status, out, err = failed_start(tmp_path / "data", "--workers", "2", *given)
        assert (status, out) == (1, "") and err.count("\n") == 1, err
        return err.removeprefix("tailrace: ").strip()

    port = port_with_a_free_one_below()
    with ServedBroker(tmp_path / "other", listen=f"127.0.0.1:{port}"):
        assert f"cannot listen on 127.0.0.1:{port}: {IN_USE}" in words("--listen", f"127.0.0.1:{port}")
        own = words("--listen", f"127.0.0.1:{port - 1}")
        assert f"cannot listen on 127.0.0.1:{port}, a worker's own address" in own
