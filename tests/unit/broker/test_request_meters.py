"""What is counted of requests: each part of their time, error codes, those that wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from broker_bench import PEER, Bench

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.broker.dispatch import Dispatch
from tailrace.broker.request_meters import (
    BLOCK_MAX,
    ERROR_PARTS_MAX,
    IDLE_NS,
    LOOK_COUNT,
    TIMED_HZ,
    RequestMeter,
    RequestMeters,
)
from tailrace.node.metrics.requests import request_metrics
from tailrace.observe.exposition import Exposition
from tailrace.records.builder import BatchBuilder
from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import encode_request
from tailrace.wire.messages.heartbeat import HeartbeatResponse
from tailrace.wire.messages.list_groups import ListGroupsRequest, ListGroupsResponse
from tailrace.wire.messages.list_offsets import (
    ListOffsetsPartitionResponse,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData


def frame(key: ApiKey, version: int, request: Any) -> memoryview:
    found = api(key)
    assert found is not None
    return memoryview(encode_request(found, version, 7, "test", request))[4:]


def test_the_parts_of_a_request_that_waits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 5_000_000
    monkeypatch.setattr("tailrace.broker.dispatch.nanoseconds_of", lambda _: lambda: now_ns)
    dispatch = Dispatch(bench.services)
    waited: Pending[Any] = Pending()

    def handle(*_: object) -> Pending[Any]:
        nonlocal now_ns
        now_ns += 2_000_000
        return waited

    dispatch._route(ApiKey.LIST_GROUPS).handler = handle
    dispatch.answer(PEER, frame(ApiKey.LIST_GROUPS, 3, ListGroupsRequest()), 4.0)
    meter = bench.services.requests.meters[ApiKey.LIST_GROUPS]
    assert (meter.queue.sum_ns, meter.local.sum_ns, meter.waiting_count) == (1_000_000, 2_000_000, 1)
    assert meter.total.count == 0
    now_ns += 40_000_000
    waited.complete(ListGroupsResponse())
    assert (meter.remote.sum_ns, meter.total.sum_ns, meter.waiting_count) == (40_000_000, 43_000_000, 0)
    dispatch.on_sent([(ApiKey.LIST_GROUPS, now_ns - 3_000_000)])
    assert meter.send.sum_ns == 3_000_000


def test_a_request_that_is_answered_at_once_has_no_remote_part(bench: Bench) -> None:
    Dispatch(bench.services).answer(PEER, frame(ApiKey.LIST_GROUPS, 3, ListGroupsRequest()))
    meter = bench.services.requests.meters[ApiKey.LIST_GROUPS]
    assert (meter.count, meter.local.count, meter.total.count) == (1, 1, 1)
    assert (meter.queue.count, meter.remote.count) == (0, 0)


def test_a_request_that_came_long_ago_has_waited_in_the_queue(bench: Bench) -> None:
    long_ago_ms = bench.services.clock.monotonic_ms() - 1000
    Dispatch(bench.services).answer(PEER, frame(ApiKey.LIST_GROUPS, 3, ListGroupsRequest()), long_ago_ms)
    meter = bench.services.requests.meters[ApiKey.LIST_GROUPS]
    assert (meter.local.count, meter.total.count) == (1, 1)
    assert meter.queue.sum_ns == pytest.approx(1e9, rel=1e-3)


OFTEN_NS = 10_000
"""Between two requests of an API that has the longest blocks before long."""


class Requests:
    """Requests of one API, handled by `handle`, on a clock of their own."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 1_000_000_000
        monkeypatch.setattr("tailrace.broker.dispatch.nanoseconds_of", lambda _: lambda: self.now_ns)
        self.dispatch = Dispatch(bench.services)
        self.dispatch._route(ApiKey.LIST_GROUPS).handler = lambda *_: self.handle()
        self.meters = bench.services.requests.meters
        self.handle: Callable[[], Any] = ListGroupsResponse

    def ask(self, every_ns: int = OFTEN_NS) -> None:
        """One that was received just now, `every_ns` after the last."""
        self.now_ns += every_ns
        self.dispatch.answer(PEER, frame(ApiKey.LIST_GROUPS, 3, ListGroupsRequest()), self.now_ns / 1e6)

    def until_blocks_are_longest(self) -> None:
        for _ in range(100 * BLOCK_MAX):
            self.ask()
        assert self.meter._block == BLOCK_MAX

    @property
    def meter(self) -> RequestMeter:
        return self.meters[ApiKey.LIST_GROUPS]


