"""Runs the traces of `transactions/*.txt` through the request handlers of a broker with real logs.

`pytest tests/scenario --rewrite` writes what happened into the files; the difference is then for a person to judge.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scenario.group_trace import run_file
from tests.scenario.transaction_bench import TransactionBench
from tests.scenario.transaction_trace import TransactionTrace

FOLDER = Path(__file__).parent / "transactions"
FILES = sorted(FOLDER.glob("*.txt"))
FLUSHED = sorted(FOLDER.glob("flushed/*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transaction_trace(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Every command of the trace is answered as the file says."""
    _check(path, TransactionBench(tmp_path), is_rewriting=request.config.getoption("--rewrite", default=False))


@pytest.mark.parametrize("path", [*FILES, *FLUSHED], ids=lambda path: path.stem)
def test_transaction_trace_with_flush_before_ack(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The same where nothing is committed before it is on the device; and what happens where it does not get there."""
    rewriting = path in FLUSHED and request.config.getoption("--rewrite", default=False)
    _check(path, TransactionBench(tmp_path, log_flush_before_ack="true"), is_rewriting=rewriting)


def _check(path: Path, bench: TransactionBench, *, is_rewriting: bool) -> None:
    text = path.read_text()
    happened = run_file(text, TransactionTrace(bench))
    if is_rewriting and happened != text:
        path.write_text(happened)
    assert happened == text
