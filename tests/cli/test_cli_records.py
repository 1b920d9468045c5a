"""`tailrace produce` and `tailrace consume` against a broker."""

from __future__ import annotations

import json

import pytest

from .conftest import Tailrace


def send(tailrace: Tailrace, topic: str, content: str, *words: str) -> None:
    ended = tailrace("produce", topic, *words, stdin=content.encode())
    assert ended.code == 0, ended.err


def test_lines_go_in_and_come_out(tailrace, topic) -> None:
    sent = tailrace("produce", topic, "--partition", "1", stdin=b"a\n\nc\n")
    assert sent.code == 0 and sent.out == ""
    assert sent.err.startswith(f"sent to {topic}: 3 records (2 B) in ")
    read = tailrace("consume", topic, "--from-beginning", "--to-end")
    assert (read.code, read.out) == (0, "a\n\nc\n")


def test_the_result_as_json_names_the_offsets(tailrace, topic) -> None:
    send(tailrace, topic, "x\n", "--partition", "0")
    result = tailrace("produce", topic, "--partition", "0", "--json", stdin=b"a\nb\n").json
    assert result["topic"] == topic and result["records"] == 2 and result["bytes"] == 2
    assert result["partitions"] == [{"partition": 0, "first_offset": 1, "last_offset": 2}]


def test_keys_headers_and_nulls(tailrace, topic) -> None:
    send(tailrace, topic, "k:v\nk:-\n", "-K", ":", "--null", "-", "-H", "a=1", "-H", "b=", "--partition", "0")
    first, second = tailrace("consume", topic, "--from-beginning", "-e", "--json").json_lines
    assert first["key"] == "k" and first["value"] == "v" and first["headers"] == [["a", "1"], ["b", ""]]
    assert (first["topic"], first["partition"], first["offset"]) == (topic, 0, 0)
    assert first["timestamp_type"] == "create" and first["timestamp"] > 1_600_000_000_000
    assert second["value"] is None and "value_base64" not in second


def test_the_json_of_one_topic_feeds_another(tailrace, topic) -> None:
    document = {"key": "ü", "value_base64": "/wA=", "headers": [["h", None, "/w=="], ["n", None]], "timestamp": 1234}
    send(tailrace, topic, json.dumps(document) + "\n", "--input", "json", "--partition", "1")
    exported = tailrace("consume", topic, "--from-beginning", "-e", "--json").out
    send(tailrace, topic, exported, "--input", "json")
    first, second = tailrace("consume", topic, "--from-beginning", "-e", "--json").json_lines
    assert first["offset"] == 0 and second["offset"] == 1
    assert {**first, "offset": None} == {**second, "offset": None}
    assert first["value_base64"] == "/wA=" and first["timestamp"] == 1234


def test_files_whole_or_by_line(tailrace, topic, tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"1\n2\n")
    (tmp_path / "b").write_bytes(b"3\n")
    send(tailrace, topic, "", "-f", str(tmp_path / "a"), "-f", str(tmp_path / "b"), "-p", "0")
    send(tailrace, topic, "", "-f", str(tmp_path / "a"), "--input", "whole", "-p", "0")
    values = [line["value"] for line in tailrace("consume", topic, "--from-beginning", "-e", "--json").json_lines]
    assert values == ["1", "2", "3", "1\n2\n"]


def test_every_codec_and_acks(tailrace, topic) -> None:
    content = "".join(f"line {number}\n" for number in range(200))
    choices = [(codec, acks) for codec in ("none", "gzip", "snappy", "lz4", "zstd") for acks in ("1", "all")]
    for codec, acks in choices:
        send(tailrace, topic, content, "-z", codec, "--acks", acks, "-p", "0")
    read = tailrace("consume", topic, "--from-beginning", "-n", str(200 * len(choices)), "--timeout", "60")
    assert read.out == content * len(choices)


def test_with_no_acks_nothing_is_known_of_offsets(tailrace, topic) -> None:
    ended = tailrace("produce", topic, "--acks", "0", "--json", stdin=b"a\nb\n")
    assert ended.code == 0
    assert (ended.json["records"], ended.json["partitions"]) == (2, [])


def test_a_thousand_records_keep_their_order_in_each_partition(tailrace, topic) -> None:
    send(tailrace, topic, "".join(f"{number}\n" for number in range(1000)))
    lines = tailrace("consume", topic, "--from-beginning", "-e", "--format", "%p %o %v").out.splitlines()
    rows = [tuple(map(int, line.split())) for line in lines]
    assert sorted(value for _, _, value in rows) == list(range(1000))
    for partition in (0, 1):
        own = [(offset, value) for number, offset, value in rows if number == partition]
        assert own == sorted(own) and [offset for offset, _ in own] == list(range(len(own)))


