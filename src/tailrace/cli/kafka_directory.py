"""`tailrace from-kafka` and `tailrace to-kafka`: a data directory changes hands between Apache Kafka and Tailrace.

Both take the options that `serve` takes, so that they find the same directories. The logs are never copied.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tailrace.base.errors import StorageError, TailraceError
from tailrace.cli.failure import CommandFailed
from tailrace.cli.output import note, plural
from tailrace.cli.pairs import parse_pairs
from tailrace.cluster.settings import BrokerSettings
from tailrace.node.from_kafka import from_kafka as take_over
from tailrace.node.settings import load_settings
from tailrace.node.to_kafka import SET_ASIDE_SUFFIX, Controller
from tailrace.node.to_kafka import to_kafka as hand_over

_CONTROLLER = re.compile(r"(?P<listener>[A-Za-z0-9_]+)://(?P<host>[^/]+):(?P<port>\d+)$")


def _directory_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option(
            "--data-dir",
            required=True,
            type=click.Path(file_okay=False, path_type=Path),
            help="The data directory, as `serve` is told.",
        ),
        click.option(
            "--config",
            "config_file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="TOML file of settings, as `serve` is told.",
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="NAME=VALUE",
            help="One setting, as `serve` is told: log.dirs, metadata.log.dir.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command("from-kafka")
@_directory_options
def from_kafka(data_dir: Path, config_file: Path | None, settings: tuple[str, ...]) -> None:
    """Take over a data directory that Apache Kafka wrote.

    Kafka must be stopped. Topics, settings and ids come from Kafka's metadata log; the logs stay where they are and as
    they are. Nothing but DATA-DIR/metadata.db is written: deleting it before the first `serve` undoes everything.
    """
    try:
        found = take_over(_settings(config_file, settings), data_dir)
    except (TailraceError, StorageError) as error:
        raise CommandFailed(f"{error}.".replace("..", ".")) from error
    for sentence in found.notes:
        note(sentence)
    click.echo(
        f"Took over {plural(found.topic_count, 'topic')} with {plural(found.partition_count, 'partition')} "
        f"of cluster {found.cluster_id}, node {found.node_id}."
    )


@click.command("to-kafka")
@_directory_options
@click.option("--controller", default="CONTROLLER://localhost:9093", show_default=True, metavar="NAME://HOST:PORT",
              help="The controller listener of the Kafka node to come.")  # fmt: skip
def to_kafka(data_dir: Path, config_file: Path | None, settings: tuple[str, ...], controller: str) -> None:
    """Hand a data directory over to Apache Kafka 4.

    The broker must be stopped. Kafka's metadata is written beside the logs, which stay as they are, and metadata.db is
    set aside. Start Kafka with `process.roles=broker,controller`, the same `log.dirs` and the node id that is printed.
    """
    matched = _CONTROLLER.match(controller)
    if matched is None:
        raise click.UsageError("--controller is NAME://HOST:PORT, such as CONTROLLER://localhost:9093.")
    address = Controller(matched["listener"], matched["host"], int(matched["port"]))
    try:
        found = hand_over(_settings(config_file, settings), data_dir, address)
    except (TailraceError, StorageError) as error:
        raise CommandFailed(f"{error}.".replace("..", ".")) from error
    if found.unknown:
        note(f"Kafka will set aside, because no topic has them: {', '.join(found.unknown)}.")
    click.echo(
        f"Handed over {plural(found.topic_count, 'topic')} with {plural(found.partition_count, 'partition')}; "
        f"metadata.db is now metadata.db{SET_ASIDE_SUFFIX}. Start Kafka with node.id={found.node_id}, "
        f"controller.quorum.bootstrap.servers={address.host}:{address.port}."
    )


def _settings(config_file: Path | None, pairs: tuple[str, ...]) -> BrokerSettings:
    return BrokerSettings(load_settings(config_file, parse_pairs(pairs, option="--set")))
