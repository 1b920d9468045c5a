"""Reasons of rebalances: what is told, what is remembered, and its bounds."""

from __future__ import annotations

import json
from typing import Any

from tests.scenario.group_bench import GroupBench

from tailrace.base.clock import ManualClock
from tailrace.cluster.records import ResourceType
from tailrace.cluster.settings import BrokerSettings
from tailrace.coordinator.groups.joining import Caller
from tailrace.coordinator.limits import REASON_MAX_CHARS, REASONS_SHOWN_MAX, REBALANCES_REMEMBERED_MAX
from tailrace.coordinator.rebalances import LAST_REBALANCE, Rebalanced, Rebalances
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from tailrace.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from tailrace.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from tailrace.wire.messages.leave_group import MemberIdentity
from tailrace.wire.messages.share_group_heartbeat import ShareGroupHeartbeatRequest


def journal() -> tuple[Rebalances, list[str]]:
    lines: list[str] = []
    return Rebalances(ManualClock(5_000), lines.append), lines


def test_reasons_are_told_once_with_the_generation_they_lead_to() -> None:
    found, lines = journal()
    found.begun("g", 1)
    assert (lines, found.last("g")) == ([], None), "nothing happened"
    found.because("g", "a joined")
    found.because("other", "x left")
    found.because("g", "b left")
    found.begun("g", 2)
    found.begun("g", 2)
    assert lines == ["group g rebalances: generation 2, a joined; b left"]
    assert found.last("g") == Rebalanced(5_000, 2, "a joined; b left")
    found.forget("g")
    assert found.last("g") is None


def test_many_reasons_are_counted() -> None:
    found, lines = journal()
    for number in range(1_000):
        found.because("g", f"{number} joined")
    found.begun("g", 1)
    assert lines == [
        f"group g rebalances: generation 1, 0 joined; 1 joined; 2 joined; and {1_000 - REASONS_SHOWN_MAX} more"
    ]


def test_what_clients_choose_does_not_break_lines_nor_fill_them() -> None:
    found, lines = journal()
    found.because("g\n", "joined: a\nERROR all is lost\x1b[31m" + "x" * 10_000)
    found.begun("g\n", 1)
    assert "\n" not in lines[0] and "\x1b" not in lines[0]
    assert len(lines[0]) < 2 * REASON_MAX_CHARS


def test_the_longest_ago_is_forgotten_first() -> None:
    found, _ = journal()
    for number in (*range(REBALANCES_REMEMBERED_MAX), 0, REBALANCES_REMEMBERED_MAX):
        found.because(f"g-{number}", "joined")
        found.begun(f"g-{number}", 1)
    assert found.last("g-1") is None
    assert found.last("g-0") is not None and found.last("g-2") is not None


def join(bench: GroupBench, member_id: str, reason: str | None = None) -> str:
    request = JoinGroupRequest(
        "g", 10_000, 20_000, member_id, None, "consumer", [JoinGroupRequestProtocol("range", b"")], reason
    )
    answer = bench.groups.join_group(request, Caller(9, "c", "/h"))
    return answer.value.member_id if answer.done else ""


def test_a_classic_group_says_why() -> None:
    bench = GroupBench()
    first = join(bench, join(bench, ""))
    assert bench.reports == [f"group g rebalances: generation 1, joined: {first}"]
    second = join(bench, "")
    join(bench, second, "more work")
    join(bench, first, "rebalance in progress")
    assert bench.reports[1:] == [f"group g rebalances: generation 2, joined: {second}; client reason: more work"]
    bench.advance(10_000)
    told = bench.reports[2].split(", ", 1)[1].split("; ")
    assert told[0] in [f"session of {member} timed out" for member in (first, second)]
    last = bench.groups.last_rebalance("g")
    assert last is not None
    assert asked(bench) == last._asdict()
    bench.restart()
    assert asked(bench) is None, "nobody knows"


def test_a_share_group_says_why_in_one_line_whatever_it_is_called() -> None:
    bench = GroupBench()
    heartbeat = ShareGroupHeartbeatRequest("g\nforged", "a\x1b[2J", 0, None, ["t"])
    assert bench.groups.share.heartbeat(heartbeat, Caller(1, "c", "/h")).value.error_code == 0
    assert bench.reports == ["group g?forged rebalances: epoch 2, a?[2J joined"]


def asked(bench: GroupBench) -> Any:
    """What DescribeConfigs tells of it."""
    resource = DescribeConfigsResource(ResourceType.GROUP, "g", [LAST_REBALANCE])
    bench.services.settings = BrokerSettings()
    answers: list[Any] = []
    bench.send(ApiKey.DESCRIBE_CONFIGS, 4, "c", DescribeConfigsRequest([resource]), answers.append)
    [entry] = answers[0].results[0].configs
    assert entry.name == LAST_REBALANCE and entry.read_only
    resource.configuration_keys = None
    bench.send(ApiKey.DESCRIBE_CONFIGS, 4, "c", DescribeConfigsRequest([resource]), answers.append)
    assert LAST_REBALANCE not in [config.name for config in answers[1].results[0].configs], "who does not ask"
    return json.loads(entry.value)


def test_a_consumer_group_says_why_when_it_is_assigned() -> None:
    bench = GroupBench()
    bench.image.add("t", 4)
    for name in ("a", "b"):
        request = ConsumerGroupHeartbeatRequest("g", name, 0, None, None, 1_000, ["t"], topic_partitions=[])
        bench.groups.consumer_group_heartbeat(request, Caller(1, "c", "h"))
    assert bench.reports == ["group g rebalances: generation 2, a joined", "group g rebalances: generation 3, b joined"]
    bench.groups.leave_group("g", [MemberIdentity("a")])
    assert len(bench.reports) == 2, "b has not been assigned the rest yet"
    bench.groups.consumer_group_heartbeat(ConsumerGroupHeartbeatRequest("g", "b", 3), Caller(1, "c", "h"))
    assert bench.reports[2:] == ["group g rebalances: generation 4, a left by LeaveGroup"]
    bench.groups.leave_group("g", [MemberIdentity("b")])
    assert bench.reports[3:] == ["group g rebalances: generation 5, b left by LeaveGroup"], (
        "nobody is left to assign to"
    )
    last = bench.groups.last_rebalance("g")
    assert last is not None and last.generation == 5
