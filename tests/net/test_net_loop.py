"""The loop on real sockets: idle, woken by threads, shared with asyncio."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

import pytest
from loopback import Echo, World, until

from tailrace.net.loop import (
    running_engine,
)


def test_idle_engine_never_wakes_up(epoll_world: World) -> None:
    """50 idle connections with cancelled timers: no wait returns, no CPU."""

    async def main() -> None:
        listener = epoll_world.listen()
        socks = [socket.create_connection(listener.address[:2]) for _ in range(50)]
        await until(lambda: len(epoll_world.handlers) == 50)
        for handler in epoll_world.handlers:
            handler.connection.set_read_deadline(50)
            handler.connection.set_read_deadline(None)
        waits = 0
        poller = epoll_world.engine.selector.poller
        real_wait = poller.wait

        class Counting:
            def __getattr__(self, name: str) -> Any:
                return getattr(poller, name)

            def wait(self, timeout_s: float | None) -> list[tuple[int, int]]:
                nonlocal waits
                waits += 1
                return real_wait(timeout_s)

        epoll_world.engine.selector.poller = Counting()  # type: ignore[assignment]
        await asyncio.sleep(1.0)
        assert waits <= 3, "the sleep itself, and nothing else"
        for sock in socks:
            sock.close()

    epoll_world.run(main)


def test_other_threads_wake_it_at_once_and_in_order(world: World) -> None:
    seen: list[int] = []
    done = asyncio.Event()

    def work() -> None:
        time.sleep(0.1)
        for number in range(1000):
            world.engine.call_soon_threadsafe(lambda number=number: seen.append(number))
        world.engine.call_soon_threadsafe(done.set)

    async def main() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        world.engine.wake()
        await asyncio.wait_for(done.wait(), 5)
        thread.join()
        assert seen == list(range(1000))

    world.run(main)


def test_it_is_an_ordinary_asyncio_loop(world: World) -> None:
    """Servers, clients, subprocesses, signals, executors, readers, timers of asyncio, all on our selector."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    async def main() -> None:
        assert running_engine() is world.engine
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(b"hello\n")
        assert await reader.read() == b"HELLO\n"
        writer.close()
        server.close()
        await server.wait_closed()

        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print(input()[::-1])", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert (await process.communicate(b"olleh\n"))[0] == b"hello\n"
        assert process.returncode == 0

        got_signal = asyncio.Event()
        world.loop.add_signal_handler(signal.SIGUSR1, got_signal.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.wait_for(got_signal.wait(), 5)
        world.loop.remove_signal_handler(signal.SIGUSR1)

        assert await asyncio.to_thread(lambda: 6 * 7) == 42
        assert await world.loop.run_in_executor(None, os.getpid) == os.getpid()

        one, other = socket.socketpair()
        readable = asyncio.Event()
        world.loop.add_reader(one.fileno(), readable.set)
        other.send(b"x")
        await asyncio.wait_for(readable.wait(), 5)
        assert world.loop.remove_reader(one.fileno())
        one.close()
        other.close()

        start = time.monotonic()
        called: list[float] = []
        world.loop.call_later(0.05, lambda: called.append(time.monotonic() - start))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncio.Event().wait()
        assert 0.05 <= called[0] < 0.09 or called[0] < 0.5

    world.run(main)


def test_asyncio_is_served_while_ours_are_busy(epoll_world: World) -> None:
    """The selector turns by itself, and still asyncio's timers and callbacks run in time."""

    async def main() -> None:
        listener = epoll_world.listen()
        stop = threading.Event()

        def hammer() -> None:
            with socket.create_connection(listener.address[:2]) as sock:
                while not stop.is_set():
                    sock.send(b"x")
                    sock.recv(10)

        thread = threading.Thread(target=hammer)
        thread.start()
        try:
            await until(lambda: epoll_world.handlers and epoll_world.handlers[0].connection.bytes_in > 10)
            lateness = []
            for _ in range(20):
                before = time.monotonic()
                await asyncio.sleep(0.01)
                lateness.append(time.monotonic() - before - 0.01)
            assert sorted(lateness)[10] < 0.05
            assert await asyncio.wait_for(asyncio.to_thread(lambda: "done"), 5) == "done"
        finally:
            stop.set()
            await asyncio.to_thread(thread.join)

    epoll_world.run(main)


def test_deadline_fires_in_time_on_a_real_clock(epoll_world: World) -> None:
    fired: list[float] = []

    class Patient(Echo):
        def on_opened(self) -> None:
            self.start = time.monotonic()
            self.connection.set_read_deadline(100)

        def on_deadline(self, direction: str) -> None:
            fired.append(time.monotonic() - self.start)

    async def main() -> None:
        listener = epoll_world.listen(Patient)
        reader, writer = await asyncio.open_connection(*listener.address[:2])
        await until(lambda: fired)
        assert 0.1 <= fired[0] < 0.2
        writer.write(b"still usable")
        assert await reader.readexactly(12) == b"still usable"
        writer.close()

    epoll_world.run(main)
