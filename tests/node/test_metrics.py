"""/metrics of a real broker: what its figures say after known work, and that its labels stay few."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from node.served import ServedBroker

ANSWER_S = 60
DOCS = Path(__file__).resolve().parents[2] / "docs" / "operations"
WORK_S = 60.0
QUIET = {"log_level": 0}


class Watched:
    """A broker whose metrics are read."""

    def __init__(self, broker: ServedBroker) -> None:
        found = re.search(r" http=(\S+) in ", broker.line)
        assert found is not None, broker.line
        self.base = f"http://{found[1]}"
        self.servers = f"{broker.address[0]}:{broker.address[1]}"

    def text(self, accept: str = "text/plain") -> str:
        request = Request(f"{self.base}/metrics", headers={"Accept": accept})
        with urlopen(request, timeout=ANSWER_S) as answer:
            return str(answer.read().decode())

    def values(self) -> dict[str, float]:
        lines = (line.rpartition(" ") for line in self.text().splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    directory: Path = tmp_path_factory.mktemp("metrics")
    with ServedBroker(directory, "--set", "http.listen=127.0.0.1:0", "--set", "log.flush.before.ack=true") as broker:
        yield Watched(broker)


def test_records_requests_groups_and_logs(watched: Watched) -> None:
    producer = Producer({"bootstrap.servers": watched.servers, **QUIET})
    for _ in range(100):
        producer.produce("orders", b"x" * 1000)
    assert producer.flush(WORK_S) == 0
    consumer = Consumer(
        {"bootstrap.servers": watched.servers, "group.id": "billing", "auto.offset.reset": "earliest", **QUIET}
    )
    try:
        consumer.subscribe(["orders"])
        seen = []
        while len(seen) < 100:
            found = consumer.consume(100, WORK_S)
            assert found, "the broker stopped sending"
            seen += found
        consumer.commit(message=seen[59], asynchronous=False)
        values = watched.values()
    finally:
        consumer.close()
    topic = 'kafka_server_brokertopicmetrics_%s_total{topic="orders"}'
    assert values[topic % "messagesin"] == 100
    assert 100_000 < values[topic % "bytesin"] < 120_000
    assert values[topic % "bytesout"] >= values[topic % "bytesin"]
    assert values['kafka_log_log_size{topic="orders"}'] == values[topic % "bytesin"]
    assert values['kafka_consumergroup_lag_sum{consumergroup="billing",topic="orders"}'] == 40
    assert values['kafka_consumergroup_members{consumergroup="billing"}'] == 1
    assert values['kafka_network_requestmetrics_requests_total{request="Produce"}'] >= 1
    assert values['kafka_network_requestmetrics_errors_total{request="JoinGroup",error="MEMBER_ID_REQUIRED"}'] == 1
    for part in ("requestqueuetimems", "localtimems", "totaltimems"):
        assert values[f'kafka_network_requestmetrics_{part}_count{{request="Fetch"}}'] >= 1
    assert values["kafka_log_logflushstats_logflushrateandtimems_count"] >= 1
    assert (
        values["kafka_server_replicamanager_leadercount"]
        == values["kafka_controller_kafkacontroller_globalpartitioncount"]
    )
    assert values["tailrace_loop_turns_total"] > 10
    assert values["process_resident_memory_bytes"] > 10_000_000
    assert values["tailrace_broker_ready"] == 1


def test_a_request_that_waits_is_seen_while_it_waits_and_after(watched: Watched) -> None:
    consumer = Consumer(
        {"bootstrap.servers": watched.servers, "group.id": "waiting", "fetch.wait.max.ms": 400, **QUIET}
    )
    waiting = 'kafka_server_delayedoperationpurgatory_purgatorysize{delayedoperation="Fetch"}'
    waited = 'kafka_network_requestmetrics_remotetimems_count{request="Fetch"}'
    producer = Producer({"bootstrap.servers": watched.servers, **QUIET})
    producer.produce("waited-for", b"x")
    assert producer.flush(WORK_S) == 0
    try:
        consumer.assign([TopicPartition("waited-for", 0, 0)])
        assert consumer.consume(1, WORK_S)
        deadline = time.monotonic() + WORK_S
        seen: set[str] = set()
        while len(seen) < 2 and time.monotonic() < deadline:
            values = watched.values()
            seen |= {name for name in (waiting, waited) if values.get(name, 0) >= 1}
        assert seen == {waiting, waited}
    finally:
        consumer.close()


def test_it_is_not_read_by_a_name_that_was_pointed_here(watched: Watched) -> None:
    request = Request(f"{watched.base}/metrics", headers={"Host": "evil.example:9080"})
    with pytest.raises(HTTPError) as refused:
        urlopen(request, timeout=ANSWER_S)
    assert refused.value.code == 403
    refused.value.close()


def test_openmetrics_for_those_who_ask_for_it(watched: Watched) -> None:
    text = watched.text("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert text.endswith("# EOF\n")
    assert "# TYPE process_cpu_seconds counter" in text


@pytest.mark.parametrize("name", ["monitoring.md", "monitoring/alerts.yml", "monitoring/grafana-dashboard.json"])
def test_what_the_documents_name_exists(watched: Watched, name: str) -> None:
    """Alert rules, the dashboard and the list for people: each metric in them is one that a broker shows."""
    shown = set()
    for family, kind in re.findall(r"^# TYPE (\S+) (\S+)$", watched.text(), re.MULTILINE):
        suffixes = ("_bucket", "_count", "_sum") if kind == "histogram" else ()
        shown |= {family, *(f"{family}{suffix}" for suffix in suffixes)}
    named = set(re.findall(r"\b(?:kafka|tailrace|process|python)_[a-z0-9_]*[a-z0-9]", (DOCS / name).read_text()))
    assert named, "nothing is named"
    assert named <= shown, sorted(named - shown)
