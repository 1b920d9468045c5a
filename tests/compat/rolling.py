"""Every broker of a cluster is restarted in turn, under clients of every kind: none sees an error, a loss or a double.

    python -m tests.compat.rolling DIRECTORY    exit status 1, and why, where one does; 3 where it is known and open

The clients of the history checker (librdkafka, aiokafka, kafka-python, with transactions and groups) work on three
brokers, and the Java client's producer besides. A clean stop hands everything over, so that no send is left in doubt.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic
from tests.compat.java_client import JavaDriver
from tests.harness.drivers import Record
from tests.harness.networked import NetworkedCluster
from tests.history.checker import check
from tests.history.cluster_run import ClusterPlan, wait_identical, wait_in_sync
from tests.history.kafka_python import KafkaPythonSender
from tests.history.model import Anomaly, DeleteRecords, Outcome, Reposition
from tests.history.process import Recorder
from tests.history.run import ACKNOWLEDGED_LEAST, figures_of
from tests.history.workload import Workload

OPEN = 3
"""The exit status where there was nothing but what is open."""
PLAN = ClusterPlan(seed=3, seconds=0)
TRANSACTION_TIMEOUT_MS = 30_000
"""Longer than a broker takes to stop and start, on a busy machine too: no transaction is to be left in doubt."""
JAVA_RECORDS = [Record(None, b"java-%d" % number, (), int(time.time() * 1000)) for number in range(400)]
SEGMENT_MS = "5000"
"""A fetch brings one segment at most: with those of the histories, 500 ms, a follower may stay behind for long."""
REJOIN_TIMEOUT_S = 150.0
JAVA_PAUSE_MS = 40
"""Between two records: as long as the restarts take, or longer."""


class JavaProducer(threading.Thread):
    """One producer of the Java client, idempotent as it comes, that sends all through the restarts."""

    def __init__(self, servers: str) -> None:
        super().__init__(daemon=True)
        self.driver = JavaDriver(servers)
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            self.driver.produce_slowly("java", 0, JAVA_RECORDS, JAVA_PAUSE_MS)
        except Exception as error:
            self.failure = error


def is_open(anomaly: Anomaly) -> bool:
    """Whether it is what docs/checked.md has as open: a reader back at the beginning of what is being deleted."""
    return anomaly.kind == "nonmonotonic-poll" and anomaly.key.topic == "trimmed"


def story_of(recorder: Recorder, anomalies: list[Anomaly]) -> str:
    """What was found, and what was deleted and where readers were sent in those partitions."""
    keys = {each.key for each in anomalies}

    def concerns(step: object) -> bool:
        if isinstance(step, DeleteRecords):
            return step.key in keys
        return isinstance(step, Reposition) and not keys.isdisjoint(step.keys)

    told = [op for op in recorder.history.ops if any(map(concerns, op.steps))]
    found = [str(each) for each in (*recorder.fatal[:5], *anomalies[:10])]
    return "\n".join([*found, *(str(op)[:600] for op in told[:60])])


def restart_every_broker(directory: Path) -> None:
    """AssertionError where a client sees what it should not."""
    with NetworkedCluster(directory, PLAN.brokers, PLAN.settings) as cluster:
        config = {**PLAN.clients.config, "segment.ms": SEGMENT_MS}
        clients = PLAN.clients._replace(transaction_timeout_ms=TRANSACTION_TIMEOUT_MS, config=config)
        workload = Workload(cluster.servers, PLAN.seed, clients)
        assert any(isinstance(each, KafkaPythonSender) for each in workload.processes)
        workload.create_topics()
        admin = AdminClient({"bootstrap.servers": cluster.servers, "log_level": 0})
        admin.create_topics([NewTopic("java", 1, 3, config={"min.insync.replicas": "2"})])["java"].result(60)
        workload.start()
        java = JavaProducer(cluster.servers)
        java.start()
        for broker in cluster.brokers.values():
            assert broker.stop() == 0
            broker.start()
            assert not wait_in_sync(cluster, REJOIN_TIMEOUT_S)
        java.join(180)
        assert not java.is_alive() and java.failure is None, java.failure
        workload.finish(lambda: None)
        assert not wait_identical(cluster, PLAN)
        assert java.driver.bounds("java", 0) == (0, len(JAVA_RECORDS))
        stored = java.driver.read("java", 0, 0, len(JAVA_RECORDS))
        java.driver.close()
    assert [each.record.value for each in stored] == [record.value for record in JAVA_RECORDS]
    recorder = workload.recorder
    anomalies = check(recorder.history)
    if anomalies and not recorder.fatal and all(is_open(each) for each in anomalies):
        print(story_of(recorder, anomalies))
        sys.exit(OPEN)
    assert not recorder.fatal and not anomalies, story_of(recorder, anomalies)
    figures = figures_of(recorder)
    print(figures)
    assert figures.acknowledged > ACKNOWLEDGED_LEAST
    in_doubt = [op for op, _ in recorder.history.sends(Outcome.INFO)]
    assert not in_doubt, "\n".join(str(op)[:600] for op in in_doubt[:10])


if __name__ == "__main__":
    restart_every_broker(Path(sys.argv[1]))
