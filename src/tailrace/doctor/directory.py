"""Examine the log directories of a broker: look, judge. What a tool calls; reads only."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tailrace.doctor.check_directory import DIRECTORY_CHECKS, check_descriptors, check_together
from tailrace.doctor.directory_facts import DirectoryFacts, look_at
from tailrace.doctor.finding import Finding, note, worst_first

_UNLIMITED: Final = 1 << 30


class ExaminedDirectories(NamedTuple):
    """What was found, and what was looked at."""

    findings: list[Finding]
    facts: list[DirectoryFacts]


def examine_directories(paths: Sequence[Path]) -> ExaminedDirectories:
    """Everything that is found in the log directories of one broker, the worst first. Raises nothing."""
    all_facts = [look_at(path) for path in paths]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return ExaminedDirectories(judge(all_facts, _UNLIMITED if hard == resource.RLIM_INFINITY else hard), all_facts)


def judge(all_facts: list[DirectoryFacts], hard_limit: int) -> list[Finding]:
    """What every check finds. `hard_limit`: files that a process started from here may open."""
    found: list[Finding] = []
    for facts in all_facts:
        for check in DIRECTORY_CHECKS:
            found += check(facts)
        found += check_descriptors(facts, hard_limit)
        if facts.unlooked_segments:
            found.append(_not_examined(facts))
    return worst_first([*found, *check_together(all_facts)])


def _not_examined(facts: DirectoryFacts) -> Finding:
    return note(
        "not-examined",
        f"directory {facts.path}",
        f"has {facts.unlooked_segments:,} segments more than are looked at",
        "it would take long",
        "`tailrace dump` looks at single files",
    )
