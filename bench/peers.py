"""Tailrace beside the brokers people would pick instead, and beside the bare system calls: one command, one page.

    python bench/peers.py [--peers A,B] [--workloads A,B|default|all] [--rounds N] [--scale X] [--write FILE]
                          [--page FILE] [--smoke] [--list]

Fetches each peer (bench/rig/brokers.py), starts it in the same way as all others, on one core with the load on another,
and measures it under each workload (bench/rig/workloads.py). Brokers take turns, in another order each round. A peer
that cannot be had, or a workload a broker does not survive, is in the result with its reason. The default set takes
some twelve minutes with three rounds. See bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import confluent_kafka

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from rig import report  # noqa: E402
from rig.brokers import KINDS, NOT_HAD, PeerMissing, install  # noqa: E402
from rig.life import FAILURES, Machine, end_cleanly_on_sigterm, floor, live, reason  # noqa: E402
from rig.workloads import DEFAULT, ENTRIES  # noqa: E402

PEERS = (*KINDS, *NOT_HAD)
SMOKE_WORKLOADS = ("produce", "fetch", "requests-1", "latency")
SMOKE_SCALE = 0.02
QUIET_LOAD = 0.7
"""A load average above this before the first round means that the machine does other work."""


def main() -> int:
    """Measure, print, write. Exit status 1 when Tailrace itself could not be measured under some workload."""
    options = parsed()
    end_cleanly_on_sigterm()
    if options.list:
        for name, entry in ENTRIES.items():
            print(f"{name:16} {'*' if name in DEFAULT else ' '} {entry.words}")
        return 0
    versions, missing = had(options.peers)
    machine = cores(options)
    print(f"measuring {', '.join(versions)} under {', '.join(options.workloads)}", file=sys.stderr)
    runs, failures = measure(options, list(versions), machine)
    result = {
        "machine": facts(machine, options.load_before),
        "brokers": {
            name: {"version": text, "keeps": getattr(KINDS[name], "keeps", "?")} for name, text in versions.items()
        },
        "missing": missing,
        "rounds": options.rounds,
        "scale": options.scale,
        "medians": report.summary(runs),
        "failures": failures,
        "runs": runs,
    }
    for workload, brokers in runs.items():
        print(f"\n{workload}", *report.table(brokers), sep="\n")
    for workload, found in failures.items():
        for name, why in found.items():
            print(f"{name}, {workload}: {why}", file=sys.stderr)
    for name, why in missing.items():
        print(f"{name} is missing: {why}", file=sys.stderr)
    write(options, result)
    return 1 if any("tailrace" in found for found in failures.values()) else 0


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--workloads", default="default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="1 is some seconds a workload")
    parser.add_argument("--broker-core", type=int)
    parser.add_argument("--load-core", type=int)
    parser.add_argument("--write", type=Path, help="the result as JSON")
    parser.add_argument("--page", type=Path, help="the result as Markdown, with pictures in images/ beside it")
    parser.add_argument("--smoke", action="store_true", help="a small set, short: does everything still run?")
    parser.add_argument("--list", action="store_true", help="the workloads; * are those of the default set")
    options = parser.parse_args()
    options.load_before = os.getloadavg()[0]
    if options.smoke:
        options.workloads, options.rounds, options.scale = ",".join(SMOKE_WORKLOADS), 1, SMOKE_SCALE
    chosen = {"default": DEFAULT, "all": tuple(ENTRIES)}.get(options.workloads, options.workloads.split(","))
    options.workloads = list(chosen)
    options.peers = options.peers.split(",")
    for unknown in (set(options.workloads) - set(ENTRIES)) | (set(options.peers) - set(PEERS)):
        parser.error(f"there is no {unknown}; --list shows the workloads, and the peers are {', '.join(PEERS)}")
    return options


def cores(options: argparse.Namespace) -> Machine:
    """Which core is whose; this process, and so all load, is kept on its own from here on."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(usable) < 2:
        return Machine(None, None, options.scale)
    broker_core = usable[0] if options.broker_core is None else options.broker_core
    load_core = usable[1] if options.load_core is None else options.load_core
    os.sched_setaffinity(0, {load_core})
    return Machine(broker_core, load_core, options.scale)


def had(names: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The versions of the peers that could be had, and for each other one why not."""
    versions, missing = {}, {}
    for name in names:
        try:
            versions[name] = install(name)
        except PeerMissing as why:
            missing[name] = str(why)
    return versions, missing


Runs = dict[str, dict[str, report.Rounds]]


def measure(options: argparse.Namespace, names: list[str], machine: Machine) -> tuple[Runs, dict[str, dict[str, str]]]:
    """Every round of every broker, and of the floors: workload -> broker -> figures of each round; and what failed."""
    runs: Runs = {workload: {name: [] for name in [*names, "floor"]} for workload in ["start", *options.workloads]}
    failures: dict[str, dict[str, str]] = {}
    for number in range(options.rounds):
        began_s = time.monotonic()
        turn = number % len(names) if names else 0
        for name in names[turn:] + names[:turn]:
            for settings, workloads in by_settings(options.workloads):
                life_s = time.monotonic()
                found = live(name, workloads, settings, machine)
                print(f"  {name}: {time.monotonic() - life_s:.0f} s", file=sys.stderr)
                if found.start and not settings:
                    runs["start"][name].append(found.start)
                for workload, figures in found.figures.items():
                    runs[workload][name].append(figures)
                for workload, why in found.failures.items():
                    failures.setdefault(workload, {})[name] = why
                    print(f"    {workload}: {why}", file=sys.stderr)
        for workload in options.workloads:
            if ENTRIES[workload].floor:
                try:
                    runs[workload]["floor"].append(floor(ENTRIES[workload].floor, machine))
                except FAILURES as failure:
                    failures.setdefault(workload, {})["floor"] = reason(failure)
        print(f"round {number + 1} of {options.rounds}: {time.monotonic() - began_s:.0f} s", file=sys.stderr)
    return {w: {n: rounds for n, rounds in found.items() if rounds} for w, found in runs.items()}, failures


def by_settings(workloads: list[str]) -> list[tuple[dict[str, str], list[str]]]:
    """The workloads a life of a broker can have, those without settings first."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for workload in workloads:
        groups.setdefault(tuple(sorted(ENTRIES[workload].settings.items())), []).append(workload)
    return [(dict(settings), found) for settings, found in sorted(groups.items())]


def facts(machine: Machine, load_before: float) -> dict[str, Any]:
    """What a reader needs to know of the machine."""
    return {
        "processor": processor(),
        "cpus": os.cpu_count(),
        "memory_gb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9,
        "kernel": os.uname().release,
        "python": sys.version.split()[0],
        "librdkafka": confluent_kafka.libversion()[0],
        "broker_core": machine.broker_core,
        "load_core": machine.load_core,
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
        "shared": load_before > QUIET_LOAD,
    }


def processor() -> str:
    """The processor's name, as the kernel tells it."""
    found = Path("/proc/cpuinfo")
    lines = found.read_text(encoding="utf-8").splitlines() if found.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), os.uname().machine)


def write(options: argparse.Namespace, result: dict[str, Any]) -> None:
    """The files that were asked for."""
    if options.write:
        options.write.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if options.page:
        drawn = report.pictures(result["runs"])
        folder = options.page.parent / "images"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in drawn.items():
            (folder / f"bench-{name}.svg").write_text(text, encoding="utf-8")
        words = f"--workloads {','.join(options.workloads)} --rounds {options.rounds} --scale {options.scale:g}"
        command = f"python3 dev.py bench bench/peers.py {words}"
        options.page.write_text(report.page(result, command, list(drawn)), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
