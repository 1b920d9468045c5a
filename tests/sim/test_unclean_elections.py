"""Where the topic allows it anybody may lead; what that costs is counted, and logged by who cuts it away."""

from __future__ import annotations

from tests.sim.faults import Fault
from tests.sim.run import run
from tests.sim.world import Shape

SHAPE = Shape(partitions=1, min_isr=1, has_acks_1=False, is_unclean=True)


def test_every_record_that_an_unclean_election_costs_is_counted() -> None:
    """A leader that the followers do not reach commits alone, and then loses its lease."""
    lost = 0
    for leader in (1, 2, 3):
        others = [f"b{each}" for each in (1, 2, 3) if each != leader]
        alone = [Fault(1000, "cut", leader, other, 9000) for other in others]
        verdict = run(leader, SHAPE, [*alone, Fault(5500, "cut", leader, "store", 4500)])
        assert not verdict.complaints
        assert verdict.lost == verdict.lost_as_logged
        assert bool(verdict.lost) == bool(verdict.unclean_elections)
        lost += verdict.lost
    assert lost > 0


def test_without_such_an_election_nothing_is_lost() -> None:
    verdict = run(1, SHAPE, [Fault(1000, "kill", 1, "", 3000), Fault(5000, "kill", 2, "", 1000)])
    assert not verdict.complaints
    assert verdict.lost == verdict.lost_as_logged == verdict.unclean_elections == 0
