"""The classic group protocol and committed offsets: our answers beside Apache Kafka's."""

import struct
from collections.abc import Callable
from typing import Any

import pytest
from tests.compat.differential import Session, batch, simple
from tests.compat.raw import Peer, decode_response, versions_known

Same = Callable[[Callable[[Session], None]], None]
SUBSCRIPTION = struct.pack(">hih4si", 0, 1, 4, b"any1", 0)
PROTOCOLS = [{"name": "range", "metadata": SUBSCRIPTION}, {"name": "sticky", "metadata": b"\x01"}]


def join_fields(group: str, member: str = "", **more: Any) -> dict[str, Any]:
    fields = {"group_id": group, "session_timeout": 10_000, "rebalance_timeout": 10_000, "member_id": member}
    return {**fields, "protocol_type": "consumer", "protocols": PROTOCOLS, **more}


class Member:
    """A member of one group, on a connection of its own, joined and synchronised by hand."""

    def __init__(self, s: Session, group: str, version: int = 5, instance: str | None = None) -> None:
        self.s, self.group, self.version, self.instance = s, group, version, instance
        self.peer: Peer = s.other_peer()
        self.id = ""
        self.generation = -1

    def join(self, label: str, **more: Any) -> Any:
        answer = self.peer.ask("join_group", self.version, **self.fields(**more))
        if answer != "closed" and answer["error_code"] == "member_id_required":
            self.s.keep(f"{label}: an id first", answer)
            self.id = answer["member_id"]
            answer = self.peer.ask("join_group", self.version, **self.fields(**more))
        return self.joined(label, answer)

    def fields(self, **more: Any) -> dict[str, Any]:
        return join_fields(self.group, self.id, group_instance_id=self.instance, **more)

    def joined(self, label: str, answer: Any) -> Any:
        self.s.keep(label, answer)
        self.id, self.generation = answer["member_id"], answer["generation_id"]
        return answer

    def begin_join(self) -> int:
        """Send without waiting for the others."""
        return self.peer.send("join_group", self.version, **self.fields())

    def end_join(self, label: str) -> Any:
        return self.joined(label, decode_response("join_group", self.version, self.peer.connection.receive())[1])

    def sync(self, label: str, version: int = 3, **assignments: bytes) -> Any:
        entries = [{"member_id": member, "assignment": value} for member, value in assignments.items()]
        return self.s.keep(label, self.peer.ask("sync_group", version, **self.identity(assignments=entries)))

    def identity(self, **more: Any) -> dict[str, Any]:
        who = {"group_id": self.group, "generation_id": self.generation, "member_id": self.id}
        return {**who, "group_instance_id": self.instance, **more}


