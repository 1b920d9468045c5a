"""bench/peers.py still runs: a small set, very short, this broker alone. How fast is not asked."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN_MAX_S = 270.0
"""It takes 8 s; this is for a machine that does thirty other things."""


def run_to_its_end(command: list[str]) -> tuple[int, str]:
    """Its status and what it said; with the brokers it started it is gone when this returns."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        said, _ = process.communicate(timeout=RUN_MAX_S)
        return process.returncode, said
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.timeout(300)
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
    code, said = run_to_its_end([sys.executable, str(ROOT / "bench" / "peers.py"), *words])
    assert code == 0, said
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
    words = ["--merge", str(tmp_path / "a.json"), "--page", str(tmp_path / "b.md")]
    code, said = run_to_its_end([sys.executable, str(ROOT / "bench" / "peers.py"), *words])
    assert code == 0 and (tmp_path / "b.md").read_text() == page, said
