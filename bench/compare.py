"""Is one commit slower than another? Runs of both in turn, and a test of whether the difference is beyond chance.

    python bench/compare.py BASE [CHANGED] [--pairs N] [--workloads A,B] [--scale X] [--tolerance X] [--json]

BASE and CHANGED are commits, or directories that hold such a tree, as build/compiled does (`dev.py compile`).
CHANGED is this checkout when left out. Each is a broker of its own tree, run by this interpreter, on one core with the
load on another, in pairs (A B, B A, A B, ...). What is compared is the broker's processor time for each GB or request,
which a busy machine moves less than it does throughput. With 8 pairs and the default workloads: some three minutes.
Exit status 1: something is slower by more than the tolerance, beyond chance (p < 0.05 after correction for the number
of figures); 2: it could not be measured.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from peers import cores  # noqa: E402
from rig.brokers import KINDS, Tailrace, compile_sources  # noqa: E402
from rig.life import Figures, end_cleanly_on_sigterm, live  # noqa: E402
from rig.significance import PAIRS_MAX, PAIRS_MIN, Verdict, judged  # noqa: E402
from rig.workloads import ENTRIES  # noqa: E402

WORKLOADS = ("produce", "fetch", "requests-1", "requests-50")
COMPARED = ("cpu_s_per_gb", "cpu_us_per_request")
VERSIONS = ("base", "changed")


class NotMeasured(Exception):
    """A version gave no figures; the message says which and why."""


def main() -> int:
    """Compare, print, judge."""
    options = parsed()
    end_cleanly_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="tailrace-compare-") as directory:
        try:
            for name, commit in zip(VERSIONS, (options.base, options.changed), strict=True):
                KINDS[name] = broker_of(tree_of(commit, Path(directory) / name))
            verdicts = judged(measure(options), options.tolerance)
        except NotMeasured as why:
            print(f"not measured: {why}", file=sys.stderr)
            return 2
    if options.json:
        print(json.dumps([{**vars(verdict), "verdict": verdict.word} for verdict in verdicts]))
    else:
        show(verdicts)
    return 1 if any(verdict.word == "slower" for verdict in verdicts) else 0


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("changed", nargs="?")
    parser.add_argument("--pairs", type=int, default=8, help=f"{PAIRS_MIN} to {PAIRS_MAX}")
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--scale", type=float, default=0.4, help="1 is some seconds a workload")
    parser.add_argument("--tolerance", type=float, default=0.02, help="a share that does not count as slower")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.workloads = options.workloads.split(",")
    options.broker_core = options.load_core = None
    if not PAIRS_MIN <= options.pairs <= PAIRS_MAX:
        parser.error(f"--pairs is {PAIRS_MIN} to {PAIRS_MAX}")
    if unknown := set(options.workloads) - set(ENTRIES):
        parser.error(f"there is no workload {', '.join(unknown)}")
    return options


def tree_of(commit: str | None, directory: Path) -> Path:
    """The files of a commit, unpacked into `directory`, or where a tree lies; this checkout when `commit` is None."""
    if commit is None:
        return ROOT
    if (Path(commit) / "src").is_dir():
        return Path(commit).resolve()
    packed = subprocess.run(["git", "-C", str(ROOT), "archive", commit, "src"], capture_output=True, check=False)
    if packed.returncode != 0:
        raise NotMeasured(f"git has no {commit}: {packed.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(directory, filter="data")
    return directory


def broker_of(tree: Path) -> type[Tailrace]:
    """A broker of the sources in `tree`."""
    compile_sources(tree)

    class OfTree(Tailrace):
        def _environment(self) -> dict[str, str]:
            return {**os.environ, "PYTHONPATH": str(tree / "src")}

    return OfTree


def measure(options: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """(base, changed) of each pair, by the name of the figure."""
    machine = cores(options)
    live("changed", options.workloads[:1], {}, machine)  # compiles what is not compiled, warms the disk's cache
    live("base", options.workloads[:1], {}, machine)
    pairs: dict[str, list[tuple[float, float]]] = {}
    for number in range(options.pairs):
        order = VERSIONS if number % 2 == 0 else VERSIONS[::-1]
        found = {name: one(name, options.workloads, machine) for name in order}
        for figure, value in found["base"].items():
            pairs.setdefault(figure, []).append((value, found["changed"][figure]))
        print(f"pair {number + 1} of {options.pairs}", file=sys.stderr)
    return pairs


def one(name: str, workloads: list[str], machine: object) -> Figures:
    """One life of a version: the figures that are compared."""
    found = live(name, workloads, {}, machine)  # type: ignore[arg-type]
    if found.failures:
        workload, why = next(iter(found.failures.items()))
        raise NotMeasured(f"{name}, {workload}: {why}")
    return {
        f"{workload} {figure}": value
        for workload, figures in found.figures.items()
        for figure, value in figures.items()
        if figure in COMPARED
    }


def show(verdicts: list[Verdict]) -> None:
    """A line a figure."""
    width = max(len(verdict.name) for verdict in verdicts)
    for verdict in verdicts:
        p = min(verdict.p_slower, verdict.p_faster)
        print(f"{verdict.name:{width}}  changed/base {verdict.ratio:.3f}  p {p:.4f}  {verdict.word}")


if __name__ == "__main__":
    sys.exit(main())
