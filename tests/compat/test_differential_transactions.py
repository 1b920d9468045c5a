"""Transactions: our answers beside Apache Kafka's, for each request in each state, in the versions of old and new
clients. A transaction is named by its label; ids of producers are compared by the order of their coming."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.compat.differential import Session, batch, latest, simple
from tests.compat.raw import versions_known

from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import decode_response

Same = Callable[[Callable[[Session], None]], None]
TRANSACTIONAL = 16
WAIT_S = 90.0
NOT_READY = (14, 15, 16)
IDLE = ("Empty", "CompleteCommit", "CompleteAbort")


def by_topic(partitions: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    topics: dict[str, list[int]] = {}
    for topic, index in partitions:
        topics.setdefault(topic, []).append(index)
    return [{"name": topic, "partitions": indexes} for topic, indexes in topics.items()]


def described(s: Session, *transactional_ids: str) -> list[dict[str, Any]]:
    """DescribeTransactions, read by our own codec: kio's has no time before 1970, by which Kafka says "none"."""
    s.peer.send("describe_transactions", 0, transactional_ids=list(transactional_ids))
    found = api(ApiKey.DESCRIBE_TRANSACTIONS)
    assert found is not None
    _, answer = decode_response(found, 0, memoryview(s.peer.connection.receive()))
    return [
        {
            "error_code": each.error_code,
            "transactional_id": each.transactional_id,
            "transaction_state": each.transaction_state,
            "timeout": each.transaction_timeout_ms,
            "has_begun": each.transaction_start_time_ms > 0,
            "producer_id": each.producer_id,
            "producer_epoch": each.producer_epoch,
            "topics": sorted((topic.topic, sorted(topic.partitions)) for topic in each.topics),
        }
        for each in answer.transaction_states
    ]


