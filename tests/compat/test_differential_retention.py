"""What retention leaves and what timestamps are let in, as a client sees it, against Apache Kafka.

Both brokers look after their logs every half second. "After retention" means: after the log start has not moved for
longer than that.
"""

import time
from collections.abc import Callable
from typing import Any

from tests.compat.differential import Session, batch, produce_fields

Same = Callable[[Callable[[Session], None]], None]
HOUR_MS = 3_600_000
QUIET_S = 2.0
SETTLE_MAX_S = 90.0
TOPIC_SOURCE = 1


def now_ms() -> int:
    return int(time.time() * 1000)


def offsets(s: Session, topic: str) -> tuple[int, int]:
    """(log start, log end) of partition 0."""
    found = []
    for timestamp in (-2, -1):
        partitions = [{"partition_index": 0, "current_leader_epoch": -1, "timestamp": timestamp}]
        answer = s.peer.ask("list_offsets", 7, replica_id=-1, topics=[{"name": topic, "partitions": partitions}])
        found.append(answer["topics"][0]["partitions"][0]["offset"])
    return found[0], found[1]


def after_retention(s: Session, label: str, topic: str, expected: int | None = None) -> None:
    """Keep where the log starts and ends. `expected`: the start to wait for, so that the test need not idle."""
    deadline = time.monotonic() + SETTLE_MAX_S
    since, last = time.monotonic(), offsets(s, topic)
    while time.monotonic() < deadline and time.monotonic() - since < QUIET_S and last[0] != expected:
        time.sleep(0.1)
        found = offsets(s, topic)
        if found != last:
            since, last = time.monotonic(), found
    s.keep(label, last)


def fill(s: Session, topic: str, count: int, timestamp_ms: int, size: int = 300_000) -> None:
    """`count` batches of one large record each; three fill a segment of 1 MiB."""
    for _ in range(count):
        s.produce(topic, 0, batch([(b"k", b"x" * size)], timestamp_ms=timestamp_ms))


def create(s: Session, name: str, **configs: str) -> None:
    s.create_topic(name, max_message_bytes="1000000", **configs)


def alter(s: Session, topic: str, **configs: str | None) -> None:
    """IncrementalAlterConfigs, in force when this returns; None takes a setting away.

    Apache Kafka's controller answers before its broker obeys, and a busy one takes its time.
    """
    entries = [
        {"name": name.replace("_", "."), "config_operation": 1 if value is None else 0, "value": value}
        for name, value in configs.items()
    ]
    resources = [{"resource_type": 2, "resource_name": topic, "configs": entries}]
    answer = s.peer.ask("incremental_alter_configs", 1, resources=resources, validate_only=False)
    assert answer["responses"][0]["error_code"] == "none", answer
    deadline = time.monotonic() + SETTLE_MAX_S
    while not all(_is_in_force(s, topic, name.replace("_", "."), value) for name, value in configs.items()):
        assert time.monotonic() < deadline, f"{configs} are not in force"
        time.sleep(0.05)
    s.catch_up()


def _is_in_force(s: Session, topic: str, name: str, value: str | None) -> bool:
    resources = [{"resource_type": 2, "resource_name": topic, "configuration_keys": [name]}]
    answer = s.peer.ask("describe_configs", 4, resources=resources, include_synonyms=False, include_documentation=False)
    (found,) = answer["results"][0]["configs"]
    return bool(found["value"] == value if value is not None else found["config_source"] != TOPIC_SOURCE)


def test_by_time(same: Same) -> None:
    def scenario(s: Session) -> None:
        now = now_ms()
        create(s, "old", segment_bytes="1048576", retention_ms=str(HOUR_MS))
        fill(s, "old", 4, now - 2 * HOUR_MS)
        after_retention(s, "all of it old", "old", 4)
        alter(s, "old", retention_ms="-1")  # none of it goes before all of it is there
        fill(s, "old", 3, now - 2 * HOUR_MS)
        fill(s, "old", 1, now)
        alter(s, "old", retention_ms=str(HOUR_MS))
        after_retention(s, "the young record shares a segment or not", "old", 7)
        create(s, "kept", segment_bytes="1048576", retention_ms="-1")
        fill(s, "kept", 4, now - 2 * HOUR_MS)
        after_retention(s, "for ever", "kept")
        alter(s, "kept", retention_ms=str(HOUR_MS))
        after_retention(s, "altered to an hour", "kept", 4)

    same(scenario)


