"""ShareFetch and ShareAcknowledge (KIP-932, KIP-1206, KIP-1222): our answers beside Apache Kafka's."""

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.compat.differential import READY_TIMEOUT_S, Session, batch, error_codes, simple

Same = Callable[[Callable[[Session], None]], None]
Said = tuple[int, int, Sequence[int]]
QUIET = {"nothing there", "nothing left", "accepts with a fetch", "and again", "what was held", "unknown partition",
         "a group nobody made", "nothing more", "another", "a third", "forgets one"}  # fmt: skip
"""Fetches that one of the brokers answers only when their time is over."""
GAP, ACCEPT, RELEASE, REJECT, RENEW = range(5)


class Member:
    """A member by hand: its group's epoch, its share session's epoch, on a connection of its own."""

    def __init__(self, s: Session, group: str, name: str, topic: str, topic_id: uuid.UUID, version: int) -> None:
        self.s, self.group, self.name, self.topic, self.topic_id = s, group, name, topic, topic_id
        self.version = version
        self.peer = s.other_peer()
        self.epoch = 0
        self.session_epoch = 0

    def join(self, partitions: int = 1) -> None:
        """Until it is assigned so many partitions."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            answer = self.peer.ask(
                "share_group_heartbeat", 1, group_id=self.group, member_id=self.name, member_epoch=self.epoch,
                subscribed_topic_names=[self.topic],
            )  # fmt: skip
            if answer["error_code"] == "none":
                self.epoch = answer["member_epoch"]
                given = (answer["assignment"] or {"topic_partitions": []})["topic_partitions"]
                if sum(len(each["partitions"]) for each in given) == partitions:
                    return
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)

    def leave(self) -> None:
        self.peer.ask("share_group_heartbeat", 1, group_id=self.group, member_id=self.name, member_epoch=-1)

    def fetch(self, label: str, *said: Said, partition: int = 0, **changes: Any) -> Any:
        """A ShareFetch, kept. It waits for long where something is to come, which a busy broker is slow to acquire."""
        wait_ms = {} if label in QUIET else {"max_wait": 30_000}
        answer = self._fetch(*said, partition=partition, **{**wait_ms, **changes})
        return self._keep(f"{self.name} {label} [share_fetch v{self.version}]", answer)

    def _fetch(self, *said: Said, partition: int = 0, **changes: Any) -> Any:
        fields: dict[str, Any] = {
            "group_id": self.group, "member_id": self.name, "share_session_epoch": self.session_epoch,
            "max_wait": 300, "min_bytes": 1, "max_bytes": 1 << 20, "max_records": 500, "batch_size": 500,
            "topics": [{"topic_id": self.topic_id, "partitions": [_partition(partition, said)]}],
        }  # fmt: skip
        answer = self.peer.ask("share_fetch", self.version, **{**fields, **changes})
        if answer["error_code"] == "none":
            self.session_epoch += 1
        return answer

    def begin(self) -> None:
        """A session whose share partition is loaded: that takes both brokers a moment, and not the same."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        self._fetch()
        while True:
            answer = self._fetch()
            if set(error_codes(answer)) == {"none"}:
                return
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)

    def say(self, label: str, *said: Said, **changes: Any) -> Any:
        """A ShareAcknowledge, kept."""
        fields: dict[str, Any] = {
            "group_id": self.group, "member_id": self.name, "share_session_epoch": self.session_epoch,
            "topics": [{"topic_id": self.topic_id, "partitions": [_partition(0, said)]}],
        }  # fmt: skip
        answer = self.peer.ask("share_acknowledge", self.version, **{**fields, **changes})
        if answer["error_code"] == "none":
            self.session_epoch += 1
        return self._keep(f"{self.name} {label} [share_acknowledge v{self.version}]", answer)

    def _keep(self, label: str, answer: Any) -> Any:
        for topic in answer["responses"]:
            for data in topic["partitions"]:
                data["records"] = None if data.get("records") is None else len(data["records"])
                data["acquired_records"] = _ranges(data.get("acquired_records", []))
        return self.s.keep(label, answer)


