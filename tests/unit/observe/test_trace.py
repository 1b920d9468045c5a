"""A timeline: what is in its file, that it is bounded, and that everything is itself again when it has ended."""

from __future__ import annotations

import gc
import json
import threading
from functools import partial

import pytest

from tailrace.observe import trace as module
from tailrace.observe.trace import Trace, name_of


class Clock:
    def __init__(self) -> None:
        self.now_ns = 5_000

    def __call__(self) -> int:
        self.now_ns += 1_000
        return self.now_ns


class Work:
    def run(self) -> str:
        return "done"


def test_slices_waits_and_threads() -> None:
    trace = Trace(Clock())
    gc.disable()
    try:
        begin_ns = trace.now_ns()
        trace.note("Produce", "request", begin_ns, {"file": "a"})
        wait = trace.begin_wait("Fetch")
        thread = threading.Thread(target=trace.end_wait, args=("Fetch", wait), name="other")
        thread.start()
        thread.join()
    finally:
        gc.enable()
    trace.stop()
    trace.note("late", "request", begin_ns)
    found = json.loads(trace.encode())
    events = [each for each in found["traceEvents"] if each["ph"] != "M"]
    assert [(each["ph"], each["name"]) for each in events] == [("X", "Produce"), ("b", "Fetch"), ("e", "Fetch")]
    produce, begun, ended = events
    assert (produce["ts"], produce["dur"], produce["args"]) == (1.0, 1.0, {"file": "a"})
    assert begun["id"] == ended["id"] and ended["ts"] > begun["ts"]
    names = {each["tid"]: each["args"]["name"] for each in found["traceEvents"] if each["ph"] == "M"}
    assert names[threading.get_ident()] == threading.current_thread().name
    assert found["otherData"]["events"] == 3


def test_garbage_collections_are_noted() -> None:
    trace = Trace(Clock())
    gc.collect()
    trace.stop()
    assert any(each.name == "garbage collection" and (each.args or {})["generation"] == 2 for each in trace.events)
    before = len(trace.events)
    gc.collect()
    assert len(trace.events) == before


def test_what_was_replaced_is_itself_again() -> None:
    original = Work.__dict__["run"]
    trace = Trace(Clock())
    trace.replace(Work, "run", lambda _: "once")
    trace.replace(Work, "run", lambda _: "twice")
    assert Work().run() == "twice"
    trace.stop()
    assert Work.__dict__["run"] is original


def test_events_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRACE_EVENTS_MAX", 2)
    trace = Trace(Clock())
    for _ in range(5):
        trace.note("x", "y", 0)
    trace.stop()
    assert (len(trace.events), trace.left_out >= 3) == (2, True)
    assert json.loads(trace.encode())["otherData"]["events left out"] == trace.left_out


def test_names_of_callbacks() -> None:
    assert name_of(partial(partial(Work().run))) == "Work.run"
    assert name_of(Work()) == "Work"
