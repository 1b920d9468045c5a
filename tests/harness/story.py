"""The story every client must live through, told once: topics, codecs, groups, seeking, configs, deleting, a crash.

A suite for one client is a subclass that names its driver and, by the stories it inherits, what the client can do.
The tests were proved against Apache Kafka (TAILRACE_COMPAT_BROKER=kafka); what they demand is what it does.
"""

import itertools
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.harness.brokers import BrokerProcess
from tests.harness.drivers import ALL_ACKS, CODECS, Driver, Member, Record, eventually

# An hour ago: not the time of arrival, and not so old that retention deletes it.
FIRST_TIMESTAMP_MS = int(time.time() * 1000) - 3_600_000
TIMESTAMP_STEP_MS = 1_000


def records(count: int, tag: str = "r") -> list[Record]:
    """`count` records a second apart, compressible, with a null key, an empty value and repeated headers among them."""
    made = []
    for i in range(count):
        key = None if i % 5 == 4 else f"{tag}-key-{i}".encode()
        value = b"" if i % 7 == 6 else f"{tag}-value-{i}-".encode() * 8
        headers: tuple[tuple[str, bytes | None], ...] = (("n", str(i).encode()), ("n", b"\x00\xff")) if i % 3 else ()
        made.append(Record(key, value, headers, FIRST_TIMESTAMP_MS + i * TIMESTAMP_STEP_MS))
    return made


def new_name(tag: str) -> str:
    """A topic or group name nobody has used."""
    return f"{tag}-{uuid.uuid4().hex[:10]}"


@contextmanager
def members(*joined: Member) -> Iterator[tuple[Member, ...]]:
    """Closes what the test left open."""
    try:
        yield joined
    finally:
        for member in joined:
            member.close()


def own_all(partitions: int, *group: Member) -> bool:
    """Whether the members together own each partition just once, and everyone has a fair share."""
    owned = [member.assignment() for member in group]
    share = partitions // len(group)
    return len(frozenset().union(*owned)) == partitions == sum(map(len, owned)) and all(len(o) >= share for o in owned)


class StoryBase:
    """Names the driver; the `driver` fixture makes one for each class of tests."""

    driver_type: type[Driver]


