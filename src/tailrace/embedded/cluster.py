"""`tailrace.Cluster`: a real cluster of broker processes, for tests: killed, paused, cut off and slowed on order.

    with tailrace.Cluster(brokers=3, topics={"orders": 6}) as cluster:
        producer = confluent_kafka.Producer({"bootstrap.servers": cluster.bootstrap_servers})
        cluster.kill(cluster.leader("orders", 0))

Each broker is a process of its own with its own data; their metadata is kept by this process, in memory, or in a SQLite
file where a data directory is given. Methods block until done, each for a bounded time, and may be called from any
thread. No process is left behind, however this one ends.
"""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from tailrace.base.clock import SystemClock
from tailrace.base.errors import TailraceError
from tailrace.client.cluster_questions import describe_cluster, leader_of
from tailrace.client.cluster_state import NOBODY, ClusterState
from tailrace.client.plain_requests import PlainRequests
from tailrace.cluster.settings import check_static
from tailrace.embedded import cluster_records
from tailrace.embedded.broker import Setting, Topics, setting_text
from tailrace.embedded.seeds import Seed, StoredRecord, build_batches
from tailrace.local.cluster import LocalCluster, LocalOptions

REQUEST_TIMEOUT_S: Final = 30.0
"""Longest wait for seeding, reading and looking: an election, with the default session, takes three or four seconds."""
IN_SYNC_TIMEOUT_S: Final = 30.0
LOOK_S: Final = 0.1

Result = TypeVar("Result")


