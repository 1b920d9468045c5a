"""A cluster on this host: a process for each broker, metadata that all of them share, and a link for each way.

    this process    a thread: metadata (`gateway`, or an etcd of its own), links between brokers, processes started
    broker N        `tailrace serve` under its own data directory N, metadata and other brokers by way of the links

Brokers are numbered from 1. Their ports stay over `kill`, `stop` and `start`. Methods block, each for a bounded time,
and may be called from any thread. Everything ends with this process, however that ends.
Not its business: topics and records (`embedded.cluster`), tables on a terminal (`cli`).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from tailrace.base.clock import SystemClock
from tailrace.base.errors import ConfigError
from tailrace.base.rand import SystemRandom
from tailrace.client.plain_requests import PlainRequests
from tailrace.local.child import Order
from tailrace.local.etcd_process import etcd_process
from tailrace.local.gateway import Gateway
from tailrace.local.links import Links
from tailrace.local.loop_thread import LoopThread
from tailrace.local.ports import free_ports
from tailrace.local.processes import Process

BROKERS_MAX: Final = 20
"""Each is a process, and a link for every other."""
METADATA: Final = -1
"""The end of a link that is the metadata store."""
READY: Final = b"tailrace ready kafka="
METADATA_FILE: Final = "cluster.db"
REPLICAS: Final = 3
ANSWER_S: Final = 5.0
"""Longest wait for one broker's answer: one that is paused or cut off gives none."""

DEFAULT_REPLICATION_FACTOR: Final = "default.replication.factor"
"""Defaults to three replicas here, or to as many as there are brokers: one replica of a topic in a cluster would be a
surprise when its broker is killed. What brokers keep for themselves has three of itself."""
HTTP_LISTEN: Final = "http.listen"
"""Off unless given, for several brokers on a host cannot share an address; 127.0.0.1:0 gives each a port of its own."""
MANAGED: Final = frozenset({"node.id", "broker.id", "cluster.url", "listeners", "advertised.listeners"})
"""Settings that the cluster gives its brokers itself."""


Result = TypeVar("Result")


class LocalOptions(NamedTuple):
    """What a cluster is made from. `port`: the first broker's, the others' follow; 0 picks free ones.

    `own`: settings of which each broker has a value of its own, by their numbers.
    `store`: "memory", "sqlite" (a file in `directory`) or "etcd" (a process with its data in `directory`).
    """

    brokers: int
    directory: Path
    settings: dict[str, str]
    store: str = "memory"
    host: str = "127.0.0.1"
    port: int = 0
    own: Mapping[str, Sequence[str]] = MappingProxyType({})


