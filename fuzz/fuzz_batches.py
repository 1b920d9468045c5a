"""Invariant: whatever the bytes, batches and message sets are read, refused with a KafkaError, or both; nothing else.

    python fuzz/fuzz_batches.py [--seconds N] [--seed S]

Starts from valid batches of every codec and valid message sets, and flips, cuts, repeats and splices them. Inflated
sizes are bounded, so memory is too. A finding prints the seed and the bytes; put them into a unit test.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import time

from tailrace.base.errors import KafkaError
from tailrace.records.batch import iter_batches, iter_whole_batches
from tailrace.records.builder import build_batch
from tailrace.records.compression import Codec, compress
from tailrace.records.control import EndTxnMarker, build_end_txn_marker, end_txn_marker
from tailrace.records.legacy import append_message, down_convert, up_convert
from tailrace.records.record import Record
from tailrace.records.validate import BatchRules, recompressed, single_batch, validate_client_batch

LIMIT = 1 << 22
NOW_MS = 1_700_000_000_000


def seeds() -> list[bytes]:
    """Valid inputs to start from."""
    records = [Record(i, NOW_MS + i, b"key%d" % i, b"value" * i, (("h", b"x"),)) for i in range(5)]
    found = [bytes(build_batch(records, codec=codec)) for codec in Codec]
    found.append(bytes(build_end_txn_marker(1, 0, EndTxnMarker(True, 1), NOW_MS)))
    for magic in (0, 1):
        plain = bytearray()
        for record in records:
            append_message(plain, record, magic)
        found.append(bytes(plain))
        for codec in (Codec.GZIP, Codec.SNAPPY, Codec.LZ4):
            wrapper = bytearray()
            append_message(wrapper, Record(4, NOW_MS, None, compress(codec, plain)), magic, attributes=codec)
            found.append(bytes(wrapper))
    return found


def mutate(source: random.Random, corpus: list[bytes]) -> bytearray:
    """One input, changed in up to eight places."""
    data = bytearray(source.choice(corpus))
    for _ in range(source.randint(0, 8)):
        at = source.randrange(len(data)) if data else 0
        match source.randrange(6):
            case 0 if data:
                data[at] ^= 1 << source.randrange(8)
            case 1 if data:
                data[at] = source.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del data[at:]
            case 3:
                data[at:at] = source.choice(corpus)[: source.randrange(80)]
            case 4:
                data += source.choice(corpus)
            case 5 if len(data) >= at + 4:
                data[at : at + 4] = source.getrandbits(32).to_bytes(4, "big")
    return data


def poke(data: bytearray) -> None:
    """Everything the broker may do with a client's bytes."""
    view = memoryview(data)
    for batches in (iter_batches, iter_whole_batches):
        with contextlib.suppress(KafkaError):
            for batch in batches(view):
                for act in (lambda b: list(b.records()), end_txn_marker, lambda b: recompressed(b, "gzip")):
                    with contextlib.suppress(KafkaError):
                        if len(batch.payload(LIMIT)) <= LIMIT:
                            act(batch)
    with contextlib.suppress(KafkaError):
        validate_client_batch(single_batch(view), BatchRules(is_compacted=True, timestamp_before_max_ms=10), NOW_MS)
    with contextlib.suppress(KafkaError):
        up_convert(view)
    with contextlib.suppress(KafkaError):
        down_convert(view, 1)


def run(seconds: float, seed: int) -> int:
    """Fuzz for that long; answers how many inputs were tried. Any other exception than KafkaError gets out."""
    source = random.Random(seed)
    corpus = seeds()
    end = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < end:
        data = mutate(source, corpus)
        try:
            poke(data)
        except Exception:
            print(f"seed {seed}, input {tried}: {bytes(data).hex()}", file=sys.stderr)
            raise
        tried += 1
    return tried


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fuzz record batches and message sets")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    arguments = parser.parse_args()
    print(f"{run(arguments.seconds, arguments.seed)} inputs, seed {arguments.seed}")
