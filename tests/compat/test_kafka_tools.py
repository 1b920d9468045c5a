"""Apache Kafka's own command-line tools against the broker, and its log dump on the broker's files."""

import json
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer
from tests.compat import dumping
from tests.compat.java_client import compiled
from tests.compat.line_driver import LineDriver
from tests.compat.raw import Peer
from tests.harness.brokers import BrokerProcess, java_command, tailrace_environment

TOOLS = "org.apache.kafka.tools"
SEGMENT_NAME = re.compile(r"\d{20}\.(log|index|timeindex)$")


@dataclass(frozen=True)
class Finished:
    """What one tool did."""

    status: int
    out: str
    err: str


class ToolRunner(LineDriver):
    """A JVM that runs one tool after another."""

    name = "kafka-tools"

    def command(self) -> list[str]:
        return [*java_command("-Xmx512m", log_level="ERROR", classpath=(compiled(),)), "Tools"]

    def run(self, tool: str, *arguments: str, stdin: str = "") -> Finished:
        """Run `tool` (a class of org.apache.kafka.tools unless it is a full name)."""
        name = tool if "." in tool and not tool.startswith("consumer.") else f"{TOOLS}.{tool}"
        answer = self.ask(name, args=list(arguments), stdin=stdin)
        return Finished(answer["status"], answer["out"], answer["err"])


class Kit:
    """The tools, pointed at the broker; `ok` wants exit status 0."""

    def __init__(self, runner: ToolRunner, bootstrap: str) -> None:
        self.runner = runner
        self.bootstrap = bootstrap

    def run(self, tool: str, *arguments: str, stdin: str = "") -> Finished:
        return self.runner.run(tool, "--bootstrap-server", self.bootstrap, *arguments, stdin=stdin)

    def ok(self, tool: str, *arguments: str, stdin: str = "") -> str:
        finished = self.run(tool, *arguments, stdin=stdin)
        assert finished.status == 0, finished
        return finished.out

    def own_jvm(self, tool: str, *arguments: str) -> list[dict[str, Any]]:
        """Run a tool that prints JSON lines, and whose end is the end of its JVM."""
        command = [
            *java_command("-Xmx256m", log_level="ERROR"),
            f"{TOOLS}.{tool}",
            "--bootstrap-server",
            self.bootstrap,
        ]
        finished = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, check=False)
        assert finished.returncode == 0, finished
        return [json.loads(line) for line in finished.stdout.splitlines()]

    def create(self, *configs: str, partitions: int = 1) -> str:
        topic = f"tools-{uuid.uuid4().hex[:8]}"
        settings = [word for config in configs for word in ("--config", config)]
        self.ok("TopicCommand", "--create", "--topic", topic, "--partitions", str(partitions), *settings)
        return topic

    def produce(self, topic: str, count: int, *options: str) -> None:
        lines = "".join(f"k{i}:v{i}\n" for i in range(count))
        reader = ["--reader-property", "parse.key=true", "--reader-property", "key.separator=:"]
        self.ok("ConsoleProducer", "--topic", topic, *reader, *options, stdin=lines)

    def offsets(self, topic: str, *options: str) -> dict[int, int]:
        lines = self.ok("GetOffsetShell", "--topic", topic, *options).split()
        return {int(partition): int(offset) for _, partition, offset in (line.split(":") for line in lines)}


@pytest.fixture(scope="module")
def runner() -> Iterator[ToolRunner]:
    started = ToolRunner("")
    yield started
    started.close()


@pytest.fixture
def kit(runner: ToolRunner, broker: BrokerProcess) -> Kit:
    return Kit(runner, broker.address)


