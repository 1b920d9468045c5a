"""Changes that wait for their store: order, stale versions, refusals, failures, what others wrote meanwhile."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import pytest
from tests.support.held_background import HeldBackground

from tailrace.base.clock import ManualClock
from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.rand import SeededRandom
from tailrace.cluster import metadata as module
from tailrace.cluster.image import MetadataDelta, MetadataImage
from tailrace.cluster.memory_store import MemoryStore
from tailrace.cluster.metadata import Metadata
from tailrace.cluster.proposal import Decided
from tailrace.cluster.records import ConfigRecord, Record, ResourceType
from tailrace.cluster.settings import BrokerSettings
from tailrace.cluster.store import StaleVersion, StoreUnavailable


class DeafStore(MemoryStore):
    """A shared memory store that hears of nothing by itself, and may be told to fail."""

    failure: Exception | None = None

    def watch(self, callback: object) -> None:
        """Never calls."""

    def append(self, expected_version: int, records: Sequence[Record]) -> int:
        if self.failure is not None:
            raise self.failure
        return super().append(expected_version, records)


class Held:
    """One metadata whose store answers when it is told to, and another on the same log."""

    def __init__(self) -> None:
        clock = ManualClock()
        self.store = DeafStore(clock)
        self.background = HeldBackground()
        self.here = Metadata(self.store, 1, BrokerSettings(), SeededRandom(1), self.background)
        self.there = Metadata(MemoryStore(clock, self.store), 2, BrokerSettings(), SeededRandom(2))
        self.told: list[str] = []
        self.here.listen(self._tell)

    def _tell(self, delta: MetadataDelta) -> None:
        self.told += [resource.name for resource in delta.configs_changed]


def settle(name: str, value: str = "1") -> ConfigRecord:
    return ConfigRecord(ResourceType.GROUP, name, "x", value)


@pytest.fixture
def held() -> Held:
    return Held()


def test_nothing_is_true_before_the_store_has_it(held: Held) -> None:
    answer = held.here.propose(lambda image: Decided("done", [settle("a")]))
    assert not answer.done
    assert held.here.image.configs(ResourceType.GROUP, "a") == {}
    held.background.run()
    assert answer.value == "done"
    assert held.here.image.configs(ResourceType.GROUP, "a") == {"x": "1"}
    assert held.told == ["a"]


def test_a_decision_sees_what_those_before_it_committed(held: Held) -> None:
    seen: list[int] = []

    def decide(image: MetadataImage) -> Decided[int]:
        seen.append(image.version)
        return Decided(image.version, [settle(str(image.version))])

    answers = [held.here.propose(decide) for _ in range(3)]
    while not answers[-1].done:
        held.background.run()
    assert seen == [1, 2, 3]
    assert [answer.value for answer in answers] == [1, 2, 3]


def test_an_empty_decision_waits_for_its_turn_but_not_for_the_store(held: Held) -> None:
    first = held.here.propose(lambda image: Decided("first", [settle("a")]))
    second = held.here.propose(lambda image: Decided(image.configs(ResourceType.GROUP, "a"), []))
    assert not second.done
    held.background.run()
    assert (first.done, second.value) == (True, {"x": "1"})


def test_when_another_was_first_the_decision_is_made_again(held: Held) -> None:
    seen: list[object] = []

    def decide(image: MetadataImage) -> Decided[None]:
        seen.append(dict(image.configs(ResourceType.GROUP, "theirs")))
        return Decided(None, [settle("ours")])

    held.there.commit_now([settle("theirs")])
    answer = held.here.propose(decide)
    while not answer.done:
        held.background.run()
    assert seen == [{}, {"x": "1"}]
    assert held.told == ["theirs", "ours"]
    assert held.here.image.version == held.there.image.version == 3


def test_a_decision_made_again_may_refuse(held: Held) -> None:
    def decide(image: MetadataImage) -> Decided[None]:
        if image.configs(ResourceType.GROUP, "theirs"):
            raise KafkaError(ErrorCode.TOPIC_ALREADY_EXISTS)
        return Decided(None, [settle("ours")])

    held.there.commit_now([settle("theirs")])
    answer = held.here.propose(decide)
    while not answer.done:
        held.background.run()
    assert isinstance(answer.value, KafkaError)
    assert answer.value.code is ErrorCode.TOPIC_ALREADY_EXISTS
    assert held.here.image.configs(ResourceType.GROUP, "ours") == {}


def test_what_others_compacted_is_told_as_the_difference(held: Held) -> None:
    held.here.commit_now([settle("gone"), settle("stays")])
    held.there.commit_now([settle("new"), ConfigRecord(ResourceType.GROUP, "gone", "x", None)])
    held.store.compact(held.there.image.version, held.there.image.records())
    held.told.clear()
    answer = held.here.propose(lambda image: Decided(None, [settle("ours")]))
    while not answer.done:
        held.background.run()
    assert sorted(held.told) == ["gone", "new", "ours"]
    assert set(held.here.image.records()) == set(held.there.image.records())


def test_one_that_never_wins_is_refused(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DECISIONS_MAX", 4)
    held.store.failure = StaleVersion("always")
    answer = held.here.propose(lambda image: Decided(None, [settle("a")]))
    for _ in range(7):
        assert not answer.done
        held.background.run()
    assert isinstance(answer.value, KafkaError)
    assert answer.value.code is ErrorCode.REQUEST_TIMED_OUT
    with pytest.raises(KafkaError):
        held.here.settle(lambda image: Decided(None, [settle("a")]))


def test_a_store_that_fails_refuses_one_and_goes_on_with_the_next(held: Held) -> None:
    held.store.failure = StorageError("commit", "m.db", OSError(errno.EIO, "gone"))
    first = held.here.propose(lambda image: Decided(None, [settle("a")]))
    second = held.here.propose(lambda image: Decided("second", [settle("b")]))
    held.background.run()
    assert first.value is held.store.failure
    held.store.failure = None
    held.background.run()
    assert second.value == "second"
    assert held.told == ["b"]
    assert held.here.image.configs(ResourceType.GROUP, "a") == {}


def test_what_waits_for_a_store_that_is_away_is_refused_together(held: Held) -> None:
    held.store.failure = StoreUnavailable("cut off")
    answers = [held.here.propose(lambda image: Decided(None, [settle("a")])) for _ in range(3)]
    held.background.run()
    assert [answer.value for answer in answers] == [held.store.failure] * 3
    held.store.failure = None
    after = held.here.propose(lambda image: Decided("after", [settle("b")]))
    held.background.run()
    assert after.value == "after"


def test_a_bug_in_a_decision_is_answered_and_logged(held: Held, caplog: pytest.LogCaptureFixture) -> None:
    def decide(image: MetadataImage) -> Decided[None]:
        raise ZeroDivisionError

    answer = held.here.propose(decide)
    assert isinstance(answer.value, KafkaError)
    assert answer.value.code is ErrorCode.UNKNOWN_SERVER_ERROR
    assert "ZeroDivisionError" in caplog.text
    after = held.here.propose(lambda image: Decided("after", []))
    assert after.value == "after"


def test_producer_ids_are_asked_for_ahead(held: Held) -> None:
    ids = held.here.producer_ids
    with pytest.raises(KafkaError) as refused:
        ids.take()
    assert refused.value.code is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    ready = ids.wait_ready()
    held.background.run()
    assert (ready.done, ready.value) == (True, None)
    taken = [ids.take() for _ in range(950)]
    assert len(held.background) == 1, "the next block is on its way before the first ends"
    held.background.run()
    taken += [ids.take() for _ in range(950)]
    assert taken == list(range(1900))
    held.there.producer_ids.take()
    assert held.there.image.next_producer_id >= 2000
