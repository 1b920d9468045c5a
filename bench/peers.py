"""Tailrace beside the brokers people would pick instead, and beside the bare system calls: one command, one page.

    python bench/peers.py [--peers A,B] [--workloads A,B|default|all] [--rounds N] [--scale X] [--write FILE]
                          [--page FILE] [--smoke] [--list]
    python bench/peers.py --merge A.json,B.json [--write FILE] [--page FILE]

Fetches each peer (bench/rig/brokers.py), starts it in the same way as all others, on one core with the load on another,
and measures it under each workload (bench/rig/workloads.py). Brokers take turns, in another order each round. A peer
that cannot be had, or a workload a broker does not survive, is in the result with its reason. The default set takes
some twelve minutes with three rounds. The file of `--write` is written as it goes; `--merge` measures nothing and puts
such files together, each workload from the last one that has it. See bench/README.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from rig import report  # noqa: E402
from rig import result as results  # noqa: E402
from rig.brokers import KINDS, NOT_HAD, PeerMissing, install  # noqa: E402
from rig.life import FAILURES, Machine, end_cleanly_on_sigterm, floor, live, reason  # noqa: E402
from rig.workloads import DEFAULT, ENTRIES  # noqa: E402

PEERS = (*KINDS, *NOT_HAD)
SMOKE_WORKLOADS = ("produce", "fetch", "requests-1", "latency")
SMOKE_SCALE = 0.02


def main() -> int:
    """Measure, print, write. Exit status 1 when Tailrace itself could not be measured under some workload."""
    options = parsed()
    end_cleanly_on_sigterm()
    if options.list:
        for name, entry in ENTRIES.items():
            print(f"{name:16} {'*' if name in DEFAULT else ' '} {entry.words}")
        return 0
    found = results.merged(options.merge) if options.merge else measured(options)
    told(found)
    if options.write:
        results.replace(options.write, found)
    if options.page:
        write_page(options.page, found)
    return 1 if any("tailrace" in failed for failed in found["failures"].values()) else 0


def measured(options: argparse.Namespace) -> results.Json:
    """Every round of every broker, and of the floors. Interrupted, it says what there is, and ends."""
    versions, missing = had(options.peers)
    machine = cores(options)
    print(f"measuring {', '.join(versions)} under {', '.join(options.workloads)}", file=sys.stderr)
    facts = results.facts(machine, options.load_before)
    part = results.Part(command(options), options.workloads, options.rounds, options.scale, versions, facts)
    result = results.Result(part, missing, options.write)
    try:
        measure(result, machine)
    except (KeyboardInterrupt, SystemExit):
        told(result.as_json())
        result.write()
        raise
    return result.as_json()


def told(result: results.Json) -> None:
    """Every table, and what could not be measured."""
    for workload, brokers in result["runs"].items():
        print(f"\n{workload}", *report.table(brokers), sep="\n")
    for workload, failed in result["failures"].items():
        for name, why in failed.items():
            print(f"{name}, {workload}: {why}", file=sys.stderr)
    for name, why in result["missing"].items():
        print(f"{name} is missing: {why}", file=sys.stderr)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--workloads", default="default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="1 is some seconds a workload")
    parser.add_argument("--broker-core", type=int)
    parser.add_argument("--load-core", type=int)
    parser.add_argument("--write", type=Path, help="the result as JSON, written as it goes")
    parser.add_argument("--merge", help="measure nothing: put these results together, of a workload the last")
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
    try:
        options.merge = [results.read(Path(name)) for name in options.merge.split(",")] if options.merge else []
    except (OSError, ValueError) as failure:
        parser.error(str(failure))
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


def measure(result: results.Result, machine: Machine) -> None:
    """Every round, into `result` as it goes."""
    part, names = result.part, list(result.part.versions)
    for number in range(part.rounds):
        began_s = time.monotonic()
        turn = number % len(names) if names else 0
        for name in names[turn:] + names[:turn]:
            for settings, workloads in by_settings(part.workloads):
                life_s = time.monotonic()
                found = live(name, workloads, settings, machine)
                print(f"  {name}: {time.monotonic() - life_s:.0f} s", file=sys.stderr)
                for workload, why in found.failures.items():
                    print(f"    {workload}: {why}", file=sys.stderr)
                result.add(name, found, with_start=not settings)
        for workload in part.workloads:
            if ENTRIES[workload].floor:
                try:
                    result.figures(workload, "floor", floor(ENTRIES[workload].floor, machine))
                except FAILURES as failure:
                    result.failures.setdefault(workload, {})["floor"] = reason(failure)
        part.rounds_done = number + 1
        result.write()
        print(f"round {number + 1} of {part.rounds}: {time.monotonic() - began_s:.0f} s", file=sys.stderr)


def by_settings(workloads: list[str]) -> list[tuple[dict[str, str], list[str]]]:
    """The workloads a life of a broker can have, those without settings first."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for workload in workloads:
        groups.setdefault(tuple(sorted(ENTRIES[workload].settings.items())), []).append(workload)
    return [(dict(settings), found) for settings, found in sorted(groups.items())]


def command(options: argparse.Namespace) -> str:
    """What does the same again."""
    chosen = "all" if options.workloads == list(ENTRIES) else ",".join(options.workloads)
    peers = [] if options.peers == list(PEERS) else ["--peers", ",".join(options.peers)]
    words = ["--workloads", chosen, *peers, "--rounds", str(options.rounds), "--scale", f"{options.scale:g}"]
    return f"python3 dev.py bench bench/peers.py {' '.join(words)}"


def write_page(path: Path, result: results.Json) -> None:
    """The page for people, and its pictures."""
    drawn = report.pictures(result["runs"])
    folder = path.parent / "images"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in drawn.items():
        (folder / f"bench-{name}.svg").write_text(text, encoding="utf-8")
    path.write_text(report.page(result, list(drawn)), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
