"""`tailrace dump` on files made here: every kind, healthy and damaged, as words and as JSON."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from tailrace.base.types import TopicPartition
from tailrace.cli.main import main
from tailrace.coordinator.transactions.records import transaction_record, transaction_tombstone
from tailrace.coordinator.transactions.transaction import Transaction, TransactionState
from tailrace.log.producer_snapshot import encode_snapshot
from tailrace.log.producer_state import BatchMetadata, ProducerEntry
from tailrace.records.builder import build_batch
from tailrace.records.compression import Codec
from tailrace.records.control import EndTxnMarker, build_end_txn_marker
from tailrace.records.record import Record
from tailrace.wire.group_records.offset_commit import OffsetCommitKey, OffsetCommitValue


def batch(offset: int, *values: bytes | None, **options) -> bytes:
    records = [
        Record(offset + index, 1000 + offset + index, b"k", value, (("h", b"\xff"),))
        for index, value in enumerate(values)
    ]
    return bytes(build_batch(records, base_offset=offset, **options))


def dump(capfd, *words: object) -> tuple[int, list[dict], str]:
    code = main(["dump", "--json", *(str(word) for word in words)])
    out, err = capfd.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    path = tmp_path / "orders-0" / "00000000000000000005.log"
    path.parent.mkdir()
    path.write_bytes(batch(5, b"a", b"b", codec=Codec.GZIP, leader_epoch=3) + batch(7, None, producer_id=9))
    return path


def test_batches_of_a_segment(segment, capfd) -> None:
    code, entries, _ = dump(capfd, segment)
    first, second = entries
    assert code == 0
    assert (first["kind"], first["base_offset"], first["last_offset"], first["record_count"]) == ("batch", 5, 6, 2)
    assert (first["position"], first["codec"], first["crc_valid"], first["leader_epoch"]) == (0, "gzip", True, 3)
    assert (second["position"], second["producer_id"]) == (first["size_bytes"], 9)
    assert "records" not in first


def test_records_of_a_segment(segment, capfd) -> None:
    _, entries, _ = dump(capfd, "--records", segment)
    assert [record["value"] for entry in entries for record in entry["records"]] == ["a", "b", None]
    assert entries[0]["records"][0] == {
        "offset": 5, "timestamp": 1005, "key": "k", "value": "a", "headers": [["h", None, "/w=="]],
    }  # fmt: skip


def test_reading_may_start_later_and_stop_early(segment, capfd) -> None:
    assert [entry["base_offset"] for entry in dump(capfd, "--offset", 6, segment)[1]] == [5, 7]
    assert [entry["base_offset"] for entry in dump(capfd, "--offset", 7, segment)[1]] == [7]
    assert [entry["base_offset"] for entry in dump(capfd, "--limit", 1, segment)[1]] == [5]


def test_words_for_people(segment, capfd) -> None:
    assert main(["dump", "-r", str(segment)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("batch     base_offset=5 last_offset=6 record_count=2 position=0 ")
    assert lines[1] == '  record  offset=5 timestamp=1005 key=k value=a headers=[["h", null, "/w=="]]'


def test_a_flipped_bit_is_damage_and_reading_goes_on(segment, capfd) -> None:
    content = bytearray(segment.read_bytes())
    content[70] ^= 1
    segment.write_bytes(content)
    code, entries, said = dump(capfd, "-r", segment)
    assert code == 1
    assert [entry["kind"] for entry in entries] == ["damage", "batch"]
    assert "is damaged in 1 place" in said


@pytest.mark.parametrize("cut", [1, 20, 61, 75])
def test_a_torn_tail_is_named_after_what_can_be_read(segment, capfd, cut) -> None:
    content = segment.read_bytes()
    whole = dump(capfd, segment)[1][0]["size_bytes"]
    segment.write_bytes(content[: min(whole + cut, len(content) - 1)])
    code, entries, _ = dump(capfd, segment)
    assert code == 1
    assert [entry["kind"] for entry in entries] == ["batch", "damage"]
    assert entries[1]["position"] == whole


def test_every_truncation_ends_in_an_answer(segment, capfd) -> None:
    content = segment.read_bytes()
    for size in range(len(content)):
        segment.write_bytes(content[:size])
        assert main(["dump", "--json", "-r", str(segment)]) in (0, 1)
    assert "bug" not in capfd.readouterr().err


def test_transaction_markers(tmp_path, capfd) -> None:
    path = tmp_path / "00000000000000000000.log"
    path.write_bytes(build_end_txn_marker(4, 1, EndTxnMarker(False, 6), 1000))
    (entry,) = dump(capfd, path)[1]
    assert (entry["control"], entry["marker"], entry["coordinator_epoch"]) == (True, "abort", 6)


def test_committed_offsets_are_told_in_words(tmp_path, capfd) -> None:
    key, value = bytearray(b"\0\x01"), bytearray(b"\0\x03")
    OffsetCommitKey(group="g", topic="orders", partition=2).encode(key, 1)
    OffsetCommitValue(offset=77, metadata="m", commit_timestamp=5).encode(value, 3)
    path = tmp_path / "__consumer_offsets-0" / "00000000000000000000.log"
    path.parent.mkdir()
    records = [Record(0, 1, bytes(key), bytes(value)), Record(1, 1, bytes(key), None), Record(2, 1, b"\0\x09", b"?")]
    path.write_bytes(build_batch(records))
    (entry,) = dump(capfd, "-r", path)[1]
    committed, tombstone, unknown = entry["records"]
    assert (committed["group"], committed["topic"], committed["partition"]) == ("g", "orders", 2)
    assert (committed["committed_offset"], committed["metadata"]) == (77, "m")
    assert tombstone["tombstone"] is True
    assert unknown["value"] == "?"


@pytest.mark.parametrize("is_commit", [True, False])
def test_a_marker_among_committed_offsets_is_no_commit(tmp_path, capfd, is_commit) -> None:
    path = tmp_path / "__consumer_offsets-0" / "00000000000000000000.log"
    path.parent.mkdir()
    path.write_bytes(build_end_txn_marker(4, 1, EndTxnMarker(is_commit, 6), 1000))
    (entry,) = dump(capfd, "-r", path)[1]
    assert entry["marker"] == ("commit" if is_commit else "abort")
    assert "type" not in entry["records"][0]


def test_records_of_the_transaction_topic_are_put_into_words(tmp_path, capfd) -> None:
    open_one = Transaction("x", 5, 7, 60_000, TransactionState.ONGOING, frozenset({TopicPartition("t", 1)}), 100, 200)
    path = tmp_path / "__transaction_state-3" / "00000000000000000000.log"
    path.parent.mkdir()
    written = [transaction_record(open_one), transaction_tombstone("x")]
    records = [Record(at, 1, each.key, each.value) for at, each in enumerate(written)]
    path.write_bytes(build_batch([*records, Record(2, 1, b"\0\x09", b"?"), Record(3, 1, written[0].key, b"\0\1")]))
    (entry,) = dump(capfd, "-r", path)[1]
    known, tombstone, unknown, damaged = entry["records"]
    assert (known["transactional_id"], known["state"], known["producer_epoch"]) == ("x", "Ongoing", 7)
    assert known["partitions"] == ["t-1"]
    assert (tombstone["transactional_id"], tombstone["tombstone"]) == ("x", True)
    assert unknown["value"] == "?" and "value" in damaged


def test_an_offset_index_is_held_against_its_segment(segment, capfd) -> None:
    second = dump(capfd, segment)[1][1]["position"]
    index = segment.with_suffix(".index")
    index.write_bytes(struct.pack(">iiii", 1, 0, 2, second))
    code, entries, _ = dump(capfd, index)
    assert code == 0
    assert [(entry["offset"], entry["position"]) for entry in entries] == [(6, 0), (7, second)]
    index.write_bytes(struct.pack(">ii", 1, second))
    code, (entry,), _ = dump(capfd, index)
    assert code == 1 and "ends with offset 7" in entry["reason"]
    index.write_bytes(struct.pack(">ii", 1, second + 1))
    assert "no batch at that position" in dump(capfd, index)[1][0]["reason"]


def test_time_and_transaction_indexes(tmp_path, capfd) -> None:
    (tmp_path / "00000000000000000005.timeindex").write_bytes(struct.pack(">qi", 1000, 2))
    (tmp_path / "00000000000000000005.txnindex").write_bytes(struct.pack(">hqqqq", 0, 1, 5, 9, 5))
    assert dump(capfd, tmp_path / "00000000000000000005.timeindex")[1][0]["offset"] == 7
    aborted = dump(capfd, tmp_path / "00000000000000000005.txnindex")[1][0]
    assert (aborted["producer_id"], aborted["first_offset"], aborted["last_offset"]) == (1, 5, 9)


def test_producer_snapshots(tmp_path, capfd) -> None:
    producer = ProducerEntry(7)
    producer.producer_epoch = 1
    producer.batches.append(BatchMetadata(9, 19, 4, 1000))
    path = tmp_path / "00000000000000000020.snapshot"
    path.write_bytes(encode_snapshot([producer]))
    (entry,) = dump(capfd, path)[1]
    assert (entry["producer_id"], entry["last_sequence"], entry["last_offset"]) == (7, 9, 19)
    path.write_bytes(path.read_bytes()[:-1])
    assert dump(capfd, path)[0] == 1


def test_checkpoints_and_identities(tmp_path, capfd) -> None:
    (tmp_path / "recovery-point-offset-checkpoint").write_text("0\n1\norders 2 17\n")
    (tmp_path / "leader-epoch-checkpoint").write_text("0\n2\n0 0\n3 9\n")
    (tmp_path / "partition.metadata").write_text("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n")
    (tmp_path / "meta.properties").write_text("version=1\ncluster.id=abc\nnode.id=1\ndirectory.id=def\n")

    def entries(name: str) -> list[dict]:
        found = dump(capfd, tmp_path / name)[1]
        return [{key: value for key, value in entry.items() if key not in ("file", "kind")} for entry in found]

    assert entries("recovery-point-offset-checkpoint") == [{"topic": "orders", "partition": 2, "offset": 17}]
    assert entries("leader-epoch-checkpoint") == [
        {"leader_epoch": 0, "start_offset": 0},
        {"leader_epoch": 3, "start_offset": 9},
    ]
    assert entries("partition.metadata") == [{"topic_id": "AAAAAAAAAAAAAAAAAAAAAQ"}]
    assert entries("meta.properties") == [{"cluster_id": "abc", "node_id": 1, "directory_id": "def"}]


def test_a_damaged_checkpoint(tmp_path, capfd) -> None:
    (tmp_path / "recovery-point-offset-checkpoint").write_text("0\n2\norders 2 17\n")
    code, (entry,), _ = dump(capfd, tmp_path / "recovery-point-offset-checkpoint")
    assert code == 1 and entry["kind"] == "damage"


def test_a_file_of_no_known_kind_does_not_hide_the_others(segment, tmp_path, capfd) -> None:
    (tmp_path / "notes.txt").write_text("x")
    code, entries, said = dump(capfd, tmp_path / "notes.txt", segment)
    assert code == 1 and len(entries) == 2
    assert "cannot tell what" in said and ".timeindex" in said


def test_an_empty_segment_has_no_batches(tmp_path, capfd) -> None:
    (tmp_path / "00000000000000000000.log").write_bytes(b"")
    assert dump(capfd, tmp_path / "00000000000000000000.log") == (0, [], "")
