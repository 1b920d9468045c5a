"""`tailrace groups` against a broker."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer
from tests.compat.raw import Peer

from tailrace.cli.group_epochs import MemberEpochs

from .conftest import Tailrace, command_line, environment


@pytest.fixture
def group(tailrace: Tailrace, topic: str) -> str:
    """A group that has read and committed ten records in each of two partitions."""
    name = f"g-{topic}"
    for partition in ("0", "1"):
        sent = tailrace("produce", topic, "-p", partition, stdin=b"".join(b"%d\n" % number for number in range(10)))
        assert sent.code == 0, sent.err
    read = tailrace("consume", topic, "-g", name, "--from-beginning", "-n", "20", "--timeout", "60")
    assert len(read.out.split()) == 20, read
    return name


def committed(tailrace: Tailrace, group: str) -> dict[int, int]:
    (details,) = tailrace("groups", "describe", group, "--json").json
    return {part["partition"]: part["committed_offset"] for part in details["partitions"]}


def test_list_and_describe(tailrace, topic, group) -> None:
    listed = {entry["group"]: entry for entry in tailrace("groups", "list", "--json").json}
    assert listed[group]["state"] == "empty"
    assert tailrace("produce", topic, "-p", "1", stdin=b"more\n").code == 0
    (details,) = tailrace("groups", "describe", group, "--json").json
    assert (details["group"], details["state"], details["lag"], details["members"]) == (group, "empty", 1, [])
    first, second = details["partitions"]
    assert (first["committed_offset"], first["end_offset"], first["lag"]) == (10, 10, 0)
    assert (second["committed_offset"], second["end_offset"], second["lag"]) == (10, 11, 1)
    table = tailrace("groups", "describe", group).out.splitlines()
    assert table[1].startswith("last rebalance  2") and "LeaveGroup" in table[1]
    assert table[2].split()[:5] == ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG"]
    last = details["last_rebalance"]
    assert (last["generation"], abs(time.time() - last["at_ms"] / 1000) < 600) == (2, True)
    assert last["reason"].startswith("LeaveGroup (")


@pytest.mark.parametrize(
    ("words", "moved"),
    [
        (("--to-earliest",), {0: 0, 1: 0}),
        (("--to-latest",), {0: 10, 1: 10}),
        (("--to-offset", "4"), {0: 4, 1: 4}),
        (("--to-offset", "99"), {0: 10, 1: 10}),
        (("--shift-by", "-3"), {0: 7, 1: 7}),
        (("--shift-by", "-99"), {0: 0, 1: 0}),
        (("--to-time", "2001-01-01"), {0: 0, 1: 0}),
        (("--to-time", "2091-01-01"), {0: 10, 1: 10}),
    ],
)
def test_reset_shows_its_plan_and_then_carries_it_out(tailrace, topic, group, words, moved) -> None:
    plan = tailrace("groups", "reset", group, "--topic", topic, *words, "--json")
    assert plan.code == 0, plan.err
    assert {entry["partition"]: entry["new_offset"] for entry in plan.json} == moved
    assert not any(entry["executed"] for entry in plan.json)
    assert committed(tailrace, group) == {0: 10, 1: 10}
    assert tailrace("groups", "reset", group, "--all-topics", *words, "--execute").code == 0
    assert committed(tailrace, group) == moved


def test_reset_of_one_partition(tailrace, topic, group) -> None:
    assert tailrace("groups", "reset", group, "-t", f"{topic}:1", "--to-earliest", "--execute").code == 0
    assert committed(tailrace, group) == {0: 10, 1: 0}
    read = tailrace("consume", topic, "-g", group, "-n", "10", "--timeout", "60", "--format", "%p")
    assert read.out.split() == ["1"] * 10


def test_a_group_with_members_is_left_alone(tailrace, topic, group, broker) -> None:
    member = subprocess.Popen(
        command_line("consume", topic, "-g", group), env=environment(broker.address), stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            (details,) = tailrace("groups", "describe", group, "--json").json
            if details["state"] == "stable" and any(part["member_id"] for part in details["partitions"]):
                break
            assert time.monotonic() < deadline, details
        (owner,) = details["members"]
        assert owner["client_id"] == "tailrace-cli" and len(owner["partitions"]) == 2
        refused = tailrace("groups", "reset", group, "--all-topics", "--to-earliest", "--execute")
        assert refused.code == 1 and "has members; stop them first" in refused.err
        refused = tailrace("groups", "delete", group)
        assert refused.code == 1 and "stop its members first" in refused.err
    finally:
        member.send_signal(signal.SIGTERM)
        assert member.wait(20) == 143
    assert tailrace("groups", "delete", group).out == f"{group} deleted\n"  # SIGTERM made it leave the group


def test_delete(tailrace, group) -> None:
    assert tailrace("groups", "delete", group, "--json").json == [{"group": group, "result": "deleted"}]
    assert group not in {entry["group"] for entry in tailrace("groups", "list", "--json").json}
    assert tailrace("groups", "delete", group).code == 1
    assert tailrace("groups", "delete", group, "--if-exists").out == f"{group} absent\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("describe", "no-such-group"), 1, "no group no-such-group"),
        (("reset", "g", "--all-topics"), 2, "give one of --to-earliest"),
        (("reset", "g", "--to-earliest"), 2, "give --topic or --all-topics"),
        (("reset", "g", "--to-earliest", "-t", "no-such-topic"), 1, "no topic no-such-topic"),
        (("reset", "g", "--to-earliest", "-t", "x:y"), 1, "no topic x"),
        (("reset", "no-such-group", "--to-earliest", "--all-topics"), 1, "has committed no offsets"),
    ],
)
def test_refusals(tailrace, words, code, said) -> None:
    ended = tailrace("groups", *words)
    assert ended.code == code, ended
    assert said in ended.err and ended.err.count("\n") == 1


def test_epochs_of_a_group_of_the_consumer_protocol(tailrace, topic, broker) -> None:
    name = f"new-{topic}"
    consumer = Consumer(
        {"bootstrap.servers": broker.address, "group.id": name, "group.protocol": "consumer", "log_level": 0}
    )
    consumer.subscribe([topic])
    deadline = time.monotonic() + 60
    while not consumer.assignment():
        assert time.monotonic() < deadline
        consumer.poll(0.1)
    (details,) = tailrace("groups", "describe", name, "--json").json
    assert (details["type"], details["state"]) == ("consumer", "stable")
    told = details["consumer_protocol"]
    (member,) = told["members"]
    assert told["group_epoch"] == told["assignment_epoch"] == member["epoch"]
    assert (member["protocol"], member["state"], member["subscribed_topics"]) == ("consumer", "stable", [topic])
    assert member["assignment"] == member["target_assignment"] == {topic: [0, 1]}
    lines = tailrace("groups", "describe", name).out.splitlines()
    assert f"group epoch {told['group_epoch']}  assignment epoch {told['assignment_epoch']}" in lines
    consumer.close()
    assert {"group": name, "state": "empty", "type": "consumer"} in tailrace("groups", "list", "--json").json


def test_what_a_member_of_the_consumer_protocol_does() -> None:
    def state(epoch: int, assigned: list[int], target: list[int]) -> str:
        return MemberEpochs("m", None, "consumer", epoch, ["t"], "", {"t": assigned}, {"t": target}).state(3)

    assert state(3, [0, 1], [0, 1]) == "stable"
    assert state(2, [0, 1], [0, 1]) == "behind"
    assert state(2, [0, 1], [0]) == "giving up"
    assert state(3, [0], [0, 1]) == "waiting"
    assert state(-2, [0], [0]) == "away"


@pytest.fixture
def shared(broker, topic) -> Iterator[tuple[str, Peer, dict[str, Any]]]:
    """A share group with one member, which heartbeats when the test says so."""
    name = f"shared-{topic}"
    peer = Peer(broker.address)
    beat = {"group_id": name, "member_id": "member-1", "member_epoch": 0, "subscribed_topic_names": [topic]}
    deadline = time.monotonic() + 60
    while True:
        answer = peer.ask("share_group_heartbeat", 1, **beat)
        if answer["error_code"] == "none":
            beat["member_epoch"] = answer["member_epoch"]
            if answer["assignment"] and answer["assignment"]["topic_partitions"]:
                break
        assert time.monotonic() < deadline, answer
        time.sleep(0.1)
    yield name, peer, beat
    peer.close()


def test_share_groups_are_listed_described_moved_and_deleted(tailrace, topic, shared) -> None:
    name, peer, beat = shared
    listed = {entry["group"]: entry for entry in tailrace("groups", "list", "--json").json}
    assert (listed[name]["state"], listed[name]["type"]) == ("stable", "share")
    (details,) = tailrace("groups", "describe", name, "--json").json
    assert (details["type"], details["state"], details["assignor"]) == ("share", "stable", "simple")
    assert [member["member_id"] for member in details["members"]] == ["member-1"]
    assert {(part["partition"], part["start_offset"], *part["members"]) for part in details["partitions"]} == {
        (0, None, "member-1"), (1, None, "member-1"),
    }  # fmt: skip
    refused = tailrace("groups", "reset", name, "--topic", topic, "--to-earliest", "--execute")
    assert refused.code == 1 and "non empty group" in refused.err
    peer.ask("share_group_heartbeat", 1, **{**beat, "member_epoch": -1})
    assert tailrace("produce", topic, "-p", "1", stdin=b"1\n2\n3\n").code == 0
    plan = tailrace("groups", "reset", name, "--topic", f"{topic}:1", "--to-offset", "1", "--json")
    assert [(move["partition"], move["new_offset"], move["executed"]) for move in plan.json] == [(1, 1, False)]
    assert tailrace("groups", "reset", name, "--topic", f"{topic}:1", "--to-offset", "1", "--execute").code == 0
    table = tailrace("groups", "describe", name).out.splitlines()
    assert "lag 2" in table[0]
    assert table[1].split() == ["TOPIC", "PARTITION", "START", "LAG", "MEMBERS"]
    assert table[3].split()[:4] == [topic, "1", "1", "2"]
    shifted = tailrace("groups", "reset", name, "--all-topics", "--shift-by", "1", "--json")
    assert [(move["committed_offset"], move["new_offset"]) for move in shifted.json] == [(1, 2)]
    assert tailrace("groups", "delete", name, "-y").code == 0
    assert tailrace("groups", "describe", name).code == 1
