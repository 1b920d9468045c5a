"""One life of a broker: started on its core, measured under each workload, killed; and the floors on the same core.

Invariant: whatever happens, the process is gone when this returns, and no workload lasts longer than `LOAD_MAX_S`.
A broker that dies under a workload, or does not end one, is started again for the next; after `LOST_MAX` of those it is
given up.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from confluent_kafka import KafkaException
from tests.harness.brokers import BrokerFailed, BrokerProcess

from tailrace.cli.failure import CommandFailed

from . import floor as floor_program
from . import requests
from .brokers import KINDS, pinned
from .loads import BASE, LoadFailed, Moved
from .process import Meter
from .workloads import ENTRIES, Entry, Target

LOAD_MAX_S = 60.0
LOST_MAX = 3
START_MAX_S = 60.0
REST_S = 1.0
"""How long a broker is left alone before its memory at rest is read, and while its CPU at rest is."""

WARM_UP = ("produce", "fetch", "requests-1")
WARM_UP_MAX_S = 20.0
WARM_UP_SHARE = 0.3
"""What part of a workload is done before anything is counted."""
WARM_UP_SCALE_MIN = 0.1
"""Below this a run only shows that it runs."""

Figures = dict[str, float]


@dataclass(frozen=True)
class Machine:
    """Where things run: cores (None: anywhere) and how much is done (1: some seconds a workload)."""

    broker_core: int | None
    load_core: int | None
    scale: float


@dataclass
class Found:
    """What a life gave: figures of the start and of each workload, or the reason why there are none.

    `lost` is how often the broker died or hung.
    """

    start: Figures
    figures: dict[str, Figures]
    failures: dict[str, str]
    lost: int = 0


FAILURES = (LoadFailed, CommandFailed, KafkaException, BrokerFailed, requests.Unanswered, OSError, TimeoutError)


def live(name: str, workloads: Sequence[str], settings: dict[str, str], machine: Machine) -> Found:
    """A fresh broker with `settings`, measured under `workloads` in their order."""
    found = Found({}, {}, {})
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as directory:
        broker = made_on_core(KINDS[name], machine.broker_core)(Path(directory), settings)
        try:
            found.start = start(broker, min(REST_S, 10 * machine.scale))
            warm_up(broker, machine)
            for workload in workloads:
                if found.lost >= LOST_MAX:
                    found.failures[workload] = f"not tried, for it died or hung under {found.lost} others"
                else:
                    began_s = time.monotonic()
                    measure_one(broker, name, workload, machine, found)
                    print(f"    {name}, {workload}: {time.monotonic() - began_s:.1f} s", file=sys.stderr)
        except FAILURES as failure:
            for workload in workloads:
                if workload not in found.figures:
                    found.failures.setdefault(workload, f"the broker did not start: {reason(failure)}")
        finally:
            broker.kill()
    return found


def made_on_core(kind: type[BrokerProcess], core: int | None) -> type[BrokerProcess]:
    """The same kind of broker, kept on one core."""

    class OnCore(kind):  # type: ignore[misc, valid-type]
        def _command(self) -> list[str]:
            return [*pinned(core), *super()._command()]

    return OnCore


def start(broker: BrokerProcess, rest_s: float) -> Figures:
    """From the start of the process to the first acknowledged record, and memory and CPU at rest after it."""
    broker._command()  # what is done once, such as formatting a directory, is no part of a start
    began_s = time.monotonic()
    broker.start()
    requests.first_acknowledged(broker.address, began_s + START_MAX_S)
    figures = {"first_record_ms": (time.monotonic() - began_s) * 1000}
    time.sleep(rest_s)
    assert broker.process is not None
    meter = Meter(broker.process.pid)
    before_s = meter.cpu_s()
    time.sleep(rest_s)
    return {**figures, "rest_mb": meter.rss_mb(), "rest_cpu_percent": (meter.cpu_s() - before_s) / rest_s * 100}


def warm_up(broker: BrokerProcess, machine: Machine) -> None:
    """Produce, fetch and ask for a moment, not counted: a JVM compiles meanwhile what it would be measured with.

    What does not work shows when it is measured.
    """
    if machine.scale < WARM_UP_SCALE_MIN:
        return
    target = Target(broker.address, broker.directory, machine.load_core, WARM_UP_SHARE * machine.scale)
    for name in WARM_UP:
        with suppress(*FAILURES), limited(WARM_UP_MAX_S):
            ENTRIES[name].load(target, lambda: None)


def measure_one(broker: BrokerProcess, name: str, workload: str, machine: Machine, found: Found) -> None:
    """One workload on a running broker; a broker that died of it is started again for the next."""
    entry = ENTRIES[workload]
    if name in entry.cannot:
        found.failures[workload] = entry.cannot[name]
        return
    if broker.process is None or broker.process.poll() is not None:
        broker.kill()
        broker.start()
    assert broker.process is not None
    meter = Meter(broker.process.pid)
    target = Target(broker.address, broker.directory, machine.load_core, machine.scale, broker.process.pid)
    try:
        with limited(LOAD_MAX_S):
            found.figures[workload] = measured(entry, target, meter)
    except FAILURES as failure:
        died, hung = broker.process.poll() is not None, isinstance(failure, TimeoutError)
        found.failures[workload] = f"{'the broker died: ' if died else ''}{reason(failure)}"
        if died or hung:
            found.lost += 1
            broker.kill()


def measured(entry: Entry, target: Target, meter: Meter) -> Figures:
    """The figures of one load."""
    before_s = 0.0

    def begin() -> None:
        nonlocal before_s
        meter.forget_peak()
        before_s = meter.cpu_s()

    moved = entry.load(target, begin)
    return figures_of(moved, meter.cpu_s() - before_s, meter.peak_mb())


def figures_of(moved: Moved, cpu_s: float, peak_mb: float) -> Figures:
    """A load's figures under the names of the report."""
    if moved.traced:
        return dict(moved.own)
    figures: Figures = {"peak_mb": peak_mb, "cpu_s": cpu_s, **moved.own}
    if moved.bytes:
        figures["records_per_s"] = moved.records / moved.elapsed_s
        if not moved.requests:
            figures["mb_per_s"] = moved.bytes / moved.elapsed_s / 1e6
            figures["cpu_s_per_gb"] = cpu_s / (moved.bytes / 1e9)
    else:
        figures["cpu_percent"] = cpu_s / moved.elapsed_s * 100
    if moved.requests:
        figures["requests_per_s"] = moved.requests / moved.elapsed_s
        figures["cpu_us_per_request"] = cpu_s / moved.requests * 1e6
    for prefix, histogram in (("ack", moved.latency), ("end_to_end", moved.end_to_end)):
        if histogram is not None and histogram.count:
            for percent, value_us in zip((50, 99, 99.9), histogram.percentiles_us((50, 99, 99.9)), strict=True):
                figures[f"{prefix}_p{percent:g}_ms"] = value_us / 1000
    return figures


