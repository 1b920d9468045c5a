"""Brokers of one cluster on a shared memory store and one manual clock: leases, fences, the controller."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from tests.support.memberships import INTERVAL_MS, STEP_MS, TIMEOUT_MS, TOPIC, World

from tailrace.base.errors import ErrorCode, KafkaError, TailraceError
from tailrace.cluster.records import ConfigRecord, PartitionRecord, ResourceType, TopicRecord
from tailrace.cluster.registration import decide_unregister


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> Iterator[World]:
    caplog.set_level(logging.INFO, "tailrace.cluster")
    made = World()
    for broker_id in (1, 2, 3):
        made.start(broker_id)
    yield made
    for broker in made.brokers.values():
        broker.membership.close()


def test_brokers_that_serve_are_live_and_the_first_is_the_controller(world: World) -> None:
    assert world.live == [1, 2, 3]
    assert world.fenced == {1: False, 2: False, 3: False}
    assert world.controller == (1, 1)
    assert world.brokers[2].metadata.image.brokers[3].port == 9003


def test_nothing_changes_while_leases_are_renewed(world: World) -> None:
    version = world.brokers[1].metadata.image.version
    world.advance(20 * TIMEOUT_MS)
    assert world.fenced == {1: False, 2: False, 3: False}
    assert world.brokers[1].metadata.image.version == version


def test_one_that_dies_is_fenced_within_its_session_and_an_interval(world: World) -> None:
    world.brokers.pop(3).die()
    world.advance(TIMEOUT_MS + INTERVAL_MS)
    assert world.live == [1, 2]
    assert world.controller == (1, 1)


def test_when_the_controller_dies_another_takes_office_and_fences_it(world: World) -> None:
    world.brokers.pop(1).die()
    world.advance(TIMEOUT_MS + INTERVAL_MS)
    assert world.live == [2, 3]
    assert world.controller in ((2, 2), (3, 2))


def test_one_that_is_cut_off_fences_itself_before_the_others_do(world: World, caplog: pytest.LogCaptureFixture) -> None:
    cut = world.brokers[3]
    cut.store.is_cut = True
    order: list[str] = []
    while len(order) < 2:
        world.advance(100)
        if cut.membership.is_fenced and "itself" not in order:
            order.append("itself")
        if world.live == [1, 2] and "others" not in order:
            order.append("others")
    assert order == ["itself", "others"]
    world.advance(5 * TIMEOUT_MS)
    assert caplog.text.count("lease lost: not renewed for 3000 ms") == 1
    cut.store.is_cut = False
    world.advance(2 * INTERVAL_MS)
    assert world.live == [1, 2, 3]
    assert not cut.membership.is_fenced
    assert caplog.text.count("broker 3 serves in the cluster") == 1


def test_a_late_answer_is_no_reason_to_serve_again_for_a_moment(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = world.brokers[3]
    cut.store.is_cut = True
    while not cut.membership.is_fenced:
        world.advance(STEP_MS)
    cut.store.is_cut = False
    cut.store.slow_ms = TIMEOUT_MS * 0.85
    was_fenced: list[bool] = []
    acquire = cut.store.acquire_lease

    def look_and_acquire(name: str, holder: str, ttl_ms: int, instead_of: str | None = None) -> bool:
        was_fenced.append(cut.membership.is_fenced)
        return acquire(name, holder, ttl_ms, instead_of)

    monkeypatch.setattr(cut.store, "acquire_lease", look_and_acquire)
    world.advance(2 * INTERVAL_MS)
    assert was_fenced[:3] == [True, True, False], "it asks again before it serves"
    assert not cut.membership.is_fenced
    assert caplog.text.count("lease lost") == caplog.text.count("broker 3 serves in the cluster") == 1


def test_a_late_answer_goes_on_with_a_lease_that_is_held(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.brokers[3].store.slow_ms = TIMEOUT_MS * 0.55
    world.advance(2 * INTERVAL_MS)
    assert world.fenced == {1: False, 2: False, 3: False}
    assert "lease lost" not in caplog.text


def test_the_first_request_after_a_pause_finds_it_fenced(world: World) -> None:
    """No timer has fired: the process was stopped as a whole."""
    world.clock.advance(TIMEOUT_MS)
    assert world.fenced == {1: True, 2: True, 3: True}


def test_who_gets_its_lease_back_reads_what_was_decided_meanwhile_before_it_serves(world: World) -> None:
    paused = world.brokers[3]
    world.create((3, 1))
    paused.store.is_cut = True
    world.advance(TIMEOUT_MS + INTERVAL_MS)
    served_stale: list[int] = []

    def look(*_: object) -> None:
        partition = paused.metadata.image.partition("t", 0)
        assert partition is not None
        if not paused.membership.is_fenced and partition.leader_epoch == 0:
            served_stale.append(partition.leader)

    paused.metadata.listen(look)
    paused.store.is_cut = False
    for _ in range(30):
        world.advance(100)
        look()
    assert served_stale == []
    assert not paused.membership.is_fenced
    partition = paused.metadata.image.partition("t", 0)
    assert partition is not None
    assert (partition.leader, partition.leader_epoch) == (1, 1)


def test_one_that_stops_cleanly_is_gone_at_once_and_hands_over(world: World) -> None:
    world.create((1, 2))
    world.brokers.pop(1).stop()
    partition = world.brokers[2].metadata.image.partition("t", 0)
    assert partition is not None
    assert partition.leader == 2
    world.advance(INTERVAL_MS)
    assert world.live == [2, 3]
    assert world.controller[0] in (2, 3)


def test_a_restart_takes_over_the_lease_of_the_life_before(world: World) -> None:
    world.brokers.pop(3).die()
    again = world.start(3)
    assert not again.membership.is_fenced
    assert world.live == [1, 2, 3]
    assert again.metadata.image.brokers[3].incarnation_id == again.membership.life.incarnation_id


def test_another_machine_with_the_same_node_id_is_refused_while_the_lease_runs(world: World) -> None:
    with pytest.raises(TailraceError, match="node id 3 is in use by another process"):
        world.start(3, directory="elsewhere")


def test_a_life_that_was_replaced_is_fenced_for_good(world: World, caplog: pytest.LogCaptureFixture) -> None:
    old = world.brokers[3]
    old.store.is_cut = True
    world.advance(TIMEOUT_MS + INTERVAL_MS)
    new = world.start(3, directory="elsewhere")
    old.store.is_cut = False
    for _ in range(3 * TIMEOUT_MS // STEP_MS):
        world.advance(STEP_MS)
        old.run_timers()
    assert old.membership.is_fenced
    assert not new.membership.is_fenced
    assert caplog.text.count("is in use by another process; this one is fenced") == 1
    old.membership.close()


def test_a_silent_watch_is_found_out(world: World) -> None:
    deaf = world.brokers[3]
    world.first._batches.watchers = [entry for entry in world.first._batches.watchers if entry[0] is not deaf.store]
    world.brokers[1].metadata.commit_now([TopicRecord("t", TOPIC)])
    assert deaf.metadata.image.topic("t") is None
    world.advance(2 * INTERVAL_MS)
    assert deaf.metadata.image.topic("t") is not None


def test_one_that_cannot_follow_fences_itself_though_it_has_its_lease(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a newer broker writes what it does not know."""
    deaf = world.brokers[3]
    world.first._batches.watchers = [entry for entry in world.first._batches.watchers if entry[0] is not deaf.store]

    def unreadable(version: int) -> None:
        raise TailraceError("a record of a later version")

    monkeypatch.setattr(deaf.store, "load_after", unreadable)
    world.brokers[1].metadata.commit_now([TopicRecord("t", TOPIC)])
    world.advance(2 * TIMEOUT_MS + INTERVAL_MS)
    assert deaf.membership.is_fenced
    assert caplog.text.count("cannot be followed") == 1
    assert world.live == [1, 2], "others may lead in its place"
    monkeypatch.undo()
    world.advance(4 * INTERVAL_MS)
    assert not deaf.membership.is_fenced
    assert world.live == [1, 2, 3]
    assert caplog.text.count("is in use by another") == 0


