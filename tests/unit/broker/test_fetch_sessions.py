"""Fetch sessions by the rules of KIP-227."""

from __future__ import annotations

import pytest

from tailrace.base.clock import ManualClock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.limits import FETCH_SESSION_EVICTION_MS
from tailrace.base.rand import SeededRandom
from tailrace.base.types import ZERO_TOPIC_ID
from tailrace.broker.fetch_sessions import EPOCH_MAX, FetchSession, FetchSessions, SessionPartition


def sessions(slots: int = 2) -> tuple[FetchSessions, ManualClock]:
    clock = ManualClock()
    return FetchSessions(slots, clock, SeededRandom(1)), clock


def opened(cache: FetchSessions) -> FetchSession:
    session = cache.open(uses_topic_ids=False)
    assert session is not None
    return session


def refusal(cache: FetchSessions, session_id: int, epoch: int, ids: bool = False) -> ErrorCode:
    with pytest.raises(KafkaError) as caught:
        cache.use(session_id, epoch, ids)
    return caught.value.code


def test_each_use_moves_the_epoch_on() -> None:
    cache, _ = sessions()
    session = opened(cache)
    assert cache.use(session.session_id, 1, False) is session
    assert session.epoch == 2
    assert refusal(cache, session.session_id, 1) == ErrorCode.INVALID_FETCH_SESSION_EPOCH
    assert cache.use(session.session_id, 2, False) is session


def test_the_epoch_wraps_to_one() -> None:
    cache, _ = sessions()
    session = opened(cache)
    session.epoch = EPOCH_MAX
    cache.use(session.session_id, EPOCH_MAX, False)
    assert session.epoch == 1


def test_unknown_and_mixed_sessions_are_refused() -> None:
    cache, _ = sessions()
    session = opened(cache)
    assert refusal(cache, session.session_id + 1, 1) == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert refusal(cache, session.session_id, 1, ids=True) == ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR
    cache.close(session.session_id)
    assert refusal(cache, session.session_id, 1) == ErrorCode.FETCH_SESSION_ID_NOT_FOUND


def test_a_full_cache_evicts_only_what_is_stale() -> None:
    cache, clock = sessions(slots=2)
    first, second = opened(cache), opened(cache)
    assert cache.open(False) is None
    clock.advance(FETCH_SESSION_EVICTION_MS - 1)
    cache.use(first.session_id, 1, False)
    clock.advance(1)
    third = opened(cache)
    assert refusal(cache, second.session_id, 1) == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert cache.use(first.session_id, 2, False) is first
    assert cache.use(third.session_id, 1, False) is third
    assert len(cache) == 2


def test_partitions_that_returned_data_go_last() -> None:
    session = FetchSession(1, False, 0)
    for index in range(3):
        session.partitions["t", index] = SessionPartition("t", ZERO_TOPIC_ID, index)
    session.move_to_end([("t", 0), ("gone", 0)])
    assert [key[1] for key in session.partitions] == [1, 2, 0]


def test_an_answer_is_told_only_when_it_changed() -> None:
    entry = SessionPartition("t", ZERO_TOPIC_ID, 0)
    assert entry.told(0, 10, 0, has_records=False)
    assert not entry.told(0, 10, 0, has_records=False)
    assert entry.told(0, 10, 0, has_records=True)
    assert entry.told(0, 11, 0, has_records=False)
    assert entry.told(0, 11, 3, has_records=False)
    assert entry.told(1, -1, -1, has_records=False)
    assert entry.told(0, 11, 3, has_records=False), "after an error everything is said again"
