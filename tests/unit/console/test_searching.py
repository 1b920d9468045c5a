"""Searches through partitions with a fake consumer: what is told, in which order; going on leaves nothing out."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from tailrace.base.clock import ManualClock
from tailrace.console.beginnings import Asked
from tailrace.console.decoding import Decoder, Shown
from tailrace.console.reading import Record
from tailrace.console.searching import Hits, Search, Wanted
from unit.console.consumer_support import FakeConsumer

LOGS = {0: {each: each * 10 for each in range(900)}, 1: {each: each * 10 + 5 for each in range(0, 400, 3)}, 2: {}}
ENDS = {0: 900, 1: 410, 2: 0}


class Heard:
    """What a browser would have got."""

    def __init__(self) -> None:
        self.stopped = Event()
        self.hits: list[tuple[int, int]] = []
        self.done: dict[str, Any] = {}

    def put(self, name: str, value: dict[str, Any]) -> None:
        if name == "hit":
            self.hits.append((value["partition"], value["offset"]))
        elif name == "done":
            self.done = value


def search(query: str, at: dict[int, int] | None = None, **changed: Any) -> tuple[Heard, FakeConsumer]:
    """One search, backwards unless `is_backwards` says otherwise, from `at` or the end."""
    is_backwards = changed.pop("is_backwards", True)
    begins = dict.fromkeys(LOGS, 0)
    far, near = (begins, ENDS) if is_backwards else (ENDS, begins)
    starts = near if at is None else {**far, **at}
    consumer = FakeConsumer(LOGS, ENDS)
    kafka = SimpleNamespace(consumer=lambda **_: SimpleNamespace(close=lambda: None, **methods(consumer)))
    options = SimpleNamespace(is_inside_broker=True)
    console: Any = SimpleNamespace(options=options, clock=ManualClock(), decoder=Decoder(None), kafka=kafka)
    asked = Asked("t", begins, ENDS, dict(starts), is_backwards, True, Shown())
    bounds = {"hits_max": 50, "records_max": 100_000, "time_max_ms": 30_000, **changed}
    wanted = Wanted(query, False, False, frozenset({"value"}), **bounds)
    heard = Heard()
    Search(console, asked, wanted).run(heard)  # type: ignore[arg-type]
    return heard, consumer


def methods(consumer: FakeConsumer) -> dict[str, Any]:
    names = ("assign", "unassign", "incremental_unassign", "consume")
    return {name: getattr(consumer, name) for name in names}


def every(wanted: str) -> list[tuple[int, int]]:
    return [(partition, each) for partition, log in LOGS.items() for each in log if wanted in f"value {each}."]


@pytest.mark.parametrize("is_backwards", [True, False])
@pytest.mark.parametrize("bounds", [{"hits_max": 3}, {"records_max": 70}, {"hits_max": 500}, {"records_max": 601}])
def test_going_on_finds_each_hit_once_in_its_partitions_order(bounds: dict[str, int], is_backwards: bool) -> None:
    seen: list[tuple[int, int]] = []
    at: dict[int, int] | None = None
    for _ in range(1000):
        heard, _ = search("7.", at, is_backwards=is_backwards, **bounds)
        seen += heard.hits
        assert heard.done["hits"] == len(heard.hits)
        if heard.done["next"] is None:
            break
        following = {int(each): offset for each, offset in heard.done["next"].items()}
        assert following != at, "no progress"
        at = following
    assert sorted(seen) == every("7.")
    for partition in LOGS:
        own = [offset for each, offset in seen if each == partition]
        assert own == sorted(own, reverse=is_backwards)


def test_the_newest_are_told_first() -> None:
    heard, _ = search("value", hits_max=4)
    assert heard.hits == [(0, 899), (0, 898), (0, 897), (0, 896)]
    assert (heard.done["why"], heard.done["next"]["0"]) == ("limit", 896)


def test_backwards_each_record_is_read_about_once() -> None:
    heard, consumer = search("nowhere")
    records = sum(map(len, LOGS.values()))
    assert (heard.done["scanned"], heard.done["why"]) == (records, "end")
    assert consumer.read < records * 1.2


def test_time_that_is_over_begins_the_slice_anew() -> None:
    heard, _ = search("value", time_max_ms=0)
    assert (heard.hits, heard.done["why"], heard.done["hits"]) == ([], "max_ms", 0)
    assert heard.done["next"] == {"0": 900, "1": 410, "2": 0}


def test_of_hits_that_are_too_many_the_newest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.console.searching.READ_BYTES_MAX", 25)
    hits = Hits(100)
    for offset in range(10):
        hits.add(Record(0, offset, offset, None, None, b"0123456789", []))
    hits.add(Record(1, 0, 0, None, None, b"x" * 100, []))
    taken, following = hits.newest(50, {0: (0, 20), 1: (0, 5)})
    assert [(each.partition, each.offset) for each in taken] == [(0, 9), (0, 8), (1, 0)]
    assert following == {0: 8, 1: 0}, "what was forgotten is read again"