def test_when_all_are_cut_off_and_return_they_find_each_other_again(world: World) -> None:
    for broker in world.brokers.values():
        broker.store.is_cut = True
    world.advance(3 * TIMEOUT_MS)
    assert world.fenced == {1: True, 2: True, 3: True}
    for broker in world.brokers.values():
        broker.store.is_cut = False
    world.advance(TIMEOUT_MS)
    assert world.live == [1, 2, 3]
    assert world.fenced == {1: False, 2: False, 3: False}


def test_metadata_that_went_back_fences_everybody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.first._batches.version -= 1
    world.advance(2 * INTERVAL_MS)
    assert world.fenced == {1: True, 2: True, 3: True}
    assert caplog.text.count("restored from an older copy") == 3


def test_the_controller_shortens_a_long_history(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.cluster.metadata.COMPACT_AFTER_RECORDS", 50)
    for broker in world.brokers.values():
        broker.metadata._compact_from = 50
    for value in range(200):
        world.brokers[2].metadata.commit_now([ConfigRecord(ResourceType.BROKER, "", "log.retention.ms", str(value))])
    world.advance(2 * INTERVAL_MS)
    assert len(world.first.load().records) < 50
    late = world.start(4)
    assert late.metadata.image.records() == world.brokers[1].metadata.image.records()


def test_preferred_replicas_lead_again_after_a_while() -> None:
    world = World()
    for broker_id in (1, 2, 3):
        world.start(broker_id)
    world.advance(2000)
    world.create((1, 2), (2, 1), (1, 3))
    world.brokers[1].die()
    world.advance(6000)
    image = world.brokers[2].metadata.image
    assert [each.leader for each in image.topics["t"].partitions] == [2, 2, 3]
    world.start(1)
    world.advance(2000)
    for index, partition in enumerate(image.topics["t"].partitions):  # it has caught up
        back = partition._replace(isr=partition.replicas, partition_epoch=partition.partition_epoch + 1)
        world.brokers[2].metadata.commit_now([PartitionRecord(TOPIC, index, *back)])
    world.advance(200_000)
    assert [each.leader for each in image.topics["t"].partitions] == [2, 2, 3]
    world.advance(110_000)
    assert [each.leader for each in image.topics["t"].partitions] == [1, 2, 1]


def test_a_broker_that_was_removed_is_fenced_until_it_is_started_again() -> None:
    world = World()
    for broker_id in (1, 2):
        world.start(broker_id)
    world.advance(2000)
    metadata = world.brokers[1].metadata
    with pytest.raises(KafkaError) as alive:
        decide_unregister(metadata.image, 2)
    assert alive.value.code is ErrorCode.INVALID_REQUEST
    world.brokers[2].store.is_cut = True
    world.advance(6000)
    metadata.commit_now(decide_unregister(metadata.image, 2))
    with pytest.raises(KafkaError) as unknown:
        decide_unregister(metadata.image, 2)
    assert unknown.value.code is ErrorCode.BROKER_ID_NOT_REGISTERED
    world.brokers[2].store.is_cut = False
    world.advance(6000)
    assert world.fenced == {1: False, 2: True}
    world.brokers[2].stop()
    world.start(2)
    world.advance(2000)
    assert world.fenced == {1: False, 2: False}
