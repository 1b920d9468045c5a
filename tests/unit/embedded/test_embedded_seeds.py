"""Seed records: their forms, and the partition each goes to."""

from __future__ import annotations

import pytest

from tailrace.embedded.broker import api_key, error_code
from tailrace.embedded.seeds import SeedRecord, as_record, build_batches, murmur2, partition_for_key
from tailrace.records.batch import RecordBatch


def read(batches: dict[int, bytearray]) -> dict[int, list]:
    return {partition: list(RecordBatch.parse(memoryview(content)).records()) for partition, content in batches.items()}


@pytest.mark.parametrize(
    ("seed", "record"),
    [
        ("v", SeedRecord("v")),
        (b"v", SeedRecord(b"v")),
        (None, SeedRecord(None)),
        (("k", "v"), SeedRecord("v", "k")),
        (SeedRecord("v", partition=1), SeedRecord("v", partition=1)),
    ],
)
def test_forms(seed, record) -> None:
    assert as_record(seed) == record


@pytest.mark.parametrize("seed", [1, ["k", "v"], ("k", "v", "h"), {"value": 1}])
def test_anything_else_is_refused(seed) -> None:
    with pytest.raises(TypeError, match="a record is"):
        as_record(seed)


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(key, digest) -> None:
    """The values Kafka's own UtilsTest holds its Utils.murmur2 to."""
    assert murmur2(key) == digest & 0xFFFFFFFF


def test_records_without_a_key_take_turns() -> None:
    found = read(build_batches(["a", "b", "c"], 2, 1000))
    assert {partition: [record.value for record in records] for partition, records in found.items()} == {
        0: [b"a", b"c"],
        1: [b"b"],
    }


def test_records_with_a_key_stay_together_and_in_order() -> None:
    found = read(build_batches([("k", str(index)) for index in range(5)], 7, 1000))
    (partition,) = found
    assert partition == partition_for_key(b"k", 7)
    assert [record.value for record in found[partition]] == [b"0", b"1", b"2", b"3", b"4"]


def test_time_headers_and_a_chosen_partition() -> None:
    seeds = [SeedRecord("v", "k", [("h", "x"), ("n", None)], partition=2, timestamp_ms=5), SeedRecord(None)]
    found = read(build_batches(seeds, 3, 1000))
    assert found[2][0].timestamp == 5
    assert found[2][0].headers == (("h", b"x"), ("n", None))
    assert (found[0][0].timestamp, found[0][0].value) == (1000, None)


def test_one_partition_for_all() -> None:
    assert list(build_batches(["a", ("k", "b"), SeedRecord("c", partition=0)], 3, 1000, forced=1)) == [1]


@pytest.mark.parametrize("partition", [-1, 3])
def test_a_partition_that_is_not_there_is_refused(partition) -> None:
    with pytest.raises(ValueError, match="not one of the topic's 3"):
        build_batches([SeedRecord("v", partition=partition)], 3, 1000)


@pytest.mark.parametrize("name", ["ListOffsets", "list_offsets", "LIST_OFFSETS", 2])
def test_apis_go_by_name_or_key(name) -> None:
    assert api_key(name) == 2


def test_unknown_names_are_refused_with_the_known() -> None:
    with pytest.raises(ValueError, match="known are Produce, Fetch"):
        api_key("Prodcue")
    with pytest.raises(ValueError, match="NOT_LEADER_OR_FOLLOWER"):
        error_code("NOT_LEADER")
    assert error_code("NOT_LEADER_OR_FOLLOWER") == error_code(6) == 6
