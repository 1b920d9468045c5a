"""Many members of one group in one process, as raw requests: a load, and a witness of what the members are told.

    Crowd ── Member (classic or consumer protocol), each a task with a connection of its own
      └───── Witness: who owns which partition, and up to where commits were acknowledged

A member joins, takes its partitions, fetches their committed offsets, commits higher ones, and heartbeats, as clients
do. The witness notes a partition that two members of one generation own, and a committed offset that is lower than one
that was acknowledged before the question was sent. It knows no client library and no broker but the address.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tailrace.base.errors import ErrorCode
from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import decode_response, encode_request
from tailrace.wire.messages import consumer_group_heartbeat as heartbeats
from tailrace.wire.messages.consumer_protocol_assignment import ConsumerProtocolAssignment, TopicPartition
from tailrace.wire.messages.consumer_protocol_subscription import ConsumerProtocolSubscription
from tailrace.wire.messages.find_coordinator import FindCoordinatorRequest
from tailrace.wire.messages.heartbeat import HeartbeatRequest
from tailrace.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse
from tailrace.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from tailrace.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from tailrace.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from tailrace.wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics
from tailrace.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

RETRY_S = 0.1
REQUEST_TIMEOUT_S = 30.0
"""As `request.timeout.ms` of real clients."""
ASSIGNOR = "range"
NOT_NOW = frozenset(
    (ErrorCode.NOT_COORDINATOR, ErrorCode.COORDINATOR_NOT_AVAILABLE, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
)
OUTCAST = frozenset((ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_MEMBER_EPOCH, ErrorCode.FENCED_INSTANCE_ID))
BEHIND = frozenset((ErrorCode.REBALANCE_IN_PROGRESS, ErrorCode.ILLEGAL_GENERATION))


@dataclass
class Plan:
    """What every member of a crowd has in common."""

    address: str
    group: str
    topic: str
    partitions: int
    protocol: str = "classic"
    session_timeout_ms: int = 10_000
    rebalance_timeout_ms: int = 60_000
    heartbeat_s: float = 2.0
    commits: bool = True


@dataclass
class Witness:
    """What members were told, all in one process, so that it has an order.

    A member that was silent for its session timeout loses its partitions to others before it hears of it: what is taken
    from it is a fault until it is told that it is out.
    """

    faults: list[str] = field(default_factory=list)
    taken: dict[str, list[str]] = field(default_factory=dict)
    """Member -> what others were given while it owned it."""
    outcasts: int = 0
    """How often a member was told that it is out."""
    owners: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Partition -> (member, generation or epoch it was taken in)."""
    acknowledged: dict[int, int] = field(default_factory=dict)
    """Partition -> the highest offset whose commit was answered."""
    errors: Counter[str] = field(default_factory=Counter)

    def take(self, name: str, generation: int, partitions: Iterable[int], exclusive: bool) -> None:
        """A member owns these from here on. `exclusive`: nobody else may, in any generation."""
        for partition in partitions:
            owner = self.owners.get(partition)
            if owner is not None and owner[0] != name and (exclusive or owner[1] == generation):
                found = f"{partition} went to {name} in {generation} and is still owned by {owner}"
                self.taken.setdefault(owner[0], []).append(found)
            self.owners[partition] = name, generation

    def release(self, name: str, partitions: Iterable[int]) -> None:
        """A member stopped using these."""
        for partition in partitions:
            if self.owners.get(partition, ("", 0))[0] == name:
                del self.owners[partition]

    def cast_out(self, name: str) -> None:
        """A member heard that it is no member any more."""
        self.outcasts += 1
        self.taken.pop(name, None)

    def found(self) -> list[str]:
        """What must not be."""
        return self.faults + [each for taken in self.taken.values() for each in taken]


class Lost(Exception):
    """The connection ended."""


