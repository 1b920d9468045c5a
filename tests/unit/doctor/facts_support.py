"""A cluster in which nothing is wrong, to break one thing at a time in."""

from __future__ import annotations

from tailrace.client.cluster_state import BrokerState, ClusterState, PartitionState, ReplicaState
from tailrace.doctor.examine import judge
from tailrace.doctor.facts import Advertised, ClusterFacts, TopicSettings, Volume
from tailrace.doctor.figures import Figures
from tailrace.doctor.finding import Finding
from tailrace.doctor.reach import Outcome, Reach

NOW_MS = 1_790_000_000_000
GB = 10**9


def settings(*given: str, **values: str) -> TopicSettings:
    """`retention_ms="1"` is retention.ms."""
    return TopicSettings({name.replace("_", "."): value for name, value in values.items()}, frozenset(given))


def partition(topic: str, index: int, leader: int = 1, brokers: tuple[int, ...] = (1, 2, 3)) -> PartitionState:
    """In sync with all of `brokers`."""
    replicas = [ReplicaState(each, is_in_sync=True, is_offline=False) for each in brokers]
    return PartitionState(topic, index, leader, 0, list(brokers), 2, replicas)


def well() -> ClusterFacts:
    """Three brokers, a topic of three partitions, a broker's figures."""
    brokers = [
        BrokerState(each, f"kafka-{each}", 9092, None, is_controller=each == 1, is_fenced=False) for each in (1, 2, 3)
    ]
    partitions = [partition("orders", index, index + 1, _rotated(index)) for index in range(3)]
    facts = ClusterFacts([("kafka-1", 9092)], NOW_MS, ClusterState("c", 1, brokers, partitions))
    facts.advertised = [Advertised(each, Reach(f"kafka-{each}", 9092, Outcome.REACHED), "c") for each in (1, 2, 3)]
    facts.topics = {
        "orders": settings(
            min_insync_replicas="2", retention_ms="604800000", segment_ms="86400000", retention_bytes="-1",
            segment_bytes="1073741824", max_message_bytes="1048588", cleanup_policy="delete",
        )
    }  # fmt: skip
    facts.topics["orders"].values.update({"min.insync.replicas": "2", "unclean.leader.election.enable": "false"})
    facts.brokers = {each: settings() for each in (1, 2, 3)}
    for each in facts.brokers.values():
        each.values.update({"auto.create.topics.enable": "true", "default.replication.factor": "3"})
        each.values.update({"socket.request.max.bytes": "104857600", "listeners": "PLAINTEXT://0.0.0.0:9092"})
    facts.volumes = [Volume(each, "/data", 100 * GB, 50 * GB) for each in (1, 2, 3)]
    facts.ends = {("orders", index): 20_000 for index in range(3)}
    facts.log_starts = {("orders", index): 0 for index in range(3)}
    facts.latest_ms = {("orders", 0): NOW_MS - 5}
    facts.figures = figures()
    return facts


def figures(**values: float) -> Figures:
    """A healthy process an hour old, with `values` instead."""
    usual = {
        "process_open_fds": 100.0,
        "process_max_fds": 1_048_576.0,
        "process_start_time_seconds": NOW_MS / 1000 - 3600,
        "tailrace_broker_ready": 1.0,
        "tailrace_clock_seconds": NOW_MS / 1000,
        "tailrace_loop_busy_seconds_total": 100.0,
        "tailrace_group_rebalances_total": 3.0,
    }
    return Figures({name: [({}, value)] for name, value in (usual | values).items()}, NOW_MS, "127.0.0.1:9080")


def told(facts: ClusterFacts) -> dict[str, Finding]:
    """What is found, by the name of its check."""
    return {each.check: each for each in judge(facts)}


def _rotated(index: int) -> tuple[int, ...]:
    return tuple((index + step) % 3 + 1 for step in range(3))
