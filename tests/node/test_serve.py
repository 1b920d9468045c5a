"""The served process from outside: its ready line, its end, its refusals, and what survives it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from node.served import READY, RawClient, ServedBroker, failed_start
from tailrace.base.errors import ErrorCode
from tailrace.records.builder import BatchBuilder
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.api_versions import ApiVersionsRequest
from tailrace.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from tailrace.wire.messages.heartbeat import HeartbeatRequest
from tailrace.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData


def batch(*values: bytes) -> bytearray:
    builder = BatchBuilder()
    for value in values:
        builder.append(int(time.time() * 1000), None, value)
    return builder.build()


def create(client: RawClient, topic: str) -> None:
    answer = client.ask(ApiKey.METADATA, 9, MetadataRequest([MetadataRequestTopic(name=topic)], True))
    assert answer.topics[0].error_code == 0


def produce(client: RawClient, topic: str, *values: bytes) -> int:
    data = [TopicProduceData(topic, partition_data=[PartitionProduceData(0, batch(*values))])]
    answer = client.ask(ApiKey.PRODUCE, 9, ProduceRequest(None, -1, 1000, data))
    found = answer.responses[0].partition_responses[0]
    assert found.error_code == 0
    return int(found.base_offset)


class TestLife:
    def test_the_ready_line_is_all_of_stdout_and_true(self, tmp_path: Path) -> None:
        with ServedBroker(tmp_path) as broker:
            assert READY.match(broker.line), broker.line
            with RawClient(broker.address) as client:
                assert client.ask(ApiKey.API_VERSIONS, 3, ApiVersionsRequest("x", "1")).error_code == 0
            assert broker.stop() == 0
            assert broker.process.stdout is not None
            assert broker.process.stdout.read() == ""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_cleanly_and_does_not_wait_for_who_waits(self, tmp_path: Path, number: int) -> None:
        with ServedBroker(tmp_path) as broker, RawClient(broker.address) as client:
            create(client, "t")
            waiting = FetchRequest(
                max_wait_ms=120_000, min_bytes=1, topics=[FetchTopic("t", partitions=[FetchPartition(0)])]
            )
            client.send(ApiKey.FETCH, 11, waiting)
            assert broker.stop(number) == 0, "it ends within half of what the client waits"
        assert (tmp_path / ".kafka_cleanshutdown").exists()

    def test_a_second_process_on_the_directory_is_refused_in_one_sentence(self, tmp_path: Path) -> None:
        with ServedBroker(tmp_path):
            status, out, err = failed_start(tmp_path, "--listen", "127.0.0.1:0")
        assert (status, out) == (1, "")
        assert len(err.strip().splitlines()) == 1 and str(tmp_path) in err

    def test_a_port_in_use_is_refused_in_one_sentence(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            status, _, err = failed_start(tmp_path, "--listen", f"127.0.0.1:{port}")
        assert status == 1
        assert len(err.strip().splitlines()) == 1 and str(port) in err

    def test_a_disk_that_does_not_finish_does_not_hold_up_the_end(self, tmp_path: Path) -> None:
        """What is not flushed in time is left to the next start's recovery."""
        slow = (
            "import sys, time; from pathlib import Path; from tailrace.log.logs import Logs; "
            "from tailrace.node.run import ServeOptions, serve; "
            "Logs.shut_down = lambda self, *_: time.sleep(120); "
            f"sys.exit(serve(ServeOptions('127.0.0.1:0', Path({str(tmp_path)!r}), settings={{'http.listen': ''}})))"
        )
        command = [sys.executable, "-c", slow]
        environment = {**os.environ, "PYTHONPATH": "src"}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            assert READY.match(process.stdout.readline().rstrip())
            started = time.monotonic()
            process.terminate()
            assert process.wait(100) == 0
            assert time.monotonic() - started < 60
            assert "recover" in process.stderr.read()
        assert not (tmp_path / ".kafka_cleanshutdown").exists()


class TestSettings:
    @pytest.mark.parametrize(
        ("setting", "words"),
        [
            ("no.such.setting=1", ["no.such.setting", "1"]),
            ("num.partitions=many", ["num.partitions", "many"]),
            ("num.partitions=0", ["num.partitions", "0"]),
            ("log.cleanup.policy=shred", ["log.cleanup.policy", "shred"]),
            ("listeners=SSL://127.0.0.1:0", ["listeners", "SSL"]),
        ],
    )
    def test_a_bad_setting_is_refused_with_its_name_and_value(
        self, tmp_path: Path, setting: str, words: list[str]
    ) -> None:
        status, out, err = failed_start(tmp_path, "--set", setting)
        assert (status, out) == (1, "")
        assert len(err.strip().splitlines()) == 1
        for word in words:
            assert word in err

    def test_the_file_is_obeyed_and_the_command_line_wins(self, tmp_path: Path) -> None:
        file = tmp_path / "broker.toml"
        file.write_text('listeners = ["PLAINTEXT://127.0.0.1:0"]\nnum.partitions = 3\n[log.retention]\nms = 1000\n')
        with (
            ServedBroker(tmp_path / "data", "--config", str(file), "--set", "num.partitions=5") as broker,
            RawClient(broker.address) as client,
        ):
            answer = client.ask(ApiKey.METADATA, 9, MetadataRequest([MetadataRequestTopic(name="t")], True))
            assert len(answer.topics[0].partitions) == 5

    def test_a_file_that_is_not_toml_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "broker.toml"
        file.write_text("num.partitions = = 3")
        status, _, err = failed_start(tmp_path / "data", "--config", str(file))
        assert status == 1 and str(file) in err and len(err.strip().splitlines()) == 1


