"""An etcd of one member on this host: started, killed, paused and started again on the same data and port; and
brokers of one cluster in it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.harness.brokers import TailraceProcess, free_ports
from tests.harness.cut_proxy import CutProxy

START_TIMEOUT_S = 60.0


class EtcdProcess:
    """Debian's `etcd` on loopback; elsewhere with `host`, and `inside`, what its command begins with."""

    inside: Sequence[str] = ()
    host = "127.0.0.1"

    def __init__(self, directory: Path, *arguments: str, scheme: str = "http") -> None:
        self.directory = directory
        self.port, self._peer_port = free_ports(2)
        self._arguments = arguments
        self._scheme = scheme
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it serves."""
        etcd = shutil.which("etcd")
        assert etcd is not None, "no etcd: run tools/compat.sh, or apt-get install etcd-server"
        client = f"{self._scheme}://{self.host}:{self.port}"
        peer = f"http://127.0.0.1:{self._peer_port}"
        command = [*self.inside, etcd, "--data-dir", str(self.directory / "etcd"),
                   "--logger", "zap", "--log-outputs", "stderr",
                   "--listen-client-urls", client, "--advertise-client-urls", client,
                   "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                   "--initial-cluster", f"default={peer}", *self._arguments]  # fmt: skip
        log = (self.directory / "etcd.log").open("ab")
        begin = log.tell()
        self._process = subprocess.Popen(command, stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + START_TIMEOUT_S
        while b"serving client traffic" not in (self.directory / "etcd.log").read_bytes()[begin:]:
            assert self._process.poll() is None, (self.directory / "etcd.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "etcd does not start"
            time.sleep(0.05)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    def pause(self) -> None:
        """Let it hang: connections stay, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End `pause`."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class EtcdCluster:
    """An etcd, and brokers as processes that reach it through a proxy each. `settings` are those of all brokers."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.settings = settings or {}
        self.etcd = EtcdProcess(directory)
        self.brokers: dict[int, TailraceProcess] = {}
        self.proxies: dict[int, CutProxy] = {}

    def __enter__(self) -> Self:
        self.etcd.start()
        return self

    def __exit__(self, *_: object) -> None:
        for broker in self.brokers.values():
            broker.kill()
        for proxy in self.proxies.values():
            proxy.close()
        self.etcd.kill()

    def start(self, *node_ids: int) -> None:
        """Start brokers, one after the other."""
        for node_id in node_ids:
            if node_id not in self.brokers:
                self.proxies[node_id] = CutProxy(self.etcd.port)
                url = f"etcd://127.0.0.1:{self.proxies[node_id].port}/test"
                settings = {"node.id": str(node_id), "cluster.url": url, **self.settings}
                self.brokers[node_id] = TailraceProcess(self.directory / str(node_id), settings)
            self.brokers[node_id].start()

    def servers(self, *node_ids: int) -> str:
        """Bootstrap addresses of these brokers, or of all that were ever started."""
        return ",".join(self.brokers[node_id].address for node_id in node_ids or self.brokers)
