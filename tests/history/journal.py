"""A history as a file, so that one that failed can be judged again: JSON, an operation a line.

    {"rules": {...}, "copiers": {...}, "told": "..."}      the first line: what the topics promise, and what was run
    {"process": ..., "outcome": ..., "steps": [["Send", ...], ...], ...}

Written after the run, so a killed test leaves none. `null` stands for an infinite time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.history.model import (
    Bounds,
    Commit,
    Committed,
    DeleteRecords,
    History,
    Incarnation,
    Key,
    Op,
    Outcome,
    PartitionRules,
    Promise,
    Read,
    Reposition,
    Send,
    Step,
)

KINDS = {
    kind.__name__: kind for kind in (Send, Read, Commit, Committed, DeleteRecords, Bounds, Reposition, Incarnation)
}

Json = Any  # whatever JSON can say


def write(history: History, path: Path, told: str) -> None:
    """Write the history; `told` says how it was made."""
    head = {
        "rules": {topic: rules._asdict() for topic, rules in history.rules.items()},
        "copiers": history.copiers,
        "told": told,
    }
    with path.open("w") as file:
        for line in (head, *map(_line_of, history.ops)):
            file.write(json.dumps(line, separators=(",", ":")) + "\n")


def read(path: Path) -> tuple[History, str]:
    """The history in a file, and how it was made. ValueError for what is not one."""
    with path.open() as file:
        head = json.loads(next(file))
        history = History(
            rules={topic: PartitionRules(**rules) for topic, rules in head["rules"].items()},
            copiers={group: tuple(Key(*key) for key in keys) for group, keys in head["copiers"].items()},
        )
        history.ops.extend(_op_of(json.loads(line)) for line in file)
    return history, str(head["told"])


def _line_of(op: Op) -> dict[str, Json]:
    line = {
        "process": op.process,
        "outcome": op.outcome.name,
        "invoked": op.invoked,
        "completed": _finite(op.completed),
        "steps": [[type(step).__name__, *_fields(step)] for step in op.steps],
    }
    if op.is_transaction:
        line["decided"] = _finite(op.decided)
    if op.error:
        line["error"] = op.error
    return line


def _fields(step: Step) -> Iterator[Json]:
    for value in step:
        yield value.value if isinstance(value, Promise) else value


def _finite(when: float) -> float | None:
    return when if math.isfinite(when) else None


def _op_of(line: dict[str, Json]) -> Op:
    completed = line["completed"]
    op = Op(
        line["process"],
        [_step_of(*step) for step in line["steps"]],
        Outcome[line["outcome"]],
        line["invoked"],
        math.inf if completed is None else completed,
        "decided" in line,
        line.get("error", ""),
    )
    if op.is_transaction:
        op.decided = math.inf if line["decided"] is None else line["decided"]
    return op


def _step_of(name: str, *fields: Json) -> Step:
    if name == "Reposition":
        return Reposition(tuple(Key(*key) for key in fields[0]))
    if name == "Incarnation":
        return Incarnation(*fields)
    values = list(fields)
    place = 1 if name in ("Commit", "Committed") else 0
    values[place] = Key(*values[place])
    if name == "Read":
        values[1] = tuple((offset, value) for offset, value in values[1])
    if name == "Send":
        values[4] = Promise(values[4])
    made: Step = KINDS[name](*values)
    return made
