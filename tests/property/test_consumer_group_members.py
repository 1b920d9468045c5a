"""Random members of a consumer group (KIP-848): joins, heartbeats, leaves, kills, topics that come, grow and go.

Some speak the classic protocol: the group then changes from the one to the other and back, with whoever is in it.

What must hold after every step:
  one owner   no partition belongs to two members, neither as the coordinator has it nor as the clients do
  epochs      of the group and of a member's life never go back
  log         a fresh coordinator, from every record or from the last of each key, has the same group
  offsets     what was committed is there and never goes back, whatever the group is
And when everybody goes on sending heartbeats: every partition of every subscribed topic is consumed, evenly.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.scenario.group_bench import FakeGroupLog, GroupBench

from tailrace.base.errors import ErrorCode
from tailrace.coordinator.consumer_groups.embedded import places_of, read_assignment, read_subscription
from tailrace.coordinator.consumer_groups.group import ConsumerGroup
from tailrace.coordinator.consumer_groups.records import is_group_tombstone, read_consumer_record
from tailrace.coordinator.groups.coordinator import GroupCoordinator
from tailrace.coordinator.groups.records import GroupEntry, read_record
from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.net.timers import TimingWheel
from tailrace.wire.api import ApiKey
from tailrace.wire.group_records.consumer_group_member_metadata import ConsumerGroupMemberMetadataKey
from tailrace.wire.group_records.consumer_group_metadata import ConsumerGroupMetadataValue
from tailrace.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest, TopicPartitions
from tailrace.wire.messages.consumer_protocol_assignment import ConsumerProtocolAssignment
from tailrace.wire.messages.consumer_protocol_assignment import TopicPartition as Assigned
from tailrace.wire.messages.consumer_protocol_subscription import ConsumerProtocolSubscription
from tailrace.wire.messages.consumer_protocol_subscription import TopicPartition as Owned
from tailrace.wire.messages.heartbeat import HeartbeatRequest
from tailrace.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from tailrace.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from tailrace.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from tailrace.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

GROUP = "g"
REST_ROUNDS = 24
"""Of three seconds each: longer than the longest session."""
DURABLE = ("epoch", "target_epoch", "metadata_hash", "members", "owners", "static_members", "regexes")
INSTANCES = {"A": None, "B": None, "C": None, "D": None, "S": "s", "T": "t"}
CLIENTS = st.sampled_from(sorted(INSTANCES))
CLASSIC = {"J": None, "K": None, "S2": "s"}
"""Members of the classic protocol; one of them shares its instance id with a consumer member."""
CLASSIC_CLIENTS = st.sampled_from(sorted(CLASSIC))
SUBSCRIPTIONS: list[tuple[list[str] | None, str | None]] = [
    (["t1"], ""), (["t1", "t2"], ""), (["t2", "t3"], ""), ([], ""), ([], "t[12]"), (["t3"], "t.*"),
]  # fmt: skip


class _Client:
    """What a client knows of itself, and what it believes to own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.instance = INSTANCES[name]
        self.life = 0
        self.forget()

    def forget(self) -> None:
        self.life += 1
        self.epoch = 0
        self.owned: set[tuple[UUID, int]] = set()
        self.given: set[tuple[UUID, int]] = set()
        self.subscription = SUBSCRIPTIONS[0]

    @property
    def member_id(self) -> str:
        return f"{self.name}{self.life}"


