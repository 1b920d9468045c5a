"""Real clients that work on a broker and write down what they are told: the histories that the checker reads.

Which clients, and what each of them wants, follows from the seed: librdkafka, aiokafka, kafka-python; with and without
transactions; assigned, subscribed under either group protocol, and roaming. What right is says the `checker`.
Not here: what befalls the broker meanwhile (`faults`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from random import Random
from types import MappingProxyType
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic
from tests.history.aio import AioCopier, AioGroupReader, AioSender, AioTransactional
from tests.history.kafka_python import KafkaPythonReader, KafkaPythonSender
from tests.history.observer import AdminProcess, Observer
from tests.history.process import Process, Recorder, Run
from tests.history.producers import PRODUCERS, SendingProcess
from tests.history.readers import GROUP_PROTOCOLS, AssignedReader, GroupReader, RoamingReader
from tests.history.topics import COMMON, KEYS, LEDGER, ROLLING, TIMEOUT_S, TOPICS, TRANSACTION_TIMEOUT_MS
from tests.history.transactional import Copier, LedgerWriter

READERS_GROUP = "readers"
AIO_GROUP = "aio-reader"
CREATE_TRIES = 3


def _code_of(future: Future[None]) -> int | None:
    """The error with which it ended."""
    try:
        future.result(TIMEOUT_S)
    except KafkaException as failure:
        return int(failure.args[0].code())
    return None


class Clients(NamedTuple):
    """What sort of clients work, and how often each partition is there."""

    producers: tuple[str, ...] = tuple(sorted(PRODUCERS))
    """Of `PRODUCERS`: three of these, or all."""
    replicas: int = 1
    config: Mapping[str, str] = MappingProxyType({})
    """Of every topic, besides its own."""
    has_transactions: bool = True
    transaction_timeout_ms: int = TRANSACTION_TIMEOUT_MS


class Workload:
    """All the clients of one run."""

    def __init__(self, address: str, seed: int, clients: Clients = Clients()) -> None:
        self.recorder = Recorder()
        self._address = address
        self._clients = clients
        run = Run(address, seed, self.recorder, clients.transaction_timeout_ms)
        random = Random(f"{seed} workload")
        names = random.sample(clients.producers, min(3, len(clients.producers)))
        self.protocols = {group: random.choice(sorted(GROUP_PROTOCOLS)) for group in (READERS_GROUP, Copier.GROUP)}
        self.processes: list[Process] = [
            *(SendingProcess(name, run) for name in names),
            AioSender("aio-sender", run),
            AssignedReader("reads-all", run, KEYS, is_committed=True),
            AssignedReader("reads-some", run, KEYS[random.randrange(2) :: 2], is_committed=False),
            RoamingReader("roams", run, is_committed=random.random() < 0.7),
            AioGroupReader(AIO_GROUP, run),
        ]
        protocol = self.protocols[READERS_GROUP]
        for number in range(random.randint(2, 3)):
            self.processes.append(GroupReader(f"reader-{number}", run, READERS_GROUP, protocol))
        is_aio = random.random() < 0.3
        if random.random() < 0.5:
            self.processes += [KafkaPythonSender("python-sender", run), KafkaPythonReader("python-reads", run)]
        if clients.has_transactions:
            self.processes += self._transactional(run, is_aio)
        self._groups = [READERS_GROUP, AIO_GROUP, Copier.GROUP, "reads-all", "reads-some"]
        self.processes.append(AdminProcess(run, self._groups))

    def _transactional(self, run: Run, is_aio: bool) -> list[Process]:
        self.recorder.history.copiers[Copier.GROUP] = tuple(LEDGER)
        writers = [LedgerWriter("ledger-1", run), LedgerWriter("ledger-2", run), AioTransactional("aio-ledger", run)]
        if is_aio:
            self.protocols[Copier.GROUP] = "aiokafka"
            return [*writers, AioCopier("copier", run)]
        protocol = self.protocols[Copier.GROUP]
        return [*writers, *(Copier(f"copier-{number}", run, protocol) for number in range(2))]

    def create_topics(self) -> None:
        # No answer within `COMMON`'s socket timeout would be a retry, and the topics would be there already.
        admin = AdminClient({**COMMON, "socket.timeout.ms": 30_000, "bootstrap.servers": self._address})
        replicas, more = self._clients.replicas, self._clients.config
        topics = [
            NewTopic(name, count, replicas, config={**ROLLING, **more, **config})
            for name, (count, config, _) in TOPICS.items()
        ]
        made: set[int | None] = {None}
        for _ in range(CREATE_TRIES):
            futures = admin.create_topics(topics, request_timeout=TIMEOUT_S)
            codes = {_code_of(future) for future in futures.values()}
            if codes <= made:
                return
            assert codes <= made | {KafkaError._DESTROY_BROKER}, codes
            # The client has forgotten the broker that it had asked, and with it whether the topics were made.
            made = {None, KafkaError.TOPIC_ALREADY_EXISTS}
        raise AssertionError(f"no topics after {CREATE_TRIES} tries: {codes}")

    def start(self) -> None:
        """Start the clients; returns when they can bear a fault."""
        for process in self.processes:
            process.start()
        for process in self.processes:
            process.begun.wait(TIMEOUT_S)

    def finish(self, restart: Callable[[], None]) -> None:
        """End the clients, and read everything twice, with a `restart` between: the two must agree, too."""
        for process in self.processes:
            process.stopped.set()
        for process in self.processes:
            process.finish()
        for again in (False, True):
            if again:
                restart()
            observer = Observer(self._address, self.recorder, "observer")
            observer.wait_stable(self._clients.transaction_timeout_ms)
            for is_committed in (True, False):
                observer.read_all(is_committed=is_committed)
            for group in self._groups:
                observer.committed(group)
            observer.close()
