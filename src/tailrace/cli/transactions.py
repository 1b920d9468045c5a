"""`tailrace transactions`: list, describe and end transactions, and find those that hang, of any Kafka cluster."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import click

from tailrace.base.clock import SystemClock
from tailrace.base.errors import ErrorCode
from tailrace.cli.cluster import Cluster, cluster_options
from tailrace.cli.failure import CommandFailed
from tailrace.cli.output import note, print_json, print_table
from tailrace.cli.raw_requests import RawCluster, refusal, run
from tailrace.cli.transaction_details import (
    Described,
    OpenTransaction,
    describe_transaction,
    hanging_transactions,
    list_transactions,
    open_transactions,
    producers_of,
)
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.init_producer_id import InitProducerIdRequest
from tailrace.wire.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)

HANGING_AFTER_MINUTES: Final = 15
"""`transaction.max.timeout.ms` of a cluster that nobody changed: by then its coordinator has ended what it knows."""
_MINUTE_MS: Final = 60_000

Result = TypeVar("Result")


@click.group
def transactions() -> None:
    """List, describe and end transactions, and find those that hang."""


def _ask(cluster: Cluster, work: Callable[[RawCluster], Coroutine[Any, Any, Result]]) -> Result:
    if cluster.properties:
        note("-X has no effect on this command: it speaks to brokers without librdkafka")
    return run(cluster.bootstrap_servers, cluster.timeout_s, work)


@transactions.command("list")
@cluster_options
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only in this state; may be repeated.")
@click.option("--longer-than", "longer_than_ms", type=click.IntRange(min=0), metavar="MS",
              help="Only open for longer than this.")  # fmt: skip
@click.option("--pattern", metavar="REGEX", help="Only ids that match as a whole.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def list_command(
    cluster: Cluster, states: tuple[str, ...], longer_than_ms: int | None, pattern: str | None, as_json: bool
) -> None:
    """List transactional ids with their state."""
    longest_ms = -1 if longer_than_ms is None else longer_than_ms
    found = _ask(cluster, lambda raw: list_transactions(raw, list(states), longest_ms, pattern))
    if as_json:
        print_json([each._asdict() for each in found])
    elif found:
        print_table(("transactional id", "state", "producer id"), found)
    else:
        note("no transactional ids")


@transactions.command("describe")
@cluster_options
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def describe_command(cluster: Cluster, ids: tuple[str, ...], as_json: bool) -> None:
    """Show what is open under transactional ids, and where."""

    async def work(raw: RawCluster) -> list[Described]:
        return [await describe_transaction(raw, transactional_id) for transactional_id in ids]

    found = _ask(cluster, work)
    now_ms = SystemClock().wall_ms()
    rows = [
        (*each[:5], now_ms - each.start_ms if each.partitions else None,
         ",".join(f"{topic}-{index}" for topic, index in each.partitions) or None)
        for each in found
    ]  # fmt: skip
    if as_json:
        print_json([each._asdict() | {"partitions": [list(place) for place in each.partitions]} for each in found])
    else:
        names = ("transactional id", "state", "producer id", "epoch", "timeout ms", "open for ms", "partitions")
        print_table(names, rows)


@transactions.command("producers")
@cluster_options
@click.argument("place", metavar="TOPIC:PARTITION")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def producers_command(cluster: Cluster, place: str, as_json: bool) -> None:
    """Show the producers that a partition knows, idempotent and transactional, and where their transactions begin."""
    topic, index = _partition(place)
    found = _ask(cluster, lambda raw: producers_of(raw, topic, index))
    if as_json:
        print_json([each._asdict() for each in found])
    elif found:
        names = ("producer id", "epoch", "coordinator epoch", "last sequence", "last write ms", "start offset")
        print_table(names, found)
    else:
        note(f"{topic}-{index} knows no producers")


@transactions.command("find-hanging")
@cluster_options
@click.option("-t", "--topic", "topics", multiple=True, help="Only there; may be repeated. All topics otherwise.")
@click.option("--quiet-for", "quiet_minutes", type=click.IntRange(min=0), default=HANGING_AFTER_MINUTES,
              show_default=True, metavar="MINUTES", help="Without a write for at least this long.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def find_hanging(cluster: Cluster, topics: tuple[str, ...], quiet_minutes: int, as_json: bool) -> None:
    """Find transactions that hold readers back and that no coordinator will end."""
    since_ms = SystemClock().wall_ms() - quiet_minutes * _MINUTE_MS
    found = _ask(cluster, lambda raw: hanging_transactions(raw, list(topics) or None, since_ms))
    if as_json:
        print_json([each._asdict() for each in found])
    elif found:
        names = ("topic", "partition", "producer id", "epoch", "coordinator epoch", "start offset", "last write ms")
        print_table(names, found)
        note("`tailrace transactions abort TOPIC:PARTITION --start-offset N` ends one")
    else:
        note("nothing hangs")


@transactions.command("abort")
@cluster_options
@click.argument("place", required=False, metavar="[TOPIC:PARTITION]")
@click.option("--start-offset", type=click.IntRange(min=0), help="Where the transaction begins in that partition.")
@click.option("--id", "transactional_id", metavar="ID", help="Abort what this id has open, and fence its producer.")
def abort(cluster: Cluster, place: str | None, start_offset: int | None, transactional_id: str | None) -> None:
    """End a transaction by force: one partition's that hangs, or all that a transactional id has open."""
    if transactional_id is not None and place is None:
        named = transactional_id
        _ask(cluster, lambda raw: _fence(raw, named))
        note(f"what {named} had open is aborted, and its producer is fenced")
        return
    if place is None or start_offset is None or transactional_id is not None:
        raise click.UsageError("give TOPIC:PARTITION with --start-offset, or --id")
    topic, index = _partition(place)
    ended = _ask(cluster, lambda raw: _abort_in(raw, topic, index, start_offset))
    note(f"the transaction of producer {ended.producer_id} in {topic}-{index} is aborted")


