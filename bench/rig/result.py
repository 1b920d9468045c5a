"""What a run has found, as JSON: written as it goes, and put together from several runs.

Invariant: the file is replaced, never written in place, after each life of a broker. So an interrupted run leaves what
it had measured until then, under the same names as a whole one. Rounds of two runs are never mixed: where files are
put together, each workload is the later file's alone, because its figures are compared with each other.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import confluent_kafka

from . import host, report
from .brokers import KINDS
from .life import Found, Machine
from .workloads import ENTRIES

QUIET_LOAD = 0.7
"""A load average above this before the first round means that the machine does other work."""
Json = dict[str, Any]
NOT_A_RESULT = "is not a result of this program, or of an earlier version of it"


@dataclass
class Part:
    """One run: what was asked for, how far it came, and on what."""

    command: str
    workloads: list[str]
    rounds: int
    scale: float
    versions: dict[str, str]
    machine: Json
    rounds_done: int = 0


@dataclass
class Result:
    """The rounds so far: workload -> broker -> figures of each; for each failure the last reason."""

    part: Part
    missing: dict[str, str]
    path: Path | None = None
    runs: dict[str, dict[str, report.Rounds]] = field(default_factory=dict)
    failures: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, broker: str, found: Found, *, with_start: bool) -> None:
        """What a life of a broker gave; the file has it when this returns."""
        if found.start and with_start:
            self.figures("start", broker, found.start)
        for workload, figures in found.figures.items():
            self.figures(workload, broker, figures)
        for workload, why in found.failures.items():
            self.failures.setdefault(workload, {})[broker] = why
        self.write()

    def figures(self, workload: str, broker: str, figures: dict[str, float]) -> None:
        """One round of one broker under one workload."""
        self.runs.setdefault(workload, {}).setdefault(broker, []).append(figures)

    def as_json(self) -> Json:
        """All of it, brokers in their order, and not in that of the first round's turns."""
        self.part.machine["load_after"] = os.getloadavg()[0]
        names = [*self.part.versions, "floor"]
        brokers = {
            name: {"version": text, "keeps": getattr(KINDS[name], "keeps", "?")}
            for name, text in self.part.versions.items()
        }
        runs = {
            workload: {name: self.runs[workload][name] for name in names if name in self.runs.get(workload, {})}
            for workload in ("start", *self.part.workloads)
            if workload in self.runs or workload in self.failures
        }
        return {
            "parts": [asdict(self.part)],
            "brokers": brokers,
            "missing": self.missing,
            "medians": report.summary(runs),
            "failures": self.failures,
            "runs": runs,
        }

    def write(self) -> None:
        """The file, if there is one."""
        if self.path is not None:
            replace(self.path, self.as_json())


def replace(path: Path, result: Json) -> None:
    """Write a result beside its file, and put it in its place."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def read(path: Path) -> Json:
    """A result that was written before. ValueError when it is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as failure:
        raise ValueError(f"{path} {NOT_A_RESULT}") from failure
    if not isinstance(found, dict) or "parts" not in found:
        raise ValueError(f"{path} {NOT_A_RESULT}")
    return found


def merged(results: Sequence[Json]) -> Json:
    """Results put together: each workload is that of the last one that has it."""
    together: Json = {"parts": [], "brokers": {}, "missing": {}, "medians": {}, "failures": {}, "runs": {}}
    for result in results:
        together["parts"] += result["parts"]
        together["missing"] |= result["missing"]
        for name, broker in result["brokers"].items():
            together["brokers"][name] = {**broker, "version": _versions(together["brokers"].get(name), broker)}
        for workload, brokers in result["runs"].items():
            together["runs"][workload] = brokers
            together["failures"].pop(workload, None)
        together["failures"] |= result["failures"]
    order = ("start", *ENTRIES)
    together["runs"] = {workload: together["runs"][workload] for workload in order if workload in together["runs"]}
    together["missing"] = {name: why for name, why in together["missing"].items() if name not in together["brokers"]}
    together["medians"] = report.summary(together["runs"])
    return together


def _versions(before: Mapping[str, str] | None, broker: Mapping[str, str]) -> str:
    known = before["version"].split(", ") if before else []
    return ", ".join(dict.fromkeys([*known, broker["version"]]))


def facts(machine: Machine, load_before: float) -> Json:
    """What a reader needs to know of the machine."""
    return {
        "processor": host.processor(),
        "cpus": os.cpu_count(),
        "memory_gb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9,
        "kernel": host.kernel(),
        "python": sys.version.split()[0],
        "librdkafka": confluent_kafka.libversion()[0],
        "broker_core": machine.broker_core,
        "load_core": machine.load_core,
        "load_before": load_before,
        "load_after": load_before,
        "shared": load_before > QUIET_LOAD,
    }
