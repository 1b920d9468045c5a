"""`tailrace topics`: list, create, describe, alter and delete topics of any Kafka cluster.

A command that names several topics does them all and fails at the end if one failed: one refused topic never hides
what became of the others.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import click
from confluent_kafka import KafkaError
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from tailrace.cli.cluster import Cluster, cluster_options
from tailrace.cli.outcomes import Outcome, finish_each, report
from tailrace.cli.output import note, plural, print_json, print_table
from tailrace.cli.pairs import parse_pair, parse_pairs
from tailrace.cli.topic_details import TopicDetails, describe_topics
from tailrace.cli.unled import explain_unled

INTERNAL_TOPICS = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})


@click.group
def topics() -> None:
    """List, create, describe, alter and delete topics."""


@topics.command("list")
@cluster_options
@click.option("--internal", is_flag=True, help="Also the topics Kafka keeps for itself.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def list_topics(cluster: Cluster, internal: bool, as_json: bool) -> None:
    """List topics with their partitions and replicas."""
    found = cluster.metadata(cluster.admin()).topics
    rows = [
        (name, len(topic.partitions), max((len(part.replicas) for part in topic.partitions.values()), default=0))
        for name, topic in sorted(found.items())
        if internal or name not in INTERNAL_TOPICS
    ]
    if as_json:
        print_json([{"topic": name, "partitions": parts, "replication_factor": factor} for name, parts, factor in rows])
    elif rows:
        print_table(("topic", "partitions", "replicas"), rows)
    else:
        note("no topics; create one with `tailrace topics create NAME`")


@topics.command("create")
@cluster_options
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("-p", "--partitions", type=click.IntRange(min=1), help="Number of partitions; the cluster's default.")
@click.option("-r", "--replication-factor", type=click.IntRange(min=1), help="Replicas; the cluster's default.")
@click.option("-c", "--config", "configs", multiple=True, metavar="NAME=VALUE", help="Topic setting; may be repeated.")
@click.option("--if-not-exists", is_flag=True, help="A topic that exists is not an error.")
@click.option("--dry-run", is_flag=True, help="Only ask whether it could be done.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def create_topics(cluster: Cluster, names: tuple[str, ...], **options: Any) -> None:  # the options above, by name
    """Create topics."""
    settings = parse_pairs(options["configs"], option="--config")
    partitions, replication_factor = options["partitions"] or -1, options["replication_factor"] or -1
    dry_run: bool = options["dry_run"]
    wanted = [NewTopic(name, partitions, replication_factor, config=settings) for name in names]
    futures = cluster.admin().create_topics(wanted, validate_only=dry_run, operation_timeout=cluster.timeout_s)
    accepted = {KafkaError.TOPIC_ALREADY_EXISTS: "exists"} if options["if_not_exists"] else {}
    outcome = Outcome("topic", "create", "would be created" if dry_run else "created", accepted)
    finish_each(cluster, futures, outcome, as_json=options["as_json"])


@topics.command("describe")
@cluster_options
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--all-configs", is_flag=True, help="Every setting, not only those that differ from the default.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def describe(cluster: Cluster, names: tuple[str, ...], all_configs: bool, as_json: bool) -> None:
    """Show partitions, leaders, replicas, offsets and settings of topics; of all when none is named."""
    admin = cluster.admin()
    chosen = list(names) or sorted(set(cluster.metadata(admin).topics) - INTERNAL_TOPICS)
    details = describe_topics(cluster, admin, chosen, all_configs=all_configs) if chosen else []
    if as_json:
        print_json([topic.as_json() for topic in details])
    else:
        for index, topic in enumerate(details):
            if index:
                click.echo()
            _print_topic(topic)
    unled_count = sum(part.leader < 0 for topic in details for part in topic.partitions)
    if unled_count:
        note(explain_unled(cluster, unled_count))


def _print_topic(topic: TopicDetails) -> None:
    records = sum(part.latest_offset - part.earliest_offset for part in topic.partitions if part.leader >= 0)
    click.echo(
        f"{topic.name}  id {topic.topic_id}  {plural(len(topic.partitions), 'partition')}  offsets span {records:,}"
    )
    for name, value in sorted(topic.configs.items()):
        click.echo(f"  {name}={value}")
    print_table(
        ("partition", "leader", "replicas", "isr", "earliest", "latest"),
        [
            (
                part.partition,
                part.leader if part.leader >= 0 else "none",
                _ids(part.replicas),
                _ids(part.isr),
                part.earliest_offset if part.leader >= 0 else "-",
                part.latest_offset if part.leader >= 0 else "-",
            )
            for part in topic.partitions
        ],
    )


def _ids(broker_ids: Iterable[int]) -> str:
    return ",".join(str(broker_id) for broker_id in broker_ids)


@topics.command("alter")
@cluster_options
@click.argument("name")
@click.option("-p", "--partitions", type=click.IntRange(min=1), help="New number of partitions; it can only grow.")
@click.option("--set", "to_set", multiple=True, metavar="NAME=VALUE", help="Give a setting a value.")
@click.option("--unset", "to_unset", multiple=True, metavar="NAME", help="Return a setting to the cluster's default.")
@click.option("--append", "to_append", multiple=True, metavar="NAME=VALUE", help="Add to a setting that is a list.")
@click.option("--subtract", "to_subtract", multiple=True, metavar="NAME=VALUE", help="Take from one that is a list.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def alter(cluster: Cluster, name: str, **options: Any) -> None:  # the options above, by name
    """Change a topic's settings or its number of partitions. Takes effect at once."""
    partitions: int | None = options["partitions"]
    changes = [
        *_changes(options["to_set"], AlterConfigOpType.SET, "--set"),
        *_changes(options["to_append"], AlterConfigOpType.APPEND, "--append"),
        *_changes(options["to_subtract"], AlterConfigOpType.SUBTRACT, "--subtract"),
        *(_change(setting, None, AlterConfigOpType.DELETE) for setting in options["to_unset"]),
    ]
    if not changes and partitions is None:
        raise click.UsageError("nothing to change: give --partitions, --set, --unset, --append or --subtract")
    admin = cluster.admin()
    if changes:
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=changes)
        cluster.wait(admin.incremental_alter_configs([resource])[resource], f"cannot alter topic {name}")
    if partitions is not None:
        _grow(cluster, admin, name, partitions)
    report([{"topic": name, "result": "altered"}], noun="topic", as_json=options["as_json"])


