"""/debug/pprof/* of a real broker, and `tailrace heapdiff` of what it gives."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from node.served import ServedBroker
from tailrace.cli.heapdiff import heapdiff
from tailrace.cli.top import top
from tailrace.observe.pprof import decode

ANSWER_S = 60


class Profiled:
    """A broker that is asked for profiles."""

    def __init__(self, broker):
        found = re.search(r" http=(\S+):(\d+) in ", broker.line)
        assert found is not None, broker.line
        self.address = found[1], int(found[2])
        self.servers = f"{broker.address[0]}:{broker.address[1]}"

    def get(self, path):
        connection = HTTPConnection(*self.address, timeout=ANSWER_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def profile(self, path):
        status, body = self.get(path)
        assert status == 200, body
        return decode(body)


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    flags = ("--set", "http.listen=127.0.0.1:0", "--set", "log.flush.before.ack=true")
    with ServedBroker(tmp_path_factory.mktemp("profiles"), *flags) as broker:
        yield Profiled(broker)


def test_a_profile_of_processor_time_shows_the_loop(profiled):
    profile = profiled.profile("/debug/pprof/profile?seconds=0.5")
    assert profile.comments[0].startswith("sampled by a signal, 100 a second")
    names = {frame.name for sample in profile.samples for frame in sample.stack}
    assert "tailrace.net.selector.PollerSelector.select" in names
    assert profile.duration_ns >= 400_000_000


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "nan", "601"])
def test_a_time_that_cannot_be_is_refused(profiled, seconds):
    status, body = profiled.get(f"/debug/pprof/profile?seconds={seconds}")
    assert (status, b"seconds is a number" in body) == (400, True)


def test_one_profile_at_a_time(profiled):
    first = HTTPConnection(*profiled.address, timeout=ANSWER_S)
    first.request("GET", "/debug/pprof/profile?seconds=2")
    second = profiled.get("/debug/pprof/profile?seconds=2")
    statuses = {first.getresponse().status, second[0]}
    first.close()
    assert statuses == {200, 409}


def test_heaps_and_what_grew_between_them(profiled, tmp_path):
    for name in ("before", "after"):
        status, body = profiled.get("/debug/pprof/heap")
        assert status == 200
        (tmp_path / name).write_bytes(body)
    assert profiled.get("/debug/pprof/allocs")[0] == 409
    assert profiled.get("/debug/pprof/heap?stop=1")[0] == 200
    arguments = [str(tmp_path / "before"), str(tmp_path / "after")]
    told = CliRunner().invoke(heapdiff, arguments)
    assert told.exit_code == 0 and "resident memory that Python does not know of" in told.output
    told = CliRunner().invoke(heapdiff, [*arguments, "--json", "--limit", "1"])
    growths = json.loads(told.output)["growths"]
    assert len(growths) == 1 and growths[0]["bytes"] > 0


def test_allocations(profiled):
    profile = profiled.profile("/debug/pprof/allocs?seconds=0.6")
    assert profile.default_type == "alloc_space"
    assert sum(sample.values[1] for sample in profile.samples) > 0
    assert profiled.get("/debug/pprof/heap?stop=1")[0] == 200


def test_tasks(profiled):
    status, body = profiled.get("/debug/pprof/tasks")
    assert status == 200
    text = body.decode()
    assert "thread MainThread" in text
    assert re.search(r"task Task-1, waits for Future\n    asyncio\.locks\.Event\.wait ", text)
    profile = profiled.profile("/debug/pprof/tasks?format=pprof")
    assert ("name", "MainThread") in {label for sample in profile.samples for label in sample.labels}


def test_top_tells_one_line(profiled):
    address = "{}:{}".format(*profiled.address)
    told = CliRunner().invoke(top, ["--http", address, "--once", "--interval", "0.2"])
    assert told.exit_code == 0, told.output
    head, figures = told.output.splitlines()
    assert head.split()[:2] == ["cpu", "%"]
    assert len(figures.split()) == 8
    told = CliRunner().invoke(top, ["--http", address, "--once", "--interval", "0.2", "--json"])
    row = json.loads(told.output)
    assert row["rss MB"] > 10 and row["turns/s"] > 0


def test_top_without_a_broker_is_one_sentence():
    told = CliRunner().invoke(top, ["--http", "127.0.0.1:1", "--once"])
    assert told.exit_code == 1
    assert "cannot read http://127.0.0.1:1/metrics" in str(told.exception)


def traced_while_producing(profiled, producer):
    """A timeline during which records are produced, one at a time."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(profiled.get, "/debug/pprof/trace?seconds=1.5")
        while not asked.done():  # it answers within ANSWER_S, or fails
            producer.produce("traced", b"x")
            assert producer.flush(ANSWER_S) == 0
    status, body = asked.result()
    assert status == 200
    return json.loads(body)


def test_a_timeline_shows_requests_turns_and_syncs(profiled):
    producer = Producer({"bootstrap.servers": profiled.servers, "log_level": 0})
    expected = {"loop", "socket", "request", "timer", "background", "disk"}
    deadline = time.monotonic() + ANSWER_S
    while True:  # on a busy machine a timeline may pass before the producer has had its turn
        found = traced_while_producing(profiled, producer)
        slices = [each for each in found["traceEvents"] if each["ph"] == "X"]
        names = {each["name"] for each in slices}
        if (expected <= {each["cat"] for each in slices} and "Produce" in names) or time.monotonic() > deadline:
            break
    assert expected <= {each["cat"] for each in slices}
    assert "Produce" in {each["name"] for each in slices if each["cat"] == "request"}
    turns = [each for each in slices if each["cat"] == "loop"]
    produce = next(each for each in slices if each["name"] == "Produce")
    assert any(
        turn["tid"] == produce["tid"] and turn["ts"] <= produce["ts"] <= turn["ts"] + turn["dur"] for turn in turns
    ), "a request is within a turn"
    waits = [each for each in found["traceEvents"] if each["ph"] == "b" and each["name"] == "Produce"]
    assert waits, "acknowledged after a flush, it waits"
    assert any(each["name"] == "fdatasync" and "traced-0/" in each["args"]["file"] for each in slices)
    again = json.loads(profiled.get("/debug/pprof/trace?seconds=0.1")[1])
    assert again["otherData"]["events left out"] == 0


@pytest.mark.parametrize("seconds", ["0", "61", "x"])
def test_a_timeline_has_a_longest_time(profiled, seconds):
    status, body = profiled.get(f"/debug/pprof/trace?seconds={seconds}")
    assert (status, b"at most 60" in body) == (400, True)