class Transaction:
    """One transactional id, and who its producer is by the broker's last word."""

    def __init__(self, s: Session, name: str) -> None:
        self.s, self.id = s, name
        self.producer_id, self.epoch = -1, -1
        self.sequences: dict[tuple[str, int], int] = {}
        s.settle("find_coordinator", 4, key_type=1, coordinator_keys=[name])
        s.settle("init_producer_id", 4, transactional_id=None, transaction_timeout=1000)  # Kafka fetches ids in blocks
        until = time.monotonic() + WAIT_S
        while described(s, name)[0]["error_code"] in NOT_READY:
            assert time.monotonic() < until
            time.sleep(0.05)

    def init(self, label: str = "init", version: int = 4, **fields: Any) -> Any:
        asked = {"transactional_id": self.id, "transaction_timeout": 60_000, "producer_id": -1, "producer_epoch": -1}
        answer = self.s.peer.ask("init_producer_id", version, **{**asked, **fields})
        self.s.keep(f"{self.id}: {label} [v{version}]", answer)
        if answer["error_code"] == "none":
            self.producer_id, self.epoch = answer["producer_id"], answer["producer_epoch"]
            self.sequences = {}
        return answer

    def who(self, **more: Any) -> dict[str, Any]:
        fields = {"transactional_id": self.id, "producer_id": self.producer_id, "producer_epoch": self.epoch}
        return {**fields, **more}

    def add(self, label: str, *partitions: tuple[str, int], version: int = 3, **fields: Any) -> Any:
        topics = by_topic(partitions)
        who = {f"v3_and_below_{name}": value for name, value in self.who(**fields).items()}
        return self.s.note(f"{self.id}: {label}", "add_partitions_to_txn", version, v3_and_below_topics=topics, **who)

    def ask_as_broker(
        self, label: str, *partitions: tuple[str, int], verify: bool, version: int = 5, **more: Any
    ) -> Any:
        topics = by_topic(partitions)
        asked = [{**self.who(**more), "verify_only": verify, "topics": topics}]
        return self.s.note(f"{self.id}: {label}", "add_partitions_to_txn", version, transactions=asked)

    def add_offsets(self, label: str, group: str, version: int = 3, **fields: Any) -> Any:
        return self.s.note(f"{self.id}: {label}", "add_offsets_to_txn", version, **self.who(**fields), group_id=group)

    def commit_offsets(self, label: str, group: str, offset: int, version: int = 3, **fields: Any) -> Any:
        partition = {"partition_index": 0, "committed_offset": offset, "committed_leader_epoch": -1}
        topics = [{"name": fields.pop("topic", "in"), "partitions": [{**partition, "committed_metadata": "m"}]}]
        more = {"generation_id": -1, "generation_id_or_member_epoch": -1, "member_id": ""}
        asked = {**self.who(), **{k: v for k, v in more.items() if version >= 3}, **fields}
        asked = {k: v for k, v in asked.items() if k != "generation_id_or_member_epoch"}
        return self.s.note(f"{self.id}: {label}", "txn_offset_commit", version, group_id=group, topics=topics, **asked)

    def produce(self, label: str, topic: str, *, version: int = 9, index: int = 0, **fields: Any) -> Any:
        epoch, key = fields.get("epoch", self.epoch), (topic, index)
        sequence = fields.get("sequence", self.sequences.get(key, 0))
        producer = (fields.get("producer_id", self.producer_id), epoch, sequence)
        records = batch(simple(2), producer=producer, attributes=fields.get("attributes", TRANSACTIONAL))
        asked = {
            "transactional_id": fields.get("transactional_id", self.id),
            "acks": -1,
            "timeout": 10_000,
            "topic_data": [{"name": topic, "partition_data": [{"index": index, "records": records}]}],
        }
        answer = self.s.note(f"{self.id}: {label}", "produce", version, **asked)
        if answer["responses"][0]["partition_responses"][0]["error_code"] == "none":
            self.sequences[key] = sequence + 2
        return answer

    def end(self, label: str, committed: bool, version: int = 3, **fields: Any) -> Any:
        asked = {**self.who(**fields), "committed": committed}
        answer = self.s.note(f"{self.id}: {label}", "end_txn", version, **asked)
        if answer["error_code"] == "none":
            self.settle()
            if version >= 5:
                self.epoch, self.producer_id = answer["producer_epoch"], answer["producer_id"]
                self.sequences = {}
        return answer

    def settle(self) -> None:
        """Wait until the markers are written."""
        until = time.monotonic() + WAIT_S
        while self.state() not in IDLE:
            assert time.monotonic() < until
            time.sleep(0.02)

    def state(self) -> str:
        return str(described(self.s, self.id)[0]["transaction_state"])

    def describe(self, label: str) -> None:
        self.s.keep(f"{self.id}: {label}", described(self.s, self.id))


def bounds(s: Session, label: str, topic: str) -> None:
    """Ends of a partition for both kinds of readers, and what read_committed gets, without the bytes."""
    for isolation in (0, 1):
        answer = s.peer.ask(
            "list_offsets",
            7,
            replica_id=-1,
            isolation_level=isolation,
            topics=[{"name": topic, "partitions": latest(1)}],
        )
        s.keep(f"{label}: end for isolation {isolation}", answer)
    partition = {"partition": 0, "current_leader_epoch": -1, "fetch_offset": 0, "last_fetched_epoch": -1}
    partition |= {"log_start_offset": -1, "partition_max_bytes": 100_000}
    answer = s.peer.ask(
        "fetch",
        12,
        replica_id=-1,
        max_wait=0,
        min_bytes=0,
        max_bytes=1_000_000,
        isolation_level=1,
        session_id=0,
        session_epoch=-1,
        topics=[{"topic": topic, "partitions": [partition]}],
        forgotten_topics_data=[],
        rack_id="",
    )
    for found in answer["responses"]:
        for each in found["partitions"]:
            each["records"] = len(each["records"] or b"")
    s.keep(f"{label}: read_committed", answer)


