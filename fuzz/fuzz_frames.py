"""However the bytes of a connection are cut into receives, the same frames are answered in the same order.

A frame with a negative size or one over the bound closes the connection after the answers before it, wherever it is
cut. The connection asks for at most a whole frame, and never keeps more than it was given.
"""

from __future__ import annotations

import random
from typing import Any

import driver

from tailrace.broker.connection import ClientConnection

REQUEST_MAX_BYTES = 200


class Wire:
    """Stands for the network engine's connection: keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False
        self.wanted = 0
        self.id = 1
        self.turn_ms = 0.0
        self.queued_bytes = 0
        self.local_address = self.peer_address = ("127.0.0.1", 9092)

    def write(self, parts: list[Any]) -> None:
        assert not self.closed
        self.written += b"".join(parts)

    def want(self, size: int) -> None:
        assert 4 <= size <= REQUEST_MAX_BYTES + 4
        self.wanted = size

    def close_after_flush(self) -> None:
        self.closed = True

    def set_read_deadline(self, timeout_ms: int) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Echo:
    """Stands for dispatch: answers a frame with its content and a mark."""

    last_key = 0

    def answer(self, peer: object, frame: memoryview, received_ms: float) -> list[bytes] | None:
        return None if frame[:1] == b"0" else [bytes(frame), b"|"]


def played(receives: list[bytes]) -> tuple[bytes, bool]:
    """(what was written, whether it was closed) after these receives; unread bytes come again with the next."""
    wire = Wire()
    client = ClientConnection(wire, Echo(), REQUEST_MAX_BYTES, 0)  # type: ignore[arg-type]
    client.on_opened()
    kept = b""
    for received in receives:
        kept += received
        if len(kept) < wire.wanted:
            continue
        wire.wanted = 0
        read = client.on_data(memoryview(kept))
        assert 0 <= read <= len(kept)
        kept = kept[read:]
        if wire.closed:
            break
        assert len(kept) < REQUEST_MAX_BYTES + 4
    return wire.written, wire.closed


def expected(data: bytes) -> tuple[bytes, bool]:
    """The same, said as plainly as possible."""
    written = b""
    while len(data) >= 4:
        size = int.from_bytes(data[:4], "big", signed=True)
        if not 0 <= size <= REQUEST_MAX_BYTES:
            return written, True
        if len(data) < 4 + size:
            break
        frame, data = data[4 : 4 + size], data[4 + size :]
        written += b"" if frame[:1] == b"0" else frame + b"|"
    return written, False


def target(data: bytes) -> None:
    chance = random.Random(data)
    wanted = expected(data)
    assert played([data]) == wanted
    assert played([data[at : at + 1] for at in range(len(data))]) == wanted
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(6)))
    assert played([data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]) == wanted


def seeds() -> list[bytes]:
    def framed(*contents: bytes) -> bytes:
        return b"".join(len(content).to_bytes(4, "big") + content for content in contents)

    return [
        b"",
        framed(b"one"),
        framed(b"one", b"", b"0 no answer", b"x" * REQUEST_MAX_BYTES),
        framed(b"one") + (REQUEST_MAX_BYTES + 1).to_bytes(4, "big"),
        framed(b"one", b"two") + b"\xff\xff\xff\xff" + framed(b"three"),
        framed(*(bytes([65 + at]) * at for at in range(20))),
    ]


if __name__ == "__main__":
    driver.run(target, seeds())
