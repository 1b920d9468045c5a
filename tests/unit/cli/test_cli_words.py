"""Words of the command line: pairs, times, offsets, formats."""

from __future__ import annotations

import click
import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Message

from tailrace.base.clock import ManualClock
from tailrace.cli.pairs import parse_pairs
from tailrace.cli.positions import OffsetType, Position, TimeType, format_time, parse_time
from tailrace.cli.record_format import compile_format

RECORD = Message(
    topic="orders",
    partition=2,
    offset=41,
    key=b"k\xff",
    value=b"paid",
    headers=[("a", b"1"), ("b", None)],
    timestamp=(TIMESTAMP_CREATE_TIME, 1_700_000_000_123),
)
NULLS = Message(topic="orders", partition=0, offset=0, timestamp=(TIMESTAMP_CREATE_TIME, 0))


def test_a_value_may_hold_equals_signs_and_be_empty() -> None:
    assert parse_pairs(["a=b=c", "d=", " e =f", "d=2"], option="--set") == {"a": "b=c", "d": "2", "e": "f"}


@pytest.mark.parametrize("word", ["a", "=b", ""])
def test_a_pair_without_a_name_or_a_sign_names_its_option(word) -> None:
    with pytest.raises(click.UsageError, match="--set"):
        parse_pairs([word], option="--set")


@pytest.mark.parametrize(
    ("text", "timestamp_ms"),
    [
        ("0", 0),
        ("1700000000000", 1_700_000_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T22:13:20", 1_700_000_000_000),
        ("2023-11-14T23:13:20.250+01:00", 1_700_000_000_250),
        ("2023-11-14", 1_699_920_000_000),
        ("-90s", 1_700_000_000_000 - 90_000),
        ("-10m", 1_700_000_000_000 - 600_000),
        ("-2h", 1_700_000_000_000 - 7_200_000),
        ("-1d", 1_700_000_000_000 - 86_400_000),
    ],
)
def test_times(text, timestamp_ms) -> None:
    assert parse_time(text, ManualClock(1_700_000_000_000)) == timestamp_ms


@pytest.mark.parametrize("text", ["", "yesterday", "-2w", "2023-13-01", "-h", "1.5"])
def test_what_is_no_time_is_refused_with_examples(text) -> None:
    with pytest.raises(click.BadParameter, match="ISO time"):
        TimeType().convert(text, None, None)


def test_times_are_written_in_utc_with_milliseconds() -> None:
    assert format_time(1_700_000_000_007) == "2023-11-14T22:13:20.007Z"


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("earliest", Position("earliest")),
        ("latest", Position("latest")),
        ("0", Position("offset", 0)),
        ("-5", Position("offset", -5)),
    ],
)
def test_offsets(text, position) -> None:
    assert OffsetType().convert(text, None, None) == position


def test_what_is_no_offset_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="not an offset"):
        OffsetType().convert("beginning", None, None)


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("%t/%p@%o", b"orders/2@41"),
        ("%k=%v", b"k\xff=paid"),
        ("[%h]", b"[a=1,b=]"),
        ("%T %I", b"1700000000123 2023-11-14T22:13:20.123Z"),
        ("%K %V", b"2 4"),
        (r"a\tb\n\\%%\0", b"a\tb\n\\%\0"),
        ("", b""),
        ("é%v", "épaid".encode()),
    ],
)
def test_formats(template, rendered) -> None:
    assert compile_format(template)(RECORD) == rendered


def test_nulls_print_as_nothing_and_count_as_minus_one() -> None:
    assert compile_format("<%k%v%h> %K %V")(NULLS) == b"<> -1 -1"


@pytest.mark.parametrize("template", ["%q", "100%", "\\x", "end\\"])
def test_an_unknown_place_is_refused_with_the_known_ones(template) -> None:
    with pytest.raises(ValueError, match="means nothing here; known are"):
        compile_format(template)