def _partition(place: str) -> tuple[str, int]:
    topic, _, index = place.rpartition(":")
    if not topic or not index.isdecimal():
        raise click.UsageError(f"{place} is not TOPIC:PARTITION")
    return topic, int(index)


async def _abort_in(cluster: RawCluster, topic: str, index: int, start_offset: int) -> OpenTransaction:
    """Write an abort marker for the transaction that begins there, in its own epochs, as KIP-664 says."""
    here = [each for each in await open_transactions(cluster, [topic]) if each.partition == index]
    found = next((each for each in here if each.start_offset == start_offset), None)
    if found is None:
        raise CommandFailed(f"no open transaction of {topic}-{index} begins at offset {start_offset}.")
    leaders = await cluster.leaders([topic])
    topics = [WritableTxnMarkerTopic(topic, [index])]
    epoch = max(found.coordinator_epoch, 0)
    marker = WritableTxnMarker(found.producer_id, found.producer_epoch, False, topics, epoch)
    answer = await cluster.ask(ApiKey.WRITE_TXN_MARKERS, WriteTxnMarkersRequest([marker]), leaders[topic, index])
    code = answer.markers[0].topics[0].partitions[0].error_code
    if code:
        raise refusal(code, f"cannot abort in {topic}-{index}")
    return found


async def _fence(cluster: RawCluster, transactional_id: str) -> None:
    """Take the id over for a moment: that aborts what is open and fences whoever had it."""
    known = await describe_transaction(cluster, transactional_id)
    broker = await cluster.coordinator(transactional_id)
    request = InitProducerIdRequest(transactional_id, known.timeout_ms)
    answer = await cluster.ask(ApiKey.INIT_PRODUCER_ID, request, broker)
    if answer.error_code not in (ErrorCode.NONE, ErrorCode.CONCURRENT_TRANSACTIONS):  # the latter: under way
        raise refusal(answer.error_code, f"cannot abort what {transactional_id} has open")
