"""One run on a cluster: brokers and etcd on hosts of their own, clients, faults by the seed, and what the checker says.

Besides what `checker` asks: at the end all replicas are in sync and their files hold the same bytes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from tests.harness.brokers import BrokerFailed
from tests.harness.networked import NetworkedCluster
from tests.history.cluster_faults import Fault, Kind, schedule, strike
from tests.history.producers import LEADER_ONLY, PRODUCERS
from tests.history.replicas import differences
from tests.history.run import Result, judge
from tests.history.topics import BROKER_SETTINGS, COMMON, TOPICS, keys_of
from tests.history.workload import Clients, Workload

IN_SYNC_TIMEOUT_S = 100.0
BUSY_IN_SYNC_TIMEOUT_S = 20.0
"""For so long the clients go on after the last fault, that replicas come back beside them. Not for longer: a fetch
brings one segment at most, which is too little for a follower where a round of fetches takes as long as a segment."""
SEGMENT_MS = "500"
IDENTICAL_TIMEOUT_S = 60.0
SETTINGS = {
    **BROKER_SETTINGS,
    "broker.heartbeat.interval.ms": "500",
    "replica.lag.time.max.ms": "3000",
    "replica.socket.timeout.ms": "3000",
    "replica.fetch.backoff.ms": "100",
    "min.insync.replicas": "2",
}
INTERNAL = ("offsets.topic.replication.factor", "transaction.state.log.replication.factor")
LEADER_ONLY_CLIENTS = Clients((LEADER_ONLY,), has_transactions=False)
LOSING = (Fault(Kind.KILL_ALONE, 1.0, 1.5, (1, 2, 3)),)
"""What loses records that only their leader has: it goes on without the others for a while, and dies."""


class ClusterPlan(NamedTuple):
    """A run, to be repeated as it was."""

    seed: int
    seconds: float
    brokers: int = 3
    is_leader_only: bool = False
    """acks=1, which may lose what it acknowledged, under faults that make it."""
    bug: str = ""

    @property
    def command(self) -> str:
        """How to run it again."""
        acks = " --acks 1" if self.is_leader_only else ""
        return f"python -m tests.history --cluster {self.brokers} --seed {self.seed} --seconds {self.seconds:g}{acks}"

    def schedule(self) -> list[Fault]:
        """What follows from the seed, or what makes acks=1 lose."""
        return list(LOSING) if self.is_leader_only else schedule(self.seed, self.seconds, self.brokers)

    @property
    def is_held_back(self) -> bool:
        """Whether writers wait for followers. Where one in sync is enough, they may outrun one on a busy machine."""
        return self.clients.config["min.insync.replicas"] != "1"

    @property
    def settings(self) -> dict[str, str]:
        """Those of the brokers."""
        copies = {name: str(self.brokers) for name in INTERNAL}
        return {**SETTINGS, **copies, "min.insync.replicas": self.clients.config["min.insync.replicas"]}

    @property
    def clients(self) -> Clients:
        """Who works. A producer that asks its leader alone is promised nothing that a failover keeps."""
        config = {"min.insync.replicas": str(min(2, self.brokers - 1)), "segment.ms": SEGMENT_MS}
        copies = {"replicas": self.brokers, "config": config}
        if self.is_leader_only:
            return LEADER_ONLY_CLIENTS._replace(**copies)
        return Clients(tuple(sorted(PRODUCERS.keys() - {LEADER_ONLY})), **copies)


def run_cluster(plan: ClusterPlan, directory: Path) -> Result:
    """Make a cluster in `directory`, run, remove it. The history is kept there, and what the brokers wrote."""
    began = time.monotonic()
    directory.mkdir(parents=True, exist_ok=True)
    faults = plan.schedule()
    found: list[str] = []
    with NetworkedCluster(directory, plan.brokers, plan.settings) as cluster:
        workload = Workload(cluster.servers, plan.seed, plan.clients)
        workload.create_topics()
        workload.start()
        for fault in faults:
            found += told_by(partial(strike, cluster, fault))
        if plan.is_held_back:
            wait_in_sync(cluster, BUSY_IN_SYNC_TIMEOUT_S)
        workload.finish(lambda: crash_one(cluster, plan.seed, found))
        found += wait_identical(cluster, plan)
        found += [f"broker {node_id} does not run" for node_id, each in cluster.brokers.items() if not each.is_running]
        for node_id, broker in cluster.brokers.items():
            written = broker.log_path.read_text(errors="replace")
            if "Traceback" in written:
                found.append(f"broker {node_id} wrote a traceback:\n{written[written.index('Traceback') :][:3000]}")
        result = judge(plan, workload.recorder, found, directory, (len(faults), began))
        if result.found:
            for broker in cluster.brokers.values():
                shutil.copytree(broker.data_directory, broker.directory / "kept", dirs_exist_ok=True)
    return result


def told_by(act: Callable[[], object]) -> list[str]:
    """What a broker said that did not start or stop."""
    try:
        act()
    except BrokerFailed as error:
        return [str(error)]
    return []


def crash_one(cluster: NetworkedCluster, seed: int, found: list[str]) -> None:
    """Between the two last readings another broker leads than in the first."""
    found += wait_in_sync(cluster)
    found += told_by(cluster.brokers[Random(seed).choice(cluster.node_ids)].kill_and_restart)
    found += wait_in_sync(cluster)


def wait_in_sync(cluster: NetworkedCluster, timeout_s: float = IN_SYNC_TIMEOUT_S) -> list[str]:
    """Wait until every replica of every topic is in sync; which partitions are not, after a long while."""
    deadline = time.monotonic() + timeout_s
    while lacking := _lacking(cluster):
        if time.monotonic() > deadline:
            return [f"not in sync again: {', '.join(lacking)}"]
        time.sleep(0.1)
    return []


def _lacking(cluster: NetworkedCluster) -> list[str]:
    admin = AdminClient({**COMMON, "bootstrap.servers": cluster.servers})
    try:
        topics = admin.list_topics(timeout=5).topics
    except KafkaException as error:
        return [str(error)]
    return [
        f"{name}-{index} leader {each.leader} isr {each.isrs}"
        for name, topic in topics.items()
        for index, each in topic.partitions.items()
        if each.leader < 0 or len(each.isrs) < len(each.replicas)
    ]


def wait_identical(cluster: NetworkedCluster, plan: ClusterPlan) -> list[str]:
    """Wait until the files of all replicas are the same; what differs, after a while."""
    directories = {node_id: broker.data_directory for node_id, broker in cluster.brokers.items()}
    keys = keys_of(*(name for name, (_, _, rules) in TOPICS.items() if not rules.is_compacted))
    written = [key for key in keys if key.topic in ("plain", "flushed")]
    deadline = time.monotonic() + IDENTICAL_TIMEOUT_S
    while True:
        try:
            told = differences(directories, written) + differences(directories, keys, is_needed=False)
        except FileNotFoundError:
            told = ["segments are being deleted"]
        if not told or time.monotonic() > deadline:
            return [f"{len(told)} partitions of {plan.brokers} replicas differ: {told[:5]}"] if told else []
        time.sleep(0.2)