class Story(StoryBase):
    """What every client does."""

    codecs = CODECS

    def test_creates_and_deletes_a_topic(self, driver: Driver) -> None:
        topic = new_name("created")
        create(driver, topic, 3, {"retention.ms": "3600000"})
        assert driver.partition_count(topic) == 3
        assert driver.config(topic, "retention.ms") == "3600000"
        driver.delete_topic(topic)
        eventually(lambda: topic not in driver.topics(), "the deleted topic is gone")

    def test_every_codec_and_acks_setting(self, driver: Driver) -> None:
        topic = new_name("codecs")
        pairs = list(itertools.product(self.codecs, ALL_ACKS))
        create(driver, topic, len(pairs))
        for partition, (codec, acks) in enumerate(pairs):
            driver.produce(topic, partition, records(20, codec), codec, acks)
        for partition, (codec, acks) in enumerate(pairs):
            eventually(lambda p=partition: driver.bounds(topic, p) == (0, 20), f"20 records by {codec}, acks={acks}")
            stored = driver.read(topic, partition, 0, 20)
            assert [s.offset for s in stored] == list(range(20)), (codec, acks)
            assert [s.record for s in stored] == records(20, codec), (codec, acks)

    def test_seeks_by_offset_and_by_time(self, driver: Driver) -> None:
        topic = new_name("seek")
        create(driver, topic, 1)
        sent = records(30)
        driver.produce(topic, 0, sent[:10], "none")
        driver.produce(topic, 0, sent[10:], self.codecs[-1])
        assert [s.record for s in driver.read(topic, 0, 17, 5)] == sent[17:22]
        for index in (0, 13, 29):
            assert driver.offset_at(topic, 0, sent[index].timestamp_ms) == index
        assert driver.offset_at(topic, 0, sent[13].timestamp_ms + 1) == 14
        assert driver.offset_at(topic, 0, sent[-1].timestamp_ms + 1) is None

    def test_consumes_in_a_group_with_a_rebalance_in_the_middle(self, driver: Driver) -> None:
        topic, group = new_name("group"), new_name("group")
        create(driver, topic, 4)
        first = driver.join(group, topic)
        with members(first):
            eventually(lambda: own_all(4, first), "the only member owns all")
            send_everywhere(driver, topic, 0)
            eventually(lambda: len(offsets_of(first)) == 40, "the first member reads all 40")
            first.commit()
            second = driver.join(group, topic)
            with members(second):
                eventually(lambda: own_all(4, first, second), "two members share")
                send_everywhere(driver, topic, 1)
                eventually(lambda: len(offsets_of(first, second)) == 80, "both read on")
                assert offsets_of(second), "the second member read nothing"
                first.commit()
                second.commit()
            eventually(lambda: own_all(4, first), "the first owns all again")
            send_everywhere(driver, topic, 2)
            eventually(lambda: len(offsets_of(first, second)) == 120, "the first reads on alone")
            first.commit()
        assert driver.committed(group, topic, range(4)) == dict.fromkeys(range(4), 30)

    def test_a_group_resumes_where_it_committed(self, driver: Driver) -> None:
        topic, group = new_name("resume"), new_name("resume")
        create(driver, topic, 1)
        driver.produce(topic, 0, records(10))
        with members(driver.join(group, topic)) as (first,):
            eventually(lambda: len(first.received()) == 10, "ten records")
            first.commit()
        driver.produce(topic, 0, records(5, "later"))
        with members(driver.join(group, topic)) as (second,):
            eventually(lambda: len(second.received()) >= 5, "five more records")
            assert [s.offset for s in second.received()] == [10, 11, 12, 13, 14]

    def test_alters_a_config_that_takes_effect(self, driver: Driver) -> None:
        topic = new_name("config")
        create(driver, topic, 1)
        driver.alter_config(topic, "max.message.bytes", "2000")
        eventually(lambda: driver.config(topic, "max.message.bytes") == "2000", "the new value is shown")
        with pytest.raises(Exception, match=r"(?i)too.?large|larger than"):
            driver.produce(topic, 0, [Record(None, b"x" * 4000, (), FIRST_TIMESTAMP_MS)])
        assert driver.bounds(topic, 0) == (0, 0)
        driver.alter_config(topic, "max.message.bytes", "8000")
        driver.produce(topic, 0, [Record(None, b"x" * 4000, (), FIRST_TIMESTAMP_MS)])
        assert driver.bounds(topic, 0) == (0, 1)

    def test_deletes_records(self, driver: Driver) -> None:
        topic = new_name("delete")
        create(driver, topic, 1)
        driver.produce(topic, 0, records(20))
        driver.delete_records(topic, 0, 12)
        assert driver.bounds(topic, 0) == (12, 20)
        assert [s.record for s in driver.read(topic, 0, 12, 8)] == records(20)[12:]

    def test_reads_everything_back_after_a_crash(self, driver: Driver, broker: BrokerProcess) -> None:
        topic, group = new_name("crash"), new_name("crash")
        create(driver, topic, len(self.codecs), {"retention.ms": "86400000"})
        driver.alter_config(topic, "max.message.bytes", "123456")
        for partition, codec in enumerate(self.codecs):
            driver.produce(topic, partition, records(20, codec), codec)
        with members(driver.join(group, topic)) as (member,):
            eventually(lambda: len(member.received()) == 20 * len(self.codecs), "all records before the crash")
            member.commit()
        # The older AlterConfigs, which some clients send, resets what it does not name.
        retention = driver.config(topic, "retention.ms")
        driver.delete_records(topic, 0, 5)
        time.sleep(broker.LOG_START_CHECKPOINT_S)
        broker.kill_and_restart()
        after = self.driver_type(broker.address)
        try:
            self.check_after_crash(after, topic, group)
            assert after.config(topic, "retention.ms") == retention
            after.produce(topic, 0, records(1, "after"))
            eventually(lambda: has_bounds(after, topic, 0, (5, 21)), "new records after the crash")
        finally:
            after.close()

    def check_after_crash(self, driver: Driver, topic: str, group: str) -> None:
        """Records, log start, configs and committed offsets are as they were acknowledged."""
        for partition, codec in enumerate(self.codecs):
            start = 5 if partition == 0 else 0
            eventually(lambda p=partition, s=start: has_bounds(driver, topic, p, (s, 20)), f"{codec} after the crash")
            stored = driver.read(topic, partition, start, 20 - start)
            assert [s.record for s in stored] == records(20, codec)[start:], codec
        assert driver.config(topic, "max.message.bytes") == "123456"
        partitions = range(len(self.codecs))
        assert driver.committed(group, topic, partitions) == dict.fromkeys(partitions, 20)