def test_where_to_start(tailrace, topic) -> None:
    for number in range(5):
        document = {"value": str(number), "timestamp": 1_700_000_000_000 + number * 1000}
        send(tailrace, topic, json.dumps(document), "--input", "json", "-p", "0")

    def read(*words: str) -> list[str]:
        ended = tailrace("consume", topic, "-p", "0", "-e", *words)
        assert ended.code == 0, ended.err
        return ended.out.split()

    assert read("--from-beginning") == ["0", "1", "2", "3", "4"]
    assert read("--from-end") == []
    assert read("--offset", "3") == ["3", "4"]
    assert read("--offset", "-2") == ["3", "4"]
    assert read("--offset", "-99", "-n", "1") == ["0"]
    assert read("--offset", "99") == []
    assert read("--offset", "earliest", "-n", "1") == ["0"]
    assert read("--timestamp", "2023-11-14T22:13:21.500Z") == ["2", "3", "4"]
    assert read("--timestamp", "1700000004000") == ["4"]
    assert read("--timestamp", "2035-01-01") == []


def test_consume_stops_when_it_is_told_to(tailrace, topic) -> None:
    send(tailrace, topic, "a\nb\nc\n", "-p", "0")
    assert tailrace("consume", topic, "--from-beginning", "-n", "2").out == "a\nb\n"
    idle = tailrace("consume", topic, "--timeout", "0.5")
    assert (idle.code, idle.out) == (0, "")


def test_a_group_goes_on_where_it_was(tailrace, topic) -> None:
    send(tailrace, topic, "a\nb\nc\n", "-p", "0")
    words = ("consume", topic, "--group", f"g-{topic}", "--from-beginning", "--timeout", "20")
    assert tailrace(*words, "-n", "2").out == "a\nb\n"
    assert tailrace(*words, "-n", "1").out == "c\n"
    assert tailrace(*words, "--to-end").out == ""


def test_several_topics_at_once(tailrace, topic) -> None:
    assert tailrace("topics", "create", f"{topic}-b").code == 0
    send(tailrace, topic, "1\n")
    send(tailrace, f"{topic}-b", "2\n")
    read = tailrace("consume", topic, f"{topic}-b", "--from-beginning", "-e", "--format", "%t=%v")
    assert sorted(read.out.split()) == [f"{topic}-b=2", f"{topic}=1"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("consume", "no-such-topic"), 1, "cannot read topic no-such-topic"),
        (("consume", "TOPIC", "-p", "9"), 1, "no partition 9 in TOPIC"),
        (("consume", "TOPIC", "--offset", "x"), 2, "is not an offset"),
        (("consume", "TOPIC", "--timestamp", "soon"), 2, "is not a time"),
        (("consume", "TOPIC", "--format", "%q"), 2, "%q means nothing here"),
        (("consume", "TOPIC", "--format", "%v", "--json"), 2, "not both"),
        (("consume", "TOPIC", "--from-beginning", "--timestamp", "0"), 2, "give one of"),
        (("consume", "TOPIC", "-g", "g", "-o", "3"), 2, "tailrace groups reset"),
        (("consume", "TOPIC", "-X", "no.such=1"), 2, "no.such"),
        (("produce", "TOPIC", "-p", "9"), 1, "Unknown partition"),
        (("produce", "TOPIC", "-K", ":"), 1, "stdin, line 1: no key separator"),
        (("produce", "TOPIC", "--input", "json"), 1, "stdin, line 1: not the JSON"),
        (("produce", "bad topic name"), 1, "bad topic name"),
        (("produce", "TOPIC", "-f", "/no/such/file"), 2, "does not exist"),
    ],
)
def test_refusals_are_one_sentence_with_a_code(tailrace, topic, words, code, said) -> None:
    ended = tailrace(*(word.replace("TOPIC", topic) for word in words), stdin=b"x\n")
    assert ended.code == code, ended
    assert said.replace("TOPIC", topic) in ended.err
    assert ended.err.startswith("tailrace: ") and ended.err.count("\n") == 1


def test_a_record_larger_than_the_topic_allows_is_refused(tailrace, topic) -> None:
    assert tailrace("topics", "alter", topic, "--set", "max.message.bytes=1000").code == 0
    ended = tailrace("produce", topic, stdin=b"x" * 5000)
    assert ended.code == 1
    assert "0 of 1 records were sent" in ended.err and "max.message.bytes" in ended.err
