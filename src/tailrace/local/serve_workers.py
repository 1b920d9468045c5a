"""`tailrace serve --workers N`: settings in, several workers until a signal, an exit status out.

    this process    metadata (`gateway`, in <data dir>/workers.db), the shared port held, one line when all serve
    worker K        `tailrace serve` on its own port and on the shared one (`workers`, `worker`)

Order of the start: settings, ports, the directory, metadata, all workers at once (`supervisor`). Workers end with this
process, however it ends. Everything that can be wrong at start is one sentence on stderr and exit status 1.
Not its business: requests; none passes through here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from tailrace.base.clock import SystemClock
from tailrace.base.limits import LEAVE_MAX_MS, STOP_LIMIT_MS
from tailrace.base.rand import SystemRandom
from tailrace.cluster.settings import BrokerSettings
from tailrace.cluster.store import MetadataStore
from tailrace.local import workers_directory
from tailrace.local.gateway import Gateway
from tailrace.local.ports import free_ports
from tailrace.local.supervisor import Supervisor
from tailrace.local.worker import Worker
from tailrace.local.workers import (
    DEFAULTS,
    HTTP_LISTEN,
    Layout,
    WorkersOptions,
    http_addresses,
    lay_out,
    ordered,
    shared_address,
    worker_log_directories,
)
from tailrace.net.address import Address
from tailrace.net.shared_port import SharedPort, check_free
from tailrace.node.cluster_store import open_cluster_store
from tailrace.node.departure import wait_max_ms
from tailrace.node.identity import node_id_of
from tailrace.node.kafka_directory import METADATA_FILE, WORKERS_FILE, locked, log_directories
from tailrace.node.run import exit_status, process_start_ms, write_lines
from tailrace.node.settings import load_settings

STORE_NAME: Final = "workers"

_log = logging.getLogger("tailrace.workers")
Result = TypeVar("Result")


class ServeWorkersOptions(NamedTuple):
    """What the command line says. `settings` win over the file, `listen` over both."""

    workers: int
    listen: str | None
    data_dir: Path
    config_file: Path | None
    settings: dict[str, str]


def serve_workers(options: ServeWorkersOptions) -> int:
    """Run them until SIGTERM or SIGINT; returns the exit status, 0 when all stopped as they should."""
    started_ms = process_start_ms()
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("tailrace.workers").setLevel(logging.INFO)
    write_lines("text")

    def run() -> int:
        settings = load_settings(options.config_file, options.settings)
        write_lines(settings.get("log.format", "text"))
        wanted = WorkersOptions(options.workers, options.listen, options.data_dir, settings)
        return asyncio.run(_serve(wanted, started_ms))

    return exit_status(run)


async def _serve(options: WorkersOptions, started_ms: float) -> int:
    settings, data_dir = BrokerSettings({**DEFAULTS, **options.settings}), options.data_dir
    layout = lay_out(_with_http(options), await _ports_instead(options, settings))
    shared = SharedPort(layout.shared)
    try:
        for order in layout.orders:
            _check_own(order.listen)
        await _take_over(settings, data_dir)
        gateway = Gateway(SystemClock(), data_dir / WORKERS_FILE)
        try:
            port = await gateway.start()
            first = node_id_of(settings, worker_log_directories(settings, data_dir, 1))
            await _forget_gone(port, range(first, first + options.workers))
            workers = [Worker(order) for order in ordered(layout, _url(port), first)]
            stop_max_ms = wait_max_ms(settings) + LEAVE_MAX_MS + STOP_LIMIT_MS
            supervisor = Supervisor(workers, SystemClock(), stop_max_ms)
            supervisor.listen_for_signals()
            return await supervisor.run(lambda: _say_ready(layout, workers, data_dir, started_ms))
        finally:
            await gateway.close()
    finally:
        shared.close()


def _say_ready(layout: Layout, workers: list[Worker], data_dir: Path, started_ms: float) -> None:
    took_ms = SystemClock().wall_ms() - started_ms
    http = f" http={workers[0].http}" if workers[0].http else ""
    where = f"kafka={layout.shared} data={data_dir.resolve()}{http}"
    print(f"tailrace ready {where} workers={len(workers)} in {took_ms:.0f} ms", flush=True)


# Ports


async def _ports_instead(options: WorkersOptions, settings: BrokerSettings) -> list[int]:
    """Ports that are free, where port 0 is asked for; else none."""
    shared = shared_address(options.listen, settings)
    return [] if shared.port else await free_ports(shared.host, options.workers + 1, SystemRandom())


def _with_http(options: WorkersOptions) -> WorkersOptions:
    """Without HTTP where one of its default addresses is taken: a second broker on a machine."""
    settings = BrokerSettings(options.settings)
    if not settings.is_given(HTTP_LISTEN):
        for address in http_addresses(settings, options.workers):
            try:
                check_free(address)
            except OSError as error:
                _log.warning(
                    "no metrics are served: %s, a default of http.listen, cannot be used (%s); choose others with "
                    "--set http.listen=HOST:PORT, the first of %d", address, error.strerror, options.workers,
                )  # fmt: skip
                return options._replace(settings={**options.settings, HTTP_LISTEN: ""})
    return options


def _check_own(listen: str) -> None:
    try:
        check_free(Address.parse(listen))
    except OSError as error:
        raise OSError(
            error.errno, f"cannot listen on {listen}, a worker's own address: {error.strerror}; workers have the ports "
            "that follow the one of --listen"
        ) from error  # fmt: skip


# The directory


async def _take_over(settings: BrokerSettings, data_dir: Path) -> None:
    """What a broker alone kept there becomes worker 1's."""
    data_dir.mkdir(parents=True, exist_ok=True)
    alone = data_dir / METADATA_FILE
    if not alone.exists():
        return
    log_dirs = log_directories(settings, data_dir)
    with locked([path for path in log_dirs if path.is_dir()]):
        if not (data_dir / WORKERS_FILE).exists():
            new = workers_directory.new_metadata(data_dir)
            gateway = Gateway(SystemClock(), new)
            try:
                await _in_store(await gateway.start(), partial(workers_directory.copy_metadata, alone))
            finally:
                await gateway.close()
            workers_directory.put_in_place(data_dir)
        workers_directory.move_logs(log_dirs, worker_log_directories(settings, data_dir, 1))
        workers_directory.set_metadata_aside(data_dir)
    _log.warning("the broker that was alone in %s is worker 1 now, with all that it holds", data_dir)


def _url(port: int) -> str:
    return f"etcd://127.0.0.1:{port}/{STORE_NAME}"


async def _forget_gone(port: int, node_ids: range) -> None:
    gone = await _in_store(port, partial(workers_directory.forget_gone, node_ids))
    if gone:
        _log.warning("there are %d workers now: brokers %s are forgotten", len(node_ids), ", ".join(map(str, gone)))


async def _in_store(port: int, work: Callable[[MetadataStore], Result]) -> Result:
    """What `work` answers of the metadata that the gateway of this process keeps, in a thread, for it waits."""

    def run() -> Result:
        settings = BrokerSettings({"cluster.url": _url(port)})
        store = open_cluster_store(settings, "supervisor", SystemClock(), lambda _: None)  # nothing is watched
        try:
            return work(store)
        finally:
            store.close()

    return await asyncio.to_thread(run)
