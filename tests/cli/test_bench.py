"""`tailrace bench` against a broker: what it counts, that it leaves nothing behind. How fast is not asked."""

from __future__ import annotations

import pytest

from .conftest import Tailrace

SHORT = ("--duration", "300ms", "--json", "--request-timeout", "30")


def test_produce_counts_what_is_acknowledged_and_removes_its_topic(tailrace: Tailrace) -> None:
    ended = tailrace("bench", "produce", *SHORT, "--max-bytes", "1MB", "--connections", "2", "--partitions", "2")
    assert ended.code == 0, ended.err
    assert 0 < ended.json["records"] <= 1000 and ended.json["bytes"] == ended.json["records"] * 1000
    assert ended.json["records_per_s"] > 0 and "acknowledged_ms" not in ended.json
    assert not any("tailrace-bench" in topic["topic"] for topic in tailrace("topics", "list", "--json").json)


def test_a_rate_is_a_number_of_records_each_with_its_latency(tailrace: Tailrace, tmp_path) -> None:
    histogram = tmp_path / "run.hgrm"
    ended = tailrace("bench", "produce", *SHORT, "--rate", "200", "--batch-size", "0", "--histogram", str(histogram))
    assert ended.code == 0, ended.err
    found = ended.json["acknowledged_ms"]
    assert ended.json["records"] == found["count"] == 60
    assert 0 < found["p50"] <= found["p99"] <= found["p99.9"] <= found["max"]
    assert histogram.read_text().endswith("#[Total count = 60]\n")


def test_every_record_of_latency_comes_back(tailrace: Tailrace) -> None:
    ended = tailrace("bench", "latency", *SHORT, "--rate", "200", "--partitions", "2", "--connections", "2")
    assert ended.code == 0, ended.err
    assert ended.json["records"] == ended.json["end_to_end_ms"]["count"] == ended.json["acknowledged_ms"]["count"] == 60


def test_consume_reads_the_topic_it_filled_with_every_reader(tailrace: Tailrace) -> None:
    ended = tailrace("bench", "consume", *SHORT, "--fill", "1MB", "--connections", "2", "-z", "lz4")
    assert ended.code == 0, ended.err
    assert ended.json["records"] > 0


@pytest.mark.parametrize(
    "words", [("consume", "--rate", "5"), ("latency", "--record-size", "7"), ("produce", "--duration", "soon")]
)
def test_what_makes_no_sense_is_a_usage_error(tailrace: Tailrace, words) -> None:
    ended = tailrace("bench", *words)
    assert ended.code == 2 and ended.err.startswith("tailrace: ")


def test_no_broker_is_one_sentence(tailrace: Tailrace) -> None:
    ended = tailrace("bench", "produce", bootstrap="127.0.0.1:1")
    assert ended.code == 3 and "cannot reach a broker at 127.0.0.1:1" in ended.err
