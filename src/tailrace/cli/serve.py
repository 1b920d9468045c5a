"""`tailrace serve`: hand the command line to the node and return its exit code.

Must stay light: neither confluent_kafka nor rich may be imported on this path (start-up budget 350 ms). What a
setting may be called and hold is the node's business; here only its `NAME=VALUE` shape is checked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tailrace.base.limits import WORKERS_MAX
from tailrace.cli.pairs import parse_pairs
from tailrace.node.kafka_directory import WORKERS_FILE
from tailrace.node.run import ServeOptions
from tailrace.node.run import serve as serve_node


@click.command
@click.option("--listen", metavar="HOST:PORT",
              help="Address to serve Kafka clients on; port 0 picks a free one.  [default: the setting listeners, "
                   "else 127.0.0.1:9092]")  # fmt: skip
@click.option("--data-dir", type=click.Path(readable=False, path_type=Path), default="./tailrace-data",
              show_default=True, help="Directory of the logs and the metadata; made when missing.")  # fmt: skip
@click.option(
    "--node-id",
    type=click.IntRange(0),
    metavar="N",
    help="Number of this broker, unique in its cluster: the setting node.id.",
)
@click.option("--cluster", metavar="URL",
              help="Be one of the brokers that keep their metadata there, as etcd://HOST:PORT[,HOST:PORT][/NAME]: the "
                   "setting cluster.url.")  # fmt: skip
@click.option("--config", "config_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="TOML file of settings, under Kafka's names.")  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE",
              help="One setting; wins over the file. May be repeated.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, WORKERS_MAX), metavar="N",
              help="As many brokers, each a process of its own with its own port after that of --listen, which all of "
                   "them share: one for each core to use.  [default: 1]")  # fmt: skip
def serve(*, node_id: int | None, cluster: str | None, **given: Any) -> int:  # the options above, by name
    """Run a broker until SIGTERM or Ctrl-C.

    Prints one line on stdout when, and only when, it answers requests.
    """
    data_dir: Path = given["data_dir"]
    listen: str | None = given["listen"]
    config_file: Path | None = given["config_file"]
    pairs = parse_pairs(given["settings"], option="--set")
    if node_id is not None:
        pairs["node.id"] = str(node_id)
    if cluster is not None:
        pairs["cluster.url"] = cluster
    workers: int | None = given["workers"]
    if workers is not None and (workers > 1 or (data_dir / WORKERS_FILE).exists()):
        # start-up time: most brokers are alone
        from tailrace.local.serve_workers import ServeWorkersOptions, serve_workers

        return serve_workers(ServeWorkersOptions(workers, listen, data_dir, config_file, pairs))
    return serve_node(ServeOptions(listen=listen, data_dir=data_dir, config_file=config_file, settings=pairs))
