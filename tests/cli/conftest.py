"""A broker for the module, and the command line as a function."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.brokers import BrokerProcess
from harness.fixtures import broker  # noqa: F401
from tailrace.cli.main import main

SOURCE = Path(__file__).resolve().parents[2] / "src"


class Ended(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout as one JSON document."""
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        """Stdout as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def environment(bootstrap: str) -> dict[str, str]:
    """The environment of a command that talks to `bootstrap`."""
    return {**os.environ, "PYTHONPATH": str(SOURCE), "TAILRACE_BOOTSTRAP": bootstrap}


def command_line(*words: str) -> list[str]:
    """`tailrace WORDS` of this checkout."""
    return [sys.executable, "-m", "tailrace", *words]


Tailrace = Callable[..., Ended]


@pytest.fixture
def tailrace(
    broker: BrokerProcess,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Tailrace:
    """Run a command to its end, in this process, against the module's broker.

    A process each would spend its time on importing librdkafka; `test_cli_process` runs commands as processes.
    """

    def run(*words: str, stdin: bytes = b"", bootstrap: str = broker.address) -> Ended:
        monkeypatch.setenv("TAILRACE_BOOTSTRAP", bootstrap)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        code = main(list(words))
        sys.stdout.flush()
        out, err = capfd.readouterr()
        assert "Traceback" not in err, err
        return Ended(code, out, err)

    return run


@pytest.fixture
def topic(tailrace: Tailrace, request: pytest.FixtureRequest) -> str:
    """A topic of this test's own, with two partitions."""
    name = re.sub("[^A-Za-z0-9._-]+", "-", request.node.name)[:100]
    assert tailrace("topics", "create", name, "--partitions", "2").code == 0
    return name
