"""Runs the traces of `share_groups/*.txt` through the request handlers, on a clock that is told the time.

`pytest tests/scenario --rewrite` writes what happened into the files; the difference is then for a person to judge.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scenario.group_trace import run_file
from tests.scenario.share_bench import ShareBench
from tests.scenario.share_trace import ShareTrace

FILES = sorted((Path(__file__).parent / "share_groups").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_share_group_trace(path: Path, request: pytest.FixtureRequest) -> None:
    """Every command of the trace is answered as the file says."""
    text = path.read_text()
    happened = run_file(text, ShareTrace(ShareBench()))
    if request.config.getoption("--rewrite", default=False) and happened != text:
        path.write_text(happened)
    assert happened == text
