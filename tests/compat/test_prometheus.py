"""Debian's Prometheus reads what we write: promtool's opinion of the text, and a server that scrapes a broker."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from harness.brokers import free_ports
from node.served import ServedBroker

pytestmark = pytest.mark.compat

WAIT_S = 60.0
RULES = Path(__file__).resolve().parents[2] / "docs" / "operations" / "monitoring" / "alerts.yml"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HTTP address of a broker."""
    with ServedBroker(tmp_path_factory.mktemp("broker"), "--set", "http.listen=127.0.0.1:0") as broker:
        yield broker.line.partition(" http=")[2].partition(" ")[0]


def test_promtool_finds_no_fault(address: str) -> None:
    """Its advice on names is not followed where Kafka's have another form; a fault is an exit status of 1."""
    with urlopen(f"http://{address}/metrics", timeout=WAIT_S) as answer:
        text = answer.read()
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, timeout=WAIT_S, check=False
    )
    assert done.returncode in (0, 3), done.stderr.decode()


def test_the_alert_rules_are_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def test_prometheus_scrapes_a_broker(address: str, tmp_path: Path) -> None:
    config = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "tailrace", "static_configs": [{"targets": [address]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    (port,) = free_ports(1)
    with (tmp_path / "words").open("wb") as words:
        command = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=words, stderr=words)
    try:
        found = wait_for_value(port, 'tailrace_broker_ready{job="tailrace"}', process)
        assert found == 1, (tmp_path / "words").read_text(errors="replace")[-2000:]
    finally:
        process.kill()
        process.wait(WAIT_S)


def wait_for_value(port: int, query: str, process: subprocess.Popen[bytes]) -> float | None:
    """The value of the one series of `query`, as soon as there is one; None when there is none in time."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urlopen(f"http://127.0.0.1:{port}/api/v1/query?query={quote(query)}", timeout=WAIT_S) as answer:
                result: list[Any] = json.load(answer)["data"]["result"]
        except (URLError, OSError):
            result = []
        if result:
            return float(result[0]["value"][1])
        time.sleep(0.1)
    return None
