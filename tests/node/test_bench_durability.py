"""The benchmark of durability runs and tells every figure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench" / "bench_durability.py"


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path) -> None:
    options = ["--seconds", "0.3", "--rounds", "1", "--only", "before.ack", "--json", "--directory", str(tmp_path)]
    done = subprocess.run([sys.executable, str(BENCH), *options], capture_output=True, text=True, check=True)
    medians = json.loads(done.stdout)["medians"]
    assert medians.keys() == {"floor", "before.ack"}
    for figures in (found for mode in medians.values() for found in mode.values()):
        assert figures["records_per_s"] > 0
        assert figures["p99_ms"] >= figures["p50_ms"] > 0
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"
