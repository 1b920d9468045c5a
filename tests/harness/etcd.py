"""An etcd of one member on this host: started, killed, paused and started again on the same data and port."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.harness.brokers import free_ports

START_TIMEOUT_S = 15.0


class EtcdProcess:
    """Debian's `etcd` on loopback."""

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
        client = f"{self._scheme}://127.0.0.1:{self.port}"
        peer = f"http://127.0.0.1:{self._peer_port}"
        command = [etcd, "--data-dir", str(self.directory / "etcd"), "--logger", "zap", "--log-outputs", "stderr",
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
