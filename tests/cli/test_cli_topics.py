"""`tailrace topics` against a broker."""

from __future__ import annotations


def described(tailrace, name: str, *words: str) -> dict:
    ended = tailrace("topics", "describe", name, "--json", *words)
    assert ended.code == 0, ended.err
    (details,) = ended.json
    return details


def test_create_describe_list_delete(tailrace) -> None:
    ended = tailrace("topics", "create", "t1", "t2", "-p", "3", "-c", "retention.ms=60000", "--json")
    assert ended.code == 0, ended.err
    assert ended.json == [{"topic": "t1", "result": "created"}, {"topic": "t2", "result": "created"}]
    details = described(tailrace, "t1")
    assert [part["partition"] for part in details["partitions"]] == [0, 1, 2]
    assert all(part["leader"] in part["isr"] and part["isr"] == part["replicas"] for part in details["partitions"])
    assert all((part["earliest_offset"], part["latest_offset"]) == (0, 0) for part in details["partitions"])
    assert details["configs"] == {"retention.ms": "60000"}
    assert len(details["topic_id"]) == 22
    listed = {entry["topic"]: entry for entry in tailrace("topics", "list", "--json").json}
    assert listed["t1"] == {"topic": "t1", "partitions": 3, "replication_factor": 1}
    assert tailrace("topics", "delete", "t1", "t2").out == "t1 deleted\nt2 deleted\n"
    assert "t1" not in {entry["topic"] for entry in tailrace("topics", "list", "--json").json}


def test_the_table_has_a_line_a_partition(tailrace, topic) -> None:
    lines = tailrace("topics", "describe", topic).out.splitlines()
    assert lines[0].startswith(f"{topic}  id ")
    assert [line.split()[:2] for line in lines[1:]] == [["PARTITION", "LEADER"], ["0", "1"], ["1", "1"]]


def test_creating_what_exists(tailrace, topic) -> None:
    refused = tailrace("topics", "create", topic)
    assert refused.code == 1
    assert "already exists" in refused.err and "--if-not-exists" in refused.err
    assert tailrace("topics", "create", topic, "--if-not-exists").out == f"{topic} exists\n"


def test_one_refusal_does_not_hide_the_others(tailrace, topic) -> None:
    ended = tailrace("topics", "delete", topic, "no-such-topic", "--json")
    assert ended.code == 1
    assert [entry["result"] for entry in ended.json] == ["deleted", "failed"]
    assert "cannot delete topic no-such-topic" in ended.err
    assert tailrace("topics", "delete", "no-such-topic", "--if-exists").code == 0


def test_a_dry_run_creates_nothing(tailrace) -> None:
    assert tailrace("topics", "create", "dry", "--dry-run").out == "dry would be created\n"
    assert tailrace("topics", "describe", "dry").code == 1


def test_alter_sets_unsets_and_grows(tailrace, topic) -> None:
    assert tailrace("topics", "alter", topic, "--set", "retention.ms=5000", "--partitions", "4").code == 0
    details = described(tailrace, topic)
    assert len(details["partitions"]) == 4
    assert details["configs"] == {"retention.ms": "5000"}
    assert tailrace("topics", "alter", topic, "--unset", "retention.ms").code == 0
    assert described(tailrace, topic)["configs"] == {}
    assert described(tailrace, topic, "--all-configs")["configs"]["retention.ms"] == "604800000"


def test_alter_appends_to_lists_and_subtracts(tailrace, topic) -> None:
    assert tailrace("topics", "alter", topic, "--append", "cleanup.policy=compact").code == 0
    assert described(tailrace, topic)["configs"]["cleanup.policy"] == "delete,compact"
    assert tailrace("topics", "alter", topic, "--subtract", "cleanup.policy=delete").code == 0
    assert described(tailrace, topic)["configs"]["cleanup.policy"] == "compact"


def test_refusals_of_alter_say_why(tailrace, topic) -> None:
    shrinking = tailrace("topics", "alter", topic, "--partitions", "1")
    assert shrinking.code == 1 and f"cannot add partitions to topic {topic}" in shrinking.err
    unknown = tailrace("topics", "alter", topic, "--set", "no.such.setting=1")
    assert unknown.code == 1 and "no.such.setting" in unknown.err
    assert tailrace("topics", "alter", topic).code == 2
    assert tailrace("topics", "alter", topic, "--set", "retention.ms").code == 2


def test_describing_what_is_not_there_is_one_sentence(tailrace) -> None:
    ended = tailrace("topics", "describe", "no-such-topic")
    assert ended.code == 1 and ended.out == ""
    assert ended.err.count("\n") == 1 and "tailrace topics list" in ended.err
