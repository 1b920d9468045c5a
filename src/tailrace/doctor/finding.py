"""What an examination finds: values, and the words they share. Pure. JSON keys and `check` names do not change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from tailrace.doctor.limits import NAMES_SHOWN_MAX


class Severity(StrEnum):
    """How bad it is.

    problem   something does not work, or records are at risk, at this moment
    warning   it works, and will not on the next bad day; or it costs what nobody wanted
    note      worth knowing; nothing has to be done
    """

    PROBLEM = "problem"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `check`: its name for programs. The rest are sentences without their full stop."""

    severity: Severity
    check: str
    subject: str
    what: str
    cause: str
    cure: str

    def as_json(self) -> dict[str, Any]:
        """The object of `doctor --json`."""
        return asdict(self)


def problem(check: str, subject: str, what: str, cause: str, cure: str) -> Finding:
    """Something does not work."""
    return Finding(Severity.PROBLEM, check, subject, what, cause, cure)


def warning(check: str, subject: str, what: str, cause: str, cure: str) -> Finding:
    """Something will not work on the next bad day."""
    return Finding(Severity.WARNING, check, subject, what, cause, cure)


def note(check: str, subject: str, what: str, cause: str, cure: str) -> Finding:
    """Worth knowing."""
    return Finding(Severity.NOTE, check, subject, what, cause, cure)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Problems, warnings, notes; among equals as they were found."""
    order: Final = list(Severity)
    return sorted(findings, key=lambda each: order.index(each.severity))


def named(kind: str, names: Sequence[str]) -> str:
    """`topic a`, `topics a, b`, `topics a, b, c, d, e and 7 more`."""
    shown = ", ".join(names[:NAMES_SHOWN_MAX])
    more = len(names) - NAMES_SHOWN_MAX
    return f"{kind}{'' if len(names) == 1 else 's'} {shown}{f' and {more:,} more' if more > 0 else ''}"


def span_text(duration_ms: float) -> str:
    """`40 s`, `12 min`, `5 h`, `3 days`: whole units, the largest that makes at least two."""
    for unit_ms, unit in ((86_400_000, "days"), (3_600_000, "h"), (60_000, "min")):
        if duration_ms >= 2 * unit_ms:
            return f"{duration_ms / unit_ms:.0f} {unit}"
    return f"{duration_ms / 1000:.0f} s"