class Link:
    """One connection, one request at a time; opened anew when it is asked after it was lost."""

    def __init__(self, address: str, client_id: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._client_id = client_id
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, key: ApiKey, version: int, request: Any) -> Any:
        """The response. Raises Lost."""
        found = api(key)
        assert found is not None
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port)
            reader, writer = self._streams
            writer.write(encode_request(found, version, 1, self._client_id, request))
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                size = int.from_bytes(await reader.readexactly(4), "big")
                return decode_response(found, version, memoryview(await reader.readexactly(size)))[1]
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.cut()
            raise Lost(str(error)) from error

    def cut(self) -> None:
        """Close without a word."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


class Member:
    """What both kinds have in common."""

    def __init__(self, plan: Plan, witness: Witness, name: str, instance_id: str | None) -> None:
        self.plan = plan
        self.witness = witness
        self.name = name
        self.instance_id = instance_id
        self.link = Link(plan.address, name)
        self.owned: frozenset[int] = frozenset()
        self.generation = -1
        self.is_settled = False
        """Whether it has its assignment of `generation` and knows of no rebalance."""
        self.member_id = ""
        self.commit_version = 9
        self._positions: dict[int, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_leaving = False

    def start(self) -> None:
        """Join and stay."""
        self._task = asyncio.get_running_loop().create_task(self._live())

    async def vanish(self) -> None:
        """Die: no leave, the connection is cut."""
        await self._end()
        self.link.cut()

    async def leave(self) -> None:
        """Leave as a client does that is closed."""
        self._is_leaving = True
        await self._end()
        await self._persist(self._say_goodbye)
        self.link.cut()

    def check(self) -> None:
        """Raise what ended this member, if anything did: a member lives until it is told to go."""
        if self._task is not None and self._task.done():
            self._task.result()

    async def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            try:
                await self._task
            except asyncio.CancelledError:
                pass
            self._task = None
            self.link.cut()  # an answer may be on its way
        self._give_up()
        self.is_settled = False

    async def _persist(self, work: Any) -> None:
        for _ in range(100):
            try:
                if await work():
                    return
            except Lost:
                pass
            await asyncio.sleep(RETRY_S)

    async def _live(self) -> None:
        while True:
            try:
                await self._round()
            except Lost:
                self.witness.errors["connection lost"] += 1
                await asyncio.sleep(RETRY_S)

    async def _round(self) -> None:
        raise NotImplementedError

    async def _say_goodbye(self) -> bool:
        raise NotImplementedError

    def _own(self, partitions: frozenset[int], exclusive: bool) -> None:
        for partition in self.owned - partitions:
            self._positions.pop(partition, None)
        self.witness.release(self.name, self.owned - partitions)
        self.witness.take(self.name, self.generation, partitions, exclusive)
        self.owned = partitions

    def _give_up(self) -> None:
        self.witness.release(self.name, self.owned)
        self.owned = frozenset()
        self._positions.clear()

    async def _fetch_positions(self) -> None:
        """Committed offsets of new partitions, held against what was acknowledged before this was asked.

        New ones are those without a position: the broker may have died under an earlier try. Raises Lost.
        """
        partitions = self.owned - self._positions.keys()
        before = {partition: self.witness.acknowledged.get(partition, -1) for partition in partitions}
        topics = [OffsetFetchRequestTopics(self.plan.topic, partition_indexes=sorted(partitions))]
        request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup(self.plan.group, topics=topics)])
        while partitions:
            response = await self.link.ask(ApiKey.OFFSET_FETCH, 8, request)
            group = response.groups[0]
            if not group.error_code:
                for part in group.topics[0].partitions:
                    found = part.committed_offset
                    self._positions[part.partition_index] = max(found, 0)
                    acknowledged = before[part.partition_index]
                    if found < acknowledged:
                        self.witness.faults.append(
                            f"{part.partition_index}: {found} is committed, {acknowledged} was acknowledged"
                        )
                return
            self._note(group.error_code)
            await asyncio.sleep(RETRY_S)

    async def _commit(self) -> int:
        """Commit one more for each partition; the error."""
        partitions = sorted(self.owned)
        if not partitions or not self.plan.commits:
            return 0
        offsets = {partition: self._positions[partition] + 1 for partition in partitions}
        topic = OffsetCommitRequestTopic(
            self.plan.topic, partitions=[OffsetCommitRequestPartition(part, offsets[part]) for part in partitions]
        )
        request = OffsetCommitRequest(self.plan.group, self.generation, self.member_id, self.instance_id, -1, [topic])
        self._positions.update(offsets)  # it may count even if the answer is lost
        response = await self.link.ask(ApiKey.OFFSET_COMMIT, self.commit_version, request)
        error = 0
        for part in response.topics[0].partitions:
            if part.error_code:
                error = part.error_code
            else:
                known = self.witness.acknowledged.get(part.partition_index, -1)
                self.witness.acknowledged[part.partition_index] = max(known, offsets[part.partition_index])
        return error

    def _note(self, code: int) -> int:
        if code:
            self.witness.errors[ErrorCode(code).name] += 1
        return code


class ClassicMember(Member):
    """JoinGroup, SyncGroup, Heartbeat; the leader gives each member a run of partitions."""

    async def _round(self) -> None:
        self.is_settled = False
        self._give_up()
        joined = await self._join()
        if joined is None:
            return
        self.generation = joined.generation_id
        assignment = await self._sync(joined)
        if assignment is None:
            return
        self._own(assignment, exclusive=False)
        await self._fetch_positions()
        self.is_settled = True
        while True:
            code = self._note(await self._commit()) or await self._beat()
            if code in OUTCAST:
                self._cast_out()
            if code in OUTCAST or code in BEHIND:
                return
            await asyncio.sleep(self.plan.heartbeat_s)

    async def _join(self) -> JoinGroupResponse | None:
        plan = self.plan
        subscription = bytearray(b"\0\1")
        ConsumerProtocolSubscription([plan.topic]).encode(subscription, 1)
        response = await self.link.ask(
            ApiKey.JOIN_GROUP,
            9,
            JoinGroupRequest(
                plan.group,
                plan.session_timeout_ms,
                plan.rebalance_timeout_ms,
                self.member_id,
                self.instance_id,
                "consumer",
                [JoinGroupRequestProtocol(ASSIGNOR, bytes(subscription))],
            ),
        )
        code = response.error_code
        if code == ErrorCode.MEMBER_ID_REQUIRED:
            self.member_id = response.member_id
            return None
        if self._note(code):
            if code in OUTCAST:
                self._cast_out()
            await asyncio.sleep(RETRY_S)
            return None
        self.member_id = response.member_id
        assert isinstance(response, JoinGroupResponse)
        return response

    async def _sync(self, joined: JoinGroupResponse) -> frozenset[int] | None:
        assignments = []
        if joined.leader == self.member_id and not joined.skip_assignment:
            assignments = self._assign([member.member_id for member in joined.members])
        request = SyncGroupRequest(
            self.plan.group, self.generation, self.member_id, self.instance_id, "consumer", ASSIGNOR, assignments
        )
        response = await self.link.ask(ApiKey.SYNC_GROUP, 5, request)
        if self._note(response.error_code):
            if response.error_code in OUTCAST:
                self._cast_out()
            return None
        if not response.assignment:
            return frozenset()
        assignment, _ = ConsumerProtocolAssignment.decode(memoryview(response.assignment), 2, 1)
        return frozenset(index for topic in assignment.assigned_partitions for index in topic.partitions)

    def _cast_out(self) -> None:
        self.witness.cast_out(self.name)
        self.member_id = ""

    def _assign(self, member_ids: list[str]) -> list[SyncGroupRequestAssignment]:
        least, spare = divmod(self.plan.partitions, len(member_ids))
        start = 0
        found = []
        for position, member_id in enumerate(sorted(member_ids)):
            end = start + least + (position < spare)
            out = bytearray(b"\0\1")
            ConsumerProtocolAssignment([TopicPartition(self.plan.topic, list(range(start, end)))]).encode(out, 1)
            found.append(SyncGroupRequestAssignment(member_id, bytes(out)))
            start = end
        return found

    async def _beat(self) -> int:
        request = HeartbeatRequest(self.plan.group, self.generation, self.member_id, self.instance_id)
        response = await self.link.ask(ApiKey.HEARTBEAT, 4, request)
        return self._note(response.error_code)

    async def _say_goodbye(self) -> bool:
        leaver = MemberIdentity(self.member_id, self.instance_id, "the crowd disperses")
        response = await self.link.ask(ApiKey.LEAVE_GROUP, 5, LeaveGroupRequest(self.plan.group, members=[leaver]))
        return response.error_code not in NOT_NOW


class ConsumerMember(Member):
    """ConsumerGroupHeartbeat (KIP-848)."""

    def __init__(self, plan: Plan, witness: Witness, name: str, instance_id: str | None, topic_id: uuid.UUID) -> None:
        super().__init__(plan, witness, name, instance_id)
        self.member_id = str(uuid.uuid4())
        self.topic_id = topic_id
        self._epoch = 0
        """Kept over a lost connection: a member goes on where it was."""

    async def _round(self) -> None:
        says_all = True
        while True:
            response = await self._say(self._epoch, says_all)
            code = self._note(response.error_code)
            if code:
                if code in OUTCAST:
                    self.witness.cast_out(self.name)
                    self._give_up()
                    self._epoch, says_all, self.is_settled = 0, True, False
                await asyncio.sleep(RETRY_S)
                continue
            self.generation = self._epoch = response.member_epoch
            says_all = False
            if response.assignment is not None:
                assigned = [index for topic in response.assignment.topic_partitions for index in topic.partitions]
                says_all = self._reconcile(frozenset(assigned))
            await self._fetch_positions()
            self.is_settled = True
            if not says_all:
                self._note(await self._commit())
                await asyncio.sleep(min(self.plan.heartbeat_s, response.heartbeat_interval_ms / 1000))

    def _reconcile(self, assigned: frozenset[int]) -> bool:
        """Become the owner of what was assigned; whether anything changed."""
        if assigned == self.owned:
            return False
        self._own(assigned, exclusive=True)
        return True

    async def _say(self, epoch: int, says_all: bool) -> Any:
        plan = self.plan
        is_full = epoch == 0
        owned = None
        if says_all:
            owned = [heartbeats.TopicPartitions(self.topic_id, sorted(self.owned))] if self.owned else []
        return await self.link.ask(
            ApiKey.CONSUMER_GROUP_HEARTBEAT,
            1,
            heartbeats.ConsumerGroupHeartbeatRequest(
                plan.group,
                self.member_id,
                epoch,
                self.instance_id,
                rebalance_timeout_ms=plan.rebalance_timeout_ms if is_full else -1,
                subscribed_topic_names=[plan.topic] if is_full else None,
                topic_partitions=owned,
            ),
        )

    async def _say_goodbye(self) -> bool:
        response = await self._say(-2 if self.instance_id is not None else -1, False)
        if response.error_code in OUTCAST:
            self.witness.cast_out(self.name)
        return response.error_code not in NOT_NOW


class Crowd:
    """The members of one group. Use inside a running loop."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.witness = Witness()
        self.members: list[Member] = []
        self.topic_id = uuid.UUID(int=0)
        self._count = 0

    async def prepare(self) -> None:
        """Have the group's coordinator made, and learn the topic's id."""
        link = Link(self.plan.address, "crowd")
        while True:
            found = await link.ask(
                ApiKey.FIND_COORDINATOR, 4, FindCoordinatorRequest(coordinator_keys=[self.plan.group])
            )
            if not found.coordinators[0].error_code:
                break
            await asyncio.sleep(RETRY_S)
        topic = await link.ask(ApiKey.METADATA, 12, MetadataRequest([MetadataRequestTopic(name=self.plan.topic)]))
        assert len(topic.topics[0].partitions) == self.plan.partitions
        self.topic_id = topic.topics[0].topic_id
        link.cut()

    def grow(self, count: int, prefix: str = "m", is_static: bool = False) -> list[Member]:
        """Start more members."""
        started = []
        for _ in range(count):
            self._count += 1
            name = f"{prefix}-{self._count}"
            started.append(self._start(name, name if is_static else None))
        return started

    def _start(self, name: str, instance_id: str | None) -> Member:
        member: Member
        if self.plan.protocol == "classic":
            member = ClassicMember(self.plan, self.witness, name, instance_id)
        else:
            member = ConsumerMember(self.plan, self.witness, name, instance_id, self.topic_id)
        self.members.append(member)
        member.start()
        return member

    async def restart(self, member: Member) -> None:
        """A static member goes as one that will be back, and a new process takes its place."""
        assert member.instance_id is not None
        self.members.remove(member)
        if self.plan.protocol == "classic":
            await member.vanish()  # a static member does not leave
        else:
            await member.leave()
        self._start(member.name, member.instance_id)

    async def vanish(self, members: list[Member]) -> None:
        """These die."""
        for member in members:
            self.members.remove(member)
        await asyncio.gather(*(member.vanish() for member in members))

    async def leave(self, members: list[Member]) -> None:
        """These leave."""
        for member in members:
            self.members.remove(member)
        await asyncio.gather(*(member.leave() for member in members))

    @property
    def is_stable(self) -> bool:
        """Every member has its assignment of one generation, and every partition has an owner."""
        members = self.members
        if not members or not all(member.is_settled for member in members):
            return False
        latest = max(member.generation for member in members)
        if any(member.generation != latest for member in members):
            return False
        return sum(len(member.owned) for member in members) == len(self.witness.owners) == self.plan.partitions

    async def until_stable(self, timeout_s: float) -> float:
        """Seconds until it is stable. Raises TimeoutError with what is missing."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while not self.is_stable:
            for member in self.members:
                member.check()
            if loop.time() - begun > timeout_s:
                raise TimeoutError(self.state())
            await asyncio.sleep(0.02)
        return loop.time() - begun

    def state(self) -> str:
        """For people."""
        generations = Counter(member.generation for member in self.members)
        settled = sum(member.is_settled for member in self.members)
        return (
            f"{settled} of {len(self.members)} members settled, generations {generations.most_common(5)}, "
            f"{len(self.witness.owners)} of {self.plan.partitions} partitions owned, errors {self.witness.errors}"
        )

    def check(self) -> None:
        """Assert that nothing was seen that must not be."""
        found = self.witness.found()
        assert not found, (found[:10], self.witness.errors)