def _changes(words: tuple[str, ...], operation: AlterConfigOpType, option: str) -> list[ConfigEntry]:
    return [_change(*parse_pair(word, option=option), operation) for word in words]


def _change(name: str, value: str | None, operation: AlterConfigOpType) -> ConfigEntry:
    return ConfigEntry(name, value, source=ConfigSource.DYNAMIC_TOPIC_CONFIG, incremental_operation=operation)


def _grow(cluster: Cluster, admin: AdminClient, name: str, partitions: int) -> None:
    futures = admin.create_partitions([NewPartitions(name, partitions)], operation_timeout=cluster.timeout_s)
    cluster.wait(futures[name], f"cannot add partitions to topic {name}")


@topics.command("delete")
@cluster_options
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--if-exists", is_flag=True, help="A topic that does not exist is not an error.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Nothing is asked when stdin is not a terminal.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def delete(cluster: Cluster, names: tuple[str, ...], if_exists: bool, yes: bool, as_json: bool) -> None:
    """Delete topics and all their records."""
    admin = cluster.admin()
    if sys.stdin.isatty() and not yes:
        click.confirm(f"Delete {', '.join(names)} and all records?", abort=True, err=True)
    accepted = {KafkaError.UNKNOWN_TOPIC_OR_PART: "absent"} if if_exists else {}
    futures = admin.delete_topics(list(names), operation_timeout=cluster.timeout_s)
    finish_each(cluster, futures, Outcome("topic", "delete", "deleted", accepted), as_json=as_json)
