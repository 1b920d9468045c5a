"""Each fuzz target holds for some thousand inputs, the same every time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parents[3] / "fuzz"
TARGETS = sorted(path.name for path in FUZZ.glob("fuzz_*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds(name: str) -> None:
    command = [sys.executable, str(FUZZ / name), "--iterations", "15000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    assert "15000 inputs" in done.stdout


def test_there_is_a_target_for_frames_requests_and_batches() -> None:
    assert {"fuzz_frames.py", "fuzz_requests.py", "fuzz_batches.py"} <= set(TARGETS)