def _partition(index: int, said: Sequence[Said]) -> dict[str, Any]:
    batches = [
        {"first_offset": first, "last_offset": last, "acknowledge_types": list(types)} for first, last, types in said
    ]
    return {"partition_index": index, "acknowledgement_batches": batches}


def _ranges(acquired: list[dict[str, Any]]) -> list[tuple[int, int, int]]:
    """Neighbours with one delivery count together: Kafka lists the offsets of a batch that it cut one by one."""
    found: list[tuple[int, int, int]] = []
    for each in acquired:
        first, last, count = each["first_offset"], each["last_offset"], each["delivery_count"]
        if found and found[-1][1] + 1 == first and found[-1][2] == count:
            found[-1] = (found[-1][0], last, count)
        else:
            found.append((first, last, count))
    return found


def scene(s: Session, name: str, version: int, partitions: int = 1, **group: str) -> Member:
    """A topic, a group that begins at its start, and a member that has all of it."""
    topic_id = s.create_topic(name, partitions)
    s.find_coordinator(name)
    settings = {"share.auto.offset.reset": "earliest", **{key.replace("_", "."): group[key] for key in group}}
    configs = [{"name": key, "config_operation": 0, "value": value} for key, value in settings.items()]
    resource = {"resource_type": 32, "resource_name": name, "configs": configs}
    answer = s.peer.ask("incremental_alter_configs", 1, resources=[resource])
    assert set(error_codes(answer)) == {"none"}, answer
    member = Member(s, name, "m-1", name, topic_id, version)
    member.join(partitions)
    return member


