"""The benchmark of the log runs and tells every figure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[3] / "bench" / "bench_log.py"


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH), "--megabytes", "1", "--json", "--directory", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PYTHONPATH": "src"}, cwd=BENCH.parents[1]
    )
    figures = json.loads(done.stdout)
    assert figures["append_cpu_s_per_gb"] > 0
    assert figures["fetch_cpu_s_per_gb"] > 0
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"
