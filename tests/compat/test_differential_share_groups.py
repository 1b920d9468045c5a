"""Share groups of KIP-932, the coordinators' side: our answers beside Apache Kafka's."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from tests.compat.differential import READY_TIMEOUT_S, Session

Same = Callable[[Callable[[Session], None]], None]


class Member:
    """A member by hand: remembers its epoch and what it was given."""

    def __init__(self, s: Session, group: str, name: str, topics: list[str]) -> None:
        self.s, self.group, self.name, self.topics = s, group, name, topics
        self.epoch = 0
        self.owned: list[Any] = []

    def beat(self, label: str, **changes: Any) -> Any:
        """One heartbeat, kept; a full one unless `changes` say otherwise."""
        answer = self.s.peer.ask("share_group_heartbeat", 1, **{**self._fields(), **changes})
        told = answer["assignment"]
        # Which of the equally good partitions a member gets is Java's order of a hash set.
        given = told and [len(topic["partitions"]) for topic in told["topic_partitions"]]
        self.s.keep(f"{self.name} {label}", {**answer, "assignment": sorted(given) if given else given})
        return self._learn(answer)

    def _fields(self) -> dict[str, Any]:
        return {
            "group_id": self.group, "member_id": self.name, "member_epoch": self.epoch,
            "subscribed_topic_names": self.topics,
        }  # fmt: skip

    def _learn(self, answer: Any) -> Any:
        if answer["error_code"] == "none":
            self.epoch = answer["member_epoch"]
            if answer["assignment"] is not None:
                self.owned = answer["assignment"]["topic_partitions"]
        return answer

    def until_given(self, count: int) -> None:
        """Heartbeats that are not kept, until there are so many partitions: states are made behind the answers."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while sum(len(topic["partitions"]) for topic in self.owned) != count:
            assert time.monotonic() < deadline, f"{self.name} has {self.owned}"
            time.sleep(0.1)
            self._learn(self.s.peer.ask("share_group_heartbeat", 1, **self._fields()))

    def leave(self, label: str) -> None:
        self.beat(label, member_epoch=-1, subscribed_topic_names=None)
        self.epoch, self.owned = 0, []


def describe(s: Session, label: str, *groups: str) -> None:
    answer = s.peer.ask("share_group_describe", 1, group_ids=list(groups), include_authorized_operations=True)
    for group in answer["groups"]:
        group["members"].sort(key=lambda member: member["member_id"])
        for member in group["members"]:
            member["subscribed_topic_names"].sort()
            member["assignment"]["topic_partitions"].sort(key=lambda topic: topic["topic_name"])
    s.keep(label, answer)


def offsets(s: Session, label: str, group: str, topic: str | None = None, partitions: tuple[int, ...] = (0,)) -> None:
    """Both versions; topics in order, for Kafka has them in its own."""
    topics = None if topic is None else [{"topic_name": topic, "partitions": list(partitions)}]
    for version in (0, 1):
        asked = {"groups": [{"group_id": group, "topics": topics}]}
        answer = s.peer.ask("describe_share_group_offsets", version, **asked)
        for told in answer["groups"]:
            for named in told["topics"]:
                named["partitions"].sort(key=lambda each: each["partition_index"])
        s.keep(f"{label} v{version}", answer)


def test_what_a_heartbeat_may_say(same: Same) -> None:
    def scenario(s: Session) -> None:
        group = "sg-say"
        s.create_topic(group, 2)
        s.find_coordinator(group)
        me = Member(s, group, "m-1", [group])
        me.beat("no group id", group_id="")
        me.beat("no member id", member_id="")
        me.beat("no rack id", rack_id="")
        me.beat("no topics", subscribed_topic_names=None)
        me.beat("no topics at all", subscribed_topic_names=[])
        me.beat("an epoch below -1", member_epoch=-2)
        me.beat("no such group", member_epoch=5)
        me.leave("leaves no such group")
        describe(s, "not there", group, "")

    same(scenario)


