"""What commands print: tables, JSON, sizes, progress."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from tailrace.base.clock import ManualClock
from tailrace.cli.byte_text import put_bytes, quoted
from tailrace.cli.cluster_errors import explain, unreachable
from tailrace.cli.failure import ExitCode
from tailrace.cli.output import plural, print_json, print_table, size_text
from tailrace.cli.progress import Transfer


def test_a_table_in_a_pipe_is_plain_and_aligned(capfd) -> None:
    print_table(("topic", "lag", "member"), [("orders", 5, "a"), ("x", 1000, None), ("y", None, "b")])
    assert capfd.readouterr().out == (
        "TOPIC    LAG  MEMBER\n"
        "orders     5  a\n"
        "x       1000  -\n"
        "y          -  b\n"
    )  # fmt: skip


def test_a_table_without_rows_still_names_its_columns(capfd) -> None:
    print_table(("topic", "lag"), [])
    assert capfd.readouterr().out == "TOPIC  LAG\n"


def test_json_is_one_line_and_keeps_text_readable(capfd) -> None:
    print_json({"topic": "grüße", "n": None})
    assert capfd.readouterr().out == '{"topic": "grüße", "n": null}\n'


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (1_500_000, "1.5 MB"), (2.5e9, "2.5 GB"), (7e12, "7.0 TB")],
)
def test_sizes(size, text) -> None:
    assert size_text(size) == text


def test_plurals() -> None:
    assert [plural(count, "record") for count in (0, 1, 2000)] == ["0 records", "1 record", "2,000 records"]


def test_bytes_that_are_not_text_are_base64_under_a_name_of_their_own() -> None:
    document: dict[str, object] = {}
    put_bytes(document, "a", b"text")
    put_bytes(document, "b", b"\xff")
    put_bytes(document, "c", None)
    assert document == {"a": "text", "b": None, "b_base64": "/w==", "c": None}


@pytest.mark.parametrize(
    ("text", "word"),
    [("plain", "plain"), ("", '""'), ("null", '"null"'), ("a b", '"a b"'), ('"', '"\\""'), ("a\nb", '"a\\nb"')],
)
def test_a_word_that_could_be_taken_for_something_else_is_quoted(text, word) -> None:
    assert quoted(text) == word


def test_a_transfer_sums_up_records_bytes_and_rate() -> None:
    clock = ManualClock()
    with Transfer("to t", None, visible=False, clock=clock) as transfer:
        for _ in range(1000):
            transfer.add(64, 65)
        clock.advance(500)
        assert transfer.summary() == "1,000 records (64.0 KB) in 0.50 s, 2,000 records/s, 128.0 KB/s"


def test_errors_name_cause_and_cure() -> None:
    failure = explain(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), "cannot read topic x")
    assert str(failure) == (
        "cannot read topic x: Unknown topic or partition; `tailrace topics list` shows the topics there are."
    )
    assert failure.exit_code == ExitCode.REFUSED
    assert explain(KafkaError(KafkaError._TIMED_OUT)).exit_code == ExitCode.UNREACHABLE


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("127.0.0.1:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused", "the connection was refused"),
        ("Failed to resolve 'nowhere:1': Name or service not known", "the name does not resolve"),
        ("Disconnected", "it did not answer in time"),
    ],
)
def test_an_unreachable_cluster_is_told_apart(reason, said) -> None:
    failure = unreachable("a:1", [KafkaError(KafkaError._TRANSPORT, reason)])
    assert failure.exit_code == ExitCode.UNREACHABLE
    assert f"cannot reach a broker at a:1: {said};" in str(failure)
