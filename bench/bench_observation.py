"""What it costs to be seen: counting requests, scraping /metrics, a CPU profile at 100 Hz, a timeline.

    python bench/bench_observation.py [--pairs N] [--scale X] [--parts counting,scraping,...] [--write FILE]
    python bench/bench_observation.py --slices N        counting and a profile within one load of one-record requests

One broker on one core, the load on another; each pair is a load without and a load with, in the same process, so
that nothing else differs. What is compared is the broker's processor time for each request or GB. "Scraping" is one
look at /metrics a second, fifteen times what a Prometheus does. A profile or a timeline lasts longer than the load, so
what is measured is the taking of it; making the file comes after. With 8 pairs: some four minutes.

What costs a percent does not show so, where the machine's own speed drifts by ten. `--slices` throws a switch back and
forth within one load (rig/slices.py): 300 pairs take some eight minutes and tell a percent. A profile costs by the
sample: `--profile-hz 1000` shows ten times what the usual 100 cost, and a tenth of that is known ten times as well.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from peers import cores  # noqa: E402
from rig.brokers import Tailrace, free_ports, pinned  # noqa: E402
from rig.life import LOAD_MAX_S, Machine, end_cleanly_on_sigterm, limited, measured  # noqa: E402
from rig.process import Meter  # noqa: E402
from rig.significance import PAIRS_MAX, PAIRS_MIN, Verdict, judged  # noqa: E402
from rig.slices import compared, costs  # noqa: E402
from rig.workloads import ENTRIES, Target  # noqa: E402
from tailrace.observe.limits import SAMPLE_RATE_HZ, SAMPLE_RATE_MAX_HZ  # noqa: E402

WORKLOADS = ("requests-1", "requests-50", "produce", "fetch")
COMPARED = ("cpu_s_per_gb", "cpu_us_per_request")
PROFILE_S = 4
"""Longer than a load at the usual scale."""
ANSWER_S = 60


class LoadTooLong(Exception):
    """A load lasted longer than what was taken of it: the pair does not count. A smaller --scale helps."""


class Watched(Tailrace):
    """A broker whose counting can be switched, with an HTTP listener."""

    core: int | None = None

    def _command(self) -> list[str]:
        command = super()._command()
        at = command.index("-m")
        script = str(ROOT / "bench" / "rig" / "uncounted.py")
        return [*pinned(self.core), command[0], script, *command[at + 2 :]]


class Watcher:
    """Observes a broker in one way, within `observing`."""

    def __init__(self, broker: Watched, http: str) -> None:
        self._broker = broker
        self._http = http

    @contextmanager
    def counting(self, wanted: bool) -> Iterator[None]:
        """Count requests, as always; or not."""
        if not wanted:
            self._switch()
        try:
            yield
        finally:
            if not wanted:
                self._switch()

    @contextmanager
    def scraping(self, wanted: bool) -> Iterator[None]:
        """Look at /metrics every second."""
        end = threading.Event()

        def look() -> None:
            while not end.is_set():
                self._get("/metrics")
                end.wait(1)

        thread = threading.Thread(target=look, daemon=True)
        if wanted:
            thread.start()
        try:
            yield
        finally:
            end.set()
            if wanted:
                thread.join(ANSWER_S)

    @contextmanager
    def taking(self, name: str, wanted: bool) -> Iterator[None]:
        """Have a profile or a timeline taken."""
        thread = threading.Thread(target=self._get, args=(f"/debug/pprof/{name}?seconds={PROFILE_S}",), daemon=True)
        if not wanted:
            yield
            return
        thread.start()
        time.sleep(0.5)  # until it has begun
        try:
            yield
            if not thread.is_alive():
                raise LoadTooLong
        finally:
            thread.join(ANSWER_S)

    def _get(self, path: str) -> None:
        with urlopen(f"http://{self._http}{path}", timeout=ANSWER_S) as answer:
            answer.read()

    def _switch(self) -> None:
        assert self._broker.process is not None
        self._broker.process.send_signal(signal.SIGUSR2)
        time.sleep(0.1)  # it is handled within the loop's next turn


def parts_of(watcher: Watcher) -> dict[str, Callable[[bool], object]]:
    """Each way to observe, by name."""
    return {
        "counting": watcher.counting,
        "scraping": watcher.scraping,
        "profiling": lambda wanted: watcher.taking("profile", wanted),
        "timeline": lambda wanted: watcher.taking("trace", wanted),
    }


def measure(options: argparse.Namespace, machine: Machine) -> dict[str, list[tuple[float, float]]]:
    """(without, with) of each pair, by part, workload and figure."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    (port,) = free_ports(1)
    http = f"127.0.0.1:{port}"
    Watched.core = machine.broker_core
    with tempfile.TemporaryDirectory(prefix="tailrace-observation-") as directory:
        broker = Watched(Path(directory), {"http.listen": http})
        broker.start()
        try:
            parts = parts_of(Watcher(broker, http))
            for workload in options.workloads:
                one(broker, workload, machine)
            for number in range(options.pairs):
                for part in options.parts:
                    for workload in options.workloads:
                        found: dict[bool, dict[str, float]] = {}
                        try:
                            for wanted in (number % 2 == 0, number % 2 == 1):
                                with parts[part](wanted):  # type: ignore[attr-defined]
                                    found[wanted] = one(broker, workload, machine)
                        except LoadTooLong:
                            print(f"{part} {workload}: the load outlasted it, left out", file=sys.stderr)
                            continue
                        for figure in COMPARED:
                            if figure in found[True]:
                                name = f"{part} {workload} {figure}"
                                pairs.setdefault(name, []).append((found[False][figure], found[True][figure]))
                print(f"pair {number + 1} of {options.pairs}", file=sys.stderr)
        finally:
            broker.kill()
    return pairs


