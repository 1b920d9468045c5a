"""Lines of the log: text for people, JSON for machines; one line an event, and no secret in any.

    text   2026-11-21 18:00:00,123 INFO tailrace.groups group g rebalances: ...        a trace follows, indented
    json   {"time": "2026-11-21T18:00:00.123Z", "level": "INFO", "logger": "tailrace.groups", "message": "..."}
                                                                                       a trace is in "trace"

Lines of one of several workers bear its number: `INFO worker-2 tailrace.groups ...`, `"worker": 2`.

Passwords in addresses (`etcd://user:secret@host`, `user:secret@host`) and after `password=` are replaced wherever they
come from, a trace among them. Not its business: which events there are, and where the lines go.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Final

from tailrace.base.clock import utc

FORMATS: Final = ("text", "json")

_IN_ADDRESS: Final = re.compile(r"""((?://)?[\w.%+-]*):[^\s/@'"]+@""")
_NAMED: Final = re.compile(
    r"""((?:password|passwd|secret|token)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s"',;}]+)""", re.IGNORECASE
)


def redacted(text: str) -> str:
    """`text` with what looks like a password as ***."""
    return _NAMED.sub(r"\1***", _IN_ADDRESS.sub(r"\1:***@", text))


class TextLines(logging.Formatter):
    """For people."""

    def __init__(self, worker: int = 0) -> None:
        """`worker`: the number of one of several, else 0."""
        where = f"worker-{worker} " if worker else ""
        super().__init__(f"%(asctime)s %(levelname)s {where}%(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """One line; those of a trace are indented, so that every line that is not begins an event."""
        return redacted(super().format(record)).replace("\n", "\n    ")


class JsonLines(logging.Formatter):
    """For machines. Times are UTC."""

    converter = staticmethod(utc)

    def __init__(self, worker: int = 0) -> None:
        """`worker`: the number of one of several, else 0."""
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON, whatever the message holds."""
        event: dict[str, object] = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        if self._worker:
            event["worker"] = self._worker
        if record.exc_info:
            event["trace"] = redacted(self.formatException(record.exc_info))
        return json.dumps(event)


def lines_of(name: str, worker: int = 0) -> logging.Formatter:
    """The formatter of one of FORMATS; `worker`: the number of one of several, else 0."""
    return JsonLines(worker) if name == "json" else TextLines(worker)
