"""`tailrace` as the history checker's runs start it: on a disk that can be slowed, perhaps with a bug planted.

TAILRACE_HISTORY_SLOWNESS    the file that says how slow the disk is (`slow_disk`)
TAILRACE_HISTORY_BUG         the name of a bug (`planted`)

Both are patched in from here, in this process alone: nothing in the broker knows of either.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.history.slow_disk import SlowDisk

from tailrace.cli.main import main
from tailrace.node import server

SLOWNESS = "TAILRACE_HISTORY_SLOWNESS"
BUG = "TAILRACE_HISTORY_BUG"


def patch() -> None:
    """Do what the environment says."""
    path = os.environ.get(SLOWNESS)
    if path:
        disk = SlowDisk(Path(path))
        server.RealDisk = lambda: disk  # type: ignore[assignment,misc]
    bug = os.environ.get(BUG)
    if bug:
        from tests.history.planted import BUGS  # here: a broker without a bug need not load what knows them all

        BUGS[bug].plant()


if __name__ == "__main__":
    patch()
    sys.exit(main())
