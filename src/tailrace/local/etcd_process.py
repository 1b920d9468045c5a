"""An etcd of one member for a local cluster: the program `etcd` of this host, with its data beside the brokers'."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from tailrace.base.errors import TailraceError
from tailrace.local.processes import Process

ETCD_DIRECTORY: Final = "etcd"
READY: Final = b"serving client traffic"
"""What etcd 3.4 to 3.6 write when they answer."""


def etcd_program() -> str | None:
    """Where etcd is installed; None: it is not."""
    return shutil.which("etcd")


def etcd_process(directory: Path, port: int, peer_port: int) -> Process:
    """An etcd that answers at `port` of loopback, not started. Raises TailraceError where there is none."""
    program = etcd_program()
    if program is None:
        raise TailraceError("etcd is not installed: no program `etcd` on the path")
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    arguments = ["exec", program, "--name", "local", "--data-dir", str(directory / ETCD_DIRECTORY),
                 "--logger", "zap", "--log-outputs", "stderr",
                 "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 "--initial-cluster", f"local={peer}"]  # fmt: skip
    return Process("etcd", arguments, directory / "etcd.log", READY)
