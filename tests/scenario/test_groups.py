"""Runs the traces of `groups/*.txt` through the request handlers, on a clock that is told the time.

`pytest tests/scenario --rewrite` writes what happened into the files; the difference is then for a person to judge.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scenario.group_bench import GroupBench
from tests.scenario.group_trace import GroupTrace, run_file

FILES = sorted((Path(__file__).parent / "groups").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_group_trace(path: Path, request: pytest.FixtureRequest) -> None:
    """Every command of the trace is answered as the file says."""
    text = path.read_text()
    happened = run_file(text, GroupTrace(GroupBench()))
    if request.config.getoption("--rewrite", default=False) and happened != text:
        path.write_text(happened)
    assert happened == text
