"""`tailrace serve`: hand the command line to the node and return its exit code.

Must stay light: neither confluent_kafka nor rich may be imported on this path (start-up budget 350 ms). What a
setting may be called and hold is the node's business; here only its `NAME=VALUE` shape is checked.
"""

from __future__ import annotations

from pathlib import Path

import click

from tailrace.cli.pairs import parse_pairs
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
def serve(
    listen: str | None,
    data_dir: Path,
    node_id: int | None,
    cluster: str | None,
    config_file: Path | None,
    settings: tuple[str, ...],
) -> int:
    """Run a broker until SIGTERM or Ctrl-C.

    Prints one line on stdout when, and only when, it answers requests.
    """
    pairs = parse_pairs(settings, option="--set")
    if node_id is not None:
        pairs["node.id"] = str(node_id)
    if cluster is not None:
        pairs["cluster.url"] = cluster
    return serve_node(ServeOptions(listen=listen, data_dir=data_dir, config_file=config_file, settings=pairs))