class LocalCluster:
    """Made with `open`, ended with `close`; started and ended once."""

    def __init__(self, options: LocalOptions) -> None:
        """Raises ValueError and ConfigError for options that are of no use."""
        if not 1 <= options.brokers <= BROKERS_MAX:
            raise ValueError(f"a local cluster has 1 to {BROKERS_MAX} brokers, not {options.brokers}")
        if options.store not in ("memory", "sqlite", "etcd"):
            raise ValueError(f"unknown store {options.store!r}; known are memory, sqlite, etcd")
        for name in MANAGED & {*options.settings, *options.own}:
            raise ConfigError(name, f"{name} is set by the cluster itself, for each broker.")
        for name, values in options.own.items():
            if len(values) != options.brokers:
                raise ValueError(f"{name} has {len(values)} values for {options.brokers} brokers")
        self.options = options
        self.node_ids = range(1, options.brokers + 1)
        self.ports: dict[int, int] = {}
        """Of the brokers, by node id."""
        self.etcd: Process | None = None
        self._brokers: dict[int, Process] = {}
        self._orders: dict[int, Order] = {}
        self._thread: LoopThread | None = None
        self._links: Links | None = None
        self._gateway: Gateway | None = None

    # -- start and end ---------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start the metadata, the links and every broker; return when all of them serve.

        Raises TailraceError, one sentence, when one does not; then nothing runs.
        """
        assert self._thread is None, "opened once"
        self._thread = LoopThread("tailrace-local-cluster")
        try:
            self._lay_out(self._thread)
            for node_id in self.node_ids:
                self._begin(node_id)
            for broker in self._brokers.values():
                broker.wait_ready()
        except BaseException:
            self.close(is_clean=False)
            raise

    def close(self, *, is_clean: bool) -> None:
        """End everything; again is nothing. With `is_clean` brokers hand over and flush, the highest number first;
        without it they are killed."""
        thread = self._thread
        if thread is None:
            return
        try:
            self._end_brokers(is_clean=is_clean)
            if self.etcd is not None:
                if is_clean:
                    self.etcd.stop()
                else:
                    self.etcd.kill()
        finally:
            self._thread = None
            if self._links is not None:
                thread.wait(self._links.close())
            if self._gateway is not None:
                thread.wait(self._gateway.close())
            thread.close()

    def _end_brokers(self, *, is_clean: bool) -> None:
        try:
            if is_clean:
                self.mend_all()
                for node_id in reversed(self._brokers):
                    self._brokers[node_id].stop()
        finally:
            for broker in self._brokers.values():
                broker.kill()

    def _lay_out(self, thread: LoopThread) -> None:
        options = self.options
        options.directory.mkdir(parents=True, exist_ok=True)
        links = self._links = Links()
        self.ports = self._choose_ports(thread)
        store_port = self._open_store(thread)
        for node_id in self.node_ids:
            by = thread.wait(links.open(node_id, METADATA, "127.0.0.1", store_port))
            routes = []
            for other, port in self.ports.items():
                if other != node_id:
                    link = thread.wait(links.open(node_id, other, options.host, port))
                    routes.append((options.host, port, f"127.0.0.1:{link}"))
            replicas = str(min(REPLICAS, options.brokers))
            settings = {DEFAULT_REPLICATION_FACTOR: replicas, HTTP_LISTEN: "", **options.settings}
            settings |= {name: values[node_id - 1] for name, values in options.own.items()}
            settings |= {"node.id": str(node_id), "cluster.url": f"etcd://127.0.0.1:{by}/local"}
            address = f"[{options.host}]" if ":" in options.host else options.host
            listen = f"{address}:{self.ports[node_id]}"
            self._orders[node_id] = Order(listen, str(self.data_dir(node_id)), settings, routes)
            log_path = options.directory / f"broker-{node_id}.log"
            self._brokers[node_id] = Process(f"broker {node_id}", [f"broker-{node_id}"], log_path, READY)

    def _choose_ports(self, thread: LoopThread) -> dict[int, int]:
        first, count = self.options.port, self.options.brokers
        ports = range(first, first + count)
        free = None if first else thread.wait(free_ports(self.options.host, count, SystemRandom()))
        return dict(zip(self.node_ids, free or ports, strict=True))

    def _open_store(self, thread: LoopThread) -> int:
        """The port of the metadata, which answers."""
        options = self.options
        if options.store == "etcd":
            port, peer_port = thread.wait(free_ports("127.0.0.1", 2, SystemRandom()))
            self.etcd = etcd_process(options.directory, port, peer_port)
            self.etcd.begin(b"", thread.call)
            self.etcd.wait_ready()
            return port
        path = options.directory / METADATA_FILE if options.store == "sqlite" else None
        gateway = self._gateway = thread.call(partial(Gateway, SystemClock(), path))
        return thread.wait(gateway.start())

    # -- brokers ---------------------------------------------------------------------------------------------------

    def data_dir(self, node_id: int) -> Path:
        """Where a broker's logs are."""
        return self.options.directory / f"broker-{node_id}"

    def broker(self, node_id: int) -> Process:
        """Its process. ValueError for a number that no broker has."""
        found = self._brokers.get(node_id)
        if found is None:
            raise ValueError(f"there is no broker {node_id}; there are {', '.join(map(str, self.node_ids))}")
        return found

    def start(self, node_id: int) -> None:
        """Start a broker again on its data and port; return when it serves. Does nothing when it runs."""
        if not self.broker(node_id).is_running:
            self._begin(node_id)
            self.broker(node_id).wait_ready()

    def _begin(self, node_id: int) -> None:
        if self._thread is None:
            raise RuntimeError("the cluster does not run; start it first")
        self.broker(node_id).begin(self._orders[node_id].encode(), self._thread.call)

    def ask(self, work: Callable[[PlainRequests], Coroutine[Any, Any, Result]], timeout_s: float) -> Result:
        """Ask brokers something over plain TCP, those first that run. Raises what `work` raises, or TimeoutError."""
        if self._thread is None:
            raise RuntimeError("the cluster does not run; start it first")
        bootstrap = [(self.options.host, self.ports[node_id]) for node_id in self._up() or self.node_ids]

        async def run() -> Result:
            requests = PlainRequests(bootstrap, min(timeout_s, ANSWER_S), "tailrace-local")
            try:
                return await work(requests)
            finally:
                await requests.close()

        return self._thread.wait(run(), timeout_s)

    def _up(self) -> list[int]:
        """Brokers that run and know how the cluster is."""
        return [
            node_id
            for node_id, broker in self._brokers.items()
            if broker.is_running and not broker.is_paused and not self.is_cut(node_id, METADATA)
        ]

    # -- ways ------------------------------------------------------------------------------------------------------

    def cut(self, source: int, target: int) -> None:
        """Let nothing pass from one end to the other. The way back is another."""
        self._call(lambda links: links.way(source, target).is_open.clear())

    def mend(self, source: int, target: int) -> None:
        """End `cut`."""
        self._call(lambda links: links.way(source, target).is_open.set())

    def slow(self, source: int, target: int, delay_ms: float) -> None:
        """Let what passes arrive `delay_ms` later; 0: at once."""

        def set_delay(links: Links) -> None:
            links.way(source, target).delay_ms = delay_ms

        self._call(set_delay)

    def mend_all(self) -> None:
        """Every way as it was at the start."""
        ends = (METADATA, *self.node_ids)
        for source, target in ((a, b) for a in ends for b in ends if a != b):
            self.mend(source, target)
            self.slow(source, target, 0)

    def is_cut(self, source: int, target: int) -> bool:
        """Whether nothing passes from one end to the other."""
        return self._links is not None and self._links.way(source, target).is_cut

    def others(self, node_id: int) -> Iterable[int]:
        """Every other broker, and the metadata."""
        self.broker(node_id)
        return (METADATA, *(each for each in self.node_ids if each != node_id))

    def _call(self, change: Callable[[Links], object]) -> None:
        if self._thread is None or self._links is None:
            raise RuntimeError("the cluster does not run; start it first")
        self._thread.call(partial(change, self._links))
