"""`tailrace produce TOPIC`: records from stdin or files, sent by a librdkafka producer.

Done means acknowledged: the command returns 0 only when every record has been. It stops at the first record that is
refused, after what was already under way has been settled.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tailrace.cli.cluster import Cluster, cluster_options
from tailrace.cli.cluster_errors import explain
from tailrace.cli.failure import CommandFailed, unwind_on_sigterm
from tailrace.cli.output import note, print_json
from tailrace.cli.pairs import parse_pair
from tailrace.cli.progress import Transfer
from tailrace.cli.record_input import InputRules, read_records
from tailrace.cli.record_json import InputRecord

COMPRESSIONS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
FULL_QUEUE_WAIT_S: Final = 0.1
RECORDS_PER_POLL: Final = 64
"""Answers are looked at once in so many records: a poll for each doubles the cost of sending."""


class Deliveries:
    """What the cluster said about the records sent: the offsets it gave, and the first refusal."""

    def __init__(self) -> None:
        self.refusal: KafkaError | None = None
        self.acknowledged = 0
        self._offsets: dict[int, list[int]] = {}

    def on_delivery(self, error: KafkaError | None, message: Message) -> None:
        """librdkafka's callback, once a record, in the thread that polls."""
        if error is not None:
            self.refusal = self.refusal or error
            return
        self.acknowledged += 1
        partition, offset = message.partition(), message.offset()
        if partition is None or offset is None or offset < 0:  # with acks=0 no offset comes back
            return
        span = self._offsets.setdefault(partition, [offset, offset])
        span[0], span[1] = min(span[0], offset), max(span[1], offset)

    def offsets_as_json(self) -> list[dict[str, int]]:
        """First and last offset written in each partition."""
        return [
            {"partition": partition, "first_offset": first, "last_offset": last}
            for partition, (first, last) in sorted(self._offsets.items())
        ]


@click.command
@cluster_options
@click.argument("topic")
@click.option("-f", "--file", "files", multiple=True, type=click.Path(dir_okay=False, exists=True, path_type=Path),
              help="Read this file instead of stdin; may be repeated.")  # fmt: skip
@click.option("--input", "form", type=click.Choice(["lines", "json", "whole"]), default="lines", show_default=True,
              help="A record is a line, a line of `consume --json`, or a whole file.")  # fmt: skip
@click.option("-k", "--key", help="Key of every record.")
@click.option("-K", "--key-separator", help="A line is KEY, this text, VALUE.")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME=VALUE", help="Header of every record.")
@click.option("--null", "null_marker", metavar="TEXT", help="A key or value equal to this is null (a tombstone).")
@click.option("-p", "--partition", type=click.IntRange(min=0), help="Partition of every record; by key otherwise.")
@click.option("-z", "--compression", type=click.Choice(COMPRESSIONS), default="none", show_default=True)
@click.option("--acks", type=click.Choice(["0", "1", "all"]), default="all", show_default=True,
              help="Replicas that must have a record before it counts as sent.")  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="No closing line and no progress bar.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def produce(cluster: Cluster, topic: str, **options: Any) -> None:  # the options above, by name
    """Send records to TOPIC from stdin or files."""
    rules = _input_rules(options)
    quiet = options["quiet"] or options["as_json"]
    producer = cluster.producer(_properties(cluster, options))
    cluster.metadata(producer)
    deliveries = Deliveries()
    files: tuple[Path, ...] = options["files"]
    if not files and sys.stdin.isatty():
        note("one record a line; Ctrl-D ends")
    total_bytes = sum(path.stat().st_size for path in files) if files else None
    visible = not quiet and not (sys.stdin.isatty() and not files)
    with unwind_on_sigterm(), Transfer(f"to {topic}", total_bytes, visible=visible) as transfer:
        try:
            _send_all(producer, topic, _records(files, rules), options["partition"], deliveries, transfer)
        finally:
            _settle(producer, cluster)
    if options["as_json"]:
        print_json(
            {
                "topic": topic,
                "records": deliveries.acknowledged,
                "bytes": transfer.record_bytes,
                "elapsed_ms": round(transfer.elapsed_s * 1000),
                "partitions": deliveries.offsets_as_json(),
            }
        )
    if deliveries.refusal is not None:
        sent = f"{deliveries.acknowledged:,} of {transfer.records:,} records were sent to {topic}"
        raise explain(deliveries.refusal, sent)
    if not quiet:
        note(f"sent to {topic}: {transfer.summary()}")


def _input_rules(options: dict[str, Any]) -> InputRules:
    key, separator, null_marker = options["key"], options["key_separator"], options["null_marker"]
    if separator is not None and options["form"] != "lines":
        raise click.UsageError("--key-separator is for --input lines")
    if separator == "":
        raise click.UsageError("--key-separator cannot be empty")
    if key is not None and separator is not None:
        raise click.UsageError("give --key or --key-separator, not both")
    pairs = [parse_pair(word, option="--header") for word in options["headers"]]
    return InputRules(
        form=options["form"],
        key=None if key is None else key.encode(),
        key_separator=None if separator is None else separator.replace("\\t", "\t").encode(),
        null_marker=None if null_marker is None else null_marker.encode(),
        headers=tuple((name, value.encode()) for name, value in pairs),
    )


def _properties(cluster: Cluster, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "acks": options["acks"],
        "enable.idempotence": options["acks"] == "all",
        "compression.type": options["compression"],
        "message.timeout.ms": int(cluster.timeout_s * 1000),
        "topic.metadata.propagation.max.ms": int(cluster.timeout_s * 500),
    }


def _records(files: tuple[Path, ...], rules: InputRules) -> Iterator[tuple[InputRecord, int]]:
    if not files:
        yield from read_records(sys.stdin.buffer, "stdin", rules)
    for path in files:
        with _open(path) as source:
            yield from read_records(source, str(path), rules)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as failure:
        raise CommandFailed(f"cannot read {path}: {failure.strerror}.") from failure


def _send_all(
    producer: Producer,
    topic: str,
    records: Iterator[tuple[InputRecord, int]],
    partition: int | None,
    deliveries: Deliveries,
    transfer: Transfer,
) -> None:
    for count, (record, taken_bytes) in enumerate(records, 1):
        if partition is not None:
            record.partition = partition
        _send(producer, topic, record, deliveries)
        transfer.add(len(record.key or b"") + len(record.value or b""), taken_bytes)
        if count % RECORDS_PER_POLL == 0:
            producer.poll(0)
        if deliveries.refusal is not None:
            return


def _send(producer: Producer, topic: str, record: InputRecord, deliveries: Deliveries) -> None:
    """Queue one record, waiting while librdkafka's queue is full: that is what bounds our memory."""
    while True:
        try:
            producer.produce(
                topic,
                value=record.value,
                key=record.key,
                partition=-1 if record.partition is None else record.partition,
                on_delivery=deliveries.on_delivery,
                timestamp=record.timestamp_ms or 0,
                headers=list(record.headers),
            )
            return
        except BufferError:
            producer.poll(FULL_QUEUE_WAIT_S)
        except KafkaException as refusal:
            raise explain(refusal.args[0], f"cannot send to {topic}") from refusal


def _settle(producer: Producer, cluster: Cluster) -> None:
    """Wait for the answers still out. Every record ends within message.timeout.ms, so this does too."""
    with contextlib.suppress(KeyboardInterrupt):
        producer.flush(cluster.timeout_s + 1.0)
