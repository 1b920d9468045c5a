"""A program that spends three tenths of its processor time in one function, and profiles itself meanwhile.

    python -m tests.harness.planted FILE ROUNDS RATE_HZ    writes the profile; prints the true share of the function

The function's time is the thread's own, so a busy machine changes nothing but how long it takes. Bursts are of unequal
length: of equal ones whose length is a multiple of the profiler's interval, every sample would fall on the same places.
"""

import sys
import time
from pathlib import Path
from random import Random

from tailrace.base.clock import SystemClock
from tailrace.observe.cpu_profile import CpuProfile
from tailrace.observe.pprof import encode


def burn(cpu_ms):
    end_ns = time.thread_time_ns() + cpu_ms * 1_000_000
    total = 0
    while time.thread_time_ns() < end_ns:
        for number in range(200):
            total += number
    return total


def planted_hot(cpu_ms):
    return burn(cpu_ms)


def everything_else(cpu_ms):
    return burn(cpu_ms)


def main(path, rounds, rate_hz):
    lengths = Random(7)
    profile = CpuProfile(SystemClock(), rate_hz)
    begin_ns, hot_ns = time.thread_time_ns(), 0
    for _ in range(rounds):
        before_ns = time.thread_time_ns()
        hot_ms = lengths.randint(40, 80)
        planted_hot(hot_ms)
        hot_ns += time.thread_time_ns() - before_ns
        everything_else(hot_ms * 7 // 3)
    all_ns = time.thread_time_ns() - begin_ns
    Path(path).write_bytes(encode(profile.stop()))
    print(hot_ns / all_ns)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