def test_topics(kit: Kit) -> None:
    topic = kit.create(partitions=2)
    assert topic in kit.ok("TopicCommand", "--list").split()
    described = kit.ok("TopicCommand", "--describe", "--topic", topic)
    assert re.search(rf"Topic: {topic}\s+TopicId: \S+\s+PartitionCount: 2\s+ReplicationFactor: 1", described)
    assert len(re.findall(r"Partition: \d\s+Leader: (\d+)\s+Replicas: \1\s+Isr: \1", described)) == 2
    again = kit.run("TopicCommand", "--create", "--topic", topic)
    assert again.status == 1
    assert "already exists" in again.out + again.err
    kit.ok("TopicCommand", "--create", "--if-not-exists", "--topic", topic)
    kit.ok("TopicCommand", "--alter", "--topic", topic, "--partitions", "3")
    assert "PartitionCount: 3" in kit.ok("TopicCommand", "--describe", "--topic", topic)
    assert kit.ok("TopicCommand", "--describe", "--under-replicated-partitions").strip() == ""
    kit.ok("TopicCommand", "--delete", "--topic", topic)
    assert kit.run("TopicCommand", "--describe", "--topic", topic).status == 1


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_console_producer_and_consumer(kit: Kit, codec: str) -> None:
    topic = kit.create()
    kit.produce(topic, 20, "--compression-codec", codec)
    shown = ["--formatter-property", "print.key=true", "--formatter-property", "print.offset=true"]
    options = ["--topic", topic, "--from-beginning", "--max-messages", "20", "--timeout-ms", "60000"]
    out = kit.ok("consumer.ConsoleConsumer", *options, *shown)
    assert out.splitlines() == [f"Offset:{i}\tk{i}\tv{i}" for i in range(20)]
    later = ["--topic", topic, "--partition", "0", "--offset", "15", "--max-messages", "2", "--timeout-ms", "60000"]
    assert kit.ok("consumer.ConsoleConsumer", *later).split() == ["v15", "v16"]


def test_consumer_groups(kit: Kit) -> None:
    topic, group = kit.create(), f"group-{uuid.uuid4().hex[:8]}"
    kit.produce(topic, 20)
    options = ["--topic", topic, "--from-beginning", "--max-messages", "8", "--timeout-ms", "60000", "--group", group]
    kit.ok("consumer.ConsoleConsumer", *options)
    command = "consumer.group.ConsumerGroupCommand"
    assert group in kit.ok(command, "--list").split()
    row = r"{}\s+{}\s+0\s+{}\s+20\s+{}\s+-"
    assert re.search(row.format(group, topic, 8, 12), kit.ok(command, "--describe", "--group", group))
    assert "Empty" in kit.ok(command, "--describe", "--group", group, "--state")
    kit.ok(command, "--describe", "--group", group, "--members")
    reset = ["--reset-offsets", "--group", group, "--topic", topic, "--execute"]
    for way, offset in (
        (["--to-offset", "3"], 3),
        (["--to-latest"], 20),
        (["--shift-by", "-5"], 15),
        (["--to-earliest"], 0),
    ):
        kit.ok(command, *reset, *way)
        assert re.search(row.format(group, topic, offset, 20 - offset), kit.ok(command, "--describe", "--group", group))
    kit.ok(command, "--delete-offsets", "--group", group, "--topic", topic)
    kit.ok(command, "--delete", "--group", group)
    assert group not in kit.ok(command, "--list").split()


def test_groups_of_the_consumer_protocol(kit: Kit) -> None:
    topic, group = kit.create(), f"group-{uuid.uuid4().hex[:8]}"
    kit.produce(topic, 20)
    options = ["--topic", topic, "--from-beginning", "--max-messages", "8", "--timeout-ms", "60000", "--group", group]
    kit.ok("consumer.ConsoleConsumer", *options, "--consumer-property", "group.protocol=consumer")
    command = "consumer.group.ConsumerGroupCommand"
    assert group in kit.ok(command, "--list", "--type", "consumer")
    assert group not in kit.ok(command, "--list", "--type", "classic")
    assert group in kit.ok(command, "--list", "--state", "Empty")
    member = Consumer({"bootstrap.servers": kit.bootstrap, "group.id": group, "group.protocol": "consumer"})
    member.subscribe([topic])
    deadline = time.monotonic() + 90
    while not member.assignment():
        assert time.monotonic() < deadline
        member.poll(0.1)
    assert group in kit.ok(command, "--list", "--state", "Stable")
    describe = [command, "--describe", "--group", group]
    members = kit.ok(*describe, "--members", "--verbose")
    assert "CURRENT-EPOCH" in members and members.count(f"{topic}:0") == 2, "the assignment, and the target"
    state = kit.ok(*describe, "--state", "--verbose")
    assert "TARGET-ASSIGNMENT-EPOCH" in state and re.search(r"uniform\s+Stable", state)
    assert re.search(rf"{group}\s+{topic}\s+0\s+", kit.ok(*describe, "--offsets", "--verbose"))
    refused = kit.run(command, "--delete", "--group", group)
    assert "GroupNotEmptyException" in refused.out + refused.err
    member.close()
    reset = ["--reset-offsets", "--group", group, "--topic", topic, "--execute"]
    kit.ok(command, *reset, "--to-offset", "3")
    assert re.search(rf"{group}\s+{topic}\s+0\s+3\s+20\s+17", kit.ok(*describe))
    kit.ok(command, "--delete-offsets", "--group", group, "--topic", topic)
    kit.ok(command, "--delete", "--group", group)
    assert group not in kit.ok(command, "--list").split()


