"""Random members against the group coordinator: joins, syncs, commits, failures and kills in any order.

What must hold after every step:
  offsets   the live offsets are those a fresh coordinator reads from the log
  group     Empty or Stable with nothing on its way: the live group is the one a fresh coordinator reads from the log
  members   of one generation agree on leader and protocol, and get what that generation's leader assigned, nothing else
  counters  kept by the group equal what they count
And when everybody has gone and time has passed: no answer is owed, the group is Empty, no timer is left.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.scenario.group_bench import FakeGroupLog, GroupBench

from tailrace.base.errors import ErrorCode
from tailrace.coordinator.groups.classic_group import ClassicGroup, GroupState
from tailrace.coordinator.groups.coordinator import GroupCoordinator
from tailrace.coordinator.groups.offsets import CommittedOffset, Offsets
from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.net.timers import TimingWheel
from tailrace.wire.api import ApiKey
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
INSTANCES = {"A": None, "B": None, "C": None, "S": "s", "T": "t"}
CLIENTS = st.sampled_from(sorted(INSTANCES))
SUBSCRIPTION = b"\0\0\0\0\0\1\0\2t1\xff\xff\xff\xff"
PROTOCOLS = {"range": [("range", SUBSCRIPTION)], "both": [("sticky", SUBSCRIPTION), ("range", SUBSCRIPTION)]}


class _Client:
    """What a client knows of itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.instance = INSTANCES[name]
        self.forget()

    def forget(self) -> None:
        self.member_id = ""
        self.generation = -1
        self.leads: list[str] | None = None


def _unordered(group: ClassicGroup | None) -> list[tuple[str, int, CommittedOffset]]:
    """A group's offsets without the numbers of their commits, which count from each load anew."""
    offsets = group.offsets if group is not None else Offsets()
    return sorted((topic, partition, committed._replace(order=0)) for topic, partition, committed in offsets)


