"""What Python's garbage collector costs a broker, by its settings: processor time, and how long it stops the loop.

    python bench/bench_collector.py [--settings A,B] [--workloads A,B] [--rounds N] [--scale X]

    frozen       as `tailrace serve` does it: gc.freeze() when it is ready, thresholds as Python has them
    unfrozen     without gc.freeze()
    rare         frozen, and the youngest generation is looked at after 50,000 new objects instead of 700
    never        frozen, and no collections from then on: the floor, which no broker can have that lives for long

A broker of each runs, on one core with the load on another, and they are asked in turn. `serve` is given the settings
by a module that Python imports at its start; collections are counted by gc.callbacks in brokers of their own, so that
processor time is not that of counting. A workload is some fifty loads, one to three minutes; each round is told.
"""

from __future__ import annotations

import argparse
import os
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from peers import cores  # noqa: E402
from rig.brokers import Tailrace, compile_sources  # noqa: E402
from rig.life import (  # noqa: E402
    FAILURES,
    LOAD_MAX_S,
    Machine,
    end_cleanly_on_sigterm,
    limited,
    made_on_core,
    measured,
    reason,
)
from rig.process import Meter  # noqa: E402
from rig.workloads import ENTRIES, Target  # noqa: E402

WORKLOADS = ("requests-50", "requests-1000", "group", "transactions")
SETTINGS = {
    "frozen": "",
    "unfrozen": "gc.freeze = lambda: None",
    "rare": "gc.set_threshold(50_000, 10, 10)",
    "never": "freeze = gc.freeze; gc.freeze = lambda: (freeze(), gc.disable())",
}
COUNTS = struct.Struct("9q")
"""For each generation: collections, nanoseconds in all, the longest in nanoseconds."""
COUNTING = f"""
import mmap, time, struct
counts = struct.Struct("{COUNTS.format}")
file = open({{path!r}}, "r+b")
seen = mmap.mmap(file.fileno(), counts.size)
found, began = [0] * 9, [0]
def on_collection(phase, info):
    if phase == "start":
        began[0] = time.perf_counter_ns()
        return
    took, first = time.perf_counter_ns() - began[0], info["generation"] * 3
    found[first] += 1
    found[first + 1] += took
    found[first + 2] = max(found[first + 2], took)
    counts.pack_into(seen, 0, *found)
gc.callbacks.append(on_collection)
"""
COUNTED_ROUNDS = 2
CPU = ("cpu_s_per_gb", "cpu_us_per_request")


def main() -> int:
    """Measure in turn, print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", default=",".join(SETTINGS))
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--scale", type=float, default=0.3)
    options = parser.parse_args()
    options.broker_core = options.load_core = None
    end_cleanly_on_sigterm()
    compile_sources(ROOT)
    machine = cores(options)
    names = options.settings.split(",")
    failed = 0
    for workload in options.workloads.split(","):
        try:
            show(workload, names, machine, options.rounds)
        except FAILURES as failure:
            print(f"\n{workload}: {reason(failure)}", flush=True)
            failed = 1
    return failed


def show(workload: str, names: list[str], machine: Machine, rounds: int) -> None:
    """One workload: brokers that are measured, then others whose collections are counted."""
    began_s = time.monotonic()
    with ExitStack() as lives:
        costing = {name: lives.enter_context(broker_with(name, machine, counted=False)) for name in names}
        cpu = rounds_of(costing, workload, machine, rounds)
    with ExitStack() as lives:
        counting = {name: lives.enter_context(broker_with(name, machine, counted=True)) for name in names}
        rounds_of(counting, workload, machine, COUNTED_ROUNDS)
        print(f"\n{workload}, in {time.monotonic() - began_s:.0f} s")
        for name, each in counting.items():
            middle = f"{statistics.median(cpu[name]):8.3f} ({min(cpu[name]):.3f} to {max(cpu[name]):.3f})"
            print(f"  {name:10} CPU {middle}  collections {collections_of(each)}", flush=True)


@contextmanager
def broker_with(name: str, machine: Machine, *, counted: bool) -> Iterator[Tailrace]:
    """A running broker with a setting, whose collections are counted or not."""
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as directory:
        counts = Path(directory, "counts")
        counts.write_bytes(bytes(COUNTS.size))
        counting = COUNTING.format(path=str(counts)) if counted else ""
        Path(directory, "sitecustomize.py").write_text(f"import gc\n{SETTINGS[name]}\n{counting}", encoding="utf-8")

        class Set(Tailrace):
            def _environment(self) -> dict[str, str]:
                return {**os.environ, "PYTHONPATH": os.pathsep.join([directory, str(ROOT / "src")])}

        broker = made_on_core(Set, machine.broker_core)(Path(directory), {})
        try:
            broker.start()
            yield broker
        finally:
            broker.kill()


def rounds_of(brokers: dict[str, Tailrace], workload: str, machine: Machine, rounds: int) -> dict[str, list[float]]:
    """Processor time for each GB or request, of each broker in turn; the first round is not counted."""
    cpu: dict[str, list[float]] = {name: [] for name in brokers}
    for number in range(rounds + 1):
        began_s = time.monotonic()
        for name in list(brokers) if number % 2 == 0 else list(brokers)[::-1]:
            broker = brokers[name]
            assert broker.process is not None
            pid = broker.process.pid
            target = Target(broker.address, broker.directory, machine.load_core, machine.scale, pid)
            with limited(LOAD_MAX_S):
                figures = measured(ENTRIES[workload], target, Meter(pid))
            if number:
                cpu[name].append(next(figures[figure] for figure in CPU if figure in figures))
        words = f"round {number} of {rounds}" if number else "warmed up"
        print(f"  {workload}: {words}, {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
    return cpu


def collections_of(broker: Tailrace) -> str:
    """How often each generation was collected in the life of a broker, and the longest of each."""
    found = COUNTS.unpack((broker.directory / "counts").read_bytes())
    shown = []
    for generation in range(3):
        times, total_ns, longest_ns = found[generation * 3 : generation * 3 + 3]
        shown.append(f"{times} ({total_ns / 1e6:.1f} ms, longest {longest_ns / 1e6:.2f})")
    return ", ".join(shown)


if __name__ == "__main__":
    sys.exit(main())