def test_share_groups(kit: Kit, broker: BrokerProcess) -> None:
    topic, group = kit.create(partitions=2), f"share-{uuid.uuid4().hex[:8]}"
    kit.produce(topic, 20)
    entity = ["--entity-type", "groups", "--entity-name", group]
    kit.ok("kafka.admin.ConfigCommand", "--alter", *entity, "--add-config", "share.auto.offset.reset=earliest")
    options = ["--topic", topic, "--max-messages", "20", "--timeout-ms", "60000", "--group", group]
    assert len(kit.ok("consumer.ConsoleShareConsumer", *options).split()) == 20
    command = "consumer.group.ShareGroupCommand"
    assert group in kit.ok(command, "--list").split()
    assert re.search(rf"{group}\s+Empty", kit.ok(command, "--list", "--state", "empty"))
    ends = kit.offsets(topic)
    consumed = _starts(kit, group, topic)
    assert {index: lag for index, (_, lag) in consumed.items()} == {0: 0, 1: 0}
    assert re.search(rf"{group}\s+\S+\s+.*Empty\s+0", kit.ok(command, "--describe", "--group", group, "--state"))
    reset = ["--reset-offsets", "--group", group, "--topic", topic]
    kit.ok(command, *reset, "--to-earliest", "--dry-run")
    assert _starts(kit, group, topic) == consumed
    kit.ok(command, *reset, "--to-earliest", "--execute")
    assert _starts(kit, group, topic) == {index: (0, end) for index, end in ends.items()}
    assert len(kit.ok("consumer.ConsoleShareConsumer", *options).split()) == 20, "all of it again"
    peer = Peer(broker.address)
    member = {"group_id": group, "member_id": "m", "subscribed_topic_names": [topic]}
    epoch, given, deadline = 0, [], time.monotonic() + 90
    while not given:  # a second after the last assignment at the earliest
        answer = peer.ask("share_group_heartbeat", 1, **member, member_epoch=epoch)
        epoch, given = answer["member_epoch"], (answer["assignment"] or {"topic_partitions": []})["topic_partitions"]
        assert time.monotonic() < deadline, answer
    members = kit.ok(command, "--describe", "--group", group, "--members")
    assert re.search(rf"{group}\s+m\s+/127\.0\.0\.1\s+differential\s+2\s+{topic}:0,1", members)
    assert "is not EMPTY" in kit.ok(command, "--delete", "--group", group)
    peer.ask("share_group_heartbeat", 1, group_id=group, member_id="m", member_epoch=-1)
    peer.close()
    kit.ok(command, "--delete-offsets", "--group", group, "--topic", topic)
    assert _starts(kit, group, topic) == {}
    kit.ok(command, "--delete", "--group", group)
    assert group not in kit.ok(command, "--list").split()
    said = dumping.dump(list(broker.data_directory.glob("__share_group_state-*/*.log")), "--share-group-state-decoder")
    assert re.search(rf'"groupId":"{group}".*"snapshotEpoch":0,"stateEpoch":2', said)


def _starts(kit: Kit, group: str, topic: str) -> dict[int, tuple[int, int]]:
    """Partition -> start offset and lag."""
    said = kit.ok("consumer.group.ShareGroupCommand", "--describe", "--group", group)
    rows = re.findall(rf"{group}\s+{topic}\s+(\d+)\s+(\d+)\s+(\d+)", said)
    return {int(partition): (int(start), int(lag)) for partition, start, lag in rows}


def test_configs(kit: Kit) -> None:
    topic, command = kit.create(), "kafka.admin.ConfigCommand"
    entity = ["--entity-type", "topics", "--entity-name", topic]
    kit.ok(command, "--alter", *entity, "--add-config", "retention.ms=12345,cleanup.policy=[compact,delete]")
    described = kit.ok(command, "--describe", *entity)
    assert "retention.ms=12345 " in described
    assert "cleanup.policy=compact,delete " in described
    kit.ok(command, "--alter", *entity, "--delete-config", "retention.ms")
    assert "retention.ms" not in kit.ok(command, "--describe", *entity)
    everything = kit.ok(command, "--describe", *entity, "--all")
    assert "retention.ms=604800000 " in everything
    assert "max.message.bytes=" in everything
    assert kit.run(command, "--alter", *entity, "--add-config", "no.such.config=1").status == 1


