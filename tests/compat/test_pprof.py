"""Profiles as Go's own `pprof` reads them."""

import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.compat


def go_pprof(*arguments):
    told = subprocess.run(["go", "tool", "pprof", *arguments], capture_output=True, text=True, timeout=90, check=False)
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_go_reads_a_profile_of_processor_time(tmp_path):
    path = tmp_path / "planted.pb.gz"
    command = [sys.executable, "-m", "tests.harness.planted", str(path), "10", "100"]
    subprocess.run(command, check=True, timeout=90, capture_output=True)
    top = go_pprof("-top", "-cum", str(path))
    assert "Type: cpu" in top
    assert re.search(r"\d+ms +\d+\.\d+% +tests\.harness\.planted\.planted_hot|planted\.planted_hot", top)
    assert "sampled by a signal" in go_pprof("-comments", str(path))
    assert "planted.py" in go_pprof("-traces", "-lines", "-sample_index=samples", str(path))
