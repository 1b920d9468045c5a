"""`tailrace.Broker`: a real broker inside this process, for tests and for programs that carry their own log.

    with tailrace.Broker(topics={"orders": 3}) as broker:
        producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap_servers})

It listens on a real socket at a free port, on a thread of its own, with data in a temporary directory: any client in
any language can use it. Any number may run at once. Methods block until done and may be called from any thread, from
a coroutine too: the broker's loop is another thread's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from tailrace.base.clock import SystemClock
from tailrace.base.errors import ErrorCode
from tailrace.embedded.host import Host, HostPort, Server
from tailrace.embedded.seeds import Seed, StoredRecord, build_batches
from tailrace.wire.api import ApiKey, camel_case

REQUEST_TIMEOUT_S: Final = 15.0
"""Longest wait for a seeding or reading request: more than the 10 s the requests themselves give the broker."""

Topics = Mapping[str, int] | Sequence[str]
"""Topics to make at start: {name: partitions}, or names with one partition each."""

Setting = str | int | float | bool
Result = TypeVar("Result")


class Broker:
    """An embedded broker. `with` or `async with` starts and stops it; `start` and `stop` do the same by hand.

    Args:
        topics: topics to create at start: {name: number of partitions}, or names of topics with one partition.
        settings: broker settings under Kafka's names, such as {"log.retention.ms": 1000}.
        data_dir: directory of the data, kept afterwards. A temporary one, deleted at `stop`, when None.
        host: address to listen on.
        port: port to listen on; 0 picks a free one. It stays the same over `restart`.
    """

    def __init__(
        self,
        *,
        topics: Topics = (),
        settings: Mapping[str, Setting] | None = None,
        data_dir: str | Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._topics = dict(topics) if isinstance(topics, Mapping) else dict.fromkeys(topics, 1)
        self._settings = {name: setting_text(value) for name, value in (settings or {}).items()}
        self._given_dir = None if data_dir is None else Path(data_dir)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._listen_host = host
        self._port = port
        self._host: Host | None = None
        self._endpoint: HostPort | None = None

    def start(self) -> Broker:
        """Start, or start again after `kill`; returns when clients are answered. Does nothing when it runs.

        Under 100 ms once the modules are imported, which is why what only seeding needs is imported by seeding.
        """
        if self._host is not None:
            return self
        first = self._endpoint is None
        if self._given_dir is None and self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="tailrace-", ignore_cleanup_errors=True)
        host = Host(self._new_server, name=f"tailrace-broker-{id(self):x}")
        try:
            self._endpoint = host.start()
        except BaseException:
            if first:
                self.stop()
            raise
        self._port = self._endpoint.port
        self._host = host
        if first:
            self._create_topics()
        return self

    def _create_topics(self) -> None:
        try:
            for name, partitions in self._topics.items():
                self.create_topic(name, partitions)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop cleanly, and delete the temporary directory. Does nothing when it does not run."""
        self._halt(clean=True)
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
            self._endpoint = None

    def kill(self) -> None:
        """Stop as a killed process would: no flush, no clean-shutdown marker. `start` recovers from what is there."""
        self._halt(clean=False)

    def restart(self) -> None:
        """Stop cleanly and start on the same data and the same port. For a crash: `kill`, then `start`."""
        self._halt(clean=True)
        self.start()

    def __enter__(self) -> Broker:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Broker:
        return self.start()  # tens of milliseconds, less than a thread to wait in would be worth

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether it has been started and not stopped or killed since."""
        return self._host is not None

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._started_endpoint().host

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._started_endpoint().port

    @property
    def bootstrap_servers(self) -> str:
        """`HOST:PORT`, for a client's `bootstrap.servers`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def data_dir(self) -> Path:
        """Where the data is."""
        if self._given_dir is not None:
            return self._given_dir
        if self._temporary is None:
            raise RuntimeError("the broker has no data directory before it is started")
        return Path(self._temporary.name)

    def create_topic(self, name: str, partitions: int = 1, configs: Mapping[str, Setting] | None = None) -> None:
        """Create a topic; `configs` go by Kafka's names. Raises KafkaError when it is refused."""
        from tailrace.embedded import admin  # start-up time: see `start`

        texts = {setting: setting_text(value) for setting, value in (configs or {}).items()}

        async def create() -> None:
            async with admin.AdminConnection(self.host, self.port) as connection:
                await admin.create_topic(connection, name, partitions, texts)

        self._request(create)

    def produce(self, topic: str, records: Iterable[Seed], partition: int | None = None) -> dict[int, int]:
        """Write records, each a value, a (key, value) pair or a SeedRecord, in order, as one batch a partition.

        A keyed record goes where Kafka's default partitioner sends it, others take turns, unless `partition` is given.
        An unknown topic is created if the broker's settings allow. Returns the first offset in each partition written.
        Raises KafkaError when it is refused.
        """
        from tailrace.embedded import admin  # start-up time: see `start`

        seeds = list(records)

        async def write() -> dict[int, int]:
            async with admin.AdminConnection(self.host, self.port) as connection:
                count = await admin.partition_count(connection, topic, create=True)
                batches = build_batches(seeds, count, SystemClock().wall_ms(), partition)
                return await admin.append(connection, topic, batches) if batches else {}

        return self._request(write)

    def records(self, topic: str, partition: int | None = None) -> list[StoredRecord]:
        """The records of a topic, or of one partition, by partition and offset.

        Raises KafkaError for an unknown topic or partition.
        """
        from tailrace.embedded import admin  # start-up time: see `start`

        async def read() -> list[StoredRecord]:
            async with admin.AdminConnection(self.host, self.port) as connection:
                count = await admin.partition_count(connection, topic, create=False)
                chosen = range(count) if partition is None else [partition]
                found: list[StoredRecord] = []
                for number in chosen:
                    found += await admin.read_partition(connection, topic, number)
                return found

        return self._request(read)

    def inject_error(self, api: str | int, error: str | int, count: int = 1) -> None:
        """Answer the next `count` requests of an API with an error in place of doing them.

        Args:
            api: name or key, such as "Produce" or 0.
            error: Kafka's name or code, such as "NOT_LEADER_OR_FOLLOWER" or 6.
            count: how many requests, 1 or more.
        """
        key, code = api_key(api), error_code(error)
        _check_count(count)
        server = self._started_host().server
        self._started_host().call(lambda: server.faults.add_error(key, code, count))

    def inject_latency(self, api: str | int, latency_ms: float, count: int = 1) -> None:
        """Hold the next `count` requests of an API for `latency_ms` milliseconds before doing them."""
        key = api_key(api)
        _check_count(count)
        server = self._started_host().server
        self._started_host().call(lambda: server.faults.add_latency(key, latency_ms, count))

    def pause(self) -> None:
        """Answer nothing until `resume`. Connections stay open, new ones are accepted, requests wait."""
        self._started_host().call(self._started_host().server.faults.pause)

    def resume(self) -> None:
        """Answer again, first what has waited, in order."""
        self._started_host().call(self._started_host().server.faults.resume)

    def _new_server(self) -> Server:
        # Imported here for start-up time: a program that imports the class and starts no broker pays for none of it.
        from tailrace.node.server import Server as NodeServer
        from tailrace.node.server import ServerConfig
        from tailrace.node.settings import load_settings

        listen_host = f"[{self._listen_host}]" if ":" in self._listen_host else self._listen_host
        settings = load_settings(None, {"http.listen": "", **self._settings})  # any number may run at once
        return NodeServer(ServerConfig(f"{listen_host}:{self._port}", self.data_dir, settings))

    def _halt(self, *, clean: bool) -> None:
        host, self._host = self._host, None
        if host is not None:
            host.stop(clean=clean)

    def _started_host(self) -> Host:
        if self._host is None:
            raise RuntimeError("the broker does not run; start it first")
        return self._host

    def _started_endpoint(self) -> HostPort:
        if self._endpoint is None:
            raise RuntimeError("the broker has no address before it is started")
        return self._endpoint

    def _request(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        return self._started_host().wait(work, REQUEST_TIMEOUT_S)


def api_key(api: str | int) -> ApiKey:
    """The key of an API given by key or name, in Kafka's spelling or in any case with underscores."""
    for known in ApiKey:
        if api == known.value or (isinstance(api, str) and api.replace("_", "").lower() == camel_case(known).lower()):
            return known
    names = ", ".join(camel_case(known) for known in ApiKey)
    raise ValueError(f"unknown API {api!r}; known are {names}")


def error_code(error: str | int) -> ErrorCode:
    """The error code of a code or of Kafka's name for it."""
    try:
        return ErrorCode[error] if isinstance(error, str) else ErrorCode(error)
    except (KeyError, ValueError) as failure:
        raise ValueError(f"unknown error {error!r}; use Kafka's names, such as NOT_LEADER_OR_FOLLOWER") from failure


def _check_count(count: int) -> None:
    if count < 1:
        raise ValueError(f"count must be 1 or more, not {count}")


def setting_text(value: Setting) -> str:
    """A setting as Kafka writes it: true, false, or the plain text."""
    return str(value).lower() if isinstance(value, bool) else str(value)