def test_offsets_and_delete_records(kit: Kit, tmp_path: Path) -> None:
    topic = kit.create(partitions=2)
    kit.produce(topic, 30)
    end = kit.offsets(topic)
    assert sum(end.values()) == 30
    assert kit.offsets(topic, "--time", "-2") == {0: 0, 1: 0}
    file = tmp_path / "delete.json"
    wanted = {"partitions": [{"topic": topic, "partition": 0, "offset": end[0]}], "version": 1}
    file.write_text(json.dumps(wanted))
    out = kit.ok("DeleteRecordsCommand", "--offset-json-file", str(file))
    assert f"low_watermark: {end[0]}" in out
    assert kit.offsets(topic, "--time", "earliest") == {0: end[0], 1: 0}
    assert kit.offsets(topic, "--time", "max-timestamp")[1] in range(end[1])


def test_cluster_tools(kit: Kit) -> None:
    topic = kit.create()
    kit.produce(topic, 5)
    out = kit.ok("LogDirsCommand", "--describe", "--topic-list", topic)
    [described] = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    partitions = [p for b in described["brokers"] for d in b["logDirs"] for p in d["partitions"]]
    assert [p["partition"] for p in partitions] == [f"{topic}-0"]
    assert partitions[0]["size"] > 0
    versions = kit.ok("BrokerApiVersionsCommand")
    assert re.search(r"Produce\(0\): 0 to \d+ \[usable: \d+\]", versions)
    assert "Cluster ID:" in kit.runner.run("ClusterTool", "cluster-id", "--bootstrap-server", kit.bootstrap).out


def test_leader_election(kit: Kit) -> None:
    topic = kit.create(partitions=2)
    command = "LeaderElectionCommand"
    for kind in ("preferred", "unclean"):
        one = kit.ok(command, "--election-type", kind, "--topic", topic, "--partition", "1")
        assert f"Valid replica already elected for partitions {topic}-1" in one
        kit.ok(command, "--election-type", kind, "--all-topic-partitions")
    unknown = kit.run(command, "--election-type", "preferred", "--topic", topic, "--partition", "7")
    assert unknown.status == 1
    assert "UnknownTopicOrPartitionException" in unknown.out + unknown.err


def test_reassign_partitions(kit: Kit, tmp_path: Path) -> None:
    """Generate a plan, carry it out, verify it, cancel it: with one broker, all to where everything is."""
    topic, command = kit.create(partitions=2), f"{TOOLS}.reassign.ReassignPartitionsCommand"
    [broker] = re.findall(r"Leader: (\d+)", kit.ok("TopicCommand", "--describe", "--topic", topic))[:1]
    topics, plan = tmp_path / "topics.json", tmp_path / "plan.json"
    topics.write_text(json.dumps({"topics": [{"topic": topic}], "version": 1}))
    generated = kit.ok(command, "--generate", "--topics-to-move-json-file", str(topics), "--broker-list", broker)
    current, proposed = (json.loads(line) for line in generated.splitlines() if line.startswith("{"))
    assert [each["replicas"] for each in proposed["partitions"]] == [[int(broker)]] * 2
    for each in (proposed, current):  # the present one names the log directories, too
        plan.write_text(json.dumps(each))
        executed = kit.ok(command, "--execute", "--reassignment-json-file", str(plan))
        assert f"Successfully started partition reassignments for {topic}-0,{topic}-1" in executed
        verified = kit.ok(command, "--verify", "--reassignment-json-file", str(plan))
        for index in range(2):
            assert f"Reassignment of partition {topic}-{index} is completed." in verified
    assert "No partition reassignments found." in kit.ok(command, "--list")
    cancelled = kit.ok(command, "--cancel", "--reassignment-json-file", str(plan))
    assert "None of the specified partition reassignments are active." in cancelled
    for partition in proposed["partitions"]:
        partition["replicas"] = [int(broker) + 7]
    plan.write_text(json.dumps(proposed))
    refused = kit.run(command, "--execute", "--reassignment-json-file", str(plan))
    assert refused.status == 1
    assert "Unknown broker id" in refused.out + refused.err


