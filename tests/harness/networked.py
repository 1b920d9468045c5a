"""A cluster whose brokers and etcd are processes on hosts of their own, each broker with a small disk of its own.

A disk is a tmpfs: `fill` takes what is left of it. What is mounted and made is removed at the end, whatever happened.
Clients are in this process and reach every broker, whatever is cut between the brokers.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.harness.brokers import TailraceProcess
from tests.harness.etcd import EtcdProcess
from tests.harness.network import COMMAND_TIMEOUT_S, Network

ETCD = "etcd"
PORT = 9092
DISK_BYTES = 192 << 20
BALLAST = "ballast"


class NetworkedBroker(TailraceProcess):
    """A broker on a host."""

    inside: list[str]

    def _command(self) -> list[str]:
        return [*self.inside, *super()._command()]

    @property
    def disk(self) -> Path:
        """Where its disk is mounted."""
        return self.directory / "disk"

    @property
    def data_directory(self) -> Path:
        return self.disk / "data"

    @property
    def is_running(self) -> bool:
        """Whether it was started, not stopped, and has not ended by itself."""
        return self.process is not None and self.process.poll() is None


class NetworkedCluster:
    """Brokers 1 to `count`, and an etcd. Entered and left once."""

    def __init__(self, directory: Path, count: int, settings: Mapping[str, str]) -> None:
        self.directory = directory
        self.node_ids = range(1, count + 1)
        self.network = Network([ETCD, *map(str, self.node_ids)])
        self.etcd = EtcdProcess(directory)
        self.etcd.host, self.etcd.inside = self.network.address(ETCD), self.network.inside(ETCD)
        self.brokers = {node_id: self._broker(node_id, settings) for node_id in self.node_ids}

    def _broker(self, node_id: int, settings: Mapping[str, str]) -> NetworkedBroker:
        url = f"etcd://{self.etcd.host}:{self.etcd.port}/test"
        broker = NetworkedBroker(
            self.directory / f"broker-{node_id}", {"node.id": str(node_id), "cluster.url": url, **settings}
        )
        broker.host, broker.port = self.network.address(str(node_id)), PORT
        broker.inside = self.network.inside(str(node_id))
        return broker

    def __enter__(self) -> Self:
        try:
            self.etcd.start()
            for broker in self.brokers.values():
                broker.disk.mkdir()
                _run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tailrace-test", str(broker.disk))
                broker.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for broker in self.brokers.values():
            broker.kill()
        self.etcd.kill()
        for broker in self.brokers.values():
            if broker.disk.is_mount():
                _run("umount", "--lazy", str(broker.disk))
        self.network.close()

    @property
    def servers(self) -> str:
        """Bootstrap addresses of all."""
        return ",".join(broker.address for broker in self.brokers.values())

    def fill(self, node_id: int) -> None:
        """Leave no byte free on the broker's disk."""
        with suppress(OSError), (self.brokers[node_id].disk / BALLAST).open("wb", buffering=0) as file:
            piece = bytes(1 << 20)
            while len(piece):
                try:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), len(piece))
                except OSError:
                    piece = piece[: len(piece) // 2]

    def free(self, node_id: int) -> None:
        """End `fill`."""
        (self.brokers[node_id].disk / BALLAST).unlink(missing_ok=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=COMMAND_TIMEOUT_S)
