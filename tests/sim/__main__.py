"""Run schedules, or one again.

python -m tests.sim --seeds 0..10000        ends with 1 where a schedule fails, and tells its shortest story
python -m tests.sim --seeds 17 --story      the story of one, whether it fails or not
python -m tests.sim --seeds 17 --log        with what the brokers log
python -m tests.sim --mutant elects-anybody with a mistake in the product, which has to be found

SIGTERM and Ctrl-C end it after the schedule that runs; what was done is told.
"""

from __future__ import annotations

import argparse
import gc
import logging
import signal
import sys
import time
from contextlib import nullcontext

from tests.sim.mutants import MUTANTS, OF_TRANSACTIONS, mutant
from tests.sim.run import Verdict, harsh, harsh_with_transactions, run, shrunk, transactional
from tests.sim.story import told

SAID_EVERY = 500


def main() -> int:
    """As above."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", default="0..100", help="A, or A..B without B")
    parser.add_argument("--story", action="store_true", help="tell what happened, also where nothing is wrong")
    parser.add_argument("--log", action="store_true", help="show what the brokers log")
    parser.add_argument("--transactions", action="store_true", help="have transactions in every schedule")
    parser.add_argument("--mutant", choices=MUTANTS, help="with this mistake in the product, on harsh schedules")
    asked = parser.parse_args()
    if asked.log:
        logging.getLogger("tailrace").addHandler(logging.StreamHandler(sys.stdout))
    first, _, end = asked.seeds.partition("..")
    seeds = range(int(first), int(end) if end else int(first) + 1)
    with mutant(asked.mutant) if asked.mutant else nullcontext():
        return run_all(seeds, asked)


def run_all(seeds: range, asked: argparse.Namespace) -> int:
    """Run them, and say what came of it."""
    one = transactional if asked.transactions else run
    if asked.mutant:
        one = harsh_with_transactions if asked.mutant in OF_TRANSACTIONS else harsh
    gc.freeze()  # what was imported is looked at no more: a sixth of the whole
    started = time.monotonic()
    verdicts: list[Verdict] = []
    failed: list[int] = []
    ended: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: ended.append(number))
    for seed in seeds:
        if ended:
            print(f"ended before seed {seed}")
            break
        verdict = one(seed)
        if verdict.complaints:
            failed.append(seed)
            print(told(verdict if asked.log or asked.mutant else shrunk(verdict)), end="\n\n", flush=True)
        elif asked.story:
            print(told(verdict))
        verdicts.append(verdict._replace(story=[], faults=[]))
        if len(verdicts) % SAID_EVERY == 0:
            print(summary(verdicts, time.monotonic() - started, failed), flush=True)
    print(summary(verdicts, time.monotonic() - started, failed))
    return 1 if failed or ended else 0


def summary(verdicts: list[Verdict], seconds: float, failed: list[int]) -> str:
    """How much was tried."""
    return (
        f"{len(verdicts)} schedules in {seconds:.0f} s: {sum(each.steps for each in verdicts)} steps, "
        f"{sum(each.ends for each in verdicts)} unclean ends of brokers, "
        f"{sum(each.unclean_elections for each in verdicts)} elections of a last leader, "
        f"{sum(each.acknowledged for each in verdicts)} records acknowledged with acks=all, "
        f"{sum(each.transactions_committed for each in verdicts)} of {sum(each.transactions for each in verdicts)} "
        f"transactions committed, "
        f"{sum(each.lost_with_acks_1 for each in verdicts)} lost with acks=1, "
        f"{sum(each.is_forgiven for each in verdicts)} ended where nothing is promised; failed: {failed or 'none'}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