def test_features(kit: Kit) -> None:
    described = kit.ok("FeatureCommand", "describe")
    assert re.search(r"Feature: transaction.version\s.*FinalizedVersionLevel: 2", described)
    kit.ok("FeatureCommand", "upgrade", "--feature", "transaction.version=2")
    refused = kit.run("FeatureCommand", "upgrade", "--feature", "transaction.version=70")
    assert refused.status == 1
    assert "transaction.version" in refused.out + refused.err


def test_what_there_is_no_security_for(kit: Kit) -> None:
    """ACLs want an authorizer; quotas and users can be looked at, and there are none."""
    acls = kit.run("AclCommand", "--list")
    assert "No Authorizer is configured" in acls.out + acls.err
    for kind in ("clients", "users", "ips"):
        described = kit.ok("kafka.admin.ConfigCommand", "--describe", "--entity-type", kind)
        assert described.strip() == ""


def test_verifiable_producer_and_consumer(kit: Kit) -> None:
    topic = kit.create(partitions=2)
    sent = kit.own_jvm("VerifiableProducer", "--topic", topic, "--max-messages", "500", "--acks", "-1")
    names = [event["name"] for event in sent]
    assert names.count("producer_send_success") == 500
    assert "producer_send_error" not in names
    group = f"verifiable-{uuid.uuid4().hex[:8]}"
    options = ["--topic", topic, "--group-id", group, "--max-messages", "500", "--reset-policy", "earliest"]
    events = kit.own_jvm("VerifiableConsumer", *options, "--verbose")
    values = [event["value"] for event in events if event["name"] == "record_data"]
    assert sorted(map(int, values)) == list(range(500))
    assert any(event["name"] == "offsets_committed" and event["success"] for event in events)


def test_client_compatibility_test(kit: Kit) -> None:
    """Kafka's own check of what a broker can do, with everything expected that a Kafka of today has."""
    topic = kit.create()
    flags = ["offsets-for-times", "cluster-id", "create-topics", "describe-configs", "idempotent-producer"]
    options = [word for flag in flags for word in (f"--{flag}-supported", "true")]
    options += ["--expect-record-too-large-exception", "false", "--num-cluster-nodes", "1"]
    # A broker without an authorizer answers SECURITY_DISABLED, which the tool takes for supported.
    options += ["--describe-acls-supported", "true"]
    finished = kit.run("ClientCompatibilityTest", "--topic", topic, *options)
    assert finished.status == 0, finished


def test_performance_tools(kit: Kit) -> None:
    topic = kit.create(partitions=2)
    size = ["--num-records", "5000", "--record-size", "100", "--throughput", "-1"]
    produced = kit.runner.run(
        "ProducerPerformance", "--topic", topic, *size, "--command-property", f"bootstrap.servers={kit.bootstrap}"
    )
    assert produced.status == 0, produced
    assert re.search(r"^5000 records sent", produced.out, re.MULTILINE), produced
    consumed = kit.ok("ConsumerPerformance", "--topic", topic, "--num-records", "5000")
    assert consumed.splitlines()[-1].split(", ")[4] == "5000", consumed


def test_dump_log_segments_reads_the_files(kit: Kit, broker: BrokerProcess, tmp_path: Path) -> None:
    """Kafka's dump finds nothing wrong with any file, and the records that were sent."""
    topic = kit.create()
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        kit.produce(topic, 20, "--compression-codec", codec)
    files = segment_files(broker, topic, tmp_path / "copy")
    finished = dump(kit, [path for path in files if path.suffix == ".log"], "--deep-iteration", "--print-data-log")
    offsets = [int(found) for found in re.findall(r"^\| offset: (\d+) ", finished.out, re.MULTILINE)]
    assert offsets == list(range(100))
    assert re.findall(r" key: (k\d+) payload: (v\d+)", finished.out) == [(f"k{i}", f"v{i}") for i in range(20)] * 5
    codecs = re.findall(r"compresscodec: (\w+)", finished.out)
    assert list(dict.fromkeys(codecs)) == ["none", "gzip", "snappy", "lz4", "zstd"]


