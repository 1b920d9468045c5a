"""`tailrace consume TOPIC`: print the records of a topic, as they are, as JSON lines, or in a format.

Without --group the partitions are read directly and nothing is committed; with it the command is an ordinary member
of the group and commits what it has printed. Output is flushed whenever nothing more is at hand, so a pipe sees a
record at once and a long read costs few writes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import click
from confluent_kafka import Consumer, KafkaError, Message

from tailrace.base.clock import SystemClock
from tailrace.cli.cluster import Cluster, cluster_options
from tailrace.cli.cluster_errors import UNREACHABLE_CODES, explain, unreachable
from tailrace.cli.failure import unwind_on_sigterm
from tailrace.cli.output import note
from tailrace.cli.positions import OffsetType, Position, TimeType
from tailrace.cli.progress import Transfer
from tailrace.cli.reading import Reading, join_group, take_partitions
from tailrace.cli.record_format import compile_format
from tailrace.cli.record_json import record_to_json

POLL_WAIT_S: Final = 0.1
"""How long one poll blocks, which is how soon Ctrl-C and --timeout are noticed."""

BATCH_RECORDS: Final = 500
"""Records taken from librdkafka at once: a third of the CPU of taking them one by one."""

READER_GROUP: Final = "tailrace-consume"
"""librdkafka wants a group id even from a consumer that joins none; nothing is ever committed under it."""

Renderer = Callable[[Message], bytes]


@dataclass(slots=True)
class StopRules:
    """When to stop, None being never for that reason; and so, how many records may be taken at once."""

    max_messages: int | None
    idle_timeout_s: float | None
    at_end: bool
    batch_records: int

    def next_batch(self, printed: int) -> int:
        """How many records to ask for when `printed` are out; 0 when that was all."""
        if self.max_messages is None:
            return self.batch_records
        return min(self.batch_records, self.max_messages - printed)


@click.command
@cluster_options
@click.argument("topics", nargs=-1, required=True, metavar="TOPIC...")
@click.option("--from-beginning", "start", flag_value=Position("earliest"), type=OffsetType(),
              help="Start at the first record kept.")  # fmt: skip
@click.option("--from-end", "start", flag_value=Position("latest"), type=OffsetType(), default=None,
              help="Start with what arrives from now on; the default.")  # fmt: skip
@click.option("-o", "--offset", "start", type=OffsetType(), metavar="OFFSET",
              help="Start there in every partition; -N starts N records before the end.")  # fmt: skip
@click.option("--timestamp", type=TimeType(), metavar="TIME",
              help="Start with the first record from then on: ms since 1970, ISO 8601, or an age: -2h.")  # fmt: skip
@click.option("-p", "--partition", "partitions", type=click.IntRange(min=0), multiple=True,
              help="Only this one; may be repeated.")  # fmt: skip
@click.option("-g", "--group", help="Read as a member of this group and commit.")
@click.option("-e", "--to-end", is_flag=True, help="Stop when every partition's end is reached.")
@click.option("-n", "--max-messages", type=click.IntRange(min=1), help="Stop after so many records.")
@click.option("--timeout", "idle_timeout_s", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
              help="Stop when no record has come for so long.")  # fmt: skip
@click.option("--format", "template", metavar="TEXT",
              help="%t topic %p partition %o offset %k key %v value %h headers %T ms %I ISO time.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def consume(cluster: Cluster, topics: tuple[str, ...], **options: Any) -> None:  # the options above, by name
    """Print the records of TOPICs."""
    start = _start(options)
    render = _renderer(options["template"], options["as_json"])
    consumer = cluster.consumer(_properties(options["group"], start))
    # What has been taken counts as consumed, so a group's member takes one at a time: it commits only what it printed.
    batch_records = BATCH_RECORDS if options["group"] is None else 1
    stop = StopRules(options["max_messages"], options["idle_timeout_s"], options["to_end"], batch_records)
    try:
        if options["group"] is not None:
            reading = join_group(cluster, consumer, topics)
        else:
            reading = take_partitions(cluster, consumer, topics, options["partitions"], start or Position("latest"))
            if start is None and sys.stderr.isatty() and not stop.at_end:
                note("waiting for new records; --from-beginning shows those already there")
        visible = not sys.stdout.isatty()
        with unwind_on_sigterm(), Transfer(f"from {', '.join(topics)}", stop.max_messages, visible=visible) as transfer:
            _print_records(cluster, consumer, reading, stop, _Printer(render, sys.stdout.buffer, transfer))
    finally:
        consumer.close()


def _start(options: dict[str, Any]) -> Position | None:
    start: Position | None = options["start"]
    if options["timestamp"] is not None:
        if start is not None:
            raise click.UsageError("give one of --from-beginning, --from-end, --offset and --timestamp")
        start = Position("time", options["timestamp"])
    if options["group"] is not None:
        if options["partitions"]:
            raise click.UsageError("--group shares out partitions by itself; leave --partition out")
        if start is not None and start.kind in ("offset", "time"):
            raise click.UsageError("a group starts where it left off; move it with `tailrace groups reset`")
    return start


def _renderer(template: str | None, as_json: bool) -> Renderer:
    if template is not None and as_json:
        raise click.UsageError("give --format or --json, not both")
    if as_json:
        return lambda message: json.dumps(record_to_json(message), ensure_ascii=False).encode() + b"\n"
    if template is None:
        return lambda message: (message.value() or b"") + b"\n"
    try:
        render = compile_format(template)
    except ValueError as failure:
        raise click.UsageError(f"--format: {failure}") from failure
    newline = b"" if template.endswith(("\\n", "\\0")) else b"\n"
    return lambda message: render(message) + newline


def _properties(group: str | None, start: Position | None) -> dict[str, Any]:
    earliest = start is not None and start.kind == "earliest"
    return {
        "group.id": group or READER_GROUP,
        "enable.auto.commit": group is not None,
        "auto.offset.reset": "earliest" if earliest else "latest",
        "enable.partition.eof": True,
    }


class _Printer:
    """Writes rendered records to stdout and counts them."""

    def __init__(self, render: Renderer, stream: BinaryIO, transfer: Transfer) -> None:
        self._render = render
        self._stream = stream
        self._transfer = transfer

    @property
    def count(self) -> int:
        return self._transfer.records

    def print(self, message: Message) -> None:
        self._stream.write(self._render(message))
        self._transfer.add(len(message.key() or b"") + len(message.value() or b""), 1)

    def flush(self) -> None:
        self._stream.flush()


def _print_records(cluster: Cluster, consumer: Consumer, reading: Reading, stop: StopRules, printer: _Printer) -> None:
    clock = SystemClock()
    last_record_ms = clock.monotonic_ms()
    while (wanted := stop.next_batch(printer.count)) > 0:
        messages = consumer.consume(wanted, 0)
        if not messages:
            printer.flush()
            messages = consumer.consume(1, POLL_WAIT_S)
        for message in messages:
            if message.error() is None:
                reading.on_record(message)
                printer.print(message)
            else:
                _on_error(cluster, message, reading)
        now_ms = clock.monotonic_ms()
        if messages:
            last_record_ms = now_ms
        if stop.at_end and reading.finished:
            break
        if stop.idle_timeout_s is not None and now_ms - last_record_ms >= stop.idle_timeout_s * 1000:
            break
    printer.flush()


def _on_error(cluster: Cluster, message: Message, reading: Reading) -> None:
    error = message.error()
    assert error is not None
    if error.code() == KafkaError._PARTITION_EOF:
        reading.on_end(message)
    elif error.code() in UNREACHABLE_CODES:  # librdkafka keeps trying; so do we, unless all brokers are gone
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            raise unreachable(cluster.bootstrap_servers, [*cluster.connect_errors, error])
    elif not error.retriable():
        raise explain(error, f"cannot read {message.topic() or 'the topic'}")