@pytest.mark.parametrize("version", [1, 2])
def test_deliveries(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        me = scene(s, f"sf-life-{version}", version)
        topic = me.topic
        other = Member(s, me.group, "m-2", topic, me.topic_id, version)
        other.join()
        me.begin()
        other.begin()
        me.fetch("nothing there")
        for count in (3, 2, 5):
            s.produce(topic, 0, batch(simple(count)))
        me.fetch("up to a batch's end", max_records=4)
        other.fetch("the rest")
        me.fetch("nothing left")
        me.fetch("accepts with a fetch", (0, 1, [ACCEPT]))
        me.say("releases and rejects", (2, 4, [RELEASE, REJECT, ACCEPT]))
        other.fetch("what was released")
        me.say("not its own any more", (2, 2, [ACCEPT]))
        me.say("accepted before", (0, 0, [ACCEPT]))
        other.say("gaps", (2, 2, [GAP]), (5, 9, [ACCEPT, GAP, RELEASE, ACCEPT, RELEASE]))
        me.fetch("again", max_records=1)
        me.fetch("and again")
        me.fetch("ends", (7, 7, [ACCEPT]), share_session_epoch=-1)
        other.fetch("what was held")
        other.say("ends", (9, 9, [ACCEPT]), share_session_epoch=-1)
        other.say("after the end", (9, 9, [ACCEPT]))
        me.leave()
        other.leave()

    same(scenario)


@pytest.mark.parametrize("version", [1, 2])
def test_what_makes_no_sense(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        me = scene(s, f"sf-sense-{version}", version)
        me.fetch("no session", share_session_epoch=4)
        me.fetch("no session to end", share_session_epoch=-1)
        me.say("no session", (0, 0, [ACCEPT]), share_session_epoch=4)
        me.say("no session to end", (0, 0, [ACCEPT]), share_session_epoch=-1)
        me.say("begins none", (0, 0, [ACCEPT]), share_session_epoch=0)
        me.fetch("begins with a word", (0, 0, [ACCEPT]))
        s.produce(me.topic, 0, batch(simple(5)))
        me.begin()
        me.fetch("wrong epoch", share_session_epoch=77)
        me.say("wrong epoch", (0, 0, [ACCEPT]), share_session_epoch=77)
        for label, said in {
            "backwards": (3, 1, [ACCEPT]),
            "no types": (0, 1, []),
            "too few types": (0, 4, [ACCEPT, ACCEPT]),
            "too many types": (0, 1, [ACCEPT, ACCEPT, ACCEPT]),
            "unknown type": (0, 0, [9]),
            "negative type": (0, 0, [-1]),
            "renewing without saying so": (0, 0, [RENEW]),
            "beyond the end": (0, 9, [ACCEPT]),
            "far beyond the end": (100, 109, [ACCEPT]),
        }.items():
            me.say(label, said)
        me.say("overlapping", (0, 2, [ACCEPT]), (2, 4, [ACCEPT]))
        me.say("one good, one bad", (0, 1, [ACCEPT]), (3, 9, [ACCEPT]))
        unknown = [{"topic_id": uuid.UUID(int=9), "partitions": [_partition(0, [(0, 0, [ACCEPT])])]}]
        me.say("unknown topic", topics=unknown)
        me.say(
            "unknown partition", topics=[{"topic_id": me.topic_id, "partitions": [_partition(7, [(0, 0, [ACCEPT])])]}]
        )
        me.say("nothing at all", topics=[])
        me.say("good", (0, 4, [ACCEPT]))
        me.fetch("unknown partition", partition=7)
        me.leave()

    same(scenario)


def test_unknown_groups_and_topics(same: Same) -> None:
    def scenario(s: Session) -> None:
        me = scene(s, "sf-unknown", 2)
        stranger = Member(s, "sf-unknown-other", "x", me.topic, me.topic_id, 2)
        stranger.fetch("a group nobody made")
        lost = Member(s, me.group, "m-2", me.topic, uuid.UUID(int=9), 2)
        lost.fetch("unknown topic")
        uninvited = Member(s, me.group, "m-3", me.topic, me.topic_id, 2)
        uninvited.begin()
        s.produce(me.topic, 0, batch(simple(2)))
        uninvited.fetch("not a member of the group")
        me.leave()

    same(scenario)


def test_record_limit_and_renewing(same: Same) -> None:
    def scenario(s: Session) -> None:
        me = scene(s, "sf-limit", 2)
        me.begin()
        s.produce(me.topic, 0, batch(simple(10)))
        me.fetch("four of ten", max_records=4, share_acquire_mode=1)
        me.fetch("three more", max_records=3, share_acquire_mode=1)
        me.say("renews", (0, 3, [RENEW]), is_renew_ack=True)
        me.say("renews and accepts", (0, 3, [RENEW, ACCEPT, RENEW, RELEASE]), is_renew_ack=True)
        quiet = {"max_wait": 0, "min_bytes": 0, "max_bytes": 0, "max_records": 0, "is_renew_ack": True}
        me.fetch("renews in a fetch", (0, 0, [RENEW]), **quiet)
        me.fetch("renews and fetches", (0, 0, [RENEW]), is_renew_ack=True)
        me.fetch("three more again", max_records=3, share_acquire_mode=1)
        me.leave()

    same(scenario)


def test_batch_size_and_locks(same: Same) -> None:
    def scenario(s: Session) -> None:
        me = scene(s, "sf-locks", 2, share_partition_max_record_locks="100")
        me.begin()
        for _ in range(30):
            s.produce(me.topic, 0, batch(simple(5)))
        me.fetch("in ranges", max_records=40, batch_size=12)
        me.fetch("to the limit")
        me.fetch("nothing more")
        me.say("releases", (10, 19, [RELEASE]))
        me.fetch("what was released")
        me.say("accepts", (0, 9, [ACCEPT]))
        me.fetch("as many as were accepted")
        me.leave()

    same(scenario)


def test_several_partitions(same: Same) -> None:
    def scenario(s: Session) -> None:
        me = scene(s, "sf-several", 2, 3)
        me.begin()
        me.fetch("another", partition=1)
        me.fetch("a third", partition=2)
        for partition in range(3):
            s.produce(me.topic, partition, batch(simple(3)))
        me.fetch("all of them", topics=[])
        me.fetch("forgets one", topics=[], forgotten_topics_data=[{"topic_id": me.topic_id, "partitions": [1]}])
        for partition in range(3):
            s.produce(me.topic, partition, batch(simple(2)))
        me.fetch("the others", topics=[])
        me.fetch("nothing to fetch", topics=[], max_records=0)
        me.leave()

    same(scenario)
