"""`tailrace cluster`: start a whole cluster on this host; tell how any Kafka cluster is; remove a broker from one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from tailrace.base.errors import TailraceError
from tailrace.cli.cluster import Cluster, cluster_options
from tailrace.cli.cluster_report import print_report
from tailrace.cli.failure import CommandFailed, ExitCode
from tailrace.cli.output import print_json
from tailrace.cli.pairs import parse_pairs
from tailrace.cli.raw_requests import CLIENT_ID, addresses
from tailrace.client.cluster_questions import describe_cluster
from tailrace.client.plain_requests import NotAnswered, PlainRequests

if TYPE_CHECKING:
    from tailrace.client.cluster_state import ClusterState


T = TypeVar("T")


@click.group
def cluster() -> None:
    """Start a local cluster; describe any cluster; remove a broker."""


@cluster.command
@cluster_options
@click.option("--all", "shows_all", is_flag=True, help="Every partition, also those that are well.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, every partition in it.")
def describe(cluster: Cluster, shows_all: bool, as_json: bool) -> ExitCode:
    """Tell who is there, who leads, how far replicas are behind, and why.

    Exit code 0: every broker serves and every replica is in sync; 1: not so.
    """
    state = asyncio.run(_described(cluster))
    if as_json:
        print_json(state.as_json())
    else:
        print_report(state, shows_all=shows_all)
    return ExitCode.DONE if state.is_healthy else ExitCode.REFUSED


@cluster.command
@click.argument("broker_id", type=click.IntRange(0))
@click.option("--force", is_flag=True, help="Though partitions name it still: their replicas there are lost.")
@cluster_options
def remove_broker(cluster: Cluster, broker_id: int, force: bool) -> ExitCode:
    """Have the cluster forget a broker that was stopped for good.

    Move its replicas to other brokers first, with kafka-reassign-partitions.sh or any admin client.
    """
    from tailrace.cli.broker_removal import remove  # start-up time: `describe` needs none of it

    asyncio.run(_asked(cluster, lambda asks: remove(asks, broker_id, force=force)))
    click.echo(f"broker {broker_id} is removed")
    return ExitCode.DONE


async def _described(cluster: Cluster) -> ClusterState:
    return await _asked(cluster, describe_cluster)


async def _asked(cluster: Cluster, ask: Callable[[PlainRequests], Awaitable[T]]) -> T:
    asks = PlainRequests(addresses(cluster.bootstrap_servers), cluster.timeout_s, CLIENT_ID)
    try:
        return await ask(asks)
    except NotAnswered as error:
        raise CommandFailed(
            f"cannot ask a broker at {cluster.bootstrap_servers}: {error}; start some with `tailrace cluster start` or "
            "name another with --bootstrap-server. This command needs a listener without TLS and SASL.",
            ExitCode.UNREACHABLE,
        ) from error
    except TailraceError as error:
        raise CommandFailed(str(error)) from error
    finally:
        await asks.close()


@cluster.command
@click.option("--brokers", default=3, show_default=True, type=click.IntRange(1, 20), metavar="N", help="How many.")
@click.option("--data", "data_dir", type=click.Path(path_type=Path, file_okay=False), default="./tailrace-cluster",
              show_default=True, help="Directory of the data: broker-N, broker-N.log, and the metadata.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=9092, show_default=True, type=click.IntRange(0, 65535),
              help="Port of broker 1, the others' follow; 0 picks free ones.")  # fmt: skip
@click.option("--store", type=click.Choice(["etcd", "sqlite"]),
              help="Where the metadata is: an etcd that is started too, or this process with a SQLite file.  [default: "
                   "what is in the directory; else etcd where it is installed]")  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE",
              help="A setting of every broker. May be repeated.")  # fmt: skip
def start(brokers: int, data_dir: Path, host: str, port: int, store: str | None, settings: tuple[str, ...]) -> ExitCode:
    """Run a whole cluster on this host until SIGTERM or Ctrl-C.

    Each broker is a process. One that ends is told of, and not started again.
    """
    from tailrace.cli.cluster_start import StartOptions, run_cluster  # start-up time: `describe` needs none of it

    pairs = parse_pairs(settings, option="--set")
    return run_cluster(StartOptions(brokers, data_dir, host, port, store, pairs))