@pytest.mark.parametrize("version", versions_known("find_coordinator"))
def test_find_coordinator(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        s.find_coordinator("fc")

        def find(label: str, key: str, kind: int = 0) -> None:
            keys = {"coordinator_keys": [key]} if version >= 4 else {"key": key}
            s.note(label, "find_coordinator", version, **keys, **({"key_type": kind} if version >= 1 else {}))

        find("a group", "fc")
        find("no group", "")
        if version >= 1:
            find("unknown kind", "fc", 9)
        if version >= 4:
            s.note("two", "find_coordinator", version, key_type=0, coordinator_keys=["fc", "fc2"])
            s.note("none", "find_coordinator", version, key_type=0, coordinator_keys=[])

    same(scenario)


@pytest.mark.parametrize("version", versions_known("join_group"))
def test_join_group(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        group = f"jg-v{version}"
        s.find_coordinator(group)

        def join(label: str, **more: Any) -> Any:
            return s.note(label, "join_group", version, **join_fields(**{"group": group, **more}))

        join("no group id", group="")
        join("unknown member", member="nobody-1")
        join("session time-out too short", session_timeout=1)
        join("session time-out too long", session_timeout=100_000_000)
        join("no protocols", protocols=[])
        join("no protocol type", protocol_type="")
        first = Member(s, group, version)
        first.join("first member")
        join("unknown member of a living group", member="nobody-1")
        join("another protocol type", protocol_type="connect")
        join("no common protocol", protocols=[{"name": "other", "metadata": b""}])
        first.join("again, the same")

    same(scenario)


@pytest.mark.parametrize("version", versions_known("sync_group"))
def test_sync_heartbeat_leave(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        group = f"sg-v{version}"
        s.find_coordinator(group)
        me = Member(s, group)
        me.join("join")
        names: dict[str, Any] = {"protocol_type": "consumer", "protocol_name": "range"} if version >= 5 else {}

        def sync(label: str, **more: Any) -> None:
            entries = [{"member_id": me.id, "assignment": b"mine"}]
            s.note(label, "sync_group", version, **{**me.identity(assignments=entries), **names, **more})

        def beat(label: str, **more: Any) -> None:
            s.note(label, "heartbeat", min(version, 4), **{**me.identity(), **more})

        beat("heartbeat before sync")
        sync("unknown group", group_id="never-was")
        sync("unknown member", member_id="nobody-1")
        sync("older generation", generation_id=me.generation - 1)
        sync("generation of the future", generation_id=me.generation + 1)
        if version >= 5:
            sync("another protocol", protocol_name="sticky")
            sync("another protocol type", protocol_type="connect")
        sync("good")
        sync("good, again")
        beat("heartbeat")
        beat("unknown member", member_id="nobody-1")
        beat("older generation", generation_id=me.generation - 1)
        beat("unknown group", group_id="never-was")
        beat("no group", group_id="")

        def leave(label: str, member: str, of: str = group) -> None:
            who = {"members": [{"member_id": member}]} if version >= 3 else {"member_id": member}
            s.note(label, "leave_group", version, group_id=of, **who)

        leave("unknown member leaves", "nobody-1")
        leave("leave of an unknown group", me.id, "never-was")
        leave("leave", me.id)
        leave("leave again", me.id)
        beat("heartbeat after leaving")
        described = s.peer.ask("describe_groups", 4, groups=[group])
        s.keep("left behind", described)

    same(scenario)


def test_two_members_rebalance(same: Same) -> None:
    def scenario(s: Session) -> None:
        group = "two"
        s.find_coordinator(group)
        one, two = Member(s, group), Member(s, group)
        one.join("one joins")
        one.sync("one syncs", **{one.id: b"all"})
        s.keep("two asks", answer := two.peer.ask("join_group", 5, **two.fields()))
        two.id = answer["member_id"]
        two.begin_join()
        while (beat := one.peer.ask("heartbeat", 3, **one.identity()))["error_code"] == "none":
            pass
        s.keep("one hears of it", beat)
        s.keep("one commits while it lasts", one.peer.ask("offset_commit", 7, **commit_fields(one)))
        one.begin_join()
        one.end_join("one rejoins")
        two.end_join("two joins")
        one.sync("one assigns", **{one.id: b"half", two.id: b"other half"})
        two.sync("two gets it")
        s.note("described", "describe_groups", 5, groups=[group])
        s.keep("two leaves", two.peer.ask("leave_group", 3, group_id=group, members=[{"member_id": two.id}]))
        s.keep("one hears of that", one.peer.ask("heartbeat", 3, **one.identity()))
        one.join("one alone")
        s.note("not synchronised", "describe_groups", 5, groups=[group])
        s.note("delete while living", "delete_groups", 2, groups_names=[group, "never-was"])
        s.keep("one leaves", one.peer.ask("leave_group", 3, group_id=group, members=[{"member_id": one.id}]))
        s.note("empty", "describe_groups", 5, groups=[group])
        s.note("delete", "delete_groups", 2, groups_names=[group])
        s.note("gone", "describe_groups", 5, groups=[group])
        s.note("gone, newer version", "describe_groups", 6, groups=[group])

    same(scenario)


def test_static_members(same: Same) -> None:
    def scenario(s: Session) -> None:
        group = "static"
        s.find_coordinator(group)
        one = Member(s, group, instance="a")
        one.join("joins at once, without asking for an id")
        one.sync("syncs", **{one.id: b"all"})
        again = Member(s, group, instance="a")
        again.join("comes back under another id")
        again.sync("has its assignment")
        s.keep("the old id is fenced", one.peer.ask("heartbeat", 3, **one.identity()))
        s.keep("in commits, too", one.peer.ask("offset_commit", 7, **commit_fields(one)))
        s.keep("in joins, too", one.peer.ask("join_group", 5, **one.fields()))
        wrong = {**again.identity(), "group_instance_id": "b"}
        s.keep("unknown instance", again.peer.ask("heartbeat", 3, **wrong))
        s.note("described", "describe_groups", 4, groups=[group])
        s.note("leave of an unknown instance", "leave_group", 4, group_id=group,
               members=[{"member_id": "", "group_instance_id": "zzz"}])  # fmt: skip
        s.note("leave by instance", "leave_group", 4, group_id=group,
               members=[{"member_id": "", "group_instance_id": "a"}])  # fmt: skip
        s.note("empty", "describe_groups", 4, groups=[group])

    same(scenario)


def commit_fields(member: Member, topic: str = "never was", offset: int = 5, **more: Any) -> dict[str, Any]:
    entry = {"partition_index": 0, "committed_offset": offset, "committed_leader_epoch": -1, "committed_metadata": "m"}
    who = {"group_id": member.group, "generation_id_or_member_epoch": member.generation, "member_id": member.id}
    return {**who, "group_instance_id": member.instance, "topics": [{"name": topic, "partitions": [entry]}], **more}


@pytest.mark.parametrize("version", [v for v in versions_known("offset_commit") if v < 10])
def test_offset_commit(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        group, topic = f"oc-v{version}", f"oc-v{version}"
        s.create_topic(topic, 2)
        s.find_coordinator(group)
        me = Member(s, group)

        def commit(label: str, **more: Any) -> None:
            entry = {"partition_index": more.pop("partition", 0), "committed_offset": more.pop("offset", 5)}
            entry["committed_metadata"] = more.pop("metadata", "about")
            if version >= 6:
                entry["committed_leader_epoch"] = more.pop("epoch", 0)
            fields = commit_fields(me, topic)
            fields["topics"] = [{"name": more.pop("topic", topic), "partitions": [entry]}]
            if 2 <= version <= 4:
                fields["retention_time"] = -1
            s.note(label, "offset_commit", version, **{**fields, **more})

        def fetch(label: str) -> None:
            s.note(label, "offset_fetch", 7, group_id=group, topics=None)

        commit("by nobody in particular")
        commit("another partition", partition=1, offset=77)
        commit("no metadata", metadata=None)
        commit("metadata at the limit", metadata="x" * 4096)
        commit("metadata too large", metadata="x" * 4097)
        commit("unknown topic", topic="never was")
        commit("unknown partition", partition=9)
        commit("negative offset", offset=-5)
        commit("no group", group_id="")
        commit("a member of an empty group", member_id="nobody-1", generation_id_or_member_epoch=1)
        commit("a generation of an empty group", generation_id_or_member_epoch=1)
        fetch("after simple commits")
        me.join("join")
        commit("before sync")
        me.sync("sync", **{me.id: b"all"})
        commit("as a member", offset=100)
        commit("older generation", generation_id_or_member_epoch=me.generation - 1)
        commit("unknown member", member_id="nobody-1")
        commit("by nobody, to a living group", member_id="", generation_id_or_member_epoch=-1)
        fetch("after a member's commits")

    same(scenario)


@pytest.mark.parametrize("version", [v for v in versions_known("offset_fetch") if v < 10])
def test_offset_fetch(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        group, topic = f"of-v{version}", f"of-v{version}"
        s.create_topic(topic, 3)
        s.find_coordinator(group)
        entries = [{"partition_index": p, "committed_offset": 10 + p, "committed_metadata": f"m{p}"} for p in (0, 1)]
        fields = {"group_id": group, "generation_id_or_member_epoch": -1, "member_id": ""}
        s.peer.ask("offset_commit", 7, **fields, topics=[{"name": topic, "partitions": entries}])

        def fetch(label: str, topics: list[Any] | None, of: str = group, **more: Any) -> None:
            one = {"group_id": of, "topics": topics}
            s.note(label, "offset_fetch", version, **({"groups": [one]} if version >= 8 else one), **more)

        fetch("all that were asked for", [{"name": topic, "partition_indexes": [0, 1, 2]}])
        fetch("unknown topic", [{"name": "never was", "partition_indexes": [0]}])
        fetch("unknown partition", [{"name": topic, "partition_indexes": [7]}])
        fetch("nothing", [])
        fetch("unknown group", [{"name": topic, "partition_indexes": [0]}], "never-was")
        fetch("no group", [{"name": topic, "partition_indexes": [0]}], "")
        if version >= 2:
            fetch("everything", None)
            fetch("everything of an unknown group", None, "never-was")
        if version >= 7:
            fetch("stable", None, require_stable=True)
        if version >= 8:
            many = [{"group_id": name, "topics": None} for name in (group, "never-was")]
            s.note("two groups", "offset_fetch", version, groups=many)
        if version >= 9:
            stranger = {"group_id": group, "topics": None, "member_id": "nobody", "member_epoch": 3}
            s.note("a member epoch of a classic group", "offset_fetch", version, groups=[stranger])

    same(scenario)


def test_offset_delete(same: Same) -> None:
    def scenario(s: Session) -> None:
        s.create_topic("od", 2)
        s.find_coordinator("od")
        entries = [{"partition_index": p, "committed_offset": 10 + p} for p in (0, 1)]
        fields = {"group_id": "od", "generation_id_or_member_epoch": -1, "member_id": ""}
        s.peer.ask("offset_commit", 7, **fields, topics=[{"name": "od", "partitions": entries}])

        def delete(label: str, topic: str, partition: int, group: str = "od") -> None:
            topics = [{"name": topic, "partitions": [{"partition_index": partition}]}]
            s.note(label, "offset_delete", 0, group_id=group, topics=topics)

        delete("good", "od", 0)
        delete("again", "od", 0)
        delete("unknown topic", "never was", 0)
        delete("unknown partition", "od", 9)
        delete("unknown group", "od", 0, "never-was")
        delete("no group", "od", 0, "")
        s.note("left", "offset_fetch", 7, group_id="od", topics=None)
        me = Member(s, "od")
        subscribed = struct.pack(">hih2si", 0, 1, 2, b"od", -1)
        me.join("join", protocols=[{"name": "range", "metadata": subscribed}])
        me.sync("sync", **{me.id: b"all"})
        delete("while subscribed", "od", 1)
        s.note("delete the group while it lives", "delete_groups", 1, groups_names=["od"])

    same(scenario)


@pytest.mark.parametrize("version", versions_known("describe_groups"))
def test_describe_groups(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        group = f"dg-v{version}"
        s.find_coordinator(group)
        me = Member(s, group)
        me.join("join")
        s.note("preparing", "describe_groups", version, groups=[group])
        me.sync("sync", **{me.id: b"all"})
        s.note("stable", "describe_groups", version, groups=[group])
        s.note("unknown", "describe_groups", version, groups=["never-was"])
        s.note("no group", "describe_groups", version, groups=[""])
        s.note("nothing", "describe_groups", version, groups=[])
        if version >= 3:
            fields = {"groups": [group], "include_authorized_operations": True}
            s.note("operations", "describe_groups", version, **fields)

    same(scenario)


@pytest.mark.parametrize("version", versions_known("list_groups"))
def test_list_groups(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        prefix = f"lg-v{version}"
        for name in ("a", "b"):
            s.find_coordinator(f"{prefix}-{name}")
        me = Member(s, f"{prefix}-a")
        me.join("join")
        me.sync("sync", **{me.id: b"all"})
        fields = {"group_id": f"{prefix}-b", "generation_id_or_member_epoch": -1, "member_id": ""}
        s.create_topic(prefix)
        entry = {"partition_index": 0, "committed_offset": 1}
        s.peer.ask("offset_commit", 7, **fields, topics=[{"name": prefix, "partitions": [entry]}])

        def listed(label: str, **more: Any) -> None:
            answer = s.peer.ask("list_groups", version, **more)
            s.keep(label, answer["error_code"])
            s.keep(label, [g for g in answer["groups"] if g["group_id"].startswith(prefix)])

        listed("all")
        if version >= 4:
            for states in (["Stable"], ["stable"], ["Empty", "Stable"], ["NoSuchState"]):
                listed(f"states {states}", states_filter=states)
        if version >= 5:
            for types in (["classic"], ["Classic"], ["consumer"], ["nosuch"]):
                listed(f"types {types}", types_filter=types)

    same(scenario)


@pytest.mark.parametrize("version", versions_known("delete_groups"))
def test_delete_groups(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        group = f"del-v{version}"
        s.create_topic(group)
        s.produce(group, 0, batch(simple(1)))
        s.find_coordinator(group)
        fields = {"group_id": group, "generation_id_or_member_epoch": -1, "member_id": ""}
        entry = {"partition_index": 0, "committed_offset": 1}
        s.peer.ask("offset_commit", 7, **fields, topics=[{"name": group, "partitions": [entry]}])
        s.note("unknown", "delete_groups", version, groups_names=["never-was"])
        s.note("no group", "delete_groups", version, groups_names=[""])
        s.note("good", "delete_groups", version, groups_names=[group])
        s.note("again", "delete_groups", version, groups_names=[group])
        s.note("offsets are gone", "offset_fetch", 7, group_id=group, topics=None)

    same(scenario)