def test_dump_log_segments_checks_rolled_segments(kit: Kit, broker: BrokerProcess, tmp_path: Path) -> None:
    """Several segments, with entries in their indexes."""
    topic = kit.create("segment.bytes=1048576", "index.interval.bytes=4096")
    size = ["--num-records", "3000", "--record-size", "1000", "--throughput", "-1", "--warmup-records", "0"]
    properties = ["--command-property", f"bootstrap.servers={kit.bootstrap}"]
    assert kit.runner.run("ProducerPerformance", "--topic", topic, *size, *properties).status == 0
    files = segment_files(broker, topic, tmp_path / "copy")
    active = max(path.stem for path in files)
    for suffix in (".log", ".index", ".timeindex"):
        closed = [path for path in files if path.suffix == suffix and path.stem != active]
        assert len(closed) >= 2, files
        assert all(path.stat().st_size > 0 for path in closed), files
    finished = dump(kit, files)
    assert len(re.findall(r"^offset: \d+ position: \d+", finished.out, re.MULTILINE)) > 10, finished
    assert len(re.findall(r"^timestamp: \d+ offset: \d+", finished.out, re.MULTILINE)) > 10, finished


def segment_files(broker: BrokerProcess, topic: str, folder: Path) -> list[Path]:
    """A copy of the segments of the topic's only partition."""
    shutil.copytree(partition_folder(broker, f"{topic}-0"), folder)
    return sorted(path for path in folder.iterdir() if SEGMENT_NAME.search(path.name))


def dump(kit: Kit, files: list[Path], *options: str) -> Finished:
    """Kafka's dump of files it must find no fault with."""
    finished = kit.runner.run("DumpLogSegments", *options, "--files", ",".join(map(str, files)))
    assert finished.status == 0, finished
    assert not re.search(r"(?i)mismatch|corrupt|isvalid: false|non-consecutive|found timestamp", finished.out), finished
    return finished


def test_dump_log_segments_reads_committed_offsets(kit: Kit, broker: BrokerProcess, tmp_path: Path) -> None:
    topic, group = kit.create(), f"dumped-{uuid.uuid4().hex[:8]}"
    kit.produce(topic, 5)
    options = ["--topic", topic, "--from-beginning", "--max-messages", "5", "--timeout-ms", "60000", "--group", group]
    kit.ok("consumer.ConsoleConsumer", *options)
    out = ""
    for number in range(int(broker.settings["offsets.topic.num.partitions"])):
        folder = tmp_path / str(number)
        shutil.copytree(partition_folder(broker, f"__consumer_offsets-{number}"), folder)
        files = ",".join(str(path) for path in sorted(folder.glob("*.log")))
        finished = kit.runner.run("DumpLogSegments", "--offsets-decoder", "--deep-iteration", "--files", files)
        assert finished.status == 0, finished
        out += finished.out
    lines = [line for line in out.splitlines() if f'"group":"{group}"' in line]
    commits = [line for line in lines if '"type":"1"' in line and f'"topic":"{topic}"' in line]
    assert commits, out
    assert '"offset":5' in commits[-1]
    assert any('"type":"2"' in line and '"protocolType":"consumer"' in line for line in lines), lines


def test_tailrace_dump_agrees_with_kafkas(kit: Kit, broker: BrokerProcess, tmp_path: Path) -> None:
    topic = kit.create()
    for codec in ("none", "gzip", "zstd"):
        kit.produce(topic, 20, "--compression-codec", codec)
    [segment] = partition_folder(broker, f"{topic}-0").glob("*.log")
    copy = Path(shutil.copy(segment, tmp_path))
    command = [sys.executable, "-m", "tailrace", "dump", "--json", str(copy)]
    ours = subprocess.run(command, capture_output=True, text=True, check=False, env=tailrace_environment())
    assert ours.returncode == 0, ours
    batches = [entry for entry in map(json.loads, ours.stdout.splitlines()) if entry["kind"] == "batch"]
    kafkas = kit.runner.run("DumpLogSegments", "--files", str(copy)).out
    pattern = r"^baseOffset: (\d+) lastOffset: (\d+) count: (\d+) .*?partitionLeaderEpoch: (-?\d+) .*?position: (\d+)"
    rows = [tuple(map(int, found)) for found in re.findall(pattern, kafkas, re.MULTILINE)]
    assert rows
    keys = ("base_offset", "last_offset", "record_count", "leader_epoch", "position")
    assert [tuple(batch[key] for key in keys) for batch in batches] == rows


def partition_folder(broker: BrokerProcess, name: str) -> Path:
    """Where the broker keeps one partition."""
    [folder] = [path for path in broker.data_directory.rglob(name) if path.is_dir()]
    return folder
