"""Five planted leaks come out on top of what grew, and allocators that keep nothing do not."""

import subprocess
import sys

import pytest
from tests.unit.observe.leaks import Leaks, Ring, innocent_heavy_work

from tailrace.base.clock import ManualClock
from tailrace.observe import heap
from tailrace.observe.heap_diff import NotAHeapProfile, heap_diff
from tailrace.observe.profile import Frame, Profile, Sample, ValueType

LEAKS = ["unbounded_cache", "missing_unsubscribe", "never_awaited_task", "closure_in_a_timer", "native_buffer"]


@pytest.fixture
def leaks():
    """Where to leak to, while memory is traced."""
    assert not heap.is_heap_traced()
    heap.trace_heap()
    leaks = Leaks()
    yield leaks
    leaks.close()
    heap.end_heap_trace()


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_in_the_top_three(leak, leaks):
    ring, clock = Ring(), ManualClock()

    def work(first, end):
        for number in range(first, end):
            getattr(leaks, leak)(number)
            innocent_heavy_work(number)
            ring.innocent_bounded_cache(number)

    work(0, 50)  # until the bounded cache holds what its own line put there
    before = heap.heap_profile(clock)
    work(50, 130)
    after = heap.heap_profile(clock)
    top = [[frame.name for frame in growth.stack] for growth in heap_diff(before, after).growths[:3]]
    assert any(name.endswith(f"Leaks.{leak}") for names in top for name in names), top
    assert not any("innocent" in name for names in top for name in names), top


def test_a_buffer_of_an_extension_is_charged_to_where_it_was_made(leaks):
    clock = ManualClock()
    before = heap.heap_profile(clock)
    for number in range(50):
        leaks.native_buffer(number)
    first = heap_diff(before, heap.heap_profile(clock)).growths[0]
    assert first.stack[0].name.endswith("leaks.Leaks.native_buffer")
    assert 50 * 4000 <= first.bytes <= 50 * 5000


def test_classes_that_lie_about_themselves_are_passed_by(leaks):
    class Strange:
        __module__ = property(lambda self: 3)

    strange = [Strange()]
    assert heap.heap_profile(ManualClock()).samples and strange


HEAP = (ValueType("inuse_objects", "count"), ValueType("inuse_space", "bytes"))
OUTER = Frame("app.outer", "app.py", 30, 25)


def of(*samples):
    return Profile(HEAP, list(samples))


def test_lines_of_a_function_are_added_and_what_shrinks_is_left_out():
    first, second = (Sample((Frame("app.leak", "app.py", line, 10), OUTER), (1, 100)) for line in (11, 12))
    gone = Sample((Frame("app.gone", "app.py", 50, 49),), (5, 5000))
    more = Sample(second.stack, (3, 700))
    unknown = Sample((Frame(heap.UNKNOWN_MEMORY),), (0, 10_000), (("memory", "untraced"),))
    diff = heap_diff(of(first, second, gone), of(first, more, unknown))
    assert diff.growths == [(600, 2, more.stack)]
    assert diff.unknown_bytes == 10_000


def test_a_profile_of_something_else_is_refused():
    with pytest.raises(NotAHeapProfile, match="it counts cpu"):
        heap_diff(Profile((ValueType("cpu", "nanoseconds"),), []), of())


AWAITS_AND_LOOKS = """
import asyncio, gc
from tailrace.base.clock import ManualClock
from tailrace.observe import heap

async def waits():
    loop = asyncio.get_running_loop()
    for _ in range(50):
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future

heap.trace_heap()
for _ in range(3):
    asyncio.run(waits())
    heap.heap_profile(ManualClock())
    gc.collect()
print("goes on")
"""


def test_asyncio_goes_on_after_a_look():
    """Python 3.12 shows the objects that asyncio has freed and keeps: who looks at one frees it twice."""
    done = subprocess.run(
        [sys.executable, "-c", AWAITS_AND_LOOKS], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "goes on\n", done.stderr
