"""Consumer groups of KIP-848: our answers beside Apache Kafka's."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from tests.compat.differential import Session
from tests.compat.raw import versions_known

Same = Callable[[Callable[[Session], None]], None]
VERSIONS = versions_known("consumer_group_heartbeat")


class Member:
    """A member by hand: remembers its epoch and what it was given."""

    def __init__(self, s: Session, version: int, group: str, name: str, topics: list[str], **more: Any) -> None:
        self.s, self.version, self.group, self.name, self.topics, self.more = s, version, group, name, topics, more
        self.epoch = 0
        self.owned: list[Any] = []

    def beat(self, label: str, **changes: Any) -> Any:
        """One heartbeat; a full one unless `changes` say otherwise."""
        fields = {
            "group_id": self.group, "member_id": self.name, "member_epoch": self.epoch, "rebalance_timeout": 30_000,
            "subscribed_topic_names": self.topics, "topic_partitions": self.owned if self.epoch else [],
        }  # fmt: skip
        answer = self.s.note(
            f"{self.name} {label}", "consumer_group_heartbeat", self.version, **{**fields, **self.more, **changes}
        )
        if answer["error_code"] == "none":
            self.epoch = answer["member_epoch"]
            if answer["assignment"] is not None:
                self.owned = answer["assignment"]["topic_partitions"]
        return answer

    def leave(self, label: str, epoch: int = -1) -> None:
        self.beat(label, member_epoch=epoch, rebalance_timeout=-1, subscribed_topic_names=None, topic_partitions=None)
        self.epoch, self.owned = 0, []


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_heartbeat_may_say(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        group = f"cg-say-v{version}"
        s.create_topic(group, 2)
        s.find_coordinator(group)
        me = Member(s, version, group, "m-1", [group])
        me.beat("no group id", group_id="")
        me.beat("no instance id", instance_id="")
        me.beat("no rack id", rack_id="")
        me.beat("no rebalance timeout", rebalance_timeout=-1)
        me.beat("no partitions", topic_partitions=None)
        me.beat("owns something", topic_partitions=[{"topic_id": uuid.UUID(int=5), "partitions": [0]}])
        me.beat("no topics", subscribed_topic_names=None)
        me.beat("an epoch below -2", member_epoch=-3)
        me.beat("a static leave without instance id", member_epoch=-2)
        me.beat("an unknown assignor", server_assignor="best")
        me.beat("no such group", member_epoch=5)
        me.beat("leaves no such group", member_epoch=-1)
        if version >= 1:
            me.beat("no member id", member_id="")
            me.beat("a bad regular expression", subscribed_topic_names=None, subscribed_topic_regex="a(b")
            me.beat("what RE2 has not", subscribed_topic_names=None, subscribed_topic_regex="(?=a)b")
            me.beat("a reference", subscribed_topic_names=None, subscribed_topic_regex=r"(a)\1")
        me.beat("leaves no member id", member_epoch=-1, member_id="")
        s.note("not there", "consumer_group_describe", version, group_ids=[group, ""])

    same(scenario)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("assignor", ["uniform", "range"])
def test_two_members_share(same: Same, version: int, assignor: str) -> None:
    def scenario(s: Session) -> None:
        group = f"cg-share-{assignor}-v{version}"
        s.create_topic(group, 4)
        s.find_coordinator(group)
        a = Member(s, version, group, "m-a", [group], server_assignor=assignor)
        b = Member(s, version, group, "m-b", [group], server_assignor=assignor)

        def look(label: str) -> None:
            s.note(label, "consumer_group_describe", version, group_ids=[group], include_authorized_operations=True)

        a.beat("joins")
        look("one member")
        quiet = {"rebalance_timeout": -1, "subscribed_topic_names": None, "topic_partitions": None,
                 "server_assignor": None}  # fmt: skip
        a.beat("says nothing new", **quiet)
        before = a.owned
        b.beat("joins")
        look("two members")
        a.beat("must give up", **quiet)
        look("unrevoked")
        b.beat("waits")
        a.beat("still owns all", topic_partitions=before)
        a.beat("has given up")
        b.beat("gets its half")
        look("shared")
        a.beat("a higher epoch", member_epoch=a.epoch + 7)
        a.beat("the epoch before", member_epoch=a.epoch - 1)
        a.beat("the epoch before, owning nothing said", member_epoch=a.epoch - 1, topic_partitions=None)
        a.beat("long ago", member_epoch=1, topic_partitions=[])
        a.beat("joins again", member_epoch=0, topic_partitions=[])
        b.leave("leaves")
        look("one left")
        b.beat("is gone", member_epoch=3)
        a.beat("gets all")
        a.beat("gets all, really")
        a.beat("subscribes to nothing", subscribed_topic_names=[])
        a.beat("changes its mind")
        a.topics = []
        a.beat("subscribes to nothing")
        a.beat("subscribes to nothing, really")
        look("nothing")
        a.leave("leaves")
        look("empty")
        s.note("deleted", "delete_groups", 2, groups_names=[group])

    same(scenario)


@pytest.mark.parametrize("version", VERSIONS)
def test_static_members(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        group = f"cg-static-v{version}"
        s.create_topic(group, 3)
        s.find_coordinator(group)
        a = Member(s, version, group, "m-a", [group], instance_id="one")
        other = Member(s, version, group, "m-b", [group], instance_id="one")
        a.beat("joins")
        other.beat("wants its place")
        other.beat("pretends", member_epoch=1)
        a.beat("joins again", member_epoch=0, topic_partitions=[])
        a.beat("goes on")
        other.leave("leaves in its name", -2)
        a.leave("leaves for a while", -2)
        s.note("away", "consumer_group_describe", version, group_ids=[group])
        other.beat("takes its place")
        a.beat("is too late", member_epoch=1)
        s.note("back", "consumer_group_describe", version, group_ids=[group])
        other.beat("of nobody", instance_id="two", member_epoch=1)
        other.leave("leaves")
        s.note("empty", "consumer_group_describe", version, group_ids=[group])

    same(scenario)


@pytest.mark.parametrize("version", [8, 9])
def test_offsets_and_the_other_protocol(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        group = f"cg-offsets-v{version}"
        s.create_topic(group, 2)
        s.find_coordinator(group)
        me = Member(s, 1, group, "m-1", [group])

        def commit(label: str, epoch: int, member: str = "m-1") -> None:
            topics = [{"name": group, "partitions": [{"partition_index": 0, "committed_offset": 3}]}]
            who = {"group_id": group, "generation_id_or_member_epoch": epoch, "member_id": member}
            s.note(label, "offset_commit", version, **who, topics=topics)

        def fetch(label: str, epoch: int, member: str | None) -> None:
            asked = {"group_id": group, "topics": [{"name": group, "partition_indexes": [0]}]}
            who = {"member_id": member, "member_epoch": epoch} if version >= 9 else {}
            s.note(label, "offset_fetch", version, groups=[{**asked, **who}])

        commit("no group yet", 1)
        me.beat("joins")
        commit("good", me.epoch)
        commit("newer", me.epoch + 1)
        commit("older", me.epoch - 1)
        commit("nobody", -1, "")
        commit("a stranger", me.epoch, "m-9")
        for epoch, member in ((me.epoch, "m-1"), (me.epoch + 1, "m-1"), (me.epoch, "m-9"), (-1, None)):
            fetch(f"fetch {epoch} {member}", epoch, member)
        for classic in (5, 6):
            s.note("classic", "describe_groups", classic, groups=[group])
        heartbeat = {"group_id": group, "generation_id": 1, "member_id": "m-1"}
        s.note("classic", "heartbeat", 4, **heartbeat)
        leavers = [{"member_id": "m-9"}, {"member_id": "", "group_instance_id": "nobody"}]
        s.note("nobody", "leave_group", 4, group_id=group, members=leavers)
        s.note("classic", "sync_group", 4, **heartbeat)
        topics = [{"name": group, "partitions": [{"partition_index": 0}]}]
        s.note("in use", "offset_delete", 0, group_id=group, topics=topics)
        s.note("in use", "delete_groups", 2, groups_names=[group])
        for types in ([], ["consumer"], ["classic"]):
            answer = s.peer.ask("list_groups", 5, types_filter=types, states_filter=["stable"])
            s.keep(f"listed {types}", [each for each in answer["groups"] if each["group_id"] == group])
        static = Member(s, 1, group, "m-2", [group], instance_id="two")
        static.beat("joins")
        leavers = [{"member_id": "m-9", "group_instance_id": "two"}, {"member_id": "", "group_instance_id": "two"},
                   {"member_id": "m-1"}]  # fmt: skip
        s.note("taken out", "leave_group", 4, group_id=group, members=leavers)
        s.note("taken out", "consumer_group_describe", 1, group_ids=[group])
        me.leave("is gone")
        commit("empty, by an administrator", -1, "")
        s.note("unused", "offset_delete", 0, group_id=group, topics=topics)

    same(scenario)