def floor(kind: str, machine: Machine) -> Figures:
    """What the bare system calls cost, on the brokers' core with the load on the other."""
    piece_bytes = floor_program.REQUEST_BYTES if kind == "echo" else BASE.batch_bytes
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as directory:
        command = [*pinned(machine.broker_core), sys.executable, floor_program.__file__, kind, directory]
        process = subprocess.Popen([*command, str(piece_bytes)], stdout=subprocess.PIPE, text=True)
        try:
            with limited(LOAD_MAX_S):
                assert process.stdout is not None
                port = int(process.stdout.readline().split()[1])
                requests_done, moved_bytes, took_s = floor_program.drive(kind, port, piece_bytes, machine.scale)
                words = process.stdout.readline().split()
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
    cpu_s = float(words[1])
    total_bytes = moved_bytes or int(words[3])
    moved = Moved(requests_done, total_bytes, took_s, requests_done if kind == "echo" else 0)
    figures = figures_of(moved, cpu_s, 0.0)
    return {name: value for name, value in figures.items() if name not in ("peak_mb", "records_per_s")}


def end_cleanly_on_sigterm() -> None:
    """SIGTERM unwinds the program, so that the brokers it started go with it."""

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, on_sigterm)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """TimeoutError in the block after `seconds`. Main thread only; waits for a call into C that is under way."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"it took more than {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def reason(failure: BaseException) -> str:
    """The first line of what a failure says."""
    return (str(failure) or type(failure).__name__).splitlines()[0][:200]
