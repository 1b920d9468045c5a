"""Apache Kafka's own tools against a cluster of brokers in etcd: topics, moves, elections, logs, replicas, brokers.

One cluster for all of them: brokers 1 to 4, in racks a, b, a, b; each test leaves every broker up.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.compat.test_kafka_tools import TOOLS, Finished, Kit, ToolRunner
from tests.harness.brokers import java_command
from tests.harness.drivers import eventually
from tests.harness.etcd import EtcdCluster

pytestmark = pytest.mark.compat

REASSIGN = f"{TOOLS}.reassign.ReassignPartitionsCommand"
FAST = {
    "broker.session.timeout.ms": "6000",
    "broker.heartbeat.interval.ms": "1000",
    "replica.fetch.backoff.ms": "100",
    "replica.fetch.max.bytes": "50000",
    "replica.fetch.response.max.bytes": "50000",
    "replication.quota.window.num": "2",
    "replication.quota.window.size.seconds": "5",
    "leader.imbalance.check.interval.seconds": "3600",
}


class Racked(EtcdCluster):
    """Brokers in two racks."""

    def start(self, *node_ids: int) -> None:
        for node_id in node_ids:
            self.settings = {**FAST, "broker.rack": "ab"[(node_id - 1) % 2]}
            super().start(node_id)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Racked]:
    with Racked(tmp_path_factory.mktemp("cluster")) as made:
        made.start(1, 2, 3, 4)
        yield made


@pytest.fixture(scope="module")
def kit(cluster: Racked) -> Iterator[Kit]:
    runner = ToolRunner("")
    yield Kit(runner, cluster.servers())
    runner.close()


def wait(condition: Callable[[], bool], what: str) -> None:
    eventually(condition, what, timeout_s=90.0)


def create(kit: Kit, topic: str, *options: str) -> None:
    kit.ok("TopicCommand", "--create", "--topic", topic, *options)
    for address in kit.bootstrap.split(","):  # a tool asks one of them, no matter which
        of_one = Kit(kit.runner, address)
        wait(lambda it=of_one: is_led(it, topic), f"{address} knows {topic}")


def is_led(kit: Kit, topic: str) -> bool:
    """Whether a broker has heard of the topic and of its leaders."""
    return kit.run("TopicCommand", "--describe", "--topic", topic).status == 0 and all(
        leader is not None for leader, _, _ in partitions(kit, topic).values()
    )


def partitions(kit: Kit, topic: str) -> dict[int, tuple[int | None, list[int], list[int]]]:
    """Partition -> (leader, replicas, in sync) as kafka-topics describes it."""
    text = kit.ok("TopicCommand", "--describe", "--topic", topic)
    rows = re.findall(r"Partition: (\d+)\s+Leader: (\S+)\s+Replicas: (\S*)\s+Isr: (\S*)", text)
    return {
        int(index): (None if leader == "none" else int(leader), _ids(replicas), _ids(isr))
        for index, leader, replicas, isr in rows
    }


def _ids(text: str) -> list[int]:
    return [int(each) for each in text.split(",") if each]


def all_in_sync(kit: Kit, topic: str) -> bool:
    return all(sorted(replicas) == sorted(isr) for _, replicas, isr in partitions(kit, topic).values())


def test_topics(kit: Kit, cluster: Racked) -> None:
    create(kit, "spread", "--partitions", "4", "--replication-factor", "2")
    for _, replicas, _ in partitions(kit, "spread").values():
        assert {replica % 2 for replica in replicas} == {0, 1}, "one in each rack"
    wait(lambda: all_in_sync(kit, "spread"), "everybody is there")
    create(kit, "by-hand", "--replica-assignment", "4,2")
    assert [row[1] for row in partitions(kit, "by-hand").values()] == [[4], [2]]
    assert kit.ok("TopicCommand", "--describe", "--under-replicated-partitions").strip() == ""
    cluster.brokers[2].kill()
    wait(
        lambda: "Topic: by-hand" in kit.ok("TopicCommand", "--describe", "--unavailable-partitions"), "nobody leads it"
    )
    assert "Topic: spread" in kit.ok("TopicCommand", "--describe", "--under-replicated-partitions")
    cluster.start(2)
    wait(lambda: kit.ok("TopicCommand", "--describe", "--under-replicated-partitions").strip() == "", "in sync again")
    kit.ok("TopicCommand", "--alter", "--topic", "spread", "--partitions", "6")
    wait(lambda: len(partitions(kit, "spread")) == 6, "everybody has heard of them")
    for topic in ("spread", "by-hand"):
        kit.ok("TopicCommand", "--delete", "--topic", topic)
    wait(lambda: kit.run("TopicCommand", "--describe", "--topic", "spread").status == 1, "it is gone")


def plan(tmp_path: Path, topic: str, replicas_of: list[list[int]]) -> list[str]:
    """The arguments that name a reassignment."""
    rows = [{"topic": topic, "partition": index, "replicas": each} for index, each in enumerate(replicas_of)]
    path = tmp_path / f"{topic}.json"
    path.write_text(json.dumps({"version": 1, "partitions": rows}))
    return ["--reassignment-json-file", str(path)]


def test_a_topic_is_moved_with_a_throttle_and_without(kit: Kit, tmp_path: Path) -> None:
    create(kit, "moved", "--replica-assignment", "1:2,2:1")
    kit.produce("moved", 200, "--producer-property", "batch.size=4000")
    values = "".join(f"k{i}:{'v' * 5000}\n" for i in range(80))
    kit.ok("ConsoleProducer", "--topic", "moved", stdin=values)
    topics = tmp_path / "topics.json"
    topics.write_text(json.dumps({"topics": [{"topic": "moved"}], "version": 1}))
    generated = kit.ok(REASSIGN, "--generate", "--topics-to-move-json-file", str(topics), "--broker-list", "3,4")
    current, proposed = (json.loads(line) for line in generated.splitlines() if line.startswith("{"))
    assert [each["replicas"] for each in current["partitions"]] == [[1, 2], [2, 1]]
    wanted = plan(tmp_path, "moved", [each["replicas"] for each in proposed["partitions"]])
    executed = kit.ok(REASSIGN, "--execute", *wanted, "--throttle", "5000")
    assert "Successfully started partition reassignments for moved-0,moved-1" in executed
    listed = kit.ok(REASSIGN, "--list")
    assert re.search(r"moved-\d: replicas: \S+ adding: [34],[34]\. removing: 1,2", listed), listed
    assert "is still in progress" in kit.ok(REASSIGN, "--verify", *wanted)
    cancelled = kit.ok(REASSIGN, "--cancel", *wanted, "--preserve-throttles")
    assert "Successfully cancelled partition reassignments for: moved-" in cancelled
    assert [sorted(row[1]) for row in partitions(kit, "moved").values()] == [[1, 2], [1, 2]]
    kit.ok(REASSIGN, "--execute", *wanted, "--throttle", "100000000")
    verified: list[str] = []

    def is_over() -> bool:
        verified.append(kit.ok(REASSIGN, "--verify", *wanted))
        return verified[-1].count("is completed") == 2

    wait(is_over, "both have arrived")
    assert "Clearing broker-level throttles" in verified[-1] and "Clearing topic-level throttles" in verified[-1]
    assert {broker for row in partitions(kit, "moved").values() for broker in row[1]} == {3, 4}
    wait(lambda: sum(kit.offsets("moved").values()) == 280, "what was there is there")
    read = kit.ok("consumer.ConsoleConsumer", "--topic", "moved", "--from-beginning", "--max-messages", "280")
    assert len(read.split()) == 280


def test_elections(kit: Kit, cluster: Racked) -> None:
    create(kit, "led", "--replica-assignment", "1:3,3:1")
    cluster.brokers[1].stop()
    wait(lambda: [row[0] for row in partitions(kit, "led").values()] == [3, 3], "3 stands in")
    cluster.start(1)
    # Of every topic: the internal ones take part in the election below.
    wait(lambda: kit.ok("TopicCommand", "--describe", "--under-replicated-partitions").strip() == "", "1 has caught up")
    wait(lambda: all_in_sync(kit, "led"), "1 has caught up with led")
    elected = kit.ok("LeaderElectionCommand", "--election-type", "preferred", "--all-topic-partitions")
    assert re.search(r"Successfully completed leader election \(PREFERRED\) for partitions.*led-0", elected)
    wait(lambda: [row[0] for row in partitions(kit, "led").values()] == [1, 3], "each leads again")

    def unclean(topic: str) -> Finished:
        return kit.run("LeaderElectionCommand", "--election-type", "unclean", "--topic", topic, "--partition", "0")

    cluster.brokers[3].stop()
    wait(lambda: partitions(kit, "led")[0][2] == [1], "3 is out of sync")
    kit.produce("led", 5)
    cluster.brokers[1].kill()
    cluster.start(3)
    wait(lambda: partitions(kit, "led")[0][0] is None, "3 may lack records")
    done = unclean("led")
    assert done.status == 0 and "Successfully completed leader election (UNCLEAN)" in done.out, done
    wait(lambda: partitions(kit, "led")[0][0] == 3, "elected all the same")
    cluster.start(1)
    wait(lambda: all_in_sync(kit, "led"), "1 follows")


def test_logs_and_replicas(kit: Kit, cluster: Racked) -> None:
    create(kit, "held", "--replica-assignment", "1:2:3,4:3:2")
    kit.produce("held", 500)
    described = kit.ok("LogDirsCommand", "--describe", "--topic-list", "held")
    brokers: list[dict[str, Any]] = json.loads(described[described.index('{"') :].splitlines()[0])["brokers"]
    sizes: dict[str, dict[int, int]] = {}
    for broker in brokers:
        for directory in broker["logDirs"]:
            assert directory["error"] is None
            for each in directory["partitions"]:
                sizes.setdefault(each["partition"], {})[broker["broker"]] = each["size"]
    assert {name: sorted(found) for name, found in sizes.items()} == {"held-0": [1, 2, 3], "held-1": [2, 3, 4]}
    assert all(len(set(found.values())) == 1 for found in sizes.values()), sizes
    said = verify_replicas(kit, "held")
    assert re.search(r"max lag is 0 for partition \S+ at offset \d+ among 2 partitions", said), said


def verify_replicas(kit: Kit, topic: str) -> str:
    """What kafka-replica-verification says until replicas are not apart; it ends by itself never."""
    command = [*java_command("-Xmx128m", log_level="ERROR"), f"{TOOLS}.ReplicaVerificationTool"]
    command += ["--broker-list", kit.bootstrap, "--topics-include", topic, "--report-interval-ms", "500"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    alarm = threading.Timer(120.0, process.kill)
    alarm.start()
    said = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if "max lag is 0 " in line:
                break
    finally:
        alarm.cancel()
        process.kill()
        process.communicate(timeout=60)
    return "".join(said)


def test_a_broker_is_drained_and_removed_and_an_empty_one_takes_its_place(
    kit: Kit, cluster: Racked, tmp_path: Path
) -> None:
    create(kit, "drained", "--replica-assignment", "4:1,2:4")
    kit.produce("drained", 100)
    alive = brokers(kit, "unregister", "--id", "4")
    assert alive.status == 1 and "Broker 4 is alive" in alive.out + alive.err, alive
    every = json.loads(plan_of_all(kit, cluster))
    kit_plan = tmp_path / "all.json"
    kit_plan.write_text(json.dumps(every))
    kit.ok(REASSIGN, "--execute", "--reassignment-json-file", str(kit_plan))
    wait(lambda: "No partition reassignments found." in kit.ok(REASSIGN, "--list"), "nothing is on 4 any more")
    cluster.brokers[4].stop()
    wait(lambda: not any(4 in row[1] for row in partitions(kit, "drained").values()), "nor was it needed")
    wait(lambda: brokers(kit, "unregister", "--id", "4").status == 0, "it is forgotten")
    wait(lambda: not is_listed(kit, 4), "4 is gone")
    data = cluster.brokers[4].directory / "data"
    data.rename(data.with_name("old-disk"))
    cluster.start(4)
    wait(lambda: is_listed(kit, 4), "4 is there")
    kit.ok(REASSIGN, "--execute", *plan(tmp_path, "drained", [[4, 1], [4, 2]]))
    wait(lambda: partitions(kit, "drained")[1][2] == [4, 2] and all_in_sync(kit, "drained"), "it holds replicas again")
    cluster.brokers[4].stop()
    data.rename(data.with_name("another-old-disk"))
    cluster.brokers[4].settings["log.dirs.forget.missing"] = "true"
    cluster.start(4)
    wait(lambda: all_in_sync(kit, "drained"), "what was on the disk is fetched again")
    wait(lambda: sum(kit.offsets("drained").values()) == 100, "nothing is lost")


def brokers(kit: Kit, command: str, *arguments: str) -> Finished:
    """kafka-cluster, which wants its command first."""
    return kit.runner.run("ClusterTool", command, "--bootstrap-server", kit.bootstrap, *arguments)


def is_listed(kit: Kit, broker: int) -> bool:
    listed = brokers(kit, "list-endpoints", "--include-fenced-brokers")
    assert listed.status == 0, listed
    return re.search(rf"^{broker}\s", listed.out, re.MULTILINE) is not None


def plan_of_all(kit: Kit, cluster: Racked) -> str:
    """Every partition, with another broker in the place of 4."""
    rows = []
    for topic in kit.ok("TopicCommand", "--list").split():
        for index, (_, replicas, _) in partitions(kit, topic).items():
            if 4 in replicas:
                spare = next(each for each in (1, 2, 3) if each not in replicas)
                moved = [spare if each == 4 else each for each in replicas]
                rows.append({"topic": topic, "partition": index, "replicas": moved})
    return json.dumps({"version": 1, "partitions": rows})
