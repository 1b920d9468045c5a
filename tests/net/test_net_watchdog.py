"""A real loop that a callback holds: the watchdog, asleep until then, names it."""

import threading
import time

from tailrace.base.clock import SystemClock
from tailrace.net.loop import new_event_loop
from tailrace.observe.watchdog import Watchdog

WAIT_S = 60.0
STALL_MS = 100


def test_a_callback_that_holds_an_idle_loop_is_named():
    loop = new_event_loop()
    engine, told, stalls = loop.engine, threading.Event(), []

    def holds_the_loop():
        told.wait(WAIT_S)

    def on_stall(stall):
        stalls.append(stall)
        told.set()

    def hold_when_idle():
        end = time.monotonic() + WAIT_S
        while engine.selector.on_turn is None and time.monotonic() < end:
            time.sleep(0.01)
        engine.call_soon_threadsafe(holds_the_loop)

    async def life():
        watchdog = Watchdog(engine.selector, type(engine.selector.poller).wait.__code__, SystemClock(), on_stall)
        watchdog.start(STALL_MS)
        try:
            await loop.run_in_executor(None, hold_when_idle)
            await loop.run_in_executor(None, told.wait, WAIT_S)
        finally:
            watchdog.stop()

    try:
        loop.run_until_complete(life())
        assert stalls, "nobody was told"
        assert stalls[0].callback.name.endswith("holds_the_loop")
        assert stalls[0].blocked_ms >= STALL_MS
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
