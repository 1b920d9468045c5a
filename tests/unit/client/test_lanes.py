"""Questions gathered into requests, one on its way to each broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tailrace.base.errors import ErrorCode
from tailrace.client.broker_client import Refusal, Told
from tailrace.client.lanes import Gathering, Lanes


class Bench:
    """Brokers that answer when they are told to."""

    def __init__(self, items_max: int = 100) -> None:
        self.asked: list[tuple[int, list[str]]] = []
        self.answers: list[Told] = []
        self.told: list[tuple[str, Any]] = []
        self.lanes: Lanes[int, str] = Lanes(self._ask, Gathering(list, self._on_response, items_max))

    def _ask(self, broker_id: int, message: list[str], told: Told) -> None:
        self.asked.append((broker_id, message))
        self.answers.append(told)

    def _on_response(self, items: Sequence[str], response: Any) -> None:
        self.told += [(item, response) for item in items]


def test_what_comes_while_a_broker_is_asked_goes_together_in_the_next_request() -> None:
    bench = Bench()
    for broker_id, item in ((1, "a"), (1, "b"), (2, "c"), (1, "d")):
        bench.lanes.put(broker_id, item)
    assert bench.asked == [(1, ["a"]), (2, ["c"])]
    bench.answers.pop(0)("yes")
    assert bench.told == [("a", "yes")]
    assert bench.asked[2:] == [(1, ["b", "d"])]
    bench.answers.pop()("no")
    assert bench.told[1:] == [("b", "no"), ("d", "no")]
    bench.lanes.put(1, "e")
    assert bench.asked[3:] == [(1, ["e"])], "the lane was empty"


def test_a_refusal_is_told_to_each_and_the_lane_goes_on() -> None:
    bench, refusal = Bench(items_max=2), Refusal(ErrorCode.NETWORK_EXCEPTION, "gone")
    for item in "abcd":
        bench.lanes.put(1, item)
    bench.answers.pop(0)(refusal)
    assert bench.asked == [(1, ["a"]), (1, ["b", "c"])], "no more than fit into a request"
    bench.answers.pop(0)(refusal)
    bench.answers.pop(0)("yes")
    assert bench.told == [("a", refusal), ("b", refusal), ("c", refusal), ("d", "yes")]
