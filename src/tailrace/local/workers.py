"""Several workers of one host as they are laid out: who listens where and keeps what. Plain values; starts nothing.

    --listen HOST:9092      all of them listen here; a client that comes is told of each worker's own port
    worker 1                HOST:9093, node id 1, <data dir>/workers/1, HTTP at http.listen
    worker 2                HOST:9094, node id 2, <data dir>/workers/2, HTTP one port further
    <data dir>/workers.db   the metadata of all of them

With `advertised.listeners` = NAME://PUBLIC:P worker K is at PUBLIC:P+K, and the workers reach each other without it.
Not its business: processes (`supervisor`), what a directory holds already (`workers_directory`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tailrace.base.errors import ConfigError, TailraceError
from tailrace.cluster.settings import BrokerSettings
from tailrace.local.child import Order
from tailrace.net.address import Address
from tailrace.node.kafka_directory import log_directories
from tailrace.node.listeners import LOOPBACK_HOST, WILDCARD_HOSTS, advertised_address, listen_addresses

PORT_MAX: Final = 65535
WORKERS_DIRECTORY: Final = "workers"
"""No partition's directory is called so, whatever the topics are."""
HTTP_LISTEN: Final = "http.listen"
DEFAULTS: Final = {
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "broker.session.timeout.ms": "30000",
    "broker.heartbeat.interval.ms": "3000",
}
"""Unless given. One replica: workers share a host's fate, and one that dies is back before another could take its
place. Long leases: who starts a worker sees at once that it is dead, and its next life takes the lease over; a lease
only has to outlast a host that has too much to do."""

_TOLD_OTHERWISE: Final = ("listeners", "node.id", "broker.id", "log.dir", "log.dirs")
"""Settings of which each worker gets a value of its own."""


class WorkersOptions(NamedTuple):
    """What the command line says; `settings` are checked."""

    workers: int
    listen: str | None
    data_dir: Path
    settings: dict[str, str]


class Layout(NamedTuple):
    """The workers. `orders` lack node id and metadata, which are known when the directory was looked at: `ordered`."""

    shared: Address
    orders: list[Order]


def lay_out(options: WorkersOptions, ports: Sequence[int] = ()) -> Layout:
    """The workers of these options; `ports`, the shared one first, in place of those that `listen` leaves open with 0.

    Raises TailraceError, one sentence, for what several workers cannot have.
    """
    settings = BrokerSettings(options.settings)
    shared = shared_address(options.listen, settings)
    count = options.workers
    ports = ports or range(shared.port, shared.port + count + 1)
    if ports[-1] > PORT_MAX:
        raise TailraceError(f"{count} workers need the {count} ports that follow {shared}, and {PORT_MAX} is the last")
    if settings.text("cluster.url"):
        raise ConfigError("cluster.url", "--workers keeps the metadata in the data directory: without cluster.url.")
    advertised = advertised_address(settings)
    own = [shared._replace(port=port) for port in ports[1:]]
    near = [each._replace(host=LOOPBACK_HOST) if each.host in WILDCARD_HOSTS else each for each in own]
    shared = shared._replace(port=ports[0])
    https = http_addresses(settings, count)
    given = {**DEFAULTS, **options.settings}
    for name in _TOLD_OTHERWISE:
        given.pop(name, None)
    routes = []
    if advertised is not None:
        routes = [(advertised[0], advertised[1] + number, str(each)) for number, each in enumerate(near, start=1)]
    orders = []
    for number in range(1, count + 1):
        mine = given | _directories(settings, number)
        if https and number > 1:  # the first is where a broker alone would be, also by default
            mine[HTTP_LISTEN] = str(https[number - 1])
        if advertised is not None:
            mine["advertised.listeners"] = f"PLAINTEXT://{Address(advertised[0], advertised[1] + number)}"
        directory = str(worker_directory(options.data_dir, number))
        orders.append(Order(str(own[number - 1]), directory, mine, routes, number, str(shared)))
    return Layout(shared, orders)


def shared_address(listen: str | None, settings: BrokerSettings) -> Address:
    """Where all workers listen. Raises TailraceError."""
    found = listen_addresses(listen, settings)
    if len(found) != 1 or found[0].path is not None:
        raise TailraceError("--workers listens on one TCP address, which all of them share; give one with --listen")
    return found[0]


def http_addresses(settings: BrokerSettings, count: int) -> list[Address]:
    """Where the workers answer HTTP: the first where a broker alone would, each other one port further; port 0 is a
    free one for each. Empty: nowhere. Raises ConfigError."""
    text = settings.text(HTTP_LISTEN)
    if not text:
        return []
    try:
        first = Address.parse(text)
    except ValueError as error:
        raise ConfigError(HTTP_LISTEN, f"{HTTP_LISTEN} {text!r} is not an address: {error}") from error
    if first.path is not None:
        return [first._replace(path=f"{first.path}.{number}" if number else first.path) for number in range(count)]
    return [first._replace(port=first.port and first.port + number) for number in range(count)]


def worker_directory(directory: Path, number: int) -> Path:
    """Where worker `number` keeps what one broker alone keeps in `directory`."""
    return directory / WORKERS_DIRECTORY / str(number)


def worker_log_directories(settings: BrokerSettings, data_dir: Path, number: int) -> list[Path]:
    """The log directories of a worker, in the order of those of a broker alone."""
    return [worker_directory(each, number) for each in log_directories(settings, data_dir)]


def ordered(layout: Layout, cluster_url: str, first_node_id: int) -> list[Order]:
    """The orders whole."""
    return [
        order._replace(
            settings=order.settings | {"cluster.url": cluster_url, "node.id": str(first_node_id + order.worker - 1)}
        )
        for order in layout.orders
    ]


def _directories(settings: BrokerSettings, number: int) -> dict[str, str]:
    """`log.dirs` of a worker, where it is given."""
    if not any(name in settings.static_names() for name in ("log.dirs", "log.dir")):
        return {}
    return {"log.dirs": ",".join(map(str, worker_log_directories(settings, Path(), number)))}