@pytest.fixture
def requests(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Requests:
    return Requests(bench, monkeypatch)


def test_requests_that_come_seldom_are_all_timed(requests: Requests) -> None:
    for number in range(10 * LOOK_COUNT):
        requests.ask(1_000_000_000 // TIMED_HZ)
        assert requests.meter.count == requests.meter.local.count == requests.meter.total.count == number + 1


def test_a_short_burst_is_timed_in_full(requests: Requests) -> None:
    for _ in range(LOOK_COUNT):
        requests.ask(1000)
    assert requests.meter.local.count == LOOK_COUNT
    assert requests.meter._timed_count == LOOK_COUNT


def test_of_a_busy_api_every_request_is_counted_and_so_many_a_second_timed(requests: Requests) -> None:
    """At 5,000 a second, one of fifty."""
    for number in range(20_000):
        requests.ask(200_000)
        assert requests.meter.count == number + 1
        assert abs(requests.meter.local.count - number) <= 2 * BLOCK_MAX
    timed = 0
    for _ in range(10_000):
        before = requests.meter.local.count
        requests.ask(200_000)
        timed += requests.meter.local.count > before
    assert timed == pytest.approx(2 * TIMED_HZ, rel=0.1)


def test_which_one_of_a_block_is_timed_is_chance(requests: Requests) -> None:
    """Places in a turn of the loop differ by their time in the queue: none may be left out, and none preferred."""
    requests.until_blocks_are_longest()
    places = 50
    timed: Counter[int] = Counter()
    for number in range(400 * BLOCK_MAX):
        before = requests.meter.local.count
        requests.ask()
        timed[number % places] += requests.meter.local.count > before
    assert sum(timed.values()) == pytest.approx(400, abs=1)
    assert min(timed.values()) >= 1
    assert max(timed.values()) < 3 * 400 / places


def test_times_of_a_busy_api_are_true_on_the_average(requests: Requests) -> None:
    """A tenth of the requests takes a hundred times as long as the others, and takes so in the histograms."""
    took_ns: list[int] = []

    def handle() -> ListGroupsResponse:
        took_ns.append(200_000 if len(took_ns) % 10 == 0 else 2_000)
        requests.now_ns += took_ns[-1]
        return ListGroupsResponse()

    requests.handle = handle
    for _ in range(100_000):
        requests.ask()
    assert requests.meter.count == 100_000
    assert requests.meter.local.sum_ns == pytest.approx(sum(took_ns), rel=0.2)
    assert requests.meter.local.count_below(15) == pytest.approx(90_000, rel=0.03)
    assert requests.meter.total.sum_ns == pytest.approx(requests.meter.local.sum_ns, rel=1e-3)


def test_every_request_that_waits_is_timed_however_busy_its_api_is(requests: Requests) -> None:
    waiting: list[Pending[Any]] = []

    def handle() -> Any:
        requests.now_ns += 5_000
        if len(waiting) == 300:
            return ListGroupsResponse()
        waiting.append(Pending())
        return waiting[-1]

    requests.handle = handle
    for _ in range(1_000):
        requests.ask()
    meter = requests.meter
    assert (meter.count, meter.waiting_count, meter.remote.count) == (1_000, 300, 0)
    requests.now_ns += 1_000_000_000
    at_once = meter.total.count
    for each in waiting:
        each.complete(ListGroupsResponse())
    assert (meter.waiting_count, meter.remote.count, meter.total.count) == (0, 300, at_once + 300)
    assert at_once == pytest.approx(700, abs=300)
    assert meter.total.sum_ns > meter.remote.sum_ns > 300_000_000_000


def test_an_api_that_is_busy_no_more_has_all_its_requests_timed_again(requests: Requests) -> None:
    requests.until_blocks_are_longest()
    for _ in range(4 * BLOCK_MAX):
        requests.ask(IDLE_NS)
    timed = requests.meter.local.count
    for _ in range(10):
        requests.ask(IDLE_NS)
    assert requests.meter.local.count == timed + 10


def test_what_is_shown_of_a_busy_api_agrees_with_itself_and_never_falls(bench: Bench, requests: Requests) -> None:
    observed: Any = SimpleNamespace(services=bench.services)
    before: dict[str, float] = {}
    for _ in range(600):
        requests.ask()
        out = Exposition(is_openmetrics=False)
        for _ in request_metrics(out, observed):
            pass
        lines = [line.rpartition(" ") for line in out.finish().decode().splitlines() if not line.startswith("#")]
        shown = {name: float(value) for name, _, value in lines}
        assert {name for name, value in before.items() if shown[name] < value} == set()
        for part in ("localtimems", "totaltimems"):
            name = f"kafka_network_requestmetrics_{part}"
            assert (
                shown[f'{name}_count{{request="ListGroups"}}']
                == shown[f'{name}_bucket{{request="ListGroups",le="+Inf"}}']
            )
        before = shown
    assert before['kafka_network_requestmetrics_requests_total{request="ListGroups"}'] == 600


def test_errors_of_a_whole_answer_and_of_parts() -> None:
    requests = RequestMeters()
    requests.note_errors(ApiKey.HEARTBEAT, HeartbeatResponse(error_code=ErrorCode.REBALANCE_IN_PROGRESS))
    requests.note_errors(ApiKey.HEARTBEAT, HeartbeatResponse())
    parts = [ListOffsetsPartitionResponse(each, ErrorCode.NOT_LEADER_OR_FOLLOWER) for each in range(500)]
    requests.note_errors(ApiKey.LIST_OFFSETS, ListOffsetsResponse(topics=[ListOffsetsTopicResponse("t", parts)]))
    assert dict(requests.errors) == {
        (ApiKey.HEARTBEAT, ErrorCode.REBALANCE_IN_PROGRESS): 1,
        (ApiKey.LIST_OFFSETS, ErrorCode.NOT_LEADER_OR_FOLLOWER): ERROR_PARTS_MAX,
    }


def test_refused_records_are_counted_and_unknown_topics_leave_no_trace_by_name(bench: Bench) -> None:
    """A client that asks for a million names must not make us keep them."""
    builder = BatchBuilder()
    builder.append(1_700_000_000_000, None, b"v")
    data = [TopicProduceData("nowhere", partition_data=[PartitionProduceData(0, builder.build())])]
    Dispatch(bench.services).answer(PEER, frame(ApiKey.PRODUCE, 9, ProduceRequest(None, 1, 1000, data)))
    requests = bench.services.requests
    assert requests.errors[ApiKey.PRODUCE, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION] == 1
    assert "nowhere" not in dict(bench.services.partitions.traffic.topics())
