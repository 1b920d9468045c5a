"""What a tick counts: each thread's stack, with what it used and the time that passed."""

import sys
import threading

from tailrace.base.clock import ManualClock
from tailrace.observe import sampler as sampler_module
from tailrace.observe.sampler import OTHER_STACKS, OUTSIDE_PYTHON, Sampler


def of_thread(sampler, name):
    return [sample for sample in sampler.samples() if ("thread", name) in sample.labels]


def test_every_thread_is_charged_with_the_time_that_passed(monkeypatch):
    used_ns = {}
    monkeypatch.setattr(sampler_module, "thread_cpu_ns", lambda ident: used_ns.get(ident, 0))
    clock, ended = ManualClock(), threading.Event()
    waiter = threading.Thread(target=ended.wait, name="waiter")
    process_ns = [0]
    monkeypatch.setattr(sampler_module, "process_cpu_ns", lambda: process_ns[0])
    waiter.start()
    try:
        sampler = Sampler(clock)
        clock.advance(30)
        used_ns[waiter.ident] = 2_000_000
        process_ns[0] += 2_000_000
        sampler.tick(sys._getframe())
        clock.advance(10)
        sampler.tick(sys._getframe())
        waiting = of_thread(sampler, "waiter")
        own = of_thread(sampler, threading.current_thread().name)
    finally:
        ended.set()
        waiter.join()
    assert [sum(sample.values[at] for sample in waiting) for at in range(3)] == [2, 2_000_000, 40_000_000]
    assert waiting[0].stack[0].name == "threading.Condition.wait"
    assert sum(sample.values[2] for sample in own) == 40_000_000
    assert own[0].stack[0].name.endswith("test_every_thread_is_charged_with_the_time_that_passed")
    assert {sample.stack[0].line for sample in own} == {
        own[0].stack[0].first_line + 13,
        own[0].stack[0].first_line + 15,
    }
    assert sampler.duration_ns == 40_000_000


def test_threads_that_wait_are_asked_when_the_process_has_used_more_than_the_caller(monkeypatch):
    process_ns, asked = [0], []
    monkeypatch.setattr(sampler_module, "thread_cpu_ns", lambda ident: asked.append(ident) or 0)
    monkeypatch.setattr(sampler_module, "process_cpu_ns", lambda: process_ns[0])
    clock, ended = ManualClock(), threading.Event()
    waiter = threading.Thread(target=ended.wait, name="waiter")
    waiter.start()
    try:
        sampler = Sampler(clock)
        asked.clear()
        for _ in range(3):
            clock.advance(10)
            process_ns[0] += sampler_module.UNREAD_MAX_NS // 3
            sampler.tick(sys._getframe())
        assert waiter.ident not in asked
        process_ns[0] += 3
        sampler.tick(sys._getframe())
        assert waiter.ident in asked
        waiting = of_thread(sampler, "waiter")
    finally:
        ended.set()
        waiter.join()
    assert sum(sample.values[0] for sample in waiting) == 4
    assert round(sum(sample.values[2] for sample in waiting) / 1e6) == 30


def test_threads_that_wait_are_not_looked_at_before_they_are_asked(monkeypatch):
    """Their frames are cold memory. What passed is theirs all the same, where they were."""
    process_ns, looks = [0], []
    current_frames = sys._current_frames
    monkeypatch.setattr(sampler_module, "thread_cpu_ns", lambda ident: 0)
    monkeypatch.setattr(sampler_module, "process_cpu_ns", lambda: process_ns[0])
    monkeypatch.setattr(sys, "_current_frames", lambda: looks.append(1) or current_frames())
    clock, ended, moved = ManualClock(), threading.Event(), threading.Event()

    def wait_twice():
        moved.wait()
        ended.wait()

    waiter = threading.Thread(target=wait_twice, name="waiter")
    waiter.start()
    try:
        sampler = Sampler(clock)
        looks.clear()
        for _ in range(5):
            clock.advance(10)
            sampler.tick(sys._getframe())
        assert len(looks) == 1
        moved.set()
        process_ns[0] += sampler_module.UNREAD_MAX_NS + 1
        clock.advance(10)
        sampler.tick(sys._getframe())
        assert len(looks) == 2
        clock.advance(10)
        sampler.tick(sys._getframe())
        waiting = of_thread(sampler, "waiter")
        assert sum(sample.values[0] for sample in waiting) == 7
        assert round(sum(sample.values[2] for sample in waiting) / 1e6) == 70
        again = of_thread(sampler, "waiter")
        assert [sample.values for sample in again] == [sample.values for sample in waiting]
    finally:
        moved.set()
        ended.set()
        waiter.join()


def test_the_calling_thread_can_be_left_out():
    sampler = Sampler(ManualClock())
    sampler.tick(None)
    assert of_thread(sampler, threading.current_thread().name) == []


def test_a_thread_whose_ident_another_has_taken_begins_from_nothing(monkeypatch):
    used_ns = [5_000_000, 300]
    monkeypatch.setattr(sampler_module, "thread_cpu_ns", lambda ident: used_ns[0])
    sampler = Sampler(ManualClock())
    used_ns.pop(0)
    sampler.tick(sys._getframe())
    assert [sample.values[1] for sample in of_thread(sampler, threading.current_thread().name)] == [300]


def test_time_of_threads_that_python_does_not_know_is_told(monkeypatch):
    process_ns = iter([1_000, 1_000, 9_000])
    monkeypatch.setattr(sampler_module, "thread_cpu_ns", lambda ident: 0)
    monkeypatch.setattr(sampler_module, "process_cpu_ns", lambda: next(process_ns))
    sampler = Sampler(ManualClock())
    sampler.tick(sys._getframe())
    outside = [sample for sample in sampler.samples() if sample.stack[0].name == OUTSIDE_PYTHON]
    assert [sample.values for sample in outside] == [(0, 8_000, 0)]


def test_distinct_stacks_are_bounded(monkeypatch):
    monkeypatch.setattr(sampler_module, "STACKS_MAX", 1)
    sampler = Sampler(ManualClock())
    sampler.tick(sys._getframe())
    sampler.tick(sys._getframe())
    sampler.tick(sys._getframe())
    assert OTHER_STACKS in {sample.stack[0].name for sample in sampler.samples()}


def test_a_tick_within_a_tick_counts_nothing(monkeypatch):
    sampler = Sampler(ManualClock())
    monkeypatch.setattr(sampler_module, "thread_cpu_ns", lambda ident: sampler.tick(None) or 0)
    sampler.tick(sys._getframe())
    assert sampler.tick_count == 1