class GroupMachine(RuleBasedStateMachine):
    """One group, five clients, a log that may hold, refuse, or be cut off by a kill."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = GroupBench(
            GroupSettings(offsets_topic_num_partitions=1, group_initial_rebalance_delay_ms=0, group_max_size=4)
        )
        self.bench.image.add("t1", 4)
        self.clients = {name: _Client(name) for name in INSTANCES}
        self.owed = 0
        self.leaders: dict[int, tuple[str, str]] = {}  # generation -> (leader, protocol)
        self.life = 0

    # Requests

    def _send(self, key: ApiKey, version: int, name: str, request: Any, on_response: Any) -> None:
        self.owed += 1
        life = self.life

        def deliver(response: Any) -> None:
            if life == self.life:  # a killed process answers nobody
                self.owed -= 1
                on_response(response)

        self.bench.send(key, version, name, request, deliver)

    @rule(name=CLIENTS, version=st.sampled_from([3, 5, 9]), speaks=st.sampled_from(sorted(PROTOCOLS)))
    def join(self, name: str, version: int, speaks: str) -> None:
        client = self.clients[name]
        protocols = [JoinGroupRequestProtocol(*protocol) for protocol in PROTOCOLS[speaks]]
        instance = client.instance if version >= 5 else None
        request = JoinGroupRequest(GROUP, 10_000, 20_000, client.member_id, instance, "consumer", protocols)

        def joined(response: Any) -> None:
            if response.error_code in (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_INSTANCE_ID):
                client.forget()
            if response.error_code == ErrorCode.MEMBER_ID_REQUIRED:
                client.member_id = response.member_id
            if response.error_code:
                return
            client.member_id, client.generation = response.member_id, response.generation_id
            client.leads = None
            if response.members and not response.skip_assignment:
                assert response.leader == response.member_id, "only the leader hears the members"
                client.leads = [member.member_id for member in response.members]
            told = (response.leader, response.protocol_name)
            if response.generation_id == 1 and self.leaders.get(1, told)[0] != response.leader:
                # Deleted, by a request or because nobody used it: its generations begin again.
                self.leaders.clear()
            assert response.protocol_name == self.leaders.setdefault(response.generation_id, told)[1]

        self._send(ApiKey.JOIN_GROUP, version, name, request, joined)

    @rule(names=st.lists(CLIENTS, min_size=1, max_size=4, unique=True))
    def gather(self, names: list[str]) -> None:
        """These clients do what clients do until they hold an assignment; whoever is not with them does nothing."""
        for _ in range(2):
            for name in names:
                self.join(name, 9, "range")
        for name in sorted(names, key=lambda name: self.clients[name].leads is None, reverse=True):
            self.sync(name)
        group = self._group()
        event(f"gathered: {group.state if group else 'none'} with {len(group.members) if group else 0}")

    @rule(name=CLIENTS)
    def restart_client(self, name: str) -> None:
        self.clients[name].forget()

    @rule(name=CLIENTS)
    def sync(self, name: str) -> None:
        client = self.clients[name]
        generation, member_id = client.generation, client.member_id
        assignments = {}
        if client.leads is not None:
            assignments = {each: f"{generation} {each}".encode() for each in client.leads}
        request = SyncGroupRequest(
            GROUP,
            generation,
            member_id,
            None,
            "consumer",
            None,
            [SyncGroupRequestAssignment(*item) for item in assignments.items()],
        )

        def synced(response: Any) -> None:
            if response.error_code == ErrorCode.UNKNOWN_MEMBER_ID:
                client.forget()
            if not response.error_code and response.assignment:
                owner_generation, owner = response.assignment.decode().split(" ")
                assert int(owner_generation) == generation, "an assignment of another generation"
                # A static member that came back quietly holds what its former id was given.
                assert owner == member_id or client.instance is not None, "somebody else's assignment"

        self._send(ApiKey.SYNC_GROUP, 4, name, request, synced)

    @rule(name=CLIENTS)
    def heartbeat(self, name: str) -> None:
        client = self.clients[name]
        request = HeartbeatRequest(GROUP, client.generation, client.member_id)
        self._send(ApiKey.HEARTBEAT, 4, name, request, lambda response: None)

    @rule(name=CLIENTS)
    def leave(self, name: str) -> None:
        client = self.clients[name]
        identity = MemberIdentity(client.member_id, client.instance)
        request = LeaveGroupRequest(GROUP, "", [identity])
        client.forget()
        self._send(ApiKey.LEAVE_GROUP, 5, name, request, lambda response: None)

    @rule(name=CLIENTS, partition=st.integers(0, 3), offset=st.integers(0, 100), anonymous=st.booleans())
    def commit(self, name: str, partition: int, offset: int, anonymous: bool) -> None:
        client = self.clients[name]
        topic = OffsetCommitRequestTopic("t1", partitions=[OffsetCommitRequestPartition(partition, offset)])
        request = OffsetCommitRequest(
            GROUP, -1 if anonymous else client.generation, "" if anonymous else client.member_id, None, -1, [topic]
        )
        self._send(ApiKey.OFFSET_COMMIT, 8, name, request, lambda response: None)

    # The broker

    @rule(delta_ms=st.sampled_from([100, 3_000, 11_000, 21_000]))
    def advance(self, delta_ms: int) -> None:
        self.bench.advance(delta_ms)

    @rule()
    def hold(self) -> None:
        self.bench.log.is_holding = True

    @rule()
    def release_one(self) -> None:
        self.bench.log.release(1)

    @rule()
    def release(self) -> None:
        self.bench.log.is_holding = False
        self.bench.log.release()

    @rule()
    def refuse_next(self) -> None:
        self.bench.log.refusals = [ErrorCode.NOT_ENOUGH_REPLICAS]

    @rule()
    def kill(self) -> None:
        self.life += 1
        self.owed = 0
        self.bench.restart()
        group = self._group()
        committed = group.generation if group is not None else 0
        # A generation that never reached the log may come again, with other members.
        self.leaders = {generation: told for generation, told in self.leaders.items() if generation <= committed}
        for client in self.clients.values():
            if client.generation > committed:
                client.forget()

    @rule()
    def delete(self) -> None:
        self.bench.groups.delete_group(GROUP)

    # What holds

    def _group(self) -> ClassicGroup | None:
        return self.bench.groups.find_group(GROUP)

    def _reloaded(self) -> ClassicGroup | None:
        bench = self.bench
        timers = TimingWheel(now_ms=bench.clock.monotonic_ms(), read_ms=bench.clock.monotonic_ms)
        fresh = GroupCoordinator(bench.settings, bench.log, timers, bench.clock, bench.random)
        steps = fresh.load_steps(0, FakeGroupLog())
        shard = fresh._shards[0]
        for record in bench.log.records(0):
            shard.replay(record)  # every record: `load`, which a kill goes through, looks only at the last of each key
        assert list(steps) == []
        return fresh.find_group(GROUP)

    @invariant()
    def log_and_memory_agree(self) -> None:
        live, loaded = self._group(), self._reloaded()
        assert _unordered(live) == _unordered(loaded)
        if live is None or loaded is None or self.bench.log.held:
            return
        if live.state in (GroupState.STABLE, GroupState.EMPTY):
            assert live.durable() == loaded.durable() or not live.is_recorded

    @invariant()
    def counters_count(self) -> None:
        group = self._group()
        if group is None:
            return
        members = group.members
        assert group.waiting_joins == sum(member.join_answer is not None for member in members.values())
        spoken = {name for member in members.values() for name, _ in member.protocols}
        for name in spoken | set(group._spoken):
            assert group._spoken[name] == sum(name in dict(member.protocols) for member in members.values())
        assert group.static_members == {
            member.group_instance_id: member_id
            for member_id, member in members.items()
            if member.group_instance_id is not None
        }
        assert group.pending_syncs <= set(members)
        assert not (set(group.pending_members) & set(members))
        assert (group.leader in members) if members else group.leader is None
        if group.state in (GroupState.STABLE, GroupState.COMPLETING_REBALANCE):
            assert members and group.waiting_joins == 0
        if group.state is GroupState.EMPTY:
            assert not members

    def teardown(self) -> None:
        """Everybody is silent: sessions end, what was owed is answered, and no timer is left but the clean-up's."""
        self.bench.log.refusals.clear()
        self.bench.log.is_holding = False
        self.bench.log.release()
        for _ in range(8):
            self.bench.advance(50_000)
        group = self._group()
        assert self.owed == 0
        assert group is None or group.state is GroupState.EMPTY
        assert len(self.bench.timers) == 1
        assert not self.bench.groups._shards[0].turns


GroupMachine.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestGroups = GroupMachine.TestCase
