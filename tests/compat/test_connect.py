"""Kafka Connect, standalone, with its file source and sink: what comes out is what went in, byte for byte, over a
clean stop and a `kill -9` of the broker."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.compat.java_client import streams_libraries
from tests.harness.brokers import BrokerProcess, free_ports, java_command
from tests.harness.story import new_name

SEED = 1
LINES = 10_000
WAIT_S = 120.0


def properties(path: Path, **settings: object) -> str:
    path.write_text("".join(f"{name.replace('_', '.')}={value}\n" for name, value in settings.items()))
    return str(path)


@contextmanager
def worker(broker: BrokerProcess, directory: Path, topic: str) -> Iterator[None]:
    """A process with both connectors; ended by SIGTERM, upon which it flushes and commits."""
    [port] = free_ports(1)
    strings = "org.apache.kafka.connect.storage.StringConverter"
    configurations = [
        properties(
            directory / "worker.properties",
            bootstrap_servers=broker.address,
            key_converter=strings,
            value_converter=strings,
            offset_storage_file_filename=directory / "offsets",
            offset_flush_interval_ms=500,
            listeners=f"http://127.0.0.1:{port}",
            plugin_discovery="service_load",
            plugin_path=streams_libraries(),
            consumer_auto_offset_reset="earliest",
        ),
        properties(
            directory / "source.properties",
            name="source",
            connector_class="FileStreamSource",
            file=directory / "in",
            topic=topic,
        ),
        properties(
            directory / "sink.properties",
            name=topic,
            connector_class="FileStreamSink",
            file=directory / "out",
            topics=topic,
        ),
    ]
    java = java_command("-Xmx256m", classpath=tuple(sorted(streams_libraries().glob("connect-*.jar"))))
    command = [*java, "org.apache.kafka.connect.cli.ConnectStandalone", *configurations]
    with (directory / "connect.log").open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) in (0, 128 + signal.SIGTERM)
    finally:
        process.kill()
        process.wait()


def test_files_are_copied_byte_by_byte(broker: BrokerProcess, tmp_path: Path) -> None:
    random = Random(SEED)
    topic = new_name("copied")
    # The source counts characters and skips as many bytes when it goes on: what the second life is given may be wider.
    narrow = "abcdefghijklmnopqrstuvwxyz 0123456789\t,;"
    texts = [text_of(random, narrow), text_of(random, narrow + "äöü漢字🙂")]
    expected = b""
    for number, text in enumerate(texts):
        with (tmp_path / "in").open("ab") as source:
            source.write(text.encode())
        expected += text.encode()
        with worker(broker, tmp_path, topic):
            until = time.monotonic() + WAIT_S
            while size(tmp_path / "out") < len(expected):
                assert time.monotonic() < until, (tmp_path / "connect.log").read_text()[-6_000:]
                time.sleep(0.05)
        if number == 0:
            broker.kill_and_restart()
    assert (tmp_path / "out").read_bytes() == expected


def text_of(random: Random, letters: str) -> str:
    """Lines of all lengths, the empty one as well."""
    lines = ("".join(random.choices(letters, k=random.choice((0, 1, 20, 200)))) for _ in range(LINES))
    return "".join(line + "\n" for line in lines)


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
