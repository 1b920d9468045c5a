"""The lane of requests that can wait: what fits into a turn runs at once, the rest in order and in slices."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest
from broker_bench import PEER, Bench

from tailrace.base.clock import ManualClock
from tailrace.base.limits import SLOW_LANE_MAX_BYTES, SLOW_LANE_TURN_MS
from tailrace.base.pending import Pending
from tailrace.broker.dispatch import Dispatch
from tailrace.broker.slow_lane import SlowLane
from tailrace.wire.api import ApiKey, api
from tailrace.wire.frame import decode_response, encode_request
from tailrace.wire.messages.api_versions import ApiVersionsRequest
from tailrace.wire.messages.heartbeat import HeartbeatRequest


class Turns:
    """A loop that takes a turn when told to, and requests that take a millisecond each."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.posted: deque[Callable[[], None]] = deque()
        self.lane = SlowLane(self.clock, self.posted.append)
        self.done: list[int] = []
        self._count = 0

    def arrive(self, count: int, size: int = 10) -> None:
        for _ in range(count):
            number, self._count = self._count, self._count + 1
            if self.lane.is_free():
                self.run(number)
            else:
                self.lane.wait(size, lambda it=number: self.run(it))

    def run(self, number: int) -> None:
        self.clock.advance(1)
        self.done.append(number)

    def end_turn(self) -> None:
        for _ in range(len(self.posted)):
            self.posted.popleft()()


def test_a_few_run_at_once_and_the_rest_in_order_turn_by_turn() -> None:
    turns = Turns()
    turns.arrive(10)
    assert turns.done == list(range(SLOW_LANE_TURN_MS))
    taken = []
    while len(turns.lane):
        before = len(turns.done)
        turns.end_turn()
        taken.append(len(turns.done) - before)
        if len(taken) == 1:
            turns.arrive(1)
            assert turns.done[-1] != 10, "it may not pass those that wait"
    assert turns.done == list(range(11))
    assert max(taken) <= SLOW_LANE_TURN_MS
    turns.end_turn()
    turns.end_turn()
    assert not turns.posted, "an idle lane asks for no turn"


def test_a_turn_without_a_crowd_leaves_nothing_behind() -> None:
    turns = Turns()
    for number in range(20):
        turns.arrive(1)
        assert turns.done[-1] == number
        turns.end_turn()


def test_too_many_bytes_run_the_oldest_at_once() -> None:
    turns = Turns()
    turns.arrive(SLOW_LANE_TURN_MS)
    turns.arrive(4, size=SLOW_LANE_MAX_BYTES // 3)
    assert len(turns.lane) == 3
    assert turns.done == list(range(SLOW_LANE_TURN_MS + 1))


def heartbeat(correlation_id: int) -> memoryview:
    found = api(ApiKey.HEARTBEAT)
    assert found is not None
    return memoryview(encode_request(found, 4, correlation_id, "c", HeartbeatRequest("g", 1, "m")))[4:]


def test_a_crowd_of_heartbeats_holds_up_nobody_else(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    dispatch = Dispatch(bench.services)
    one = dispatch._handle

    def slowly(*arguments: object) -> object:
        bench.clock.advance(1)
        return one(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Dispatch, "_handle", lambda self, *arguments: slowly(*arguments))
    frames = [bytearray(heartbeat(number)) for number in range(10)]
    answers = [dispatch.answer(PEER, memoryview(frame)) for frame in frames]
    late = [answer for answer in answers if isinstance(answer, Pending)]
    assert len(late) == 10 - SLOW_LANE_TURN_MS
    found = api(ApiKey.API_VERSIONS)
    assert found is not None
    other = memoryview(encode_request(found, 3, 99, "c", ApiVersionsRequest("x", "1")))[4:]
    assert not isinstance(dispatch.answer(PEER, other), Pending)
    for frame in frames:  # the receive buffer is used again
        frame[:] = bytes(len(frame))
    bench.run_soon()
    heartbeat_api = api(ApiKey.HEARTBEAT)
    assert heartbeat_api is not None
    for number, answer in enumerate(answers):
        parts = answer.value if isinstance(answer, Pending) else answer
        assert parts is not None
        assert decode_response(heartbeat_api, 4, memoryview(b"".join(parts))[4:])[0] == number


def test_a_frame_that_is_cut_ends_its_connection_late(bench: Bench) -> None:
    dispatch = Dispatch(bench.services)
    lane = dispatch._slow_lane
    assert lane.is_free()
    bench.clock.advance(SLOW_LANE_TURN_MS)
    answer = dispatch.answer(PEER, heartbeat(1)[:12])
    assert isinstance(answer, Pending)
    bench.run_soon()
    assert answer.value is None
