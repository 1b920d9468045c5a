"""Random members of a consumer group (KIP-848): joins, heartbeats, leaves, kills, topics that come, grow and go.

What must hold after every step:
  one owner   no partition belongs to two members, neither as the coordinator has it nor as the clients do
  epochs      of the group and of a member's life never go back
  log         a fresh coordinator, from every record or from the last of each key, has the same group
And when everybody goes on sending heartbeats: every partition of every subscribed topic is consumed, evenly.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.scenario.group_bench import GroupBench

from tailrace.base.errors import ErrorCode
from tailrace.coordinator.consumer_groups.group import ConsumerGroup
from tailrace.coordinator.groups.coordinator import GroupCoordinator
from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.net.timers import TimingWheel
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest, TopicPartitions

GROUP = "g"
DURABLE = ("epoch", "target_epoch", "metadata_hash", "members", "owners", "static_members", "regexes")
INSTANCES = {"A": None, "B": None, "C": None, "D": None, "S": "s", "T": "t"}
CLIENTS = st.sampled_from(sorted(INSTANCES))
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


class ConsumerGroupMachine(RuleBasedStateMachine):
    """One group, six clients, a log that may hold, refuse, or be cut off by a kill."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = GroupBench(GroupSettings(offsets_topic_num_partitions=1))
        self.bench.image.add("t1", 4)
        self.bench.image.add("t2", 3)
        self.clients = {name: _Client(name) for name in INSTANCES}
        self.epoch = 0
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

    @rule()
    def delete_group(self) -> None:
        self.bench.groups.delete_group(GROUP)

    @precondition(lambda self: not self.bench.log.held)
    @rule()
    def come_to_rest(self) -> None:
        """Everybody alive goes on: all is consumed in the end."""
        self.bench.log.is_holding = False
        self.bench.log.refusals.clear()
        self.bench.advance(60_000)
        living = {}
        for name, client in self.clients.items():
            if client.epoch > 0:
                self._beat(client, client.epoch, is_full=True)
            if client.epoch > 0:
                living[name] = client
        for _ in range(4 * len(INSTANCES)):
            for name, client in living.items():
                client.owned = set(client.given)
                if client.epoch == 0:
                    self.join(name, client.subscription)
                self._beat(client, client.epoch, is_full=True)
        group = self._group()
        if not living or group is None:
            return
        assert {client.member_id for client in living.values()} <= set(group.members)
        if len(group.members) == len(living):
            self._is_at_rest(group, living)

    def _is_at_rest(self, group: ConsumerGroup, living: dict[str, _Client]) -> None:
        assert group.state == "Stable"
        image = self.bench.image
        wanted = set()
        for member in group.members.values():
            names = set(member.subscribed_topics) | set(group.regexes.get(member.subscribed_regex, ()))
            own = {(topic.topic_id, index) for topic in map(image.topic, names) if topic
                   for index in range(len(topic.partitions))}  # fmt: skip
            assert member.assigned.keys() <= own, "a member consumes what it did not ask for"
            wanted |= own
        assert group.owners.keys() == wanted, "something is consumed by nobody"
        for client in living.values():
            assert client.given == client.owned == set(group.members[client.member_id].assigned)
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
            self.epoch = 0
            return
        owners = [
            place for member in group.members.values() for place in (*member.assigned, *member.pending_revocation)
        ]
        assert len(owners) == len(set(owners))
        assert set(owners) == set(group.owners)
        assert group.epoch >= self.epoch
        assert group.target_epoch <= group.epoch
        assert all(member.epoch <= group.target_epoch for member in group.members.values())
        self.epoch = group.epoch
        fenced = [client for client in self.clients.values() if client.member_id not in group.members]
        held = [place for client in self.clients.values() if client not in fenced for place in client.owned]
        assert len(held) == len(set(held)), "two clients consume one partition"

    @invariant()
    def log_and_memory_agree(self) -> None:
        if self.bench.log.held:
            return
        live = self._group()
        for is_compacted in (False, True):
            loaded = self._reloaded(is_compacted)
            assert (live is None) == (loaded is None)
            if live is not None and loaded is not None:
                for name in (
                    "epoch",
                    "target_epoch",
                    "metadata_hash",
                    "members",
                    "owners",
                    "static_members",
                    "regexes",
                ):
                    assert getattr(live, name) == getattr(loaded, name), name
                assert {k: v for k, v in live.targets.items() if v} == {k: v for k, v in loaded.targets.items() if v}

    def _reloaded(self, is_compacted: bool) -> ConsumerGroup | None:
        bench = self.bench
        timers = TimingWheel(now_ms=bench.clock.monotonic_ms(), read_ms=bench.clock.monotonic_ms)
        fresh = GroupCoordinator(bench.settings, bench.log, timers, bench.clock, bench.random, lambda: bench.image)  # type: ignore[arg-type, return-value]
        if is_compacted:
            fresh.load(0, bench.log)
        else:
            shard = fresh.begin_load(0)
            for record in bench.log.records(0):
                shard.replay(record)
            fresh.finish_load(shard)
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