def test_a_young_segment_protects_what_follows(same: Same) -> None:
    def scenario(s: Session) -> None:
        now = now_ms()
        create(s, "mixed", segment_bytes="1048576", retention_ms=str(HOUR_MS))
        fill(s, "mixed", 3, now)
        fill(s, "mixed", 6, now - 2 * HOUR_MS)
        after_retention(s, "young first", "mixed")
        create(s, "future", segment_bytes="1048576", retention_ms="1000",
                       message_timestamp_after_max_ms=str(9 * HOUR_MS))  # fmt: skip
        fill(s, "future", 4, now + 2 * HOUR_MS)
        after_retention(s, "from the future", "future")

    same(scenario)


def test_by_size(same: Same) -> None:
    def scenario(s: Session) -> None:
        now = now_ms()
        create(s, "sized", segment_bytes="1048576", retention_bytes="1300000")
        fill(s, "sized", 10, now)
        after_retention(s, "by size", "sized", 3)
        alter(s, "sized", retention_bytes="0")
        after_retention(s, "to nothing", "sized", 10)
        alter(s, "sized", retention_bytes=None)
        fill(s, "sized", 4, now)
        after_retention(s, "without a limit", "sized")

    same(scenario)


def test_policies(same: Same) -> None:
    def scenario(s: Session) -> None:
        now = now_ms()
        create(s, "compacted.only", segment_bytes="1048576", cleanup_policy="compact", retention_ms="1000",
                       min_cleanable_dirty_ratio="1")  # fmt: skip
        fill(s, "compacted.only", 4, now - 2 * HOUR_MS)
        after_retention(s, "compact alone keeps", "compacted.only")
        partitions = [{"partition_index": 0, "offset": 2}]
        topics = [{"name": "compacted.only", "partitions": partitions}]
        s.note("delete records of a compacted topic", "delete_records", 2, topics=topics, timeout=10_000)
        alter(s, "compacted.only", cleanup_policy="compact,delete")
        after_retention(s, "compact and delete deletes", "compacted.only", 4)

    same(scenario)


def test_a_deleted_prefix(same: Same) -> None:
    def scenario(s: Session) -> None:
        create(s, "prefix", segment_bytes="1048576", retention_ms="-1")
        fill(s, "prefix", 8, now_ms())
        for offset in (4, 9, -1):
            topics = [{"name": "prefix", "partitions": [{"partition_index": 0, "offset": offset}]}]
            s.note(f"delete before {offset}", "delete_records", 2, topics=topics, timeout=10_000)
            after_retention(s, f"deleted before {offset}", "prefix")

    same(scenario)


def test_timestamps(same: Same) -> None:
    def scenario(s: Session) -> None:
        now = now_ms()

        def send(label: str, timestamp_ms: int) -> None:
            pairs = [(b"k", b"v")] * (1 if timestamp_ms == -1 else 2)
            records = batch(pairs, timestamp_ms=timestamp_ms)
            answer = s.peer.ask("produce", 9, **produce_fields("stamped", 0, records))
            entry = answer["responses"][0]["partition_responses"][0]
            told: dict[str, Any] = {"error": entry["error_code"], "base": entry["base_offset"]}
            told["records"] = [error["batch_index"] for error in entry["record_errors"]]
            told["append time"] = entry["log_append_time"] is not None and _is_near(entry["log_append_time"], now)
            s.keep(label, told)

        create(s, "stamped", retention_ms="-1")
        send("none", -1)
        send("epoch", 0)
        send("two hours ahead", now + 2 * HOUR_MS)
        alter(s, "stamped", message_timestamp_after_max_ms=str(3 * HOUR_MS))
        send("two hours ahead, allowed", now + 2 * HOUR_MS)
        alter(s, "stamped", message_timestamp_before_max_ms=str(HOUR_MS))
        send("two hours old", now - 2 * HOUR_MS)
        send("none, where old ones are refused", -1)
        send("young", now)
        alter(s, "stamped", message_timestamp_type="LogAppendTime")
        send("two hours old, stamped here", now - 2 * HOUR_MS)
        send("far ahead, stamped here", now + 20 * HOUR_MS)
        alter(s, "stamped", message_timestamp_type="CreateTime", max_message_bytes="60")
        send("too large", now)
        alter(s, "stamped", max_message_bytes=None)
        send("no longer too large", now)

    same(scenario)


def _is_near(found: Any, now: int) -> bool:
    return isinstance(found, int) and abs(found - now) < 60_000