def test_two_members_share(same: Same) -> None:
    def scenario(s: Session) -> None:
        group = "sg-share"
        s.create_topic(group, 4)
        s.find_coordinator(group)
        a, b = Member(s, group, "m-a", [group]), Member(s, group, "m-b", [group])
        a.beat("joins")
        a.until_given(4)
        describe(s, "one member", group)
        a.beat("says nothing new", subscribed_topic_names=None)
        b.beat("joins")
        a.until_given(2)
        b.until_given(2)
        s.keep("all are given", sorted(index for each in (a, b) for t in each.owned for index in t["partitions"]))
        a.beat("a higher epoch", member_epoch=a.epoch + 7)
        a.beat("the epoch before", member_epoch=a.epoch - 1, subscribed_topic_names=None)
        a.beat("long ago", member_epoch=1)
        a.beat("a stranger", member_id="m-9")
        a.beat("joins again", member_epoch=0)
        b.leave("leaves")
        a.until_given(4)
        a.beat("alone")
        b.beat("is gone", member_epoch=3)
        a.topics = []
        a.beat("subscribes to nothing")
        describe(s, "nothing", group)
        a.topics = [group, "sg-share-unknown"]
        a.beat("to something else, too")
        a.until_given(4)
        describe(s, "something", group)
        a.leave("leaves")
        describe(s, "empty", group)

    same(scenario)


def test_more_members_than_partitions(same: Same) -> None:
    def scenario(s: Session) -> None:
        group = "sg-many"
        s.create_topic(group, 1)
        # Before the coordinator is found: one that hears of a topic after its subscriber counts an epoch more.
        s.create_topic("sg-many-2", 2)
        s.find_coordinator(group)
        members = [Member(s, group, f"m-{name}", [group]) for name in "abc"]
        for member in members:
            member.beat("joins")
            member.until_given(1)
        for member in members:
            member.beat("has it, too", subscribed_topic_names=None)
        describe(s, "three", group)
        members[0].topics = [group, "sg-many-2"]
        members[0].beat("wants more")
        members[0].until_given(3)
        describe(s, "unlike", group)

    same(scenario)


def test_offsets(same: Same) -> None:
    def scenario(s: Session) -> None:
        group, topic = "sg-offsets", "sg-offsets"
        s.create_topic(topic, 2)
        s.find_coordinator(group)
        s.settle("find_coordinator", 6, key_type=2, coordinator_keys=[f"{group}:AAAAAAAAAAAAAAAAAAAAAQ:0"])

        def alter(label: str, *starts: tuple[int, int], name: str = topic, of: str = group) -> None:
            partitions = [{"partition_index": index, "start_offset": start} for index, start in starts]
            topics = [{"topic_name": name, "partitions": partitions}]
            answer = s.peer.ask("alter_share_group_offsets", 0, group_id=of, topics=topics)
            for told in answer["responses"]:
                told["partitions"].sort(key=lambda each: each["partition_index"])
            s.keep(label, answer)

        def delete(label: str, *names: str, of: str = group) -> None:
            topics = [{"topic_name": name} for name in names]
            answer = s.peer.ask("delete_share_group_offsets", 0, group_id=of, topics=topics)
            answer["responses"].sort(key=lambda each: str(each["topic_name"]))
            s.keep(label, answer)

        offsets(s, "of no group", group, topic)
        offsets(s, "of no group, all", group)
        delete("of no group", topic)
        alter("without a group", (0, 5), of="")
        alter("makes the group", (0, 5), (1, 6), (7, 1))
        alter("of no topic", (0, 5), name="sg-offsets-no")
        describe(s, "made", group)
        offsets(s, "made", group)
        offsets(s, "made, by name", group, topic, (0, 1))
        offsets(s, "no such topic", group, "sg-offsets-no")
        me = Member(s, group, "m-1", [topic])
        me.beat("joins")
        me.until_given(2)
        alter("in use", (0, 0))
        delete("in use", topic)
        s.note("in use", "delete_groups", 2, groups_names=[group])
        offsets(s, "in use", group)
        me.leave("leaves")
        alter("again", (1, 0))
        offsets(s, "altered", group)
        delete("deleted, and what is not there", topic, "sg-offsets-no")
        offsets(s, "deleted", group)
        delete("twice", topic)
        alter("once more", (0, 1))
        s.note("deleted", "delete_groups", 2, groups_names=[group, "sg-offsets-none"])
        describe(s, "deleted", group)
        offsets(s, "the group deleted", group, topic)
        alter("anew", (0, 2))
        describe(s, "anew", group)

    same(scenario)