class _ClassicClient:
    """A consumer of the classic protocol with a cooperative assignor: it keeps what it has while it joins again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.instance = CLASSIC[name]
        self.life = 0
        self.forget()

    def forget(self) -> None:
        """Its process is gone."""
        self.is_alive = False
        self.begin_anew()

    def begin_anew(self) -> None:
        """It is a stranger to the group."""
        self.life += 1
        self.member_id = ""
        self.lose()

    def lose(self) -> None:
        """It is not in the group, or no longer as it was: what it had is gone."""
        self.generation = -1
        self.is_joining = False
        self.has_synced = False
        self.owned: set[tuple[UUID, int]] = set()
        self.subscribed = ["t1"]


class _Epochs:
    """The group's epoch or generation as the log tells it: it only grows, from one protocol to the other too.

    Only a group without members may come to an end, and what has its name afterwards begins anew, as in Kafka.
    """

    def __init__(self) -> None:
        self.batches_seen = 0
        self.level = 0
        self.members: set[str] = set()
        self.classic_members = 0

    def follow(self, batches: list[list[CoordinatorRecord]]) -> None:
        for batch in batches[self.batches_seen :]:
            had_members = bool(self.members) or self.classic_members > 0
            ends = [self._apply(record) for record in batch]
            told = [level for level in map(_level, batch) if level is not None]
            if any(ends) and not had_members:
                self.level = 0
            assert had_members <= (not any(ends) or bool(told)), "a group with members ends"
            for level in told:
                assert level >= self.level, "the group's epoch went back"
                self.level = level
        self.batches_seen = len(batches)

    def _apply(self, record: CoordinatorRecord) -> bool:
        """Count the members; whether the group ends under one protocol."""
        group = read_record(record)
        if isinstance(group, GroupEntry):
            self.classic_members = 0 if group.value is None else len(group.value.members)
            return group.value is None
        entry = read_consumer_record(record)
        if entry is not None and isinstance(entry.key, ConsumerGroupMemberMetadataKey):
            (self.members.discard if entry.value is None else self.members.add)(entry.key.member_id)
        return entry is not None and is_group_tombstone(entry)


def _level(record: CoordinatorRecord) -> int | None:
    """The epoch or the generation that a record tells."""
    group = read_record(record)
    if isinstance(group, GroupEntry):
        return None if group.value is None else group.value.generation
    entry = read_consumer_record(record)
    return entry.value.epoch if entry and isinstance(entry.value, ConsumerGroupMetadataValue) else None


class ConsumerGroupMachine(RuleBasedStateMachine):
    """One group, nine clients, a log that may hold, refuse, or be cut off by a kill."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = GroupBench(GroupSettings(offsets_topic_num_partitions=1))
        self.bench.image.add("t1", 4)
        self.bench.image.add("t2", 3)
        self.clients = {name: _Client(name) for name in INSTANCES}
        self.classic = {name: _ClassicClient(name) for name in CLASSIC}
        self.offset = 0
        self.committed: int | None = None
        self.epochs = _Epochs()
        self.life = 0

    def _beat(self, client: _Client, epoch: int, is_full: bool) -> None:
        names, regex = client.subscription
        request = ConsumerGroupHeartbeatRequest(GROUP, client.member_id, epoch, client.instance)
        if is_full or epoch == 0:
            request.rebalance_timeout_ms = 20_000
            request.subscribed_topic_names, request.subscribed_topic_regex = names, regex
        request.topic_partitions = [] if epoch == 0 else _topics(client.owned)
        life = (self.life, client.life)

        def answered(response: Any) -> None:
            if life != (self.life, client.life):
                return
            if response.error_code:
                if response.error_code in (
                    ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_MEMBER_EPOCH, ErrorCode.GROUP_ID_NOT_FOUND,
                    ErrorCode.FENCED_INSTANCE_ID,
                ):  # fmt: skip
                    client.owned.clear()
                    client.given.clear()
                    client.epoch = 0
                return
            if epoch < 0:
                return
            if epoch > 0:
                assert response.member_epoch >= epoch, "a member's epoch went back"
            client.epoch = response.member_epoch
            if response.assignment is not None:
                topics = response.assignment.topic_partitions
                client.given = {(topic.topic_id, index) for topic in topics for index in topic.partitions}

        self.bench.send(ApiKey.CONSUMER_GROUP_HEARTBEAT, 1, client.name, request, answered)

    @rule(name=CLIENTS, subscription=st.sampled_from(SUBSCRIPTIONS))
    def join(self, name: str, subscription: tuple[list[str] | None, str | None]) -> None:
        client = self.clients[name]
        client.owned.clear()
        client.subscription = subscription
        self._beat(client, 0, is_full=True)

    @rule(name=CLIENTS, is_full=st.booleans())
    def heartbeat(self, name: str, is_full: bool) -> None:
        client = self.clients[name]
        if client.epoch > 0:
            self._beat(client, client.epoch, is_full)

    @rule(name=CLIENTS, subscription=st.sampled_from(SUBSCRIPTIONS))
    def subscribe(self, name: str, subscription: tuple[list[str] | None, str | None]) -> None:
        client = self.clients[name]
        if client.epoch > 0:
            client.subscription = subscription
            self._beat(client, client.epoch, is_full=True)

    @rule(name=CLIENTS)
    def obey(self, name: str) -> None:
        """The client gives up what it must and takes what it was given."""
        client = self.clients[name]
        client.owned = set(client.given)

    @rule(name=CLIENTS)
    def lose_answer(self, name: str) -> None:
        """A heartbeat whose answer never comes, and the same once more."""
        client = self.clients[name]
        if client.epoch > 0 and not self.bench.log.held:
            epoch, given = client.epoch, client.given
            self._beat(client, epoch, is_full=True)
            if client.epoch > 0:
                client.epoch, client.given = epoch, given
            self._beat(client, epoch, is_full=True)

    @rule(name=CLIENTS)
    def leave(self, name: str) -> None:
        client = self.clients[name]
        if client.epoch > 0:
            client.owned.clear()
            client.given.clear()
            self._beat(client, -1 if client.instance is None else -2, is_full=False)
            client.forget()

    @rule(name=CLIENTS)
    def kill_client(self, name: str) -> None:
        self.clients[name].forget()

    # Classic members

    @rule(name=CLASSIC_CLIENTS, topics=st.sampled_from([["t1"], ["t1", "t2"]]))
    def classic_join(self, name: str, topics: list[str]) -> None:
        client = self.classic[name]
        if not client.is_joining:
            client.is_alive = True
            client.subscribed = topics
            self._join(client)

    def _join(self, client: _ClassicClient) -> None:
        client.is_joining = True
        protocols = [JoinGroupRequestProtocol("cooperative-sticky", self._subscription(client))]
        request = JoinGroupRequest(GROUP, 10_000, 20_000, client.member_id, client.instance, "consumer", protocols)
        life = (self.life, client.life)

        def answered(response: Any) -> None:
            if life != (self.life, client.life):
                return
            client.is_joining = False
            if response.error_code == ErrorCode.MEMBER_ID_REQUIRED:
                client.member_id = response.member_id
                self._join(client)
            elif response.error_code in (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_INSTANCE_ID):
                client.begin_anew()
            elif not response.error_code:
                client.member_id, client.generation = response.member_id, response.generation_id
                client.has_synced = False
                self._sync(client, response)

        self.bench.send(ApiKey.JOIN_GROUP, 9, client.name, request, answered)

    def _subscription(self, client: _ClassicClient) -> bytes:
        named: dict[str, list[int]] = {}
        for topic_id, index in client.owned:
            topic = self.bench.image.topic_by_id(topic_id)
            if topic is not None:
                named.setdefault(topic.name, []).append(index)
        made = ConsumerProtocolSubscription(client.subscribed, None, [Owned(*item) for item in named.items()])
        out = bytearray(b"\0\1")
        made.encode(out, 1)
        return bytes(out)

    def _sync(self, client: _ClassicClient, joined: Any) -> None:
        """Give every partition to the first subscriber that owns it already, or to nobody this time: cooperative."""
        request = SyncGroupRequest(
            GROUP, client.generation, client.member_id, client.instance, "consumer", "cooperative-sticky"
        )
        if joined.leader == client.member_id and not joined.skip_assignment:
            request.assignments = self._assign(joined.members)
        life = (self.life, client.life)

        def answered(response: Any) -> None:
            if life != (self.life, client.life) or client.generation != request.generation_id:
                return
            if response.error_code in (
                ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.ILLEGAL_GENERATION, ErrorCode.FENCED_INSTANCE_ID
            ):  # fmt: skip
                client.lose()
            elif not response.error_code:
                client.has_synced = True
                given = read_assignment(response.assignment).assigned_partitions
                client.owned = set(places_of(given, self.bench.image))

        self.bench.send(ApiKey.SYNC_GROUP, 5, client.name, request, answered)

    def _assign(self, members: list[Any]) -> list[SyncGroupRequestAssignment]:
        told = {each.member_id: read_subscription(each.metadata) for each in members}
        given: dict[str, dict[str, list[int]]] = {member_id: {} for member_id in told}
        for name, topic in self.bench.image.topics.items():
            wanting = sorted(member_id for member_id, each in told.items() if name in each.topics)
            for index in range(len(topic.partitions) if wanting else 0):
                owners = [
                    member_id for member_id, each in told.items()
                    if any(own.topic == name and index in own.partitions for own in each.owned_partitions)
                ]  # fmt: skip
                taker = wanting[index % len(wanting)]
                if not owners or owners == [taker]:
                    given[taker].setdefault(name, []).append(index)
        made = []
        for member_id, topics in given.items():
            out = bytearray(b"\0\1")
            ConsumerProtocolAssignment([Assigned(*item) for item in topics.items()]).encode(out, 1)
            made.append(SyncGroupRequestAssignment(member_id, bytes(out)))
        return made

    @rule(name=CLASSIC_CLIENTS)
    def classic_heartbeat(self, name: str) -> None:
        client = self.classic[name]
        if client.generation < 0 or client.is_joining:
            return
        request = HeartbeatRequest(GROUP, client.generation, client.member_id, client.instance)
        life = (self.life, client.life, client.generation)

        def answered(response: Any) -> None:
            if life != (self.life, client.life, client.generation) or client.is_joining:
                return
            if response.error_code == ErrorCode.REBALANCE_IN_PROGRESS:
                self._join(client)
            elif response.error_code in (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_INSTANCE_ID):
                client.begin_anew()
            elif response.error_code == ErrorCode.ILLEGAL_GENERATION:
                client.lose()

        self.bench.send(ApiKey.HEARTBEAT, 4, client.name, request, answered)

    @rule(name=CLASSIC_CLIENTS)
    def classic_leave(self, name: str) -> None:
        client = self.classic[name]
        if client.member_id and client.instance is None:
            request = LeaveGroupRequest(GROUP, "", [MemberIdentity(client.member_id)])
            self.bench.send(ApiKey.LEAVE_GROUP, 5, client.name, request, lambda response: None)
            client.forget()

    @rule(name=CLASSIC_CLIENTS)
    def kill_classic(self, name: str) -> None:
        self.classic[name].forget()

    @rule(name=st.sampled_from(sorted(CLASSIC) + sorted(INSTANCES)))
    def commit(self, name: str) -> None:
        """A member commits a larger offset than any before it."""
        client: Any = self.classic.get(name) or self.clients[name]
        epoch = client.generation if name in self.classic else client.epoch
        if epoch < 0 or not client.member_id:
            return
        self.offset += 1
        offset = self.offset
        partition = OffsetCommitRequestPartition(0, offset)
        topics = [OffsetCommitRequestTopic("t1", partitions=[partition])]
        request = OffsetCommitRequest(GROUP, epoch, client.member_id, client.instance, -1, topics)
        life = self.life

        def answered(response: Any) -> None:
            if life == self.life and not response.topics[0].partitions[0].error_code:
                self.committed = offset

        self.bench.send(ApiKey.OFFSET_COMMIT, 9, client.name, request, answered)

    @invariant()
    def committed_offsets_are_kept(self) -> None:
        found = self.bench.groups.committed_offsets(GROUP).get("t1", 0)
        if self.committed is not None:
            assert found is not None and found.offset >= self.committed, "a committed offset went back"

    # The world

    @rule(delta_ms=st.sampled_from([1_000, 10_000, 30_000]))
    def advance(self, delta_ms: int) -> None:
        self.bench.advance(delta_ms)

    @rule(name=st.sampled_from(["t1", "t2", "t3"]), count=st.integers(1, 6))
    def grow(self, name: str, count: int) -> None:
        known = self.bench.image.topic(name)
        if known is None or len(known.partitions) < count:
            self.bench.image.add(name, count)
            self.bench.groups.on_topics_changed()

    @rule()
    def delete_topic(self) -> None:
        if self.bench.image.topics.pop("t3", None) is not None:
            self.bench.groups.on_topics_changed()

    @rule(count=st.integers(1, 2))
    def refuse_next(self, count: int) -> None:
        self.bench.log.refusals += [ErrorCode.NOT_ENOUGH_REPLICAS] * count

    @rule()
    def hold(self) -> None:
        self.bench.log.is_holding = True

    @rule()
    def release(self) -> None:
        self.bench.log.is_holding = False
        self.bench.log.release()

    @rule()
    def kill_broker(self) -> None:
        self.life += 1
        self.bench.restart()
        for client in self.classic.values():
            client.is_joining = False

    @rule()
    def delete_group(self) -> None:
        life = self.life

        def deleted(result: Any) -> None:
            if life == self.life and not result.error_code:
                self.committed = None

        self.bench.groups.delete_group(GROUP).on_complete(deleted)

    def _round(self, living: dict[str, _Client], classic: list[_ClassicClient]) -> None:
        """Three seconds in which those do what a client does."""
        self.bench.advance(3_000)
        for name, client in living.items():
            client.owned = set(client.given)
            if client.epoch == 0:
                self.join(name, client.subscription)
            self._beat(client, client.epoch, is_full=True)
        for member in classic:
            if member.generation >= 0:
                self.classic_heartbeat(member.name)
            else:
                self.classic_join(member.name, member.subscribed)

    @rule(names=st.sets(CLIENTS), classic=st.sets(CLASSIC_CLIENTS), rounds=st.sampled_from([2, 4, 18]))
    def go_on(self, names: set[str], classic: set[str], rounds: int) -> None:
        """Some live on, or come back; of the others nothing is heard."""
        for _ in range(rounds):
            self._round({name: self.clients[name] for name in names}, [self.classic[name] for name in sorted(classic)])

    @rule()
    def roll_back(self) -> None:
        """Every member of the consumer protocol leaves, the static ones for good."""
        for client in self.clients.values():
            if client.epoch > 0:
                client.owned.clear()
                client.given.clear()
                self._beat(client, -1, is_full=False)
                client.forget()

    @precondition(lambda self: not self.bench.log.held)
    @rule()
    def come_to_rest(self) -> None:
        """Everybody alive goes on: all is consumed in the end."""
        self.bench.log.is_holding = False
        self.bench.log.refusals.clear()
        if self.clients["S"].epoch > 0:
            self.classic["S2"].forget()  # two living processes with one instance id take it from each other for ever
        living = {name: client for name, client in self.clients.items() if client.epoch > 0}
        classic = [client for client in self.classic.values() if client.is_alive]
        for _ in range(REST_ROUNDS):
            self._round(living, classic)
        found = self.bench.groups.find_group(GROUP)
        if found is None or not (living or classic):
            return
        assert all(member.generation >= 0 and member.has_synced for member in classic)
        ids = {client.member_id for client in living.values()} | {member.member_id for member in classic}
        assert (found.consumer is not None) == bool(living), "whose protocol it is"
        if found.consumer is None:
            assert ids == set(found.members) and found.state == "Stable"
        else:
            assert ids == set(found.consumer.members)
            self._is_at_rest(found.consumer, living, classic)

    def _is_at_rest(self, group: ConsumerGroup, living: dict[str, _Client], classic: list[_ClassicClient]) -> None:
        assert group.state == "Stable"
        image = self.bench.image
        wanted = set()
        for each in group.members.values():
            names = set(each.subscribed_topics) | set(group.regexes.get(each.subscribed_regex, ()))
            own = {(topic.topic_id, index) for topic in map(image.topic, names) if topic
                   for index in range(len(topic.partitions))}  # fmt: skip
            assert each.assigned.keys() <= own, "a member consumes what it did not ask for"
            wanted |= own
        assert group.owners.keys() == wanted, "something is consumed by nobody"
        for client in living.values():
            assert client.given == client.owned == set(group.members[client.member_id].assigned)
        for member in classic:
            assert member.owned == set(group.members[member.member_id].assigned)
        if len({(m.subscribed_topics, m.subscribed_regex) for m in group.members.values()}) == 1:
            loads = [len(member.assigned) for member in group.members.values()]
            assert max(loads) - min(loads) <= 1

    # What holds

    def _group(self) -> ConsumerGroup | None:
        group = self.bench.groups.find_group(GROUP)
        return None if group is None else group.consumer

    @invariant()
    def one_owner(self) -> None:
        group = self._group()
        if group is None:
            return
        found = self.bench.groups.find_group(GROUP)
        assert found is not None and not found.members and not found.is_recorded, "it is of both protocols"
        owners = [
            place for member in group.members.values() for place in (*member.assigned, *member.pending_revocation)
        ]
        assert len(owners) == len(set(owners))
        assert set(owners) == set(group.owners)
        assert group.target_epoch <= group.epoch
        assert all(member.epoch <= group.target_epoch for member in group.members.values())
        fenced = [client for client in self.clients.values() if client.member_id not in group.members]
        held = [place for client in self.clients.values() if client not in fenced for place in client.owned]
        for client in self.classic.values():
            member = group.members.get(client.member_id)
            if member is not None and member.epoch == client.generation:
                held += client.owned
        assert len(held) == len(set(held)), "two clients consume one partition"

    @invariant()
    def epochs_do_not_go_back(self) -> None:
        self.epochs.follow(self.bench.log.batches)

    @invariant()
    def log_and_memory_agree(self) -> None:
        if self.bench.log.held:
            return
        live = self._group()
        for is_compacted in (False, True):
            loaded = self._reloaded(is_compacted)
            assert (live is None) == (loaded is None)
            if live is not None and loaded is not None:
                for name in DURABLE:
                    assert getattr(live, name) == getattr(loaded, name), name
                assert {k: v for k, v in live.targets.items() if v} == {k: v for k, v in loaded.targets.items() if v}

    def _reloaded(self, is_compacted: bool) -> ConsumerGroup | None:
        bench = self.bench
        timers = TimingWheel(now_ms=bench.clock.monotonic_ms(), read_ms=bench.clock.monotonic_ms)
        fresh = GroupCoordinator(bench.settings, bench.log, timers, bench.clock, bench.random, lambda: bench.image)  # type: ignore[arg-type, return-value]
        if is_compacted:
            fresh.load(0, bench.log)
        else:
            steps = fresh.load_steps(0, FakeGroupLog())
            shard = fresh._shards[0]
            for record in bench.log.records(0):
                shard.replay(record)
            assert list(steps) == []
        found = fresh.find_group(GROUP)
        fresh.close()
        return None if found is None else found.consumer


def _topics(places: set[tuple[UUID, int]]) -> list[TopicPartitions]:
    return [
        TopicPartitions(topic, [index for each, index in places if each == topic]) for topic in {t for t, _ in places}
    ]


TestConsumerGroups = ConsumerGroupMachine.TestCase
TestConsumerGroups.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