def committed(s: Session, label: str, group: str, stable: bool, topic: str = "in") -> None:
    topics = [{"name": topic, "partition_indexes": [0]}]
    groups = [{"group_id": group, "topics": topics, "member_id": None, "member_epoch": -1}]
    s.note(label, "offset_fetch", 8, groups=groups, require_stable=stable)


@pytest.mark.parametrize("version", versions_known("find_coordinator"))
def test_find_coordinator(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        s.settle("find_coordinator", 4, key_type=1, coordinator_keys=["fc"])
        for key in ("fc", ""):
            keys = {"coordinator_keys": [key]} if version >= 4 else {"key": key}
            if version >= 1:
                s.note(f"id '{key}'", "find_coordinator", version, key_type=1, **keys)

    same(scenario)


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_init_producer_id(same: Same, version: int) -> None:
    def scenario(s: Session) -> None:
        t = Transaction(s, f"init{version}")
        no_id = {} if version >= 3 else {"producer_id": None, "producer_epoch": None}
        t.init("new", version, **no_id)
        t.init("again", version, **no_id)
        t.init("no time-out", version, transaction_timeout=0, **no_id)
        t.init("a long time-out", version, transaction_timeout=900_001, **no_id)
        t.init("an empty id", version, transactional_id="", **no_id)
        if version >= 3:
            producer_id = t.producer_id
            t.init("going on", version, producer_id=producer_id, producer_epoch=1)
            t.init("the same again", version, producer_id=producer_id, producer_epoch=1)
            t.init("an older epoch", version, producer_id=producer_id, producer_epoch=0)
            t.init("a newer epoch", version, producer_id=producer_id, producer_epoch=9)
            t.init("another id", version, producer_id=producer_id + 7_000_000, producer_epoch=2)
            t.init("half of it", version, producer_id=producer_id)
            unknown = Transaction(s, f"init{version}.unknown")
            unknown.init("unknown id that says who it is", version, producer_id=producer_id, producer_epoch=5)
        t.describe("at the end")

    same(scenario)


@pytest.mark.parametrize("version", [9, 12])
def test_init_while_open(same: Same, version: int) -> None:
    """The open transaction is aborted, and the epoch raised until the new producer has its own."""

    def scenario(s: Session) -> None:
        topic = f"open-{version}"
        s.create_topic(topic)
        t = Transaction(s, topic)
        t.init()
        if version < 12:
            t.add("add", (topic, 0))
        t.produce("write", topic, version=version)
        t.describe("ongoing")
        old = t.who()
        t.init("while open")
        t.settle()
        bounds(s, "aborted", topic)
        t.describe("aborted")
        t.init("then")
        t.end("the old one", True, producer_epoch=old["producer_epoch"])
        t.add("the old one adds", (topic, 0), producer_epoch=old["producer_epoch"])
        t.produce("the old one writes", topic, version=version, epoch=old["producer_epoch"])

    same(scenario)


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_transactions_v1(same: Same, version: int) -> None:
    """A client that adds its partitions: every request in every state, and with wrong ids and epochs."""

    def scenario(s: Session) -> None:
        topic = f"v1-{version}"
        s.create_topic(topic, 2)
        t = Transaction(s, topic)
        t.add("before init", (topic, 0), version=version, producer_id=1, producer_epoch=0)
        t.end("before init", True, version, producer_id=1, producer_epoch=0)
        t.init()
        t.end("commit of nothing", True, version)
        t.end("abort of nothing", False, version)
        t.produce("write before add", topic)
        t.add("add", (topic, 0), version=version)
        t.add("add again", (topic, 0), version=version)
        t.add("an unknown partition", (topic, 0), (topic, 7), version=version)
        t.add("another id", (topic, 1), version=version, producer_id=t.producer_id + 7_000_000)
        t.add("an older epoch", (topic, 1), version=version, producer_epoch=t.epoch - 1)
        t.add("a newer epoch", (topic, 1), version=version, producer_epoch=t.epoch + 1)
        t.add("no id", (topic, 1), version=version, transactional_id="")
        t.produce("write", topic)
        t.produce("write again", topic)
        t.produce("a gap", topic, sequence=9)
        t.produce("a retry", topic, sequence=2)
        t.produce("to a partition not added", topic, index=1)
        t.produce("outside of it", topic, attributes=0)
        t.produce("an older epoch", topic, epoch=t.epoch - 1)
        t.produce("without its id", topic, transactional_id=None)
        bounds(s, "open", topic)
        t.describe("open")
        t.end("another id", True, version, producer_id=t.producer_id + 7_000_000)
        t.end("an older epoch", True, version, producer_epoch=t.epoch - 1)
        t.end("a newer epoch", True, version, producer_epoch=t.epoch + 1)
        t.end("no id", True, version, transactional_id="")
        t.end("commit", True, version)
        t.end("commit again", True, version)
        t.end("abort after commit", False, version)
        t.describe("committed")
        t.produce("after the end", topic)
        t.add("next", (topic, 0), version=version)
        t.produce("next", topic)
        t.end("abort", False, version)
        t.end("abort again", False, version)
        t.end("commit after abort", True, version)
        bounds(s, "aborted", topic)
        t.describe("aborted")

    same(scenario)


@pytest.mark.parametrize("version", [3, 9, 10, 11, 12])
def test_produce_without_adding(same: Same, version: int) -> None:
    """Old clients are told that they have not added the partition, v12 adds it."""

    def scenario(s: Session) -> None:
        topic = f"produce-{version}"
        s.create_topic(topic)
        t = Transaction(s, topic)
        t.produce("before init", topic, version=version, producer_id=1, epoch=0)
        t.init()
        t.produce("a sequence that is not the first", topic, version=version, sequence=5)
        t.produce("the first", topic, version=version)
        t.produce("a newer epoch", topic, version=version, epoch=t.epoch + 1, sequence=0)
        t.produce("another producer", topic, version=version, producer_id=t.producer_id + 7_000_000, sequence=0)
        t.produce("no such partition", topic, version=version, index=3)
        t.produce("without an id", topic, version=version, transactional_id=None)
        t.produce("an id nobody has", topic, version=version, transactional_id="nobody", sequence=0)
        t.describe("then")

    same(scenario)


def test_transactions_v2(same: Same) -> None:
    """KIP-890: the epoch is raised at each end, a retry is known by the epoch before."""

    def scenario(s: Session) -> None:
        topic = "v2"
        s.create_topic(topic, 2)
        t = Transaction(s, topic)
        t.init()
        t.end("commit of nothing", True, 5)
        t.end("abort of nothing", False, 5)
        t.end("abort of nothing again", False, 5)
        t.end("its retry", False, 5, producer_epoch=t.epoch - 1)
        t.end("its retry as a commit", True, 5, producer_epoch=t.epoch - 1)
        t.produce("write", topic, version=12)
        t.produce("write to another", topic, version=12, index=1)
        t.describe("open")
        t.end("an older epoch", True, 5, producer_epoch=t.epoch - 1)
        t.end("a newer epoch", True, 5, producer_epoch=t.epoch + 1)
        t.end("another id", True, 5, producer_id=t.producer_id + 7_000_000)
        before = t.epoch
        t.end("commit", True, 5)
        t.describe("committed")
        t.end("its retry", True, 5, producer_epoch=before)
        t.end("its retry as an abort", False, 5, producer_epoch=before)
        t.end("a commit of nothing", True, 5)
        t.produce("a late batch", topic, version=12, epoch=before, sequence=2)
        t.produce("next", topic, version=12)
        t.end("by an old client", True, 3)
        t.describe("committed by an old client")
        t.end("abort of nothing then", False, 5)
        bounds(s, "at the end", topic)
        producers = s.peer.ask("describe_producers", 0, topics=[{"name": topic, "partition_indexes": [0]}])
        s.keep("the producers", producers)

    same(scenario)


def test_brokers_ask(same: Same) -> None:
    """AddPartitionsToTxn as the leader of a partition sends it."""

    def scenario(s: Session) -> None:
        topic = "asked"
        s.create_topic(topic, 2)
        t = Transaction(s, topic)
        t.ask_as_broker("verify before init", (topic, 0), verify=True, producer_id=1, producer_epoch=0)
        t.init()
        t.ask_as_broker("verify", (topic, 0), verify=True)
        t.ask_as_broker("add", (topic, 0), verify=False)
        t.ask_as_broker("verify two", (topic, 0), (topic, 1), verify=True)
        t.ask_as_broker("verify an unknown one", (topic, 9), verify=True)
        t.ask_as_broker("an older version", (topic, 1), verify=True, version=4)
        t.ask_as_broker("another id", (topic, 0), verify=True, producer_id=t.producer_id + 7_000_000)
        t.ask_as_broker("another epoch", (topic, 0), verify=True, producer_epoch=t.epoch + 1)
        t.ask_as_broker("add with another epoch", (topic, 0), verify=False, producer_epoch=t.epoch + 1)
        t.ask_as_broker("no id", (topic, 0), verify=True, transactional_id="")
        t.end("abort", False, 5)
        t.ask_as_broker("verify afterwards", (topic, 0), verify=True)

    same(scenario)


@pytest.mark.parametrize("version", [0, 2, 3, 4, 5])
def test_offsets(same: Same, version: int) -> None:
    """Offsets wait for the end of their transaction."""

    def scenario(s: Session) -> None:
        if version == 0:
            s.create_topic("in")
        group = f"group-{version}"
        s.find_coordinator(group)
        t = Transaction(s, f"offsets-{version}")
        ends = 5 if version >= 5 else 3
        t.commit_offsets("before init", group, 1, version, producer_id=1, producer_epoch=0)
        t.init()
        if version < 5:
            t.commit_offsets("before the group is added", group, 1, version)
            t.add_offsets("add", group)
            t.add_offsets("add again", group)
            t.add_offsets("with another epoch", group, producer_epoch=t.epoch + 1)
            t.add_offsets("no group", "")
        t.commit_offsets("commit", group, 5, version)
        t.commit_offsets("an unknown topic", group, 5, version, topic="nothing")
        t.commit_offsets("an older epoch", group, 6, version, producer_epoch=t.epoch - 1)
        t.commit_offsets("a newer epoch", group, 6, version, producer_epoch=t.epoch + 1)
        if version >= 3:
            t.commit_offsets("a member nobody knows", group, 6, version, member_id="x")
            t.commit_offsets("a generation nobody knows", group, 6, version, generation_id=4, member_id="x")
            t.commit_offsets("a generation alone", group, 6, version, generation_id=4)
        committed(s, "pending, stable wanted", group, True)
        committed(s, "pending", group, False)
        t.describe("open")
        t.end("commit", True, ends)
        committed(s, "committed", group, True)
        if version < 5:
            t.add_offsets("add once more", group)
        t.commit_offsets("commit once more", group, 9, version)
        t.end("abort", False, ends)
        committed(s, "aborted", group, True)

    same(scenario)


def test_offsets_that_are_deleted_meanwhile(same: Same) -> None:
    """OffsetDelete, DeleteGroups and DeleteTopics take offsets in open transactions too; a plain commit does not."""

    def scenario(s: Session) -> None:
        for topic in ("offsets-kept", "offsets-gone"):
            s.create_topic(topic)
        for number, deleted in enumerate(("committed too", "pending alone", "the group", "the topic", "nothing")):
            group, topic = f"deleted-{number}", "offsets-gone" if deleted == "the topic" else "offsets-kept"
            s.find_coordinator(group)
            t = Transaction(s, f"deleting-{number}")
            t.init()
            if deleted != "pending alone":
                s.note("a plain commit", "offset_commit", 8, **plain_commit(group, topic, 3))
            t.commit_offsets("commit", group, 9, 5, topic=topic)
            if deleted == "the group":
                s.note("delete the group", "delete_groups", 2, groups_names=[group])
            elif deleted == "the topic":
                s.peer.ask("delete_topics", 5, topic_names=[topic], timeout=10_000)
                s.create_topic(topic)
            elif deleted == "nothing":
                s.note("a plain commit within", "offset_commit", 8, **plain_commit(group, topic, 4))
            else:
                asked = [{"name": topic, "partitions": [{"partition_index": 0}]}]
                s.note("delete the offset", "offset_delete", 0, group_id=group, topics=asked)
            committed(s, f"{deleted} deleted, stable wanted", group, True, topic)
            t.end("commit", True, 5)
            committed(s, f"{deleted} deleted, and the transaction committed", group, True, topic)

    same(scenario)


def plain_commit(group: str, topic: str, offset: int) -> dict[str, Any]:
    partition = {
        "partition_index": 0,
        "committed_offset": offset,
        "committed_leader_epoch": -1,
        "committed_metadata": "",
    }
    topics = [{"name": topic, "partitions": [partition]}]
    return {"group_id": group, "generation_id_or_member_epoch": -1, "member_id": "", "topics": topics}


def test_markers(same: Same) -> None:
    """WriteTxnMarkers, by which an administrator ends a hanging transaction."""

    def scenario(s: Session) -> None:
        topic = "markers"
        s.create_topic(topic)
        t = Transaction(s, topic)
        t.init()
        t.init("again")
        t.produce("write", topic, version=12)

        def write(label: str, epoch: int, version: int = 1, coordinator_epoch: int = 0, **more: Any) -> None:
            named = {"name": more.get("topic", topic), "partition_indexes": [more.get("index", 0)]}
            marker = {"producer_id": t.producer_id, "producer_epoch": epoch, "transaction_result": False}
            marker |= {"topics": [named], "coordinator_epoch": coordinator_epoch}
            s.note(label, "write_txn_markers", version, markers=[marker])

        write("an older epoch", t.epoch - 1)
        write("an unknown partition", t.epoch, index=4)
        write("an unknown topic", t.epoch, topic="nothing")
        bounds(s, "before", topic)
        write("the epoch", t.epoch, coordinator_epoch=5)
        bounds(s, "after", topic)
        write("again", t.epoch, coordinator_epoch=5)
        write("an older coordinator", t.epoch, coordinator_epoch=4)
        bounds(s, "at the end", topic)
        s.note("none", "write_txn_markers", 1, markers=[])

    same(scenario)


def test_listing(same: Same) -> None:
    def scenario(s: Session) -> None:
        s.create_topic("listing")
        mine = [Transaction(s, f"listing-{state}") for state in ("empty", "ongoing", "committed")]
        for t in mine:
            t.init()
        mine[1].add("add", ("listing", 0))
        mine[2].add("add", ("listing", 0))
        mine[2].end("commit", True)

        def listed(label: str, version: int = 1, **fields: Any) -> None:
            asked = {"state_filters": [], "producer_id_filters": [], **fields}
            answer = s.peer.ask("list_transactions", version, **asked)
            found = [each for each in answer["transaction_states"] if each["transactional_id"].startswith("listing-")]
            answer["transaction_states"] = sorted(found, key=lambda each: str(each["transactional_id"]))
            s.keep(label, answer)

        listed("all", 0)
        listed("all", 1, duration_filter=-1)
        listed("ongoing", 0, state_filters=["Ongoing"])
        listed("in lower case", 0, state_filters=["ongoing"])
        listed("two states and an unknown one", 0, state_filters=["Empty", "CompleteCommit", "Nonsense"])
        listed("only an unknown one", 0, state_filters=["Nonsense"])
        listed("by producer", 0, producer_id_filters=[mine[1].producer_id])
        listed("longer than a day", 1, duration_filter=86_400_000)
        listed("longer than nothing", 1, duration_filter=0)
        s.keep("describe", described(s, "listing-empty", "nobody", ""))

    same(scenario)