class Cluster:
    """Brokers 1 to `brokers` on this host. `with` or `async with` starts and stops them, as `start` and `stop` do.

    Args:
        brokers: how many.
        topics: topics to create at start: {name: number of partitions}, or names of topics with one partition.
        settings: settings of every broker under Kafka's names; a list or tuple has a value for each, as in
            {"broker.rack": ["a", "b", "c"]}. Unless they say otherwise, topics and what the brokers
            keep for themselves have three replicas, or as many as there are brokers.
        data_dir: directory of the data, kept afterwards. A temporary one, deleted at `stop`, when None.
        host: address to listen on.
        port: port of broker 1, the others' follow; 0 picks free ones. They stay the same over kills and stops.
    """

    def __init__(
        self,
        *,
        brokers: int = 3,
        topics: Topics = (),
        settings: Mapping[str, Setting | Sequence[Setting]] | None = None,
        data_dir: str | Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._topics = dict(topics) if isinstance(topics, Mapping) else dict.fromkeys(topics, 1)
        each, every = _told_apart(settings or {})
        self._given_dir = None if data_dir is None else Path(data_dir)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        own = {name: [check_static(name, text) for text in texts] for name, texts in each.items()}
        checked = {name: check_static(name, text) for name, text in every.items()}
        store = "memory" if data_dir is None else "sqlite"
        self._options = LocalOptions(brokers, self._given_dir or Path(), checked, store, host, port, own)
        LocalCluster(self._options)  # what is wrong with them is said here
        self._local: LocalCluster | None = None

    # -- start and stop --------------------------------------------------------------------------------------------

    def start(self, node_id: int | None = None) -> Cluster:
        """Start the cluster; or one broker again, on its data and port. Returns when clients are answered.

        Does nothing when it runs. Raises TailraceError, with a broker's last words, when one does not start.
        """
        if node_id is not None:
            self._running().start(node_id)
        elif self._local is None:
            self._start()
        return self

    def _start(self) -> None:
        if self._given_dir is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="tailrace-", ignore_cleanup_errors=True)
            self._options = self._options._replace(directory=Path(self._temporary.name))
        local = LocalCluster(self._options)
        atexit.register(self.stop)
        try:
            local.open()
            self._local = local
            for name, partitions in self._topics.items():
                self.create_topic(name, partitions)
        except BaseException:
            self.stop()
            raise

    def stop(self, node_id: int | None = None) -> None:
        """Stop the cluster and delete its temporary directory; or stop one broker cleanly: it hands over and flushes.

        Does nothing when it does not run. A cluster in a directory of yours stops cleanly, a temporary one at once.
        """
        if node_id is not None:
            self._running().broker(node_id).stop()
            return
        atexit.unregister(self.stop)
        local, self._local = self._local, None
        try:
            if local is not None:
                local.close(is_clean=self._given_dir is not None)
        finally:
            if self._temporary is not None:
                self._temporary.cleanup()
                self._temporary = None

    def __enter__(self) -> Cluster:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Cluster:
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def node_ids(self) -> list[int]:
        """The brokers' numbers, from 1 on."""
        return list(range(1, self._options.brokers + 1))

    @property
    def bootstrap_servers(self) -> str:
        """`HOST:PORT,HOST:PORT,…` of every broker, for a client's `bootstrap.servers`."""
        return ",".join(self.address(node_id) for node_id in self.node_ids)

    def address(self, node_id: int) -> str:
        """`HOST:PORT` of one broker."""
        local, host = self._running(), self._options.host
        local.broker(node_id)
        return f"[{host}]:{local.ports[node_id]}" if ":" in host else f"{host}:{local.ports[node_id]}"

    @property
    def data_dir(self) -> Path:
        """Where the data is: `broker-N` of each broker, and `broker-N.log`, what it wrote."""
        return self._running().options.directory

    def is_running(self, node_id: int) -> bool:
        """Whether a broker's process is there; paused counts."""
        return self._running().broker(node_id).is_running

    def log(self, node_id: int) -> str:
        """What a broker wrote, over all its lives."""
        return self._running().broker(node_id).log_path.read_text(encoding="utf-8", errors="replace")

    # -- trouble ---------------------------------------------------------------------------------------------------

    def kill(self, node_id: int) -> None:
        """`kill -9` a broker. The others find out when its session ends, `broker.session.timeout.ms`."""
        self._running().broker(node_id).kill()

    def pause(self, node_id: int) -> None:
        """SIGSTOP a broker: it holds its connections and answers nobody, nor the cluster."""
        self._running().broker(node_id).pause()

    def resume(self, node_id: int) -> None:
        """End `pause`."""
        self._running().broker(node_id).resume()

    def cut(self, source: int, target: int, *, one_way: bool = False) -> None:
        """Let nothing pass between two brokers; with `one_way`, nothing from `source` to `target`.

        Connections stay and carry nothing, as when a cable is pulled. Clients still reach both, and both the metadata.
        """
        local = self._checked(source, target)
        local.cut(source, target)
        if not one_way:
            local.cut(target, source)

    def heal(self, source: int | None = None, target: int | None = None) -> None:
        """End `cut`, both ways; without arguments, every `cut`, `isolate` and `slow`."""
        if source is None or target is None:
            self._running().mend_all()
            return
        local = self._checked(source, target)
        local.mend(source, target)
        local.mend(target, source)

    def isolate(self, node_id: int) -> None:
        """Cut a broker off from every other and from the metadata: it fences itself, and the others elect."""
        local = self._running()
        for other in local.others(node_id):
            local.cut(node_id, other)
            local.cut(other, node_id)

    def rejoin(self, node_id: int) -> None:
        """End `isolate`, and every `cut` of this broker."""
        local = self._running()
        for other in local.others(node_id):
            local.mend(node_id, other)
            local.mend(other, node_id)

    def slow(self, source: int, target: int | None = None, *, delay_ms: float) -> None:
        """Hold back what passes between two brokers, or between one and all others, for `delay_ms` each way; 0: not."""
        local = self._running() if target is None else self._checked(source, target)
        others = [each for each in self.node_ids if each != source] if target is None else [target]
        local.broker(source)
        for other in others:
            local.slow(source, other, delay_ms)
            local.slow(other, source, delay_ms)

    def _checked(self, source: int, target: int) -> LocalCluster:
        local = self._running()
        local.broker(source)
        local.broker(target)
        if source == target:
            raise ValueError(f"broker {source} is not cut off from itself")
        return local

    # -- looking ---------------------------------------------------------------------------------------------------

    def describe(self) -> ClusterState:
        """Brokers, leaders, in-sync replicas, lag, and what is wrong with them and why, as the brokers tell it."""
        return self._ask(describe_cluster)

    def leader(self, topic: str, partition: int = 0) -> int:
        """The broker that leads a partition, as soon as one does. Raises TimeoutError, or ValueError: no such one."""
        clock = SystemClock()
        until_ms = clock.monotonic_ms() + REQUEST_TIMEOUT_S * 1000
        while True:
            found = self._ask(lambda asks: leader_of(asks, topic, partition))
            if found is None:
                raise ValueError(f"there is no partition {topic}-{partition}")
            if found != NOBODY:
                return found
            if clock.monotonic_ms() > until_ms:
                raise TimeoutError(f"nobody leads {topic}-{partition}")
            cluster_records.pause(LOOK_S)

    def wait_until_in_sync(self, timeout_s: float = IN_SYNC_TIMEOUT_S) -> None:
        """Return when every broker serves and every replica is in sync. Raises TimeoutError that says what is not."""
        clock = SystemClock()
        until_ms = clock.monotonic_ms() + timeout_s * 1000
        trouble = "no broker answers"
        while True:
            left_s = (until_ms - clock.monotonic_ms()) / 1000
            if left_s <= 0:
                raise TimeoutError(f"not in sync within {timeout_s:g} s: {trouble}")
            try:
                state = self._ask(describe_cluster, left_s)
            except (TailraceError, TimeoutError) as error:
                trouble = str(error) or trouble
            else:
                missing = sorted(set(self.node_ids) - {broker.broker for broker in state.brokers})
                if state.is_healthy and not missing:
                    return
                trouble = _trouble(state, missing)
            cluster_records.pause(LOOK_S)

    # -- topics and records ----------------------------------------------------------------------------------------

    def create_topic(
        self,
        name: str,
        partitions: int = 1,
        replicas: int | None = None,
        configs: Mapping[str, Setting] | None = None,
    ) -> None:
        """Create a topic, and wait until it is led; `replicas` of each partition, `default.replication.factor` if None.

        Raises KafkaError when it is refused.
        """
        texts = {setting: setting_text(value) for setting, value in (configs or {}).items()}
        self._ask(lambda asks: cluster_records.create_topic(asks, name, (partitions, replicas or -1), texts))
        for partition in range(partitions):
            self.leader(name, partition)

    def produce(self, topic: str, records: Iterable[Seed], partition: int | None = None) -> dict[int, int]:
        """Write records as `tailrace.Broker.produce` does, acks=all, to whoever leads; waits for an election.

        What is not answered is not written again: then it raises, and it is not known whether they are there.
        """
        seeds = list(records)

        def build(count: int) -> dict[int, bytearray]:
            return build_batches(seeds, count, SystemClock().wall_ms(), partition)

        return self._ask(lambda asks: cluster_records.produce(asks, topic, build))

    def records(self, topic: str, partition: int | None = None) -> list[StoredRecord]:
        """The committed records of a topic, or of one partition, by partition and offset, from whoever leads."""
        return self._ask(lambda asks: cluster_records.read(asks, topic, partition))

    def _running(self) -> LocalCluster:
        if self._local is None:
            raise RuntimeError("the cluster does not run; start it first")
        return self._local

    def _ask(
        self, work: Callable[[PlainRequests], Coroutine[Any, Any, Result]], timeout_s: float = REQUEST_TIMEOUT_S
    ) -> Result:
        return self._running().ask(work, timeout_s)


def _trouble(state: ClusterState, missing: list[int]) -> str:
    told = [f"broker {each} is not there" for each in missing]
    told += [f"broker {each.broker} {each.trouble or 'is fenced'}" for each in state.brokers if not each.is_healthy]
    told += [f"{each.topic}-{each.partition}: {each.why}" for each in state.partitions if each.problems]
    return "; ".join(told[:5])


def _told_apart(settings: Mapping[str, Setting | Sequence[Setting]]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Settings with a value for each broker, and those with one for all."""
    each, every = {}, {}
    for name, value in settings.items():
        if isinstance(value, list | tuple):
            each[name] = [setting_text(one) for one in value]
        else:
            every[name] = setting_text(value)  # type: ignore[arg-type]
    return each, every
