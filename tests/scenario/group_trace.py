"""The language of `groups/*.txt`: one command a line, what comes of it below, a blank line between.

    join A v=3                       a request of client A
    ----                             what is answered, by anybody, until the next command
    A join: ok gen=1 leader=A ...

Clients are names; the ids the coordinator gives them are shown by that name (`A`, and `A.2` for a second one). An
answer that does not come at once is shown as `waits`, and by the command that brings it. `topics`, `advance`, `hold`,
`release`, `fail`, `restart`, `unload`, `loading`, `loaded`, `set`, `expire`, `log` act on the broker. Values:
`range:t1,t2` is a protocol with subscribed topics, `range:t1/t1-0+t1-1` one that says what is owned, `A:t1-0` an
assignment. `consumer_trace` has the commands of the consumer protocol.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any, Protocol

from tests.scenario.consumer_trace import ConsumerCommands, assignment, assignment_text, subscription

from tailrace.base.errors import ErrorCode
from tailrace.coordinator.groups.records import GroupEntry, OffsetEntry, read_record
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.consumer_protocol_subscription import ConsumerProtocolSubscription
from tailrace.wire.messages.delete_groups import DeleteGroupsRequest
from tailrace.wire.messages.describe_groups import DescribeGroupsRequest
from tailrace.wire.messages.find_coordinator import FindCoordinatorRequest
from tailrace.wire.messages.heartbeat import HeartbeatRequest
from tailrace.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from tailrace.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from tailrace.wire.messages.list_groups import ListGroupsRequest
from tailrace.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from tailrace.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from tailrace.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)
from tailrace.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

Options = dict[str, str]
NO_LIMIT = 2**31 - 1


def run_file(text: str, trace: Trace) -> str:
    """The same file with what happened in the place of what was expected."""
    out: list[str] = []
    for block in text.rstrip("\n").split("\n\n"):
        lines = block.split("\n")
        commands = lines[: lines.index("----")] if "----" in lines else lines
        happened: list[str] = []
        for line in commands:
            if line and not line.startswith("#"):
                happened += trace.run(line)
        out += commands
        if any(line and not line.startswith("#") for line in commands):
            out += ["----", *happened]
        out.append("")
    return "\n".join(out)


class Trace(Protocol):
    """Whatever can do the commands of a file."""

    def run(self, line: str) -> list[str]:
        """Do one command; what happened, a line each."""
        ...


class GroupTrace(ConsumerCommands):
    """Interprets commands against a bench; remembers who got which id and generation."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self._suffix = bench.group_suffix
        """Ends every group id sent, so that a broker that lives longer than a trace does not mix them up."""
        self.names: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.current: dict[str, str] = {}
        self.generations: dict[str, int] = {}
        self._events: list[str] = []
        self._topics: list[str] = []
        self._shown: dict[int, int] = {}

    def run(self, line: str) -> list[str]:
        """Do one command; what happened, a line each."""
        word, *rest = shlex.split(line)
        positional = [part for part in rest if "=" not in part or "-" in part.split("=")[0]]
        options = dict(part.split("=", 1) for part in rest if part not in positional)
        command: Callable[[list[str], Options], None] = getattr(self, f"do_{word.replace('-', '_')}")
        command(positional, options)
        happened, self._events = self._events, []
        if word in ("log", "reason"):
            return happened
        # Answers to several connections have no order between them: what waits comes first, then by name.
        return sorted(happened, key=lambda event: (not event.endswith(": waits"), event))

    # Requests

    def _send(self, who: str, what: str, key: ApiKey, version: int, request: Any, show: Callable[[Any], str]) -> None:
        waiting = True

        def on_response(response: Any) -> None:
            nonlocal waiting
            waiting = False
            self._events.append(f"{who} {what}: {show(response)}")

        at = len(self._events)
        self.bench.send(key, version, f"client{who}", request, on_response)
        if waiting:
            self._events.insert(at, f"{who} {what}: waits")

    def do_join(self, args: list[str], options: Options) -> None:
        who = args[0]
        session_ms = int(options.get("session", "10000"))
        protocols = [
            JoinGroupRequestProtocol(*_protocol(part))
            for part in options.get("protocols", "range:t1").split(";")
            if part
        ]
        request = JoinGroupRequest(
            self._group_of(options),
            session_ms,
            int(options.get("rebalance", "30000")),
            self._id_of(who, options),
            options.get("instance"),
            options.get("type", "consumer"),
            protocols,
            options.get("reason"),
        )
        self._send(who, "join", ApiKey.JOIN_GROUP, int(options.get("v", "9")), request, lambda r: self._joined(who, r))

    def _joined(self, who: str, response: Any) -> str:
        member = self._name(who, response.member_id)
        if response.error_code in (ErrorCode.NONE, ErrorCode.MEMBER_ID_REQUIRED):
            self.current[who] = response.member_id
        if response.error_code:
            return _code(response.error_code) + (f" member={member}" if member else "")
        self.generations[who] = response.generation_id
        shown = f"ok gen={response.generation_id} {response.protocol_type or '?'}/{response.protocol_name}"
        shown += f" leader={self._name('', response.leader)} member={member}"
        if response.skip_assignment:
            shown += " skip-assignment"
        for each in sorted(response.members, key=lambda each: self._name("", each.member_id)):
            instance = f"({each.group_instance_id})" if each.group_instance_id else ""
            shown += f" [{self._name('', each.member_id)}{instance} {_topics(each.metadata)}]"
        return shown

    def do_sync(self, args: list[str], options: Options) -> None:
        who = args[0]
        assignments = [
            SyncGroupRequestAssignment(self.ids.get(name, name), assignment(partition))
            for name, partition in (part.split(":") for part in options.get("assign", "").split(",") if part)
        ]
        version = int(options.get("v", "5"))
        request = SyncGroupRequest(
            self._group_of(options),
            self._generation_of(who, options),
            self._id_of(who, options),
            options.get("instance"),
            options.get("type", "consumer") if version >= 5 else None,
            options.get("protocol", "range") if version >= 5 else None,
            assignments,
        )
        if options.get("protocol") == "none":
            request.protocol_name = None

        def show(response: Any) -> str:
            if response.error_code:
                return _code(response.error_code)
            return f"ok {response.protocol_type}/{response.protocol_name} {assignment_text(response.assignment)}"

        self._send(who, "sync", ApiKey.SYNC_GROUP, version, request, show)

    def do_heartbeat(self, args: list[str], options: Options) -> None:
        for who in args:
            request = HeartbeatRequest(
                self._group_of(options),
                self._generation_of(who, options),
                self._id_of(who, options),
                options.get("instance"),
            )
            version = int(options.get("v", "4"))
            self._send(who, "heartbeat", ApiKey.HEARTBEAT, version, request, lambda r: _code(r.error_code))

    def do_leave(self, args: list[str], options: Options) -> None:
        version = int(options.get("v", "5"))
        group = self._group_of(options)
        if version < 3:
            request = LeaveGroupRequest(group, self.current.get(args[0], args[0]))
        else:
            members = [MemberIdentity(self._leaver(who), options.get("instance")) for who in args]
            if not args:
                members = [MemberIdentity("", instance) for instance in options["instance"].split(",")]
            request = LeaveGroupRequest(group, "", members)

        def show(response: Any) -> str:
            shown = _code(response.error_code)
            for member in response.members:
                label = self._name("", member.member_id) or member.group_instance_id or member.member_id
                shown += f" {label}={_code(member.error_code)}"
            return shown

        who = ",".join(args) or options["instance"]
        self._send(who, "leave", ApiKey.LEAVE_GROUP, version, request, show)

    def _leaver(self, who: str) -> str:
        """The id of a client, or of one that it once had (`B.2`)."""
        return self.current.get(who) or self.ids.get(who, who)

    def do_commit(self, args: list[str], options: Options) -> None:
        who, *partitions = args
        version = int(options.get("v", "9"))
        topics: dict[str, list[OffsetCommitRequestPartition]] = {}
        for part in partitions:
            place, offset = part.split("=")
            topic, index = place.rsplit("-", 1)
            metadata = options.get("metadata", "")
            metadata = "m" * int(metadata[1:]) if metadata.startswith("*") else metadata
            partition = OffsetCommitRequestPartition(
                int(index), int(offset), int(options.get("epoch", "-1")), int(options.get("at", "-1")), metadata
            )
            topics.setdefault(topic, []).append(partition)
        named = [
            OffsetCommitRequestTopic("" if version >= 10 else name, self.bench.topic_id(name), found)
            for name, found in topics.items()
        ]
        if version < 10:
            for topic in named:
                topic.topic_id = OffsetCommitRequestTopic().topic_id
        anonymous = who == "-"
        request = OffsetCommitRequest(
            self._group_of(options),
            int(options["gen"]) if "gen" in options else -1 if anonymous else self.generations.get(who, -1),
            "" if anonymous else self._id_of(who, options),
            options.get("instance"),
            int(options.get("retention", "-1")),
            named,
        )

        def show(response: Any) -> str:
            return " ".join(
                f"{name}-{partition.partition_index}={_code(partition.error_code)}"
                for name, topic in zip(topics, response.topics, strict=True)
                for partition in sorted(topic.partitions, key=lambda partition: partition.partition_index)
            )

        self._send(who, "commit", ApiKey.OFFSET_COMMIT, version, request, show)

    def do_fetch(self, args: list[str], options: Options) -> None:
        version = int(options.get("v", "8"))
        topics: dict[str, list[int]] = {}
        for part in args:
            topic, index = part.rsplit("-", 1)
            topics.setdefault(topic, []).append(int(index))
        groups = [self._group_name(name) for name in options.get("group", "g").split(",")]
        ids = {self.bench.topic_id(name): name for name in [*self._topics, *topics]} if version >= 10 else {}
        if version >= 8:
            no_id = OffsetFetchRequestTopics().topic_id
            asked = [
                OffsetFetchRequestTopics("" if ids else name, self.bench.topic_id(name) if ids else no_id, indexes)
                for name, indexes in topics.items()
            ]
            request = OffsetFetchRequest(
                groups=[OffsetFetchRequestGroup(group, topics=asked if args else None) for group in groups],
                require_stable="stable" in options,
            )
        else:
            older = [OffsetFetchRequestTopic(name, indexes) for name, indexes in topics.items()]
            request = OffsetFetchRequest(groups[0], older if args else None)

        def shown_topics(found: list[Any]) -> str:
            return " ".join(
                sorted(
                    f"{topic.name or ids[topic.topic_id]}-{partition.partition_index}={_offset(partition)}"
                    for topic in found
                    for partition in topic.partitions
                )
            )

        def show(response: Any) -> str:
            if version < 8:
                return f"{_code(response.error_code)} {shown_topics(response.topics)}".rstrip()
            return "; ".join(
                f"{group.group_id.split('.')[0]} {_code(group.error_code)} {shown_topics(group.topics)}".rstrip()
                for group in response.groups
            )

        self._send("-", "fetch", ApiKey.OFFSET_FETCH, version, request, show)

    def do_delete_offsets(self, args: list[str], options: Options) -> None:
        topics: dict[str, list[OffsetDeleteRequestPartition]] = {}
        for part in args:
            topic, index = part.rsplit("-", 1)
            topics.setdefault(topic, []).append(OffsetDeleteRequestPartition(int(index)))
        request = OffsetDeleteRequest(
            self._group_of(options), [OffsetDeleteRequestTopic(*item) for item in topics.items()]
        )

        def show(response: Any) -> str:
            answers = sorted(
                f"{topic.name}-{partition.partition_index}={_code(partition.error_code)}"
                for topic in response.topics
                for partition in topic.partitions
            )
            return " ".join([_code(response.error_code), *answers])

        self._send("-", "delete-offsets", ApiKey.OFFSET_DELETE, 0, request, show)

    def do_describe(self, args: list[str], options: Options) -> None:
        def show(response: Any) -> str:
            return "; ".join(sorted(self._described(group) for group in response.groups))

        request = DescribeGroupsRequest([self._group_name(name) for name in args or ["g"]], "operations" in options)
        self._send("-", "describe", ApiKey.DESCRIBE_GROUPS, int(options.get("v", "6")), request, show)

    def _described(self, group: Any) -> str:
        shown = f"{group.group_id.split('.')[0]} {_code(group.error_code)} {group.group_state}"
        shown += f" type={group.protocol_type or '-'} protocol={group.protocol_data or '-'}"
        if group.error_message:
            shown += f" message={group.error_message.replace(group.group_id, group.group_id.split('.')[0])!r}"
        if group.authorized_operations != -(2**31):
            shown += f" operations={group.authorized_operations}"
        for member in sorted(group.members, key=lambda each: self._name("", each.member_id)):
            instance = f"({member.group_instance_id})" if member.group_instance_id else ""
            what = f"{_topics(member.member_metadata)} {assignment_text(member.member_assignment)}"
            shown += f" [{self._name('', member.member_id)}{instance} {member.client_id} {what}]"
        return shown

    def do_list(self, args: list[str], options: Options) -> None:
        def show(response: Any) -> str:
            mine = [group for group in response.groups if group.group_id.endswith(self._suffix)]
            listed = sorted(
                f"{group.group_id.split('.')[0]}({group.protocol_type or '-'} {group.group_state} {group.group_type})"
                for group in mine
            )
            return " ".join([_code(response.error_code), *listed])

        states = [state for state in options.get("states", "").split(",") if state]
        types = [type_ for type_ in options.get("types", "").split(",") if type_]
        request = ListGroupsRequest(states, types)
        self._send("-", "list", ApiKey.LIST_GROUPS, int(options.get("v", "5")), request, show)

    def do_delete(self, args: list[str], options: Options) -> None:
        def show(response: Any) -> str:
            return " ".join(
                sorted(f"{each.group_id.split('.')[0]}={_code(each.error_code)}" for each in response.results)
            )

        request = DeleteGroupsRequest([self._group_name(name) for name in args or ["g"]])
        self._send("-", "delete", ApiKey.DELETE_GROUPS, int(options.get("v", "2")), request, show)

    def do_find(self, args: list[str], options: Options) -> None:
        version, kind = int(options.get("v", "6")), int(options.get("type", "0"))
        request = FindCoordinatorRequest(args[0], kind) if version < 4 else FindCoordinatorRequest("", kind, args)

        def show(response: Any) -> str:
            found = response.coordinators if version >= 4 else [response]
            return "; ".join(f"{_code(one.error_code)} {one.node_id} {one.host}:{one.port}" for one in found)

        self._send("-", "find", ApiKey.FIND_COORDINATOR, version, request, show)

    # The broker

    def do_topics(self, args: list[str], options: Options) -> None:
        for part in args:
            name, count = part.split(":")
            self.bench.image.add(name, int(count))
            self._topics.append(name)

    def do_delete_topic(self, args: list[str], options: Options) -> None:
        for name in args:
            del self.bench.image.topics[name]
        self.bench.groups.on_topics_deleted(args)

    def do_advance(self, args: list[str], options: Options) -> None:
        self.bench.advance(int(args[0]))

    def do_hold(self, args: list[str], options: Options) -> None:
        self.bench.log.is_holding = True

    def do_release(self, args: list[str], options: Options) -> None:
        self.bench.log.is_holding = False
        self.bench.log.release()

    def do_fail(self, args: list[str], options: Options) -> None:
        self.bench.log.refusals += [ErrorCode[name] for name in args]

    def do_restart(self, args: list[str], options: Options) -> None:
        self.bench.restart()

    def do_unload(self, args: list[str], options: Options) -> None:
        self.bench.groups.unload(int(args[0]))

    def do_loading(self, args: list[str], options: Options) -> None:
        self._loading = self.bench.groups.load_steps(int(args[0]), self.bench.log)

    def do_loaded(self, args: list[str], options: Options) -> None:
        for _ in self._loading:
            pass

    def do_set(self, args: list[str], options: Options) -> None:
        for name, value in options.items():
            owner = self.bench.settings if hasattr(self.bench.settings, name) else self.bench.settings.consumer
            assert hasattr(owner, name), name
            setattr(owner, name, type(getattr(owner, name))(value))

    def do_expire(self, args: list[str], options: Options) -> None:
        self.bench.groups.expire_offsets()

    def do_reason(self, args: list[str], options: Options) -> None:
        """Why the last rebalance began."""
        group = self.bench.groups.find_group("g")
        reason = group.rebalance_reason
        for member_id, name in self.names.items():
            reason = reason.replace(member_id, name)
        self._events.append(reason)

    def do_log(self, args: list[str], options: Options) -> None:
        """What the log gained since it was last shown."""
        for partition, records in self.bench.log.committed.items():
            for record in records[self._shown.get(partition, 0) :]:
                entry = read_record(record)
                self._events.append(self._consumer_record(record) if entry is None else self._record(entry))
            self._shown[partition] = len(records)

    def _record(self, entry: GroupEntry | OffsetEntry) -> str:
        if isinstance(entry, OffsetEntry):
            place = f"offset {entry.group_id} {entry.topic}-{entry.partition}"
            if entry.committed is None:
                return f"{place} deleted"
            shown = f"{place} = {entry.committed.offset} {entry.committed.metadata!r}"
            return shown + (" expires" if entry.committed.expire_timestamp_ms != -1 else "")
        if entry.value is None:
            return f"group {entry.group_id} deleted"
        shown = (
            f"group {entry.group_id} gen={entry.value.generation} {entry.value.protocol_type}/{entry.value.protocol}"
        )
        shown += f" leader={self._name('', entry.value.leader or '') or '-'}"
        for member in entry.value.members:
            shown += f" [{self._name('', member.member_id)} {assignment_text(member.assignment)}]"
        return shown

    # Names

    def _group_of(self, options: Options) -> str:
        return self._group_name(options.get("group", "g"))

    def _group_name(self, name: str) -> str:
        return name and name + self._suffix

    def _id_of(self, who: str, options: Options) -> str:
        if "id" in options:
            return "" if options["id"] == "none" else self.ids.get(options["id"], options["id"])
        return self.current.get(who, "")

    def _generation_of(self, who: str, options: Options) -> int:
        return int(options["gen"]) if "gen" in options else self.generations.get(who, 0)

    def _name(self, who: str, member_id: str) -> str:
        """The name for an id; a new id becomes its client's name, numbered from the second on."""
        if not member_id or member_id in self.names:
            return self.names.get(member_id, "")
        is_kafkas_own = len(member_id) == len("AAAAAAAAAAAAAAAAAAAAAA") and bool(who)
        if len(member_id) < len("-00000000-0000-0000-0000-000000000000") and not is_kafkas_own:
            return member_id
        if not who:
            head = member_id[: -len("-00000000-0000-0000-0000-000000000000")]  # the client's id, or the instance id
            who = head.removeprefix("client").upper()
        count = sum(name.split(".")[0] == who for name in self.names.values())
        self.names[member_id] = who if count == 0 else f"{who}.{count + 1}"
        self.ids[f"{who}.{count + 1}"] = member_id
        self.ids[self.names[member_id]] = member_id
        return self.names[member_id]


def _code(code: int) -> str:
    return "ok" if code == 0 else ErrorCode(code).name


def _protocol(text: str) -> tuple[str, bytes]:
    name, _, topics = text.partition(":")
    if topics.startswith("raw="):
        return name, topics[4:].encode()
    return name, subscription(topics)


def _topics(metadata: bytes) -> str:
    if metadata[:1] != b"\0":
        return metadata.decode() or "-"
    version = int.from_bytes(metadata[:2], "big")
    return ",".join(ConsumerProtocolSubscription.decode(memoryview(metadata), 2, version)[0].topics) or "-"


def _offset(partition: Any) -> str:
    if partition.error_code:
        return _code(partition.error_code)
    shown = str(partition.committed_offset)
    if partition.committed_leader_epoch != -1:
        shown += f"@{partition.committed_leader_epoch}"
    return shown + (f"({partition.metadata:.20})" if partition.metadata else "")
