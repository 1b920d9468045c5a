"""Records from bytes, and records as JSON there and back."""

from __future__ import annotations

import io
import json

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_NOT_AVAILABLE, Message
from hypothesis import given
from hypothesis import strategies as st

from tailrace.cli import record_input
from tailrace.cli.failure import CommandFailed
from tailrace.cli.record_input import InputRules, read_records
from tailrace.cli.record_json import InputRecord, record_from_json, record_to_json


def read(content: bytes, **rules) -> list[InputRecord]:
    return [
        record for record, _ in read_records(io.BytesIO(content), "stdin", InputRules(**{"form": "lines", **rules}))
    ]


def test_a_line_is_a_value_without_its_line_end() -> None:
    assert [record.value for record in read(b"a\r\n\nb c")] == [b"a", b"", b"b c"]


def test_sizes_add_up_to_the_input_so_that_a_bar_can_reach_its_end() -> None:
    content = b"a\r\n\nb c"
    sizes = [size for _, size in read_records(io.BytesIO(content), "x", InputRules("lines"))]
    assert sum(sizes) == len(content)


def test_a_key_separator_splits_at_its_first_place() -> None:
    (record,) = read(b"k::a::b\n", key_separator=b"::")
    assert (record.key, record.value) == (b"k", b"a::b")


def test_a_line_without_the_separator_is_named_by_number() -> None:
    with pytest.raises(CommandFailed, match="stdin, line 2: no key separator ':'"):
        read(b"a:1\nb\n", key_separator=b":")


def test_the_null_marker_makes_null_keys_and_tombstones() -> None:
    records = read(b"-:1\nk:-\n", key_separator=b":", null_marker=b"-")
    assert [(record.key, record.value) for record in records] == [(None, b"1"), (b"k", None)]


def test_fixed_key_and_headers_go_to_every_record() -> None:
    records = read(b"1\n2\n", key=b"k", headers=(("h", b"x"),))
    assert [(record.key, record.headers) for record in records] == [(b"k", [("h", b"x")])] * 2


def test_whole_takes_everything_as_one_value() -> None:
    assert [record.value for record in read(b"a\nb\n", form="whole")] == [b"a\nb\n"]


def test_a_line_longer_than_any_broker_takes_is_refused_before_it_is_all_read(monkeypatch) -> None:
    monkeypatch.setattr(record_input, "LINE_MAX_BYTES", 8)
    assert len(read(b"1234567\n12345678")) == 2
    with pytest.raises(CommandFailed, match="line 2: longer than 8 bytes"):
        read(b"1\n" + b"x" * 100)


def test_json_lines_carry_their_own_key_partition_time_and_headers() -> None:
    document = {"key": "k", "value": None, "headers": [["a", "b"], ["n", None]], "partition": 3, "timestamp": 5}
    (record,) = read(json.dumps(document).encode() + b"\n\n", form="json", headers=(("more", b"1"),))
    assert record == InputRecord(b"k", None, [("a", b"b"), ("n", None), ("more", b"1")], 3, 5)


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b'{"value": 1}', b'{"headers": {}}', b'{"headers": [["a"]]}', b'{"value_base64": "?"}',
     b'{"partition": -1}', b'{"partition": true}'],
)  # fmt: skip
def test_json_that_is_no_record_is_refused_by_line(line) -> None:
    with pytest.raises(CommandFailed, match=r"stdin, line 1: not the JSON of a record"):
        read(line, form="json")


octets = st.none() | st.binary(max_size=20)


@given(octets, octets, st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=5), octets), max_size=3))
def test_consume_json_is_what_produce_json_reads(key, value, headers) -> None:
    message = Message(
        topic="t", partition=1, offset=2, key=key, value=value, headers=headers, timestamp=(TIMESTAMP_CREATE_TIME, 3)
    )
    document = json.loads(json.dumps(record_to_json(message)))
    assert list(document)[:5] == ["topic", "partition", "offset", "timestamp", "timestamp_type"]
    assert record_from_json(document) == InputRecord(key, value, headers, 1, 3)


def test_no_timestamp_is_null() -> None:
    message = Message(topic="t", partition=0, offset=0, timestamp=(TIMESTAMP_NOT_AVAILABLE, -1))
    document = record_to_json(message)
    assert (document["timestamp"], document["timestamp_type"]) == (None, None)
