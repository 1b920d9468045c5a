"""A function that takes three tenths of the time is reported with three tenths, on a machine however busy."""

import subprocess
import sys

import pytest

from tailrace.observe.pprof import decode
from tailrace.observe.profile import share_of


def test_a_planted_hot_function_is_reported_within_three_points(tmp_path):
    path = tmp_path / "planted.pb.gz"
    command = [sys.executable, "-m", "tests.harness.planted", str(path), "12", "100"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    truth = float(told.stdout)
    profile = decode(path.read_bytes())
    assert truth == pytest.approx(0.30, abs=0.01)
    assert share_of(profile, "cpu", ["planted_hot"]) == pytest.approx(truth, abs=0.03)
    assert profile.comments[0].startswith("sampled by a signal, 100 a second")
