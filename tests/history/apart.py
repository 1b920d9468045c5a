"""A run in a process of its own, so that a client library that aborts its process ends that run and nothing else.

librdkafka 2.16 has done so, rarely and only here: under a planted bug, or when acknowledged records were lost again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

VERDICT = "verdict.json"
LIMIT_S = 270.0
"""A run takes its seconds of faults and up to a minute more."""


class Verdict(NamedTuple):
    """What a run that came to its end said."""

    figures: str
    found: list[str]
    kinds: frozenset[str]

    def write(self, directory: Path) -> None:
        """Leave it for who started the run."""
        kept = {**self._asdict(), "kinds": sorted(self.kinds)}
        (directory / VERDICT).write_text(json.dumps(kept))

    @classmethod
    def read(cls, directory: Path) -> Verdict:
        """What `write` left. Raises FileNotFoundError where the run did not come to its end."""
        kept = json.loads((directory / VERDICT).read_text())
        return cls(kept["figures"], kept["found"], frozenset(kept["kinds"]))


class Died(Exception):
    """A signal ended the run: a client aborted its process, or the run took longer than `LIMIT_S`."""


def run_in_session(arguments: list[str], directory: Path, limit_s: float) -> tuple[int, str]:
    """Run Python with `arguments`: its exit status, a signal's number below 0, and what it wrote (`directory/run.log`).

    It has a session of its own: it is ended after `limit_s`, and whatever it started goes with it.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONFAULTHANDLER": "1"}
    with (directory / "run.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.terminate()
            status = process.wait(30)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # the brokers of a run that died
    return status, (directory / "run.log").read_text(errors="replace")


def run_apart(command: str, directory: Path) -> Verdict:
    """Run the `command` of a plan; everything it wrote is below `directory`. Raises Died."""
    directory.mkdir(parents=True)
    kept = directory / "kept"
    program, *arguments = command.split()
    assert program == "python"
    status, written = run_in_session([*arguments, "--keep", str(kept)], directory, LIMIT_S)
    try:
        (run,) = kept.iterdir()
        return Verdict.read(run)
    except (FileNotFoundError, ValueError):
        raise Died(f"`{command}` ended with {status}:\n{written[-6000:]}") from None


def run_surely(command: str, directory: Path, tries: int = 2) -> Verdict:
    """`run_apart`, again where a client died; each death is printed. Raises Died when all tries did."""
    for number in range(1, tries + 1):
        try:
            return run_apart(command, directory / f"try-{number}")
        except Died as death:
            print(death)
            last = death
    raise last