def one(broker: Watched, workload: str, machine: Machine) -> dict[str, float]:
    """One load on the running broker."""
    assert broker.process is not None
    target = Target(broker.address, broker.directory, machine.load_core, machine.scale, broker.process.pid)
    with limited(LOAD_MAX_S):
        return measured(ENTRIES[workload], target, Meter(broker.process.pid))


def in_slices(pairs: int, machine: Machine) -> dict[str, object]:
    """What counting and a profile cost a request, by name."""
    found: dict[str, object] = {}
    Watched.core = machine.broker_core
    with tempfile.TemporaryDirectory(prefix="tailrace-observation-") as directory:
        broker = Watched(Path(directory), {})
        broker.start()
        assert broker.process is not None
        try:
            for name, number in (("not counting", signal.SIGUSR2), ("profiling", signal.SIGHUP)):
                told = compared(costs(broker.address, broker.process.pid, number, pairs))
                print(f"{name:12}  {told.ratio:.4f} times ({told.low:.4f} to {told.high:.4f}) of {told.off_us:.1f} us")
                found[name] = vars(told)
        finally:
            broker.kill()
    return found


def main() -> int:
    """Measure, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=8, help=f"{PAIRS_MIN} to {PAIRS_MAX}")
    parser.add_argument("--scale", type=float, default=0.3, help="1 is some seconds a load")
    parser.add_argument("--parts", default="counting,scraping,profiling")
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--slices", type=int, help="pairs of slices; nothing else is measured")
    parser.add_argument(
        "--profile-hz", type=int, default=SAMPLE_RATE_HZ, help=f"with --slices: 1 to {SAMPLE_RATE_MAX_HZ}"
    )
    parser.add_argument("--write", type=Path, help="where the figures go as JSON")
    options = parser.parse_args()
    options.parts, options.workloads = options.parts.split(","), options.workloads.split(",")
    options.broker_core = options.load_core = None
    if not PAIRS_MIN <= options.pairs <= PAIRS_MAX:
        parser.error(f"--pairs is {PAIRS_MIN} to {PAIRS_MAX}")
    if not 1 <= options.profile_hz <= SAMPLE_RATE_MAX_HZ:
        parser.error(f"--profile-hz is 1 to {SAMPLE_RATE_MAX_HZ}")
    end_cleanly_on_sigterm()
    machine = cores(options)
    if options.slices:
        os.environ["PROFILE_HZ"] = str(options.profile_hz)
        sliced = in_slices(options.slices, machine)
        if options.write:
            options.write.write_text(json.dumps(sliced, indent=1) + "\n")
        return 0
    pairs = measure(options, machine)
    verdicts = judged({name: found for name, found in pairs.items() if len(found) >= PAIRS_MIN}, 0.0)
    show(verdicts, pairs)
    if options.write:
        found = [{**vars(each), "pairs": pairs[each.name]} for each in verdicts]
        options.write.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def show(verdicts: list[Verdict], pairs: dict[str, list[tuple[float, float]]]) -> None:
    """A line a figure."""
    width = max(len(each.name) for each in verdicts)
    for each in verdicts:
        median = sorted(base for base, _ in pairs[each.name])[len(pairs[each.name]) // 2]
        print(f"{each.name:{width}}  without {median:8.3f}  with/without {each.ratio:.3f}  p {each.p_slower:.4f}")


if __name__ == "__main__":
    sys.exit(main())
