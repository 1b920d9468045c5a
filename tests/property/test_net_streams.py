"""What is written is what is read, whatever the network does: frames, order, ends. Real connections, virtual time."""

from __future__ import annotations

import asyncio
import tempfile
from typing import Any, BinaryIO

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.base.clock import ManualClock
from tailrace.base.rand import SeededRandom
from tailrace.net.address import Address
from tailrace.net.connection import Connection
from tailrace.net.handler import ConnectionOptions, FileRange, Part, StreamHandler
from tailrace.net.loop import new_event_loop
from tailrace.net.memory import Link, MemoryNetwork

SERVER = Address("server", 1)
FILE_SIZE = 400_000
FILE_BYTES = bytes(index * 7 % 256 for index in range(FILE_SIZE))

SIZES = st.one_of(st.integers(0, 40), st.integers(0, 20_000), st.integers(100_000, 300_000))
PARTS = st.tuples(st.sampled_from(["bytes", "bytearray", "view", "writable", "file"]), SIZES)
WRITES = st.lists(st.lists(PARTS, min_size=1, max_size=5), min_size=1, max_size=8)
LINKS = st.builds(Link, delay_ms=st.integers(0, 20), jitter_ms=st.integers(0, 5), loss=st.sampled_from([0.0, 0.2]))


def part_of(kind: str, size: int, seed: int, file: BinaryIO) -> tuple[Part, bytes]:
    """A part of that kind and the bytes it stands for."""
    if kind == "file":
        size = max(1, size)
        position = seed * 37 % (FILE_SIZE - size)
        return FileRange(file, position, size), FILE_BYTES[position : position + size]
    data = bytes([seed % 251]) * size
    made: Part = {"bytes": bytes, "bytearray": bytearray, "view": memoryview}.get(
        kind, lambda b: memoryview(bytearray(b))
    )(data)
    return made, data


@settings(max_examples=60, deadline=None)
@given(writes=WRITES, link=LINKS, seed=st.integers(0, 1000), pauses=st.lists(st.integers(1, 5), max_size=4))
def test_every_part_arrives_in_order(writes: list[Any], link: Link, seed: int, pauses: list[int]) -> None:
    """Mixed buffers and file ranges through partial writes, with a reader that takes odd amounts and pauses."""
    got = bytearray()
    closed: list[OSError | None] = []

    class Reader(StreamHandler):
        def __init__(self, connection: Connection) -> None:
            self.connection = connection
            self.calls = 0

        def on_data(self, data: memoryview) -> int:
            self.calls += 1
            take = len(data) if self.calls % 3 else len(data) // 2
            got.extend(data[:take])
            data[:take] = bytes(take)  # the view is ours to spoil
            if self.calls <= len(pauses):
                self.connection.pause_reading()
                delay_ms = pauses[self.calls - 1]
                loop.engine.timers.schedule(delay_ms, self.connection.resume_reading)
            elif take < len(data):
                self.connection.offer_again()
            return take

        def on_eof(self) -> None:
            self.connection.close()

        def on_closed(self, error: OSError | None) -> None:
            closed.append(error)

    class Writer(StreamHandler):
        def __init__(self, connection: Connection) -> None:
            self.connection = connection

        def on_data(self, data: memoryview) -> int:
            raise AssertionError

        def on_eof(self) -> None:
            self.connection.close()

    clock = ManualClock()
    network = MemoryNetwork(clock, SeededRandom(seed), link)
    loop = new_event_loop(network, clock, network)

    async def main(file: BinaryIO) -> bytes:
        loop.engine.listen(SERVER, Reader)
        connection = await loop.engine.connect(SERVER, Writer, ConnectionOptions(local_host="client"))
        expected = bytearray()
        for number, write in enumerate(writes):
            made = [part_of(kind, size, seed + number * 5 + index, file) for index, (kind, size) in enumerate(write)]
            connection.write([part for part, _ in made])
            for part, data in made:
                expected.extend(data)
                if type(part) is memoryview and not part.readonly:
                    part[:] = bytes(len(part))  # a writable view may be reused at once
        connection.shutdown_write()
        await asyncio.sleep(3600)
        return bytes(expected)

    with tempfile.TemporaryFile() as file:
        file.write(FILE_BYTES)
        file.flush()
        expected = loop.run_until_complete(main(file))
    assert got == expected
    assert closed == [None]
    assert loop.engine.connections == {} and len(loop.engine.timers) == 0
    loop.run_until_complete(loop.engine.close())
    loop.close()


FRAME_SIZES = st.lists(st.one_of(st.integers(0, 30), st.integers(0, 200_000)), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(sizes=FRAME_SIZES, cuts=st.lists(st.integers(1, 70_000), max_size=20), announces=st.booleans())
def test_frames_are_whole_however_they_are_cut(sizes: list[int], cuts: list[int], announces: bool) -> None:
    """Length-prefixed frames, cut anywhere, with and without `want`."""
    frames: list[tuple[int, set[int]]] = []

    class Framed(StreamHandler):
        def __init__(self, connection: Connection) -> None:
            self.connection = connection

        def on_data(self, data: memoryview) -> int:
            position = 0
            while len(data) - position >= 4:
                size = int.from_bytes(data[position : position + 4], "big")
                if len(data) - position - 4 < size:
                    if announces:
                        self.connection.want(4 + size)
                    break
                frames.append((size, set(data[position + 4 : position + 4 + size])))
                position += 4 + size
            return position

        def on_eof(self) -> None:
            self.connection.close()

    clock = ManualClock()
    network = MemoryNetwork(clock, SeededRandom(1), Link(delay_ms=1))
    loop = new_event_loop(network, clock, network)
    stream = b"".join(size.to_bytes(4, "big") + bytes([index + 1]) * size for index, size in enumerate(sizes))

    async def main() -> None:
        loop.engine.listen(SERVER, Framed)
        peer = await network.connect(SERVER, ConnectionOptions(local_host="client"), 1000)
        position = 0
        piece = 0
        while position < len(stream):
            size = cuts[piece % len(cuts)] if cuts else len(stream)
            piece += 1
            try:
                position += peer.send(stream[position : position + size])
            except BlockingIOError:
                pass
            await asyncio.sleep(0.002)
        peer.close()
        await asyncio.sleep(1)

    loop.run_until_complete(main())
    assert frames == [(size, {index + 1} if size else set()) for index, size in enumerate(sizes)]
    loop.run_until_complete(loop.engine.close())
    loop.close()
