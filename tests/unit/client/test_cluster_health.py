"""What is wrong with a cluster and why: every reason that `cluster describe` gives."""

from __future__ import annotations

from tailrace.client.cluster_health import judge
from tailrace.client.cluster_state import BrokerState, ClusterState, PartitionState, ReplicaState


def broker(number: int, **told: object) -> BrokerState:
    found = BrokerState(number, "h", 9092, None, is_controller=False, is_fenced=False)
    for name, value in told.items():
        setattr(found, name, value)
    return found


def judged(brokers: list[BrokerState], partition: PartitionState) -> PartitionState:
    state = ClusterState("c", 1, brokers, [partition])
    judge(state)
    return partition


def partition(leader: int, in_sync: list[int], min_isr: int | None = 1, **lags: int | None) -> PartitionState:
    """With replicas 1, 2 and 3; `lag2=5`: replica 2 is 5 records behind."""
    replicas = [
        ReplicaState(each, each in in_sync, is_offline=False, lag_records=lags.get(f"lag{each}")) for each in (1, 2, 3)
    ]
    return PartitionState("t", 0, leader, 7, in_sync, min_isr, replicas)


ALL = [broker(1), broker(2), broker(3)]


def test_all_in_sync_is_well() -> None:
    found = judged(ALL, partition(1, [1, 2, 3], 2))
    assert (found.problems, found.why) == ([], "")
    assert ClusterState("c", 1, ALL, [found]).is_healthy


def test_each_reason_for_a_replica_that_is_not_in_sync() -> None:
    cases = [
        ([broker(1), broker(2)], "broker 3 is not registered"),
        ([broker(1), broker(2), broker(3, is_fenced=True)], "broker 3 is fenced: dead, stopped or cut off"),
        (
            [broker(1), broker(2), broker(3, trouble="does not answer: timed out")],
            "broker 3 does not answer: timed out",
        ),
        (ALL, "broker 3 is 1,200 records behind"),
    ]
    for brokers, why in cases:
        found = judged(brokers, partition(1, [1, 2], lag3=1200))
        assert (found.problems, found.why) == (["under-replicated"], why)
        assert not ClusterState("c", 1, ALL, [found]).is_healthy
    assert judged(ALL, partition(1, [1, 2], lag3=1)).why == "broker 3 is 1 record behind"
    assert judged(ALL, partition(1, [1, 2], lag3=0)).why == "broker 3 has every record and is not in sync yet"
    assert judged(ALL, partition(1, [1, 2])).why == "broker 3 does not tell how far it is"


def test_a_failed_directory_is_named() -> None:
    found = partition(1, [1, 2])
    found.replicas[2].is_offline = True
    with_failed = [broker(1), broker(2), broker(3, failed_log_dirs=["/disk2"])]
    assert judged(with_failed, found).why == "broker 3: log directory /disk2 has failed"
    assert judged(ALL, found).why == "broker 3: its replica is offline"


def test_too_few_in_sync_says_what_is_refused() -> None:
    brokers = [broker(1), broker(2, is_fenced=True), broker(3, is_fenced=True)]
    found = judged(brokers, partition(1, [1], 2))
    assert found.problems == ["under-min-isr", "under-replicated"]
    assert found.why == (
        "acks=all is refused: 1 in sync of 2 wanted; broker 2 is fenced: dead, stopped or cut off; "
        "broker 3 is fenced: dead, stopped or cut off"
    )
    assert judged(brokers, partition(1, [1], None)).problems == ["under-replicated"]


def test_offline_says_who_may_lead_and_what_is_the_matter_with_them() -> None:
    brokers = [broker(1), broker(2, is_fenced=True), broker(3)]
    found = judged(brokers, partition(-1, [2], lag1=3))
    assert found.problems == ["offline", "under-replicated"]
    assert found.why == "none that may lead is there (in sync: 2); broker 2 is fenced: dead, stopped or cut off"
    eligible = partition(-1, [])
    eligible.eligible_leaders = [2]
    assert judged(brokers, eligible).why == (
        "none that may lead is there (eligible: 2); broker 2 is fenced: dead, stopped or cut off"
    )
    assert judged(ALL, partition(-1, [])).why == "nobody is in sync"


def test_the_counts_say_how_much_is_wrong() -> None:
    partitions = [partition(1, [1, 2, 3]), partition(-1, [2], 2), partition(1, [1, 2], 2)]
    state = ClusterState("c", 1, [broker(1), broker(2, is_fenced=True), broker(3)], partitions)
    judge(state)
    assert state.counts() == {
        "brokers": 3,
        "brokers_healthy": 2,
        "topics": 1,
        "partitions": 3,
        "offline": 1,
        "under_min_isr": 1,
        "under_replicated": 2,
    }
    assert state.as_json()["healthy"] is False
