"""Where the broker's processor time goes: a profile of each class of workload, as a short table.

    python bench/bench_profile.py [--workloads A,B] [--seconds N] [--scale X] [--rows N] [--save DIR]

A fresh `tailrace serve` for each workload of bench/rig/workloads.py, on one core with the load on another, twice:
sampled by perf, which sees system calls and libraries; and by its own /debug/pprof/profile, which sees Python's
functions, and counts time in C for the one that called it. Shares are of processor time: a load that waits changes
nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from peers import cores  # noqa: E402
from rig.brokers import Tailrace, compile_sources, free_ports  # noqa: E402
from rig.life import FAILURES, Machine, end_cleanly_on_sigterm, limited, made_on_core, reason  # noqa: E402
from rig.native import NoPerf, sampled  # noqa: E402
from rig.workloads import ENTRIES, Target  # noqa: E402
from tailrace.observe.pprof import decode  # noqa: E402
from tailrace.observe.profile import Profile  # noqa: E402

WORKLOADS = (
    "produce", "fetch", "requests-1", "requests-50", "requests-1000", "fanout-10", "group", "transactions",
)  # fmt: skip
LOAD_MAX_S = 90.0
WAITING = "Poller.wait"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Profile, print. Exit status 1 when a workload could not be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each profile is")
    parser.add_argument("--scale", type=float, default=1.5, help="1 is some seconds a workload")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--save", type=Path, help="keep the profiles there, for `go tool pprof`")
    options = parser.parse_args()
    options.broker_core = options.load_core = None
    end_cleanly_on_sigterm()
    compile_sources(ROOT)
    machine = cores(options)
    failed = 0
    for workload in options.workloads.split(","):
        try:
            show(workload, machine, options)
        except FAILURES as failure:
            print(f"\n{workload}: {reason(failure)}")
            failed = 1
    return failed


def show(workload: str, machine: Machine, options: argparse.Namespace) -> None:
    """Two lives of a broker under a workload: one looked at from outside, one by itself."""
    places: list[Counter[str]] = []
    taken: list[bytes] = []

    @contextmanager
    def from_outside(pid: int, http_port: int) -> Iterator[None]:
        with sampled(pid) as found:
            yield
        places.append(found)

    user_s, system_s = under_load(workload, machine, from_outside)
    print(
        f"\n{workload}: {user_s:.1f} s user, {system_s:.1f} s system", *native_lines(places[0], options.rows), sep="\n"
    )
    under_load(workload, machine, lambda pid, http_port: profile_of(http_port, options.seconds, taken))
    if not taken:
        raise NoPerf("the broker gave no profile")
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
        (options.save / f"{workload}.pb.gz").write_bytes(taken[0])
    print(*python_lines(decode(taken[0]), options.rows), sep="\n", flush=True)


Taking = Callable[[int, int], AbstractContextManager[None]]
"""A way to look at the broker of a process id and an HTTP port, for as long as a load lasts."""


def under_load(workload: str, machine: Machine, taking: Taking) -> tuple[float, float]:
    """A fresh broker under a workload, looked at meanwhile; its seconds of (user, system)."""
    entry = ENTRIES[workload]
    (http_port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as directory:
        settings = {**entry.settings, "http.listen": f"127.0.0.1:{http_port}"}
        broker = made_on_core(Tailrace, machine.broker_core)(Path(directory), settings)
        try:
            broker.start()
            assert broker.process is not None
            pid, before = broker.process.pid, (0.0, 0.0)
            with limited(LOAD_MAX_S), ExitStack() as looking:

                def begin() -> None:
                    nonlocal before
                    looking.enter_context(taking(pid, http_port))
                    before = times(pid)

                entry.load(Target(broker.address, broker.directory, machine.load_core, machine.scale, pid), begin)
                after = times(pid)
            return after[0] - before[0], after[1] - before[1]
        finally:
            broker.kill()


@contextmanager
def profile_of(http_port: int, seconds: float, found: list[bytes]) -> Iterator[None]:
    """Append the profile of the next `seconds` to `found`; lasts at least as long."""
    address = f"http://127.0.0.1:{http_port}/debug/pprof/profile?seconds={seconds:g}"

    def take() -> None:
        with suppress(OSError):  # the broker may be gone by then
            found.append(_get(address, seconds + 30))

    taker = threading.Thread(target=take)
    taker.start()
    yield
    taker.join()


def times(pid: int) -> tuple[float, float]:
    """Seconds of (user, system) that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(words[11]) / TICKS_PER_S, int(words[12]) / TICKS_PER_S


def native_lines(places: Counter[str], rows: int) -> list[str]:
    """Where the time went below Python, in Markdown."""
    total = sum(places.values()) or 1
    lines = ["", "| share | where |", "|---|---|"]
    lines += [f"| {value / total:.0%} | {name} |" for name, value in places.most_common(rows)]
    return [*lines, f"\n{total} samples"]


def python_lines(profile: Profile, rows: int) -> list[str]:
    """The functions with most processor time of their own, in Markdown. Waiting for sockets is left out.

    A broker that waits is woken by each sample, which is counted there.
    """
    column = [each.type for each in profile.sample_types].index("cpu")
    own: Counter[str] = Counter()
    for sample in profile.samples:
        leaf = sample.stack[0]
        if not leaf.name.endswith(WAITING):
            file = leaf.file.rpartition("tailrace/")[2] if "tailrace/" in leaf.file else Path(leaf.file).name
            own[f"{leaf.name.removeprefix('tailrace.')} ({file})" if file else leaf.name] += sample.values[column]
    total = sum(own.values()) or 1
    lines = ["", "| share | Python function |", "|---|---|"]
    return [*lines, *(f"| {value / total:.0%} | {name} |" for name, value in own.most_common(rows))]


def _get(address: str, timeout_s: float) -> bytes:
    with urllib.request.urlopen(address, timeout=timeout_s) as answer:
        return bytes(answer.read())


if __name__ == "__main__":
    sys.exit(main())
