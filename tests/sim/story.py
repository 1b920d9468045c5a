"""What a person needs to see of a schedule: the complaint, the faults that it takes, and what the cluster decided."""

from __future__ import annotations

from tests.sim.run import Verdict

COMPLAINTS_MAX = 5


def told(verdict: Verdict) -> str:
    """The story of a schedule, as lines."""
    lines = [f"seed {verdict.seed}:"]
    lines += verdict.complaints[:COMPLAINTS_MAX] or ["nothing is wrong"]
    lines += ["", f"with {len(verdict.faults)} faults:", *map(str, verdict.faults)]
    lines += ["", "what happened, in seconds:", *verdict.story]
    return "\n".join(lines)
