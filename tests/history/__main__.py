"""The history checker as a program: real clients, faults by seed, a verdict.

    python -m tests.history --seed 1 --schedules 50 --seconds 10   schedules 1 to 50
    python -m tests.history --seed 7 --seconds 10                  schedule 7 again
    python -m tests.history --bug past-stable                      with a bug planted, which must be found
    python -m tests.history --cluster 3 --seed 1           on three brokers with etcd, in network namespaces (root)
    python -m tests.history --cluster 3 --acks 1           the loss that acks=1 allows, which must be found
    python -m tests.history --bootstrap HOST:PORT                  the clients alone, on a broker of yours
    python -m tests.history plan --seed 7                          what schedule 7 does, and when
    python -m tests.history check history.jsonl                    judge a history that was kept

Exit status 0 when nothing is wrong, 1 otherwise; a history of which something is wrong is kept.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.harness.network import NoNetwork
from tests.history import journal
from tests.history.apart import Verdict
from tests.history.checker import check
from tests.history.cluster_run import ClusterPlan, run_cluster
from tests.history.planted import BUGS
from tests.history.run import Figures, Plan, Result, run_schedule, run_workload

SHOWN = 10
"""So many of the anomalies of a run are printed; all of them follow from the history that is kept."""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it says much of connections that are lost
    parser = argparse.ArgumentParser(
        prog="python -m tests.history", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="?", choices=["run", "plan", "check"], default="run")
    parser.add_argument("file", nargs="?", type=Path, help="a history, for check")
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule (1)")
    parser.add_argument("--schedules", type=int, default=1, help="how many, with seeds that follow (1)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of faults in each, restarts not counted (10)")
    parser.add_argument("--bug", choices=sorted(BUGS), default="", help="plant it in the broker")
    parser.add_argument("--cluster", type=int, default=0, metavar="N", help="so many brokers and an etcd, 2 at least")
    parser.add_argument("--acks", choices=["all", "1"], default="all", help="with --cluster: 1 loses records")
    parser.add_argument("--bootstrap", default="", help="a broker of yours; it is not hurt")
    parser.add_argument("--keep", type=Path, help="where histories and data directories go, of all runs")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was made is removed on the way
    if options.command == "check":
        if options.file is None:
            parser.error("check needs a file")
        return check_file(options.file)
    if options.cluster:
        return run_clusters(options)
    plans = [Plan(options.seed + number, options.seconds, options.bug) for number in range(options.schedules)]
    return run_all(plans, options)


def run_clusters(options: argparse.Namespace) -> int:
    """`run_all` for clusters. Says in one sentence what this machine lacks."""
    seeds = range(options.seed, options.seed + options.schedules)
    is_leader_only = options.acks == "1"
    try:
        return run_all([ClusterPlan(seed, options.seconds, options.cluster, is_leader_only) for seed in seeds], options)
    except NoNetwork as error:
        print(error, file=sys.stderr)
        return 2


def run_all(plans: Sequence[Plan | ClusterPlan], options: argparse.Namespace) -> int:
    """Show the plans, or run each and print what came of it; keep everything, or only the runs of which something is
    wrong."""
    if options.command == "plan":
        for plan in plans:
            print(f"{plan.command}", *plan.schedule(), sep="\n    ")
        return 0
    keep: Path | None = options.keep
    parent = keep or Path(tempfile.mkdtemp(prefix="history-"))
    sum_of, bad = Figures(), 0
    for plan in plans:
        directory = parent / f"seed-{plan.seed}{plan.bug and '-' + plan.bug}"
        if directory.exists():
            print(f"{directory} is there already: choose another --keep", file=sys.stderr)
            return 2
        result = run_plan(plan, directory, options.bootstrap)
        sum_of += result.figures
        bad += bool(result.found)
        print_result(result)
        Verdict(str(result.figures), result.found, result.kinds).write(directory)
        if not result.found and keep is None:
            shutil.rmtree(directory)
    print(f"{len(plans)} schedules, {bad} with anomalies: {sum_of}")
    return 1 if bad else 0


def run_plan(plan: Plan | ClusterPlan, directory: Path, bootstrap: str) -> Result:
    """On a cluster, on a broker, or on the broker at `bootstrap`."""
    if isinstance(plan, ClusterPlan):
        return run_cluster(plan, directory)
    return run_workload(plan, bootstrap, directory) if bootstrap else run_schedule(plan, directory)


def print_result(result: Result) -> None:
    verdict = f"{len(result.found)} ANOMALIES" if result.found else "ok"
    print(f"seed {result.plan.seed}: {verdict} in {result.took_s:.1f} s; {result.figures}", flush=True)
    for line in result.found[:SHOWN]:
        print(f"    {line}")
    if result.found:
        print(f"    again: {result.plan.command}\n    history: {result.journal}", flush=True)


def check_file(path: Path) -> int:
    """Judge a history that was kept."""
    history, told = journal.read(path)
    anomalies = check(history)
    print(f"{path}: {len(history.ops)} operations of `{told}`, {len(anomalies)} anomalies")
    for anomaly in anomalies:
        print(f"    {anomaly}")
    return 1 if anomalies else 0


if __name__ == "__main__":
    try:
        status = main()
    except SystemExit as stopped:
        status = stopped.code if isinstance(stopped.code, int) else 1
    sys.stdout.flush()
    os._exit(status)  # clients that were dropped in the middle of a transaction would keep the process for a while