def test_states(same: Same) -> None:
    """The share coordinator's own APIs."""

    def scenario(s: Session) -> None:
        group = "sg-states"
        topic = s.create_topic(group, 2)
        s.settle("find_coordinator", 6, key_type=2, coordinator_keys=[f"{group}:AAAAAAAAAAAAAAAAAAAAAQ:0"])
        keys = [{"topic_id": topic, "partitions": [{"partition": 0}]}]
        s.settle("read_share_group_state_summary", 0, group_id=group, topics=keys)

        def ask(label: str, api: str, version: int, topic_id: Any = topic, index: int = 0, **fields: Any) -> None:
            topics = [{"topic_id": topic_id, "partitions": [{"partition": index, **fields}]}]
            s.note(label, api, version, group_id=group, topics=topics)

        def write(label: str, version: int, *batches: tuple[int, int, int, int], **fields: Any) -> None:
            names = ("first_offset", "last_offset", "delivery_state", "delivery_count")
            given = [dict(zip(names, batch, strict=True)) for batch in batches]
            said = {"state_epoch": 1, "leader_epoch": 2, "start_offset": -1, "state_batches": given, **fields}
            ask(label, "write_share_group_state", version, **said)

        def read(label: str, leader_epoch: int = 2) -> None:
            ask(f"{label} read", "read_share_group_state", 0, leader_epoch=leader_epoch)
            for version in (0, 1):
                ask(f"{label} summary", "read_share_group_state_summary", version, leader_epoch=leader_epoch)

        read("nothing")
        write("nothing", 1)
        ask("nothing", "delete_share_group_state", 0)
        ask("made", "initialize_share_group_state", 0, state_epoch=1, start_offset=10)
        read("made", leader_epoch=2)
        read("an old leader", leader_epoch=1)
        read("no leader", leader_epoch=-1)
        write("first", 1, (10, 19, 0, 1), delivery_complete_count=0)
        write("second", 1, (12, 14, 2, 1), (17, 17, 4, 1), delivery_complete_count=4)
        read("written")
        write("start moves", 1, (10, 11, 2, 1), start_offset=15, delivery_complete_count=1)
        read("moved")
        write("an old version", 0, (20, 29, 0, 1))
        read("an old version")
        write("an old leader", 1, leader_epoch=1)
        write("an old state", 1, state_epoch=0)
        ask("anew, old", "initialize_share_group_state", 0, state_epoch=0, start_offset=0)
        ask("anew", "initialize_share_group_state", 0, state_epoch=3, start_offset=-1)
        read("anew", leader_epoch=3)
        write("an old state", 1, leader_epoch=3)
        ask("deleted", "delete_share_group_state", 0)
        read("deleted")
        for what in ({"topic_id": uuid.UUID(int=77)}, {"index": 2}, {"index": -1}):
            ask(f"{sorted(what)}", "initialize_share_group_state", 0, state_epoch=1, start_offset=0, **what)
            ask(f"{sorted(what)}", "read_share_group_state", 0, leader_epoch=0, **what)
            ask(f"{sorted(what)}", "delete_share_group_state", 0, **what)
            ask(f"{sorted(what)}", "read_share_group_state_summary", 1, **what)
        s.note("nothing asked", "read_share_group_state", 0, group_id=group, topics=[])
        s.note("no partition asked", "read_share_group_state", 0, group_id=group, topics=[{"topic_id": topic}])
        s.note("no group", "read_share_group_state", 0, group_id="", topics=keys)

    same(scenario)


