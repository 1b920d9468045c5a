"""A spike leaves one profile with its reason in the directory, which holds so many and no more."""

import pytest

from tailrace.base.clock import ManualClock
from tailrace.base.disk import RealDisk
from tailrace.net.timers import TimingWheel
from tailrace.node import self_dump
from tailrace.node.self_dump import SelfDump
from tailrace.observe import heap
from tailrace.observe.limits import DUMP_CPU_MS, DUMP_FILES_MAX, DUMP_HEAP_MS, SPIKE_COOL_DOWN_MS
from tailrace.observe.pprof import decode
from tailrace.observe.spikes import Figures

MB = 1024 * 1024
CALM = Figures(20, 200 * MB, 10)


class InlineLoop:
    def run_in_executor(self, executor, work, *arguments):
        work(*arguments)


class Engine:
    """Timers on a clock of the test; threads are the test's own."""

    def __init__(self, clock):
        self.clock = clock
        self.timers = TimingWheel(now_ms=clock.monotonic_ms(), read_ms=clock.monotonic_ms)
        self.loop = InlineLoop()

    def pass_ms(self, delta_ms):
        self.clock.advance(delta_ms)
        self.timers.advance(self.clock.monotonic_ms())


@pytest.fixture
def engine():
    return Engine(ManualClock())


@pytest.fixture
def dump(engine, tmp_path, monkeypatch):
    """What it sees of this process by itself is calm, whatever ran here before."""
    monkeypatch.setattr(self_dump.heap, "resident_bytes", lambda: CALM.memory_bytes)
    monkeypatch.setattr(self_dump, "process_cpu_ns", lambda: 0)
    dump = SelfDump(engine, engine.clock, RealDisk(), tmp_path / "profiles")
    dump.start()
    yield dump
    dump.stop()


def files(tmp_path):
    directory = tmp_path / "profiles"
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def rise(dump, **figures):
    for _ in range(8):
        dump.on_figures(CALM)
    return dump.on_figures(CALM._replace(**figures))


@pytest.mark.parametrize(
    ("figures", "after_ms", "kind"),
    [
        ({"task_count": 900}, 0, "tasks"),
        ({"cpu_percent": 95}, DUMP_CPU_MS + 10, "cpu"),
        ({"memory_bytes": 900 * MB}, DUMP_HEAP_MS + 10, "inuse_space"),
    ],
)
def test_one_profile_with_its_reason(engine, dump, tmp_path, figures, after_ms, kind):
    (figure,) = figures
    spike = rise(dump, **figures)
    assert spike is not None and spike.figure == figure
    dump.on_figures(CALM._replace(cpu_percent=99, task_count=5000))
    engine.pass_ms(after_ms)
    (name,) = files(tmp_path)
    assert name.endswith(f"-{figure}.pb.gz")
    profile = decode((tmp_path / "profiles" / name).read_bytes())
    assert profile.default_type == kind
    assert profile.comments[-1] == spike.reason


def test_the_oldest_goes_first(engine, dump, tmp_path):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "notes.txt").write_text("not ours")
    for _ in range(DUMP_FILES_MAX + 2):
        engine.pass_ms(SPIKE_COOL_DOWN_MS + 1)
        assert rise(dump, task_count=900) is not None
        for _ in range(10):
            dump.on_figures(CALM)
    names = files(tmp_path)
    assert len(names) == DUMP_FILES_MAX + 1 and "notes.txt" in names
    assert (
        min(int(name.split("-")[1]) for name in names if name != "notes.txt")
        > 1_700_000_000_000 + 2 * SPIKE_COOL_DOWN_MS
    )


def test_a_directory_that_cannot_be_written_costs_a_line_of_the_log(engine, dump, tmp_path, caplog):
    (tmp_path / "profiles").write_text("a file")
    assert rise(dump, task_count=900) is not None
    assert "could not be written" in caplog.text


def test_what_ends_meanwhile_writes_nothing(engine, dump, tmp_path):
    rise(dump, cpu_percent=95)
    dump.stop()
    engine.pass_ms(DUMP_CPU_MS + 10)
    assert files(tmp_path) == []


def test_what_ends_meanwhile_traces_no_longer(engine, dump, tmp_path):
    rise(dump, memory_bytes=900 * MB)
    assert heap.is_heap_traced()
    dump.stop()
    assert not heap.is_heap_traced()
    engine.pass_ms(DUMP_HEAP_MS + 10)
    assert files(tmp_path) == []
