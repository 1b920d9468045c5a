"""bench/peers.py still runs: a small set, very short, this broker alone. How fast is not asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN_MAX_S = 100.0


def test_the_smoke_set_measures_every_workload_and_writes_the_page(tmp_path) -> None:
    words = [
        "--smoke",
        "--peers",
        "tailrace,klite",
        "--write",
        str(tmp_path / "a.json"),
        "--page",
        str(tmp_path / "a.md"),
    ]
    command = [sys.executable, str(ROOT / "bench" / "peers.py"), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_MAX_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "a.json").read_text())
    assert result["failures"] == {}
    assert "klite" in result["missing"], "a peer that cannot be had is named with its reason"
    medians = result["medians"]
    assert set(medians) == {"start", "produce", "fetch", "requests-1", "latency"}
    assert all(found["tailrace"] for found in medians.values())
    assert medians["produce"]["floor"]["cpu_s_per_gb"] > 0 and medians["produce"]["tailrace"]["cpu_s_per_gb"] > 0
    page = (tmp_path / "a.md").read_text()
    assert "## latency" in page and "Not measured: klite" in page
    assert (tmp_path / "images" / "bench-produce-cpu.svg").read_text().startswith("<svg")
