"""Runs a fuzz target: seeded mutation of seed inputs anywhere, coverage-guided with atheris where it is installed.

    python fuzz/fuzz_requests.py --iterations 20000 --seed 1     the same inputs every time; CI runs this
    python fuzz/fuzz_requests.py --seconds 300                   as long as you like
    python fuzz/fuzz_requests.py --atheris --seconds 300         pip install atheris first; ends at a failure

A target is a function of bytes that returns when its invariant holds and raises when it does not. An input that fails
is written to `fuzz/found/`; mend the code, then make a unit test of it.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tools")]

FOUND = ROOT / "fuzz" / "found"
INPUT_MAX_BYTES = 1 << 16
EDGES = (b"\x00", b"\x7f", b"\x80", b"\xff", b"\x00\x00", b"\x7f\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff")
EDGES += (b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x08", b"\x80\x00\x00\x00", b"\x00" * 8, b"\xff" * 8)

Target = Callable[[bytes], None]


def run(target: Target, seeds: Sequence[bytes]) -> None:
    """Read the command line and fuzz `target`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=0, help="inputs to try; 0 for no bound")
    parser.add_argument("--seconds", type=float, default=0, help="time to spend; 0 for no bound")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--atheris", action="store_true", help="coverage-guided")
    options = parser.parse_args()
    if options.atheris:
        guided(target, seeds, options.seconds)
    else:
        iterations = options.iterations or (0 if options.seconds else 10_000)
        count, seconds = seeded(target, seeds, iterations, options.seconds, options.seed)
        print(f"{Path(sys.argv[0]).stem}: {count} inputs, {count / max(seconds, 0.001):.0f} a second, nothing found")


def seeded(target: Target, seeds: Sequence[bytes], iterations: int, limit: float, seed: int) -> tuple[int, float]:
    """Every seed as it is, then mutations of them; (inputs tried, seconds)."""
    chance = random.Random(seed)
    start = time.monotonic()
    count = 0
    while not iterations or count < iterations:
        if limit and time.monotonic() - start > limit:
            break
        data = seeds[count] if count < len(seeds) else mutated(chance, seeds)
        try:
            target(data)
        except Exception:
            FOUND.mkdir(exist_ok=True)
            path = FOUND / hashlib.sha256(data).hexdigest()[:16]
            path.write_bytes(data)
            print(f"input {count} of seed {seed} fails; kept in {path.relative_to(ROOT)}", file=sys.stderr)
            raise
        count += 1
    return count, time.monotonic() - start


def mutated(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A seed with one to eight changes."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(7):
            case 0 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(data):
                data[at] = chance.randrange(256)
            case 2:
                edge = chance.choice(EDGES)
                data[at : at + len(edge)] = edge
            case 3:
                del data[at : at + chance.randint(1, 8)]
            case 4:
                data[at:at] = chance.randbytes(chance.randint(1, 8))
            case 5:
                other = chance.choice(seeds)
                data[at:] = other[chance.randrange(len(other) + 1) :]
            case _:
                end = at + chance.randint(1, 32)
                data[at:at] = data[at:end] * chance.randint(1, 4)
    return bytes(data[:INPUT_MAX_BYTES])


def guided(target: Target, seeds: Sequence[bytes], limit: float) -> None:
    """libFuzzer over instrumented bytecode; never returns."""
    import atheris

    corpus = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for index, seed in enumerate(seeds):
        (corpus / str(index)).write_bytes(seed)
    atheris.instrument_all()
    arguments = [sys.argv[0], str(corpus), f"-max_len={INPUT_MAX_BYTES}", "-rss_limit_mb=1024", "-timeout=20"]
    if limit:
        arguments.append(f"-max_total_time={int(limit)}")
    atheris.Setup(arguments, target)
    atheris.Fuzz()
