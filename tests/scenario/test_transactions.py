"""Runs the traces of `transactions/*.txt` through the request handlers of a broker with real logs.

`pytest tests/scenario --rewrite` writes what happened into the files; the difference is then for a person to judge.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scenario.group_trace import run_file
from tests.scenario.transaction_bench import TransactionBench
from tests.scenario.transaction_trace import TransactionTrace

FILES = sorted((Path(__file__).parent / "transactions").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transaction_trace(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Every command of the trace is answered as the file says."""
    text = path.read_text()
    happened = run_file(text, TransactionTrace(TransactionBench(tmp_path)))
    if request.config.getoption("--rewrite", default=False) and happened != text:
        path.write_text(happened)
    assert happened == text
