"""One broker: built once, started, stopped. The only place that names concrete disks, stores and clocks.

Order of start: lock the directories, open the metadata, load the logs (recovering what a crash left), lead the
partitions, load the groups, and only then listen: a client that can connect is answered.
Order of stop: stop listening, answer what is on its way, flush and close the logs, write the marker, unlock.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tailrace.base.clock import SystemClock
from tailrace.base.descriptors import descriptor_limit
from tailrace.base.disk import RealDisk
from tailrace.base.errors import TailraceError
from tailrace.base.limits import (
    OPEN_LOG_FILES_SHARE,
    STOP_DRAIN_MS,
    STOP_LIMIT_MS,
    STOP_LOG_MS,
    STOP_MAX_MS,
    UNFENCE_MAX_MS,
)
from tailrace.base.page_cache import KernelPageCache, PageCache
from tailrace.base.rand import SystemRandom
from tailrace.broker.connection import ClientConnection
from tailrace.broker.dispatch import Dispatch
from tailrace.broker.faults import Faults
from tailrace.broker.fetch_sessions import FetchSessions
from tailrace.broker.services import Services
from tailrace.cluster.metadata import Metadata
from tailrace.cluster.records import BrokerRecord, ClusterRecord
from tailrace.cluster.settings import BrokerSettings
from tailrace.cluster.sqlite_store import SqliteStore
from tailrace.cluster.store import MetadataStore
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.logs import Logs
from tailrace.log.open_files import OpenFiles
from tailrace.net.address import Address
from tailrace.net.connection import Connection
from tailrace.net.handler import ConnectionOptions, ListenOptions
from tailrace.net.loop import Engine, running_engine
from tailrace.node.background import Pools
from tailrace.node.cleaning import Cleaner
from tailrace.node.coordinators import Coordinators
from tailrace.node.http_listener import HttpListening, listen_for_http
from tailrace.node.identity import known_cluster_id, node_id_of
from tailrace.node.kafka_directory import METADATA_FILE, WORKERS_FILE, log_directories, refuse_unknown_logs
from tailrace.node.leadership import Leadership
from tailrace.node.listeners import LOOPBACK_HOST, WILDCARD_HOSTS, advertised_address, listen_addresses
from tailrace.node.log_settings import log_config
from tailrace.node.observed import Observed, Phase
from tailrace.node.reader_threads import reader_threads
from tailrace.node.readers import Readers
from tailrace.node.recovery_report import RecoveryReport
from tailrace.node.registration import forget_missing, register_broker, with_directories
from tailrace.node.settings import knows_racks
from tailrace.node.share_serving import share_serving
from tailrace.node.space_watch import SpaceWatch
from tailrace.node.start_errors import check_apart
from tailrace.node.surroundings import Surroundings
from tailrace.node.turns import Turns
from tailrace.node.upkeep import Upkeep
from tailrace.replication.partitions import Partitions
from tailrace.wire.frame import SIZE_BYTES

if TYPE_CHECKING:
    from tailrace.node.clustered import Clustered
    from tailrace.node.replication import Replication


class ServerConfig(NamedTuple):
    """Where to listen and store, and the settings that the file and the command line give, checked.

    `listen` is HOST:PORT or unix:PATH; None leaves it to the setting `listeners`, or else to the default.
    `shared_listen`: of one of several workers, HOST:PORT that all of them listen on besides.
    """

    listen: str | None
    data_dir: Path
    settings: dict[str, str]
    shared_listen: str | None = None


class Server:
    """One broker in the running loop, which must be one of `net.loop.new_event_loop`. Started and stopped once."""

    def __init__(
        self, config: ServerConfig, page_cache: PageCache | None = None, store: MetadataStore | None = None
    ) -> None:
        """`store`: where the metadata is kept, shared with other brokers; None: a file of this one's own."""
        self.config = config
        self._store = store
        self._page_cache = page_cache or KernelPageCache()
        self._readers: Readers | None = None
        self.faults = Faults()
        self._engine: Engine | None = None
        self._services: Services | None = None
        self._pools: Pools | None = None
        self._cleaner: Cleaner | None = None
        self._upkeep: Upkeep | None = None
        self._coordinators: Coordinators | None = None
        self._replication: Replication | None = None
        self._space_watch: SpaceWatch | None = None
        self._clustered: Clustered | None = None
        self._phase = Phase.STARTING
        self._http: HttpListening | None = None
        self.http_address: Address | None = None
        """Where the HTTP listener is, once started; None without one."""

    @property
    def services(self) -> Services:
        """What the handlers use. Only between start and stop."""
        assert self._services is not None, "the server is not running"
        return self._services

    async def start(self) -> Address:
        """Open the data and listen; returns the first address served.

        Raises TailraceError or OSError, one sentence each; then nothing is left open.
        """
        engine = self._engine = running_engine()
        self._pools = Pools(engine.call_soon_threadsafe)
        try:
            self._services = services = self._build(engine, self._pools)
            self._readers = self._read_past(engine, services)
            served = self._listen(engine, services, self._readers)
            observed = Observed(engine, services, lambda: self._phase, services.clock.monotonic_ms(), served)
            self._http = listen_for_http(engine, services.settings, observed)
            self.http_address = None if self._http is None else self._http.address
            if self._clustered is not None:
                await self._unfenced(self._clustered, services, served)
        except BaseException:
            await self.stop(clean=False)
            raise
        assert self._cleaner is not None
        self._upkeep = Upkeep(services.logs, self._cleaner, services.settings, engine.timers, services.clock)
        self._upkeep.start()
        assert self._space_watch is not None
        self._space_watch.start()
        self._phase = Phase.SERVING
        return served

    @property
    def stop_max_ms(self) -> float:
        """How long a clean stop should be waited for; longer with many open logs, and while other brokers of
        a cluster may be dead."""
        open_logs = sum(1 for _ in self.services.logs)
        leave_max_ms = 0.0 if self._clustered is None else self._clustered.leave_max_ms
        return min(STOP_MAX_MS + STOP_LOG_MS * open_logs, STOP_LIMIT_MS) + leave_max_ms

    async def stop(self, clean: bool = True) -> None:
        """End service. With `clean` everything is flushed and the next start has nothing to recover.

        Without it the files are left as a crash would leave them, for tests.
        """
        loop = asyncio.get_running_loop()
        self._phase = Phase.STOPPING
        if clean and self._clustered is not None:
            await self._left(self._clustered)
        if self._http is not None:
            await loop.run_in_executor(None, self._http.end)
        if self._upkeep is not None:
            self._upkeep.stop()
        if self._space_watch is not None:
            self._space_watch.stop()
        if self._cleaner is not None:
            self._cleaner.stop()
        if self._replication is not None:
            self._replication.close()
        if self._coordinators is not None:
            self._coordinators.hang_up()
        if self._engine is not None:
            await self._engine.close(STOP_DRAIN_MS if clean else 0)
        if self._services is not None:
            services, self._services = self._services, None
            if self._coordinators is not None:
                self._coordinators.close()
            if self._clustered is not None:
                self._clustered.close()
            services.partitions.clear()
            await asyncio.sleep(0)  # readers that waited learn that their partitions are gone, before the files are
            if self._clustered is not None:
                await loop.run_in_executor(None, partial(self._clustered.end, gives_back=clean))
            if clean:
                await _flushed(services.logs)
            await self._end_threads()  # what they still write must not meet what the end writes
            if clean:
                await loop.run_in_executor(None, services.logs.shut_down)
            else:
                services.logs.abandon()
            services.metadata.close()
        await self._end_threads()

    async def _unfenced(self, clustered: Clustered, services: Services, served: Address) -> None:
        """Wait until this broker may lead; a cluster that does not let it does not keep it from starting."""
        unfenced = asyncio.Event()
        if self.config.shared_listen is not None and served.host in WILDCARD_HOSTS:
            served = Address(LOOPBACK_HOST, served.port)  # the other workers are on this host
        clustered.serve(services, served, unfenced.set)
        with suppress(TimeoutError):
            await asyncio.wait_for(unfenced.wait(), UNFENCE_MAX_MS / 1000)

    async def _left(self, clustered: Clustered) -> None:
        if self._services is not None and self._services.settings.boolean("controlled.shutdown.enable"):
            left = asyncio.Event()
            assert self._engine is not None
            clustered.leave(self._services, self._engine, left.set)
            with suppress(TimeoutError):
                await asyncio.wait_for(left.wait(), clustered.leave_max_ms / 1000)

    async def _end_threads(self) -> None:
        loop = asyncio.get_running_loop()
        for threads in (self._readers, self._pools):
            if threads is not None:
                await loop.run_in_executor(None, threads.close)
        self._readers = self._pools = None
        await asyncio.sleep(0)  # what followed from their last work

    # -- building --------------------------------------------------------------------------------------------------

    def _build(self, engine: Engine, pools: Pools) -> Services:
        clock, random = SystemClock(), SystemRandom()
        settings = BrokerSettings(self.config.settings)
        is_rack_aware = knows_racks(settings)
        log_dirs = self._log_dirs(settings)
        node_id = node_id_of(settings, log_dirs)
        open_files_max = settings.integer("log.open.files.max") or int(descriptor_limit() * OPEN_LOG_FILES_SHARE)
        open_files = OpenFiles(open_files_max)
        environment = LogEnvironment(
            RealDisk(),
            clock,
            random,
            pools.background,
            cleaner=pools.cleaner,
            syncing=pools.syncing,
            defer=engine.selector.post,
            open_files=open_files,
            on_recovery=RecoveryReport(clock),
        )
        config_of = _ConfigOf(settings)
        clustered = self._clustered = self._opened_cluster(settings, node_id, engine)
        cluster_id = clustered.cluster_id if clustered else known_cluster_id(self.config.data_dir, log_dirs)
        logs = Logs(log_dirs, environment, config_of, node_id=node_id, cluster_id=cluster_id)
        try:
            metadata = self._metadata(settings, node_id, logs, engine, pools)
        except BaseException:
            logs.put_back()
            raise
        try:
            config_of.metadata = metadata
            logs.load_all(metadata.topic_id)
            self._cleaner = Cleaner(logs, environment, settings)
            partitions = Partitions()
            has_others = clustered is not None or self._store is not None
            around = Surroundings(
                metadata, logs, partitions, engine.timers, clock, random, engine if has_others else None
            )
            coordinators = self._coordinators = Coordinators(around)
            turns = Turns(clock, engine.selector.post)
            replication_of = partial(self._made_replication, metadata, partitions, logs, engine)
            leadership = Leadership(metadata, logs, partitions, coordinators, turns, replication_of)
            leadership.start()
            self._space_watch = SpaceWatch(logs, settings, engine.timers, leadership.lead_unled)
            self._space_watch.look(makes_reserve=False)
            if not partitions.offline:
                forget_missing(metadata, logs.directories)
        except BaseException:
            logs.abandon()
            raise
        sessions = FetchSessions(settings.integer("max.incremental.fetch.session.cache.slots"), clock, random)
        return Services(
            node_id=node_id,
            settings=settings,
            metadata=metadata,
            partitions=partitions,
            groups=coordinators.groups,
            transactions_of=coordinators.transactions,
            ask_elsewhere=coordinators.ask_elsewhere if has_others else None,
            share_states_of=coordinators.share_states,
            share_of=share_serving(around, coordinators.share_state_keeper),
            logs=logs,
            fetch_sessions=sessions,
            timers=engine.timers,
            clock=clock,
            random=random,
            faults=self.faults,
            call_soon=engine.selector.post,
            advertised_address=advertised_address(settings),
            knows_racks=is_rack_aware,
        )

    def _made_replication(self, metadata: Metadata, partitions: Partitions, logs: Logs, engine: Engine) -> Replication:
        """The replication of this broker, made with its first replicated partition."""
        if self._replication is None:
            # start-up time: most brokers have no replicated partition
            from tailrace.node.replication import Replication, ReplicationSurroundings

            around = ReplicationSurroundings(metadata, partitions, engine, SystemClock(), logs.on_storage_error)
            self._replication = Replication(around)
        return self._replication

    def _log_dirs(self, settings: BrokerSettings) -> list[Path]:
        """The log directories. TailraceError where they overlap, or hold logs that no metadata tells of."""
        self.config.data_dir.mkdir(parents=True, exist_ok=True)
        paths = log_directories(settings, self.config.data_dir)
        file = self.config.data_dir / METADATA_FILE
        if (self.config.data_dir / WORKERS_FILE).exists():
            raise TailraceError(f"{self.config.data_dir} is of several workers; start it with --workers N")
        if settings.text("cluster.url"):
            if file.exists():
                raise TailraceError(f"{file} is the metadata of a broker that is alone; a cluster's is elsewhere")
        elif self._store is None and not file.exists():
            refuse_unknown_logs(self.config.data_dir, paths)
        check_apart(paths)
        return paths

    def _opened_cluster(self, settings: BrokerSettings, node_id: int, engine: Engine) -> Clustered | None:
        if not settings.text("cluster.url"):
            return None
        # start-up time: most brokers are alone
        from tailrace.node.clustered import Clustered, ClusteredOptions

        options = ClusteredOptions(settings, node_id, SystemClock(), SystemRandom())
        return Clustered(options, engine.call_soon_threadsafe)

    def _metadata(self, settings: BrokerSettings, node_id: int, logs: Logs, engine: Engine, pools: Pools) -> Metadata:
        clustered = self._clustered
        store = clustered.store if clustered is not None else self._store
        store = store or SqliteStore(self.config.data_dir / METADATA_FILE)
        try:
            if clustered is None and store.read_version() == 0:
                store.append(0, [ClusterRecord(logs.cluster_id)])
            metadata = Metadata(store, node_id, settings, SystemRandom(), pools.metadata)
            host, port = advertised_address(settings) or ("", 0)
            broker = BrokerRecord(node_id, host, port, settings.text("broker.rack"))
            forget = settings.boolean("log.dirs.forget.missing")
            if clustered is None:
                register_broker(metadata, logs.directories, broker, forget=forget)
            else:
                record = with_directories(metadata, logs.directories, broker, forget=forget)
                clustered.join(metadata, record, engine, pools)
        except BaseException:
            store.close()
            raise
        return metadata

    def _read_past(self, engine: Engine, services: Services) -> Readers:
        directories = [directory.path for directory in services.logs.directories]
        threads_max = reader_threads(services.settings.integer("log.reader.threads"), directories)
        readers = services.cold_reads = Readers(
            engine.call_soon_threadsafe, self._page_cache, threads_max, services.on_storage_error
        )
        return readers

    def _listen(self, engine: Engine, services: Services, readers: Readers) -> Address:
        dispatch = Dispatch(services)
        request_max_bytes = services.settings.integer("socket.request.max.bytes")
        idle_ms = services.settings.integer("connections.max.idle.ms")

        def accept(connection: Connection) -> ClientConnection:
            return ClientConnection(connection, dispatch, request_max_bytes, idle_ms)

        options = ListenOptions(
            connection=ConnectionOptions(receive_max_bytes=request_max_bytes + SIZE_BYTES, cold_ranges=readers)
        )
        addresses = listen_addresses(self.config.listen, services.settings)
        served = [engine.listen(address, accept, options).address for address in addresses]
        if self.config.shared_listen is not None:
            shared = replace(options, reuse_port=True)
            engine.listen(Address.parse(self.config.shared_listen), accept, shared)
            services.own_port = served[0].port
        services.settings.settle(
            {
                "node.id": str(services.node_id),
                "broker.id": str(services.node_id),
                "log.dirs": ",".join(str(directory.path) for directory in services.logs.directories),
                "listeners": f"PLAINTEXT://{served[0]}",
                "advertised.listeners": f"PLAINTEXT://{served[0]}",
            }
        )
        return served[0]


async def _flushed(logs: Logs) -> None:
    """Wait until everything that can be flushed is. What failed is told again by `Logs.shut_down`."""
    ended = asyncio.get_running_loop().create_future()
    logs.begin_shut_down(lambda _: ended.set_result(None))
    await ended


class _ConfigOf:
    """A topic's log settings, from the metadata once that is there."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self.metadata: Metadata | None = None

    def __call__(self, topic: str) -> LogConfig:
        assert self.metadata is not None, "logs are loaded after the metadata"
        return log_config(self.metadata.topic_configs(topic), self._settings.integer("producer.id.expiration.ms"))