class StaticStory(StoryBase):
    """For clients that know static members (KIP-345)."""

    def test_a_static_member_returns_without_a_rebalance(self, driver: Driver) -> None:
        topic, group = new_name("static"), new_name("static")
        create(driver, topic, 4)
        with members(driver.join(group, topic, instance_id="one")) as (one,):
            eventually(lambda: own_all(4, one), "the first static member owns all")
            two = driver.join(group, topic, instance_id="two")
            with members(two):
                eventually(lambda: own_all(4, one, two), "two static members share")
                told = ("assigned", one.assignment())
                eventually(lambda: one.events()[-1] == told, "the listener has heard, too")
                owned, events = two.assignment(), one.events()
            again = driver.join(group, topic, instance_id="two")
            with members(again):
                eventually(lambda: again.assignment() == owned, "the static member has its partitions back")
                time.sleep(1.0)  # several heartbeats: a rebalance would reach the other member by now
                assert one.events() == events
                assert own_all(4, one, again)


class CooperativeStory(StoryBase):
    """For clients with an incremental assignor (KIP-429)."""

    def test_a_cooperative_rebalance_moves_only_what_it_must(self, driver: Driver) -> None:
        topic, group = new_name("coop"), new_name("coop")
        create(driver, topic, 4)
        with members(driver.join(group, topic, cooperative=True)) as (first,):
            eventually(lambda: own_all(4, first), "the only member owns all")
            second = driver.join(group, topic, cooperative=True)
            with members(second):
                eventually(lambda: own_all(4, first, second), "two members share")
                revoked = [partitions for event, partitions in first.events() if event == "revoked" and partitions]
                assert revoked == [second.assignment()]
            eventually(lambda: own_all(4, first), "the first owns all again")


def create(driver: Driver, topic: str, partitions: int, config: dict[str, str] | None = None) -> None:
    """Create a topic and wait until each partition's leader answers.

    Kafka's own leaders are elected a moment after CreateTopics is answered; acks=0 records sent before are lost.
    """
    driver.create_topic(topic, partitions, config or {})
    for partition in range(partitions):
        eventually(lambda p=partition: has_bounds(driver, topic, p, (0, 0)), f"{topic}-{partition} has a leader")


def has_bounds(driver: Driver, topic: str, partition: int, expected: tuple[int, int]) -> bool:
    """Whether the partition holds `expected`; False, too, while it has no leader."""
    try:
        return driver.bounds(topic, partition) == expected
    except Exception as failure:
        if re.search(r"(?i)not.?leader|unknown.?(topic|partition)|no.?leader|leader.?not|does not", repr(failure)):
            return False
        raise


def send_everywhere(driver: Driver, topic: str, round_number: int) -> None:
    """Ten records to each of four partitions."""
    for partition in range(4):
        driver.produce(topic, partition, records(10, f"round-{round_number}"))


def offsets_of(*group: Member) -> set[tuple[int, int]]:
    """The distinct (partition, offset) the members read: a rebalance may deliver a record twice, never lose one."""
    return {(s.partition, s.offset) for member in group for s in member.received()}
