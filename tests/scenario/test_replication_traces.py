"""Runs the traces of `replication/*.txt` on replicas in memory, message by message.

`pytest tests/scenario --rewrite` writes what happened into the files; the difference is then for a person to judge.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scenario.group_trace import run_file
from tests.scenario.replication_trace import ReplicationTrace

FILES = sorted((Path(__file__).parent / "replication").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_replication_trace(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Every command of the trace has the outcome that the file says."""
    text = path.read_text()
    trace = ReplicationTrace(tmp_path)
    try:
        happened = run_file(text, trace)
    finally:
        trace.close()
    if request.config.getoption("--rewrite", default=False) and happened != text:
        path.write_text(happened)
    assert happened == text