class TestSurvival:
    def test_acknowledged_records_survive_kill_9_and_the_epoch_moves_on(self, tmp_path: Path) -> None:
        with ServedBroker(tmp_path) as broker, RawClient(broker.address) as client:
            create(client, "t")
            offsets = [produce(client, "t", b"%d" % index) for index in range(50)]
            assert offsets == list(range(50))
            broker.stop(signal.SIGKILL)
        with ServedBroker(tmp_path) as broker, RawClient(broker.address) as client:
            assert produce(client, "t", b"after") == 50
            answer = client.ask(ApiKey.METADATA, 9, MetadataRequest([MetadataRequestTopic(name="t")], False))
            assert answer.topics[0].partitions[0].leader_epoch == 1
            assert broker.stop() == 0
        with ServedBroker(tmp_path) as broker, RawClient(broker.address) as client:
            answer = client.ask(ApiKey.METADATA, 9, MetadataRequest([MetadataRequestTopic(name="t")], False))
            assert answer.topics[0].partitions[0].leader_epoch == 1, "a clean end keeps the epoch"
            assert produce(client, "t", b"after") == 51


class TestProtocol:
    def test_an_unknown_api_versions_version_gets_error_35_in_v0(self, tmp_path: Path) -> None:
        with ServedBroker(tmp_path) as broker, RawClient(broker.address) as client:
            client.socket.sendall(struct.pack(">ihhih", 10, 18, 99, 7, -1))
            frame = client.receive_frame()
            assert struct.unpack(">ihihhh", frame) == (7, ErrorCode.UNSUPPORTED_VERSION, 1, 18, 0, 5)

    @pytest.mark.parametrize(
        "frame",
        [
            struct.pack(">ihhih", 10, 999, 0, 7, -1),
            struct.pack(">ihhih", 10, 0, 99, 7, -1),
            struct.pack(">ihh", 4, 0, 9),
            struct.pack(">i", -1),
            struct.pack(">i", 2**31 - 1),
            struct.pack(">ihhih", 14, 3, 9, 7, -1) + b"\xff\xff\xff\xff",
        ],
        ids=["unknown api", "unsupported version", "no header", "negative size", "huge size", "malformed body"],
    )
    def test_what_cannot_be_answered_closes_the_connection_and_only_it(self, tmp_path: Path, frame: bytes) -> None:
        with ServedBroker(tmp_path) as broker, RawClient(broker.address) as other:
            with RawClient(broker.address) as client:
                client.socket.sendall(frame)
                assert client.at_end()
            assert other.ask(ApiKey.API_VERSIONS, 0, ApiVersionsRequest()).error_code == 0

    def test_answers_come_in_the_order_of_requests_though_they_overlap(self, tmp_path: Path) -> None:
        with ServedBroker(tmp_path) as broker, RawClient(broker.address) as client, RawClient(broker.address) as writer:
            create(writer, "t")
            topics = [FetchTopic("t", partitions=[FetchPartition(0, partition_max_bytes=1 << 20)])]
            waits = client.send(
                ApiKey.FETCH, 11, FetchRequest(max_wait_ms=20_000, min_bytes=1, max_bytes=1 << 20, topics=topics)
            )
            quick = client.send(ApiKey.HEARTBEAT, 3, HeartbeatRequest("g", 1, "m"))
            produce(writer, "t", b"wake")
            correlation_id, fetched = client.receive(ApiKey.FETCH, 11)
            assert correlation_id == waits and len(fetched.responses[0].partitions[0].records) > 61
            correlation_id, _ = client.receive(ApiKey.HEARTBEAT, 3)
            assert correlation_id == quick


class TestHttp:
    def test_the_address_is_in_the_ready_line_and_health_is_told(self, tmp_path: Path) -> None:
        with ServedBroker(tmp_path, "--set", "http.listen=127.0.0.1:0") as broker:
            found = re.search(r" http=127\.0\.0\.1:([0-9]+) in ", broker.line)
            assert found is not None, broker.line
            base = f"http://127.0.0.1:{found[1]}"
            with urlopen(f"{base}/readyz", timeout=60) as answer:
                assert json.load(answer)["status"] == "ready"
            with urlopen(f"{base}/healthz", timeout=60) as answer:
                assert json.load(answer)["status"] == "alive"
            assert broker.stop() == 0

    def test_a_given_address_that_is_taken_is_refused(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            status, _, err = failed_start(tmp_path, "--listen", "127.0.0.1:0", "--set", f"http.listen={address}")
        assert status == 1
        assert err == (
            f"tailrace: http.listen {address} is taken by another process; choose another address with "
            "--set http.listen=HOST:PORT, or none with --set http.listen=.\n"
        )


class TestLogLines:
    def test_json_lines_and_no_password(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            address = f"127.0.0.1:{nobody.getsockname()[1]}"
        url = f"etcd://root:hunter2@{address}/x"
        status, _, err = failed_start(tmp_path, "--listen", "127.0.0.1:0", "--cluster", url)
        assert status == 1 and err and "hunter2" not in err
        status, _, err = failed_start(tmp_path, "--set", "log.format=xml")
        assert status == 1 and "log.format" in err