@pytest.mark.parametrize("kind", ["share", "consumer", "classic"])
def test_a_group_id_is_of_one_kind(same: Same, kind: str) -> None:
    def scenario(s: Session) -> None:
        group = f"sg-kind-{kind}"
        s.create_topic(group, 1)
        s.find_coordinator(group)
        me = Member(s, group, "m-1", [group])
        topics = [{"name": group, "partitions": [{"partition_index": 0, "committed_offset": 3}]}]
        by_admin = {"group_id": group, "generation_id_or_member_epoch": -1, "member_id": ""}
        beat = {"group_id": group, "member_epoch": 0, "rebalance_timeout": 30_000,
                "subscribed_topic_names": [group], "topic_partitions": []}  # fmt: skip
        if kind == "share":
            me.beat("joins")
            me.until_given(1)
        elif kind == "consumer":
            s.note("joins", "consumer_group_heartbeat", 1, member_id="c-1", **beat)
        else:
            s.note("committed", "offset_commit", 9, **by_admin, topics=topics)
        for moment in ("with", "without"):
            if kind == "share":
                s.note(f"{moment} joins, consuming first", "consumer_group_heartbeat", 1, member_id="c-2", **beat)
            Member(s, group, "m-2", [group]).beat(f"{moment} joins, sharing")
            s.note(f"{moment} joins, consuming", "consumer_group_heartbeat", 1, member_id="c-2", **beat)
            protocols = [{"name": "range", "metadata": b"\x00\x00"}]
            join = {"group_id": group, "session_timeout": 10_000, "member_id": "", "protocols": protocols}
            if kind == "share":
                s.note(f"{moment} joins, classic", "join_group", 5, **join, protocol_type="consumer")
                for version in (8, 9):
                    s.note(f"{moment} commits", "offset_commit", version, **by_admin, topics=topics)
                    asked = {"group_id": group, "topics": [{"name": group, "partition_indexes": [0]}]}
                    s.note(f"{moment} fetches", "offset_fetch", version, groups=[asked])
                unsure = [{"name": group, "partitions": [{"partition_index": 0}]}]
                s.note(f"{moment} deletes", "offset_delete", 0, group_id=group, topics=unsure)
                s.note(f"{moment} leaves", "leave_group", 4, group_id=group, members=[{"member_id": "m-1"}])
                s.note(f"{moment} beats", "heartbeat", 4, group_id=group, generation_id=1, member_id="m-1")
                s.note(f"{moment} syncs", "sync_group", 4, group_id=group, generation_id=1, member_id="m-1")
            for version in (5, 6):
                s.note(f"{moment} classic", "describe_groups", version, groups=[group])
            s.note(f"{moment} consumer", "consumer_group_describe", 1, group_ids=[group])
            describe(s, f"{moment} share", group)
            for types in ([], ["share"], ["classic"]):
                answer = s.peer.ask("list_groups", 5, types_filter=types)
                s.keep(f"{moment} listed {types}", [each for each in answer["groups"] if each["group_id"] == group])
            if kind == "share":
                Member(s, group, "m-2", [group]).leave(f"{moment} leaves")
                me.leave(f"{moment} leaves")
            else:
                s.note(f"{moment} leaves", "consumer_group_heartbeat", 1, **{**beat, "member_epoch": -1},
                       member_id="c-1")  # fmt: skip
                s.note(f"{moment} leaves", "consumer_group_heartbeat", 1, **{**beat, "member_epoch": -1},
                       member_id="c-2")  # fmt: skip

    same(scenario)
