"""Five ways to leak, and work that allocates much and keeps nothing."""

import asyncio
import mmap


class Leaks:
    """Each method leaks once when called; `loop` never runs its timers."""

    def __init__(self):
        self.cache = {}
        self.subscribers = []
        self.tasks = set()
        self.buffers = []
        self.loop = asyncio.new_event_loop()

    def close(self):
        for task in self.tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def unbounded_cache(self, number):
        self.cache[f"key-{number}"] = bytes(500)

    def missing_unsubscribe(self, number):
        subscriber = Subscriber(number)
        self.subscribers.append(subscriber.on_change)

    def never_awaited_task(self, number):
        self.tasks.add(self.loop.create_task(asyncio.Event().wait()))

    def closure_in_a_timer(self, number):
        payload = [number] * 50
        self.loop.call_later(3600, lambda: payload)

    def native_buffer(self, number):
        self.buffers.append(mmap.mmap(-1, 4096))


class Subscriber:
    def __init__(self, number):
        self.state = [number] * 40

    def on_change(self):
        return self.state


def innocent_heavy_work(number):
    """Allocates some 10 kB and keeps none of it."""
    rows = [{"number": number, "text": "x" * 200} for _ in range(20)]
    return len(rows)


class Ring:
    """A cache with a bound, full from the beginning: it replaces all the time and does not grow."""

    def __init__(self):
        self.rows = [bytes(2000) for _ in range(40)]

    def innocent_bounded_cache(self, number):
        self.rows[number % 40] = bytes(2000)
