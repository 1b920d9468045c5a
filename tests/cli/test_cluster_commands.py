"""`tailrace cluster start` as a process, and `tailrace cluster describe` of what it started."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .conftest import Tailrace, command_line, environment

WAIT_S = 60.0
FAST = ["--set", "broker.heartbeat.interval.ms=500"]


class Started:
    """A cluster in the foreground of a process."""

    def __init__(self, run: subprocess.Popen[str], tailrace: Tailrace) -> None:
        self.tailrace = tailrace
        assert run.stdout is not None
        self.run = run
        self.pids: dict[int, int] = {}
        self.words: list[str] = []
        for line in run.stdout:
            self.words.append(line)
            row = re.match(r" *(\d+) +[\d.]+:\d+ +(\d+) ", line)
            if row:
                self.pids[int(row[1])] = int(row[2])
            ready = re.match(r"tailrace cluster ready bootstrap=(\S+) in \d+ ms", line)
            if ready:
                self.bootstrap = ready[1]
                return
        raise AssertionError(f"it did not start: {self.words}")

    def describe(self) -> tuple[int, dict[str, Any]]:
        done = self.tailrace("cluster", "describe", "--json", bootstrap=self.bootstrap)
        return done.code, done.json


@contextmanager
def started(tailrace: Tailrace, directory: Path, *words: str) -> Iterator[Started]:
    command = command_line("cluster", "start", "--data", str(directory), "--store", "sqlite", *FAST, *words)
    # A shell's background job ignores SIGINT, and so would what it starts.
    run = subprocess.Popen(
        command, env=environment(""), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no thread yet
    )  # fmt: skip
    with run:
        try:
            yield Started(run, tailrace)
        finally:
            if run.poll() is None:
                run.kill()


def ended(run: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = run.communicate(timeout=WAIT_S)
    return run.returncode, out, err


def test_a_broker_is_removed_when_it_is_gone_and_holds_nothing(tailrace: Tailrace, tmp_path: Path) -> None:
    with started(tailrace, tmp_path, "--port", "0", "--brokers", "2") as cluster:
        assert (
            tailrace("topics", "create", "orders", "--replication-factor", "2", bootstrap=cluster.bootstrap).code == 0
        )
        held = tailrace("cluster", "remove-broker", "2", bootstrap=cluster.bootstrap)
        assert held.code == 1 and "broker 2 holds replicas of 1 partitions, such as orders-0" in held.err
        lives = tailrace("cluster", "remove-broker", "2", "--force", bootstrap=cluster.bootstrap)
        assert lives.code == 1 and "Broker 2 is alive. Stop it first." in lives.err
        os.kill(cluster.pids[2], signal.SIGTERM)
        until(
            lambda: tailrace("cluster", "remove-broker", "2", "--force", bootstrap=cluster.bootstrap).code == 0,
            "it is forgotten",
        )
        again = tailrace("cluster", "remove-broker", "2", "--force", bootstrap=cluster.bootstrap)
        assert again.code == 1 and "Broker ID 2 is not currently registered" in again.err


def alive(pids: dict[int, int]) -> list[int]:
    return [pid for pid in pids.values() if Path(f"/proc/{pid}").exists()]


def until(holds: Any, what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, f"did not come: {what}"
        time.sleep(0.2)


def test_a_whole_cluster_in_the_foreground_described_hurt_and_stopped(tailrace: Tailrace, tmp_path: Path) -> None:
    with started(tailrace, tmp_path, "--port", "0") as cluster:
        assert cluster.words[0] == f"3 brokers, metadata in SQLite ({tmp_path}/cluster.db)\n"
        assert sorted(cluster.pids) == [1, 2, 3]
        words = ["topics", "create", "orders", "--partitions", "3", "--config", "min.insync.replicas=3"]
        assert tailrace(*words, bootstrap=cluster.bootstrap).code == 0
        until(lambda: cluster.describe()[0] == 0, "all in sync")
        text = tailrace("cluster", "describe", "--all", bootstrap=cluster.bootstrap)
        assert "3 of 3 brokers serve  1 topic, 3 partitions: all in sync" in text.out
        assert re.search(r"orders +2 +\d +[\d,]{5} +[\d,]{5} +- +- +-", text.out), text.out

        os.kill(cluster.pids[3], signal.SIGKILL)
        until(lambda: "broker 3 is fenced" in json.dumps(cluster.describe()[1]), "its session ends")
        code, state = cluster.describe()
        assert code == 1 and not state["healthy"]
        assert (state["brokers_healthy"], state["under_min_isr"], state["offline"]) == (2, 3, 0)
        why = "acks=all is refused: 2 in sync of 3 wanted; broker 3 is fenced: dead, stopped or cut off"
        assert {partition["why"] for partition in state["partition_states"]} == {why}
        text = tailrace("cluster", "describe", bootstrap=cluster.bootstrap)
        assert text.code == 1
        assert "3 partitions: 3 under min.insync.replicas, 3 under-replicated" in text.out
        assert text.out.count(why) == 3
        examined = tailrace("doctor", cluster.bootstrap, "--json", bootstrap=cluster.bootstrap)
        found = {each["check"]: each for each in examined.json["findings"]}
        assert examined.code == 1
        assert found["partition-under-min-isr"]["cause"] == why
        assert found["broker-fenced"]["subject"] == "broker 3"
        assert found["address-unreachable"]["what"] == "refuses connections", "one address of three"
        assert found["min-isr-equals-replicas"]["subject"] == "topic orders"
        assert "not-examined" not in found

        cluster.run.send_signal(signal.SIGINT)
        code, out, err = ended(cluster.run)
        assert (code, out) == (0, "stopped\n")
        assert err == f"broker 3 ended (SIGKILL) and is not started again: {tmp_path}/broker-3.log\n"
    assert not alive(cluster.pids)

    with started(tailrace, tmp_path, "--port", "0") as again:
        assert "orders" in tailrace("topics", "list", bootstrap=again.bootstrap).out
        until(lambda: again.describe()[0] == 0, "the third is back and in sync")
        again.run.send_signal(signal.SIGTERM)
        assert ended(again.run)[:2] == (0, "stopped\n")
    assert not alive(again.pids)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--set", "no.such.setting=1"], 2, "no.such.setting"),
        (["--set", "node.id=3"], 2, "node.id is set by the cluster itself"),
        (["--store", "etcd"], 1, "has its metadata in sqlite, not in etcd"),
        (["--brokers", "0"], 2, "--brokers"),
    ],
)
def test_what_cannot_be_started_is_one_sentence(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    (tmp_path / "cluster.db").touch()
    done = subprocess.run(
        command_line("cluster", "start", "--data", str(tmp_path), *words),
        env=environment(""), capture_output=True, text=True, timeout=WAIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert said in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_port_that_is_taken_is_named_and_nothing_is_left(tmp_path: Path, broker: Any) -> None:
    command = command_line("cluster", "start", "--data", str(tmp_path), "--store", "sqlite", "--brokers", "2",
                           "--port", str(broker.port))  # fmt: skip
    done = subprocess.run(command, env=environment(""), capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 1
    assert re.search(rf"the cluster did not start: broker 1 did not start: .*{broker.port}", done.stderr), done.stderr


def test_a_single_broker_is_described_and_nobody_is_exit_code_3(tailrace: Any, topic: str) -> None:
    ended = tailrace("cluster", "describe", "--json")
    assert ended.code == 0 and ended.json["healthy"]
    described = [each for each in ended.json["partition_states"] if each["topic"] == topic]
    assert [(each["leader"], each["in_sync"], each["problems"]) for each in described] == [(1, [1], [])] * 2
    assert described[0]["replicas"][0]["end_offset"] == 0
    nobody = tailrace("cluster", "describe", bootstrap="127.0.0.1:1")
    assert nobody.code == 3 and "cannot ask a broker at 127.0.0.1:1: connection refused" in nobody.err
