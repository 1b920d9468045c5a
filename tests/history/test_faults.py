"""A seed gives the same schedule; the proxy and the slow disk hurt as they say; the program judges a file."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.history import journal
from tests.history.__main__ import main
from tests.history.faults import Kind, schedule
from tests.history.model import ALL_PROMISES, Promise
from tests.history.producers import EpochBumps
from tests.history.proxy import Direction, Proxy
from tests.history.slow_disk import DELAY_MS, SlowDisk, Slowness
from tests.history.test_checker import PLANTED, three


def test_a_seed_gives_the_same_schedule_and_seeds_differ() -> None:
    schedules = [schedule(seed, 10) for seed in range(60)]
    assert schedules == [schedule(seed, 10) for seed in range(60)]
    assert len({tuple(each) for each in schedules}) == 60
    assert {fault.kind for each in schedules for fault in each} == set(Kind)


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with suppress(ConnectionError):
            while data := self.request.recv(100):
                self.request.sendall(data)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    proxy = Proxy(1)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        proxy.target = server.server_address[1]
        yield proxy
        proxy.close()
        server.shutdown()
        thread.join()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 5)


def said(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return client.recv(100)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_the_proxy_passes_on_and_cuts(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert said(client, b"one") == b"one"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            said(client, b"two")
    with connect(proxy) as client:
        assert said(client, b"three") == b"three"


@pytest.mark.parametrize("direction", [Direction.IN, Direction.OUT, Direction.IN | Direction.OUT])
def test_what_is_stalled_comes_later(proxy: Proxy, direction: Direction) -> None:
    with connect(proxy) as client:
        assert said(client, b"one") == b"one"
        stall = threading.Thread(target=proxy.stall, args=(direction, 0.2))
        began = time.monotonic()
        stall.start()
        until(lambda: not proxy.is_open(direction))
        assert said(client, b"two") == b"two"
        assert time.monotonic() - began >= 0.2
        stall.join()


def test_answers_that_are_lost_never_come(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert said(client, b"one") == b"one"
        loss = threading.Thread(target=proxy.lose_answers, args=(0.2,))
        loss.start()
        until(lambda: not proxy.is_open(Direction.OUT))
        with pytest.raises(ConnectionResetError):
            said(client, b"two")
        loss.join()


def test_who_is_refused_may_come_back(proxy: Proxy) -> None:
    refusal = threading.Thread(target=proxy.refuse, args=(0.2,))
    refusal.start()
    until(lambda: proxy.refuses)
    with connect(proxy) as client:
        try:
            answer = said(client, b"one")
        except ConnectionError:
            answer = b""
    assert answer == b"" or not proxy.refuses, "a busy machine may ask too late"
    refusal.join()
    with connect(proxy) as client:
        assert said(client, b"two") == b"two"


def test_a_disk_is_slow_while_it_is_told_to_be(tmp_path: Path) -> None:
    slowness = Slowness(tmp_path / "word")
    file = SlowDisk(tmp_path / "word").open(tmp_path / "file")
    slow = threading.Thread(target=slowness.slow_for, args=(0.1,))
    slow.start()
    until(lambda: any((tmp_path / "word").read_bytes()))
    began = time.monotonic()
    file.write(b"slowly")
    took_s = time.monotonic() - began
    assert took_s >= DELAY_MS / 1000 or not any((tmp_path / "word").read_bytes()), "a busy machine may write too late"
    slow.join()
    assert file.pread(6, 0) == b"slowly"
    file.close()
    slowness.close()


def test_the_program_judges_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "history.jsonl"
    journal.write(three().final("a", "b", "c").history, path, "right")
    assert main(["check", str(path)]) == 0
    journal.write(PLANTED["twice"][0].history, path, "wrong")
    assert main(["check", str(path)]) == 1
    assert "duplicate t-0: c at [2, 3]" in capsys.readouterr().out


def test_after_an_epoch_bump_of_librdkafka_what_was_under_way_may_be_there_twice() -> None:
    bumps = EpochBumps()
    say = bumps.logger("client").debug
    before = time.monotonic()
    drain = "Beginning partition drain in state Assigned for PID{0,0} epoch bump for 2 partition(s)"
    say("DRAIN [thrd:main]: %s", f"{drain} with in-flight requests: unknown producer id")
    say("DRAIN [thrd:main]: plain [0] beginning partition drain: drain before retrying")
    assert bumps.promise(ALL_PROMISES, before) == ALL_PROMISES
    say("DRAIN [thrd:main]: %s", f"{drain} with in-flight requests: {EpochBumps.REASON}")
    assert bumps.promise(ALL_PROMISES, before) == Promise.KEPT | Promise.ORDERED
    assert bumps.promise(ALL_PROMISES, time.monotonic() + 1) == ALL_PROMISES
