"""The commands: read the options, make the topic, run one bench, print what it found, remove the topic."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from confluent_kafka import KafkaException

from tailrace.base.clock import SystemClock
from tailrace.base.rand import SystemRandom
from tailrace.cli.bench.consume import Readers
from tailrace.cli.bench.latency import NUMBER, RoundTrips
from tailrace.cli.bench.produce import Senders, produce_at_full_speed, produce_by_schedule
from tailrace.cli.bench.result import Result, write_distribution
from tailrace.cli.bench.workload import Workload, duration_s, payload, size_bytes, temporary_topic
from tailrace.cli.cluster import Cluster, cluster_options
from tailrace.cli.cluster_errors import explain
from tailrace.cli.failure import unwind_on_sigterm
from tailrace.cli.output import note
from tailrace.cli.produce import COMPRESSIONS

CONNECTIONS_MAX: Final = 200
"""Each connection is a librdkafka client with some threads of its own."""

Returned = TypeVar("Returned")


def workload_options(
    *, batch_size: str, linger_ms: float, rate: float | None
) -> Callable[[Callable[..., Returned]], Callable[..., Returned]]:
    """Add the options that say what is sent; the defaults that differ between the benches are given here."""
    options = [
        click.option("--record-size", default="1KB", show_default=True, type=size_bytes, metavar="SIZE",
                     help="Bytes of a record's value."),
        click.option("--batch-size", default=batch_size, show_default=True, type=size_bytes, metavar="SIZE",
                     help="A batch's largest size; 0 is a request for each record."),
        click.option("--linger-ms", default=linger_ms, show_default=True, type=click.FloatRange(0, 60_000),
                     help="How long a batch waits to be filled."),
        click.option("--rate", default=rate, type=click.FloatRange(min=0, min_open=True), show_default=rate is not None,
                     help="Records a second, on a schedule that waits for nothing; without it, as fast as it goes."),
        click.option("--acks", default="all", show_default=True, type=click.Choice(["0", "1", "all"])),
        click.option("-z", "--compression", default="none", show_default=True, type=click.Choice(COMPRESSIONS)),
        click.option("--connections", default=1, show_default=True, type=click.IntRange(1, CONNECTIONS_MAX),
                     help="Clients, each with connections of its own."),
        click.option("--partitions", default=1, show_default=True, type=click.IntRange(1, 10_000)),
        click.option("--replication-factor", type=click.IntRange(min=1), help="Replicas; the cluster's default."),
        click.option("--duration", default="10s", show_default=True, type=duration_s, metavar="TIME",
                     help="Such as 500ms, 10s, 2m."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object."),
    ]  # fmt: skip

    def add(command: Callable[..., Returned]) -> Callable[..., Returned]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.group
def bench() -> None:
    """Measure what a Kafka cluster takes, gives and answers.

    A topic is made for the run and removed at its end. Sizes are in powers of 1000.
    """


@bench.command
@cluster_options
@workload_options(batch_size="256KB", linger_ms=5, rate=None)
@click.option(
    "--max-bytes",
    default="2GB",
    show_default=True,
    type=size_bytes,
    metavar="SIZE",
    help="Stop after so much, without --rate.",
)
@click.option("--histogram", type=click.Path(dir_okay=False, path_type=Path), help="Write the latencies there (.hgrm).")
def produce(cluster: Cluster, max_bytes: int, histogram: Path | None, **options: Any) -> None:  # the options, by name
    """Send records and count what is acknowledged; with --rate, also how long each took."""
    workload = _workload(options)
    result = Result("produce", workload)
    value = payload(workload.record_bytes, SystemRandom())
    with _topic(cluster, workload) as topic, _senders(cluster, workload, topic) as senders:
        senders.connect(value)
        if workload.rate_per_s is None:
            produce_at_full_speed(senders, result, value, max_bytes, SystemClock())
        else:
            produce_by_schedule(senders, result, value, SystemClock())
    _finish(result, options["as_json"], histogram)


@bench.command
@cluster_options
@workload_options(batch_size="256KB", linger_ms=5, rate=None)
@click.option(
    "--fill", default="256MB", show_default=True, type=size_bytes, metavar="SIZE", help="How much the topic holds."
)
def consume(cluster: Cluster, fill: int, **options: Any) -> None:  # the options above, by name
    """Fill a topic, then read it from its start, again and again; --connections readers read all of it each."""
    if options["rate"] is not None:
        raise click.UsageError("--rate is for produce and latency: consume reads as fast as it goes")
    workload = _workload(options)
    result = Result("consume", workload)
    value = payload(workload.record_bytes, SystemRandom())
    filling = Result("fill", workload)
    with _topic(cluster, workload) as topic:
        with _senders(cluster, workload, topic) as senders:
            produce_at_full_speed(senders, filling, value, fill, SystemClock())
        if senders.refusal is not None:
            raise explain(senders.refusal, "cannot fill the topic")
        readers = Readers(cluster, workload, topic, filling.records)
        try:
            readers.connect()
            result.elapsed_s = readers.run(workload.duration_s, SystemClock())
            result.records = readers.records
        finally:
            readers.close()
    _finish(result, options["as_json"], None)


@bench.command
@cluster_options
@workload_options(batch_size="16KB", linger_ms=0, rate=1000)
@click.option("--histogram", type=click.Path(dir_okay=False, path_type=Path), help="Write the latencies there (.hgrm).")
def latency(cluster: Cluster, histogram: Path | None, **options: Any) -> None:  # the options above, by name
    """Send records at a fixed rate and read them: from when each was due to when a consumer has it."""
    if options["record_size"] < NUMBER.size:
        raise click.UsageError(f"--record-size must be at least {NUMBER.size}: a record carries its number")
    workload = _workload(options)
    result = Result("latency", workload)
    value = payload(workload.record_bytes, SystemRandom())
    with _topic(cluster, workload) as topic, _senders(cluster, workload, topic) as senders:
        consumer = cluster.consumer(workload.consumer_properties(topic))
        try:
            round_trips = RoundTrips(senders, consumer, result, SystemClock())
            round_trips.connect(value, cluster.timeout_s)
            round_trips.run(value)
            round_trips.drain(cluster.timeout_s)
        finally:
            consumer.close()
    _finish(result, options["as_json"], histogram)


def _workload(options: dict[str, Any]) -> Workload:
    return Workload(
        record_bytes=options["record_size"],
        batch_bytes=options["batch_size"],
        linger_ms=options["linger_ms"],
        acks=options["acks"],
        compression=options["compression"],
        connections=options["connections"],
        partitions=options["partitions"],
        replication_factor=options["replication_factor"] or -1,
        rate_per_s=options["rate"],
        duration_s=options["duration"],
    )


@contextlib.contextmanager
def _topic(cluster: Cluster, workload: Workload) -> Iterator[str]:
    """The run's topic; what librdkafka raises inside becomes a sentence."""
    with unwind_on_sigterm():
        try:
            with temporary_topic(cluster, workload, SystemRandom()) as topic:
                yield topic
        except KafkaException as failure:
            raise explain(failure.args[0], "the run failed") from failure


@contextlib.contextmanager
def _senders(cluster: Cluster, workload: Workload, topic: str) -> Iterator[Senders]:
    senders = Senders(cluster, workload, topic)
    try:
        yield senders
    finally:
        senders.close()


def _finish(result: Result, as_json: bool, histogram: Path | None) -> None:
    if histogram is not None:
        found = result.end_to_end or result.latency
        if found.count:
            write_distribution(histogram, found)
        else:
            note("no histogram was written: latencies are taken with --rate")
    result.show(as_json=as_json)
