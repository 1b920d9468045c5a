"""A clean stop waits until whoever is counted on afterwards has answered, or is fenced."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from tests.support.memberships import INTERVAL_MS, TIMEOUT_MS, Broker, World

from tailrace.base.limits import LEAVE_MAX_MS
from tailrace.base.pending import Pending
from tailrace.cluster.image import PartitionImage
from tailrace.node.departure import ANSWER_LASTS_MS, LOOK_MS, Departure, DeparturePorts, wait_max_ms


class Leaver:
    """A broker that is to stop, and those it asks: they answer when the test says so."""

    def __init__(self, world: World, broker_id: int) -> None:
        self.broker: Broker = world.brokers[broker_id]
        self.asked: list[tuple[int, Callable[[bool], object]]] = []
        self.is_done = False
        broker = self.broker
        ports = DeparturePorts(broker.membership, broker.metadata, broker.timers, world.clock, self._ask)
        Departure(ports, partial(setattr, self, "is_done", True)).begin()

    def _ask(self, broker_id: int, told: Callable[[bool], object]) -> None:
        self.asked.append((broker_id, told))

    @property
    def waits_for(self) -> list[int]:
        return sorted(broker_id for broker_id, _ in self.asked)

    def answer(self, broker_id: int, is_alive: bool = True) -> None:
        found = next(each for each in self.asked if each[0] == broker_id)
        self.asked.remove(found)
        found[1](is_alive)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    for broker_id in (1, 2, 3):
        made.start(broker_id)
    yield made
    for broker in made.brokers.values():
        broker.membership.close()


def partition(world: World, seen_by: int = 3) -> PartitionImage:
    found = world.brokers[seen_by].metadata.image.partition("t", 0)
    assert found is not None
    return found


def test_it_hands_over_when_all_in_sync_have_answered(world: World) -> None:
    world.create((3, 1, 2))
    leaver = Leaver(world, 3)
    assert leaver.waits_for == [1, 2]
    leaver.answer(2)
    assert partition(world).leader == 3
    leaver.answer(1)
    assert leaver.is_done
    assert (partition(world).leader, partition(world).isr) == (1, (1, 2))


def test_with_nobody_beside_it_nobody_is_asked(world: World) -> None:
    world.create((3,), (1, 2))
    leaver = Leaver(world, 3)
    assert leaver.asked == []
    assert leaver.is_done
    assert partition(world).elr == (3,)


def test_the_dead_are_waited_for_until_they_are_fenced_and_then_it_stays_eligible(world: World) -> None:
    """Else 2 were the only one in sync, dead, and after an unclean end in sync with nothing: nobody had the records."""
    world.create((3, 2))
    world.brokers.pop(2).die()
    leaver = Leaver(world, 3)
    leaver.answer(2, is_alive=False)
    world.advance(LOOK_MS)
    assert leaver.waits_for == [2]
    world.advance(TIMEOUT_MS + INTERVAL_MS)
    assert leaver.is_done
    assert (partition(world).leader, partition(world).isr) == (-1, ())
    assert 3 in {*partition(world).elr} | {partition(world).last_known_leader}


def test_who_leaves_does_the_work_of_a_dead_controller_first(world: World) -> None:
    world.create((3, 1, 2))
    for broker_id in (1, 2):
        world.brokers.pop(broker_id).die()
    leaver = Leaver(world, 3)
    world.advance(TIMEOUT_MS + 2 * INTERVAL_MS)
    assert leaver.is_done
    assert 3 in partition(world).elr


def test_an_answer_counts_for_a_moment(world: World) -> None:
    world.create((3, 1, 2))
    leaver = Leaver(world, 3)
    leaver.answer(1)
    world.advance(ANSWER_LASTS_MS)
    leaver.answer(2)
    assert not leaver.is_done
    assert leaver.waits_for == [1]
    leaver.answer(1)
    assert leaver.is_done


def test_one_that_can_not_be_reached_and_is_not_fenced_is_alive(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "tailrace.cluster")
    world.create((3, 1))
    leaver = Leaver(world, 3)
    world.advance(wait_max_ms(leaver.broker.metadata.settings) - 100)
    assert not leaver.is_done
    world.advance(100)
    assert leaver.is_done
    assert partition(world).leader == 1
    assert "handed over without an answer of broker 1, which is not fenced" in caplog.text


def test_an_answer_that_comes_after_the_end_changes_nothing(world: World) -> None:
    world.create((3, 1))
    leaver = Leaver(world, 3)
    world.advance(wait_max_ms(leaver.broker.metadata.settings))
    version = world.brokers[1].metadata.image.version
    leaver.answer(1)
    world.advance(LOOK_MS)
    assert world.brokers[1].metadata.image.version == version
    assert leaver.asked == []


def test_one_that_is_fenced_has_nothing_to_hand_over(world: World) -> None:
    world.create((3, 1))
    leaver = Leaver(world, 3)
    leaver.broker.store.is_cut = True
    world.advance(TIMEOUT_MS - INTERVAL_MS)
    assert not leaver.is_done
    world.advance(INTERVAL_MS + LOOK_MS)
    assert leaver.is_done


def test_the_store_is_waited_for_a_while(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create((3, 1))
    leaver = Leaver(world, 3)
    monkeypatch.setattr(leaver.broker.membership, "leave", Pending)
    leaver.answer(1)
    world.advance(LEAVE_MAX_MS - 100)
    assert not leaver.is_done
    world.advance(100)
    assert leaver.is_done
