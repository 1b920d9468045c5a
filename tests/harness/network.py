"""Hosts of a network inside this machine, a namespace each, on one bridge: cut off, one-way too, and slowed.

Linux only; needs root, iproute2 and nftables. A host is `10.213.<net>.<number>`; this process reaches every one of them
from `10.213.<net>.1`, and is never cut off. What was made is removed by `close`, and what a killed process left by the
next one. Between hosts nothing is answered while they are cut: packets are dropped, as by a cable that was pulled.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

COMMAND_TIMEOUT_S = 60.0
SLOW = ("rate", "2mbit", "burst", "20kb", "latency", "400ms")
"""A link on which a second of the runs' load takes several."""


_numbers = itertools.chain(range(1 + os.getpid() % 250, 255), itertools.cycle(range(1, 255)))
"""Of networks. One is not used twice in a row: clients that a test has left would find the brokers of the next."""


class NoNetwork(Exception):
    """This machine cannot have namespaces; the message says what is missing."""


class Network:
    """A bridge, and hosts on it."""

    def __init__(self, hosts: Iterable[str]) -> None:
        """Make it. Raises NoNetwork."""
        missing = [each for each in ("ip", "tc", "nft") if shutil.which(each) is None]
        if missing or os.geteuid() != 0:
            said = f"not here: {', '.join(missing)} (apt-get install iproute2 nftables)" if missing else "not root"
            raise NoNetwork(f"network namespaces need root, iproute2 and nftables: {said}")
        self._id = f"{os.getpid():x}"
        self._bridge = f"trb{self._id}"
        self._numbers = {host: 10 + index for index, host in enumerate(hosts)}
        self._cut: set[tuple[str, str]] = set()
        _remove_left()
        self.close()
        taken = _run("ip", "-o", "-4", "address")
        self._subnet = next(net for number in _numbers if (net := f"10.213.{number}") + "." not in taken)
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def address(self, host: str) -> str:
        """Its IP address."""
        return f"{self._subnet}.{self._numbers[host]}"

    def inside(self, host: str) -> list[str]:
        """What a command begins with that is to run on the host."""
        return ["ip", "netns", "exec", self._namespace(host)]

    # Faults

    def cut(self, source: str, target: str) -> None:
        """Let nothing that `source` sends reach `target`; the other way is as it was."""
        self._cut.add((source, target))
        self._filter(target)

    def cut_both(self, one: str, other: str) -> None:
        """Let nothing pass between the two."""
        self.cut(one, other)
        self.cut(other, one)

    def slow(self, host: str) -> None:
        """Let everything that the host sends go through a narrow link."""
        _run("tc", "-n", self._namespace(host), "qdisc", "replace", "dev", "eth0", "root", "tbf", *SLOW)

    def heal(self) -> None:
        """End every fault."""
        self._cut.clear()
        for host in self._numbers:
            self._filter(host)
            _run("tc", "-n", self._namespace(host), "qdisc", "del", "dev", "eth0", "root", is_checked=False)

    # Making and removing

    def close(self) -> None:
        """Remove it; what runs inside must have ended. Again is nothing."""
        for host in self._numbers:
            _run("ip", "netns", "del", self._namespace(host), is_checked=False)
        _run("ip", "link", "del", self._bridge, is_checked=False)

    def _make(self) -> None:
        _run("ip", "link", "add", self._bridge, "type", "bridge")
        _run("ip", "address", "add", f"{self._subnet}.1/24", "dev", self._bridge)
        _run("ip", "link", "set", self._bridge, "up")
        for host, number in self._numbers.items():
            space, outer = self._namespace(host), f"trv{self._id}.{number}"
            _run("ip", "netns", "add", space)
            _run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space)
            _run("ip", "link", "set", outer, "master", self._bridge, "up")
            _run("ip", "-n", space, "link", "set", "lo", "up")
            _run("ip", "-n", space, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
            _run("ip", "-n", space, "link", "set", "eth0", "up")
            _run(*self.inside(host), "nft", "add table ip faults; add chain ip faults in "
                 "{ type filter hook input priority 0; }")  # fmt: skip

    def _namespace(self, host: str) -> str:
        return f"tr{self._id}-{host}"

    def _filter(self, target: str) -> None:
        rules = [f"add rule ip faults in ip saddr {self.address(source)} drop"
                 for source, cut in sorted(self._cut) if cut == target]  # fmt: skip
        _run(*self.inside(target), "nft", "; ".join(["flush chain ip faults in", *rules]))


def _remove_left() -> None:
    """Remove what runs that were killed have left."""
    for line in _run("ip", "netns").splitlines():
        found = re.match(r"tr([0-9a-f]+)-", line)
        if found is not None and not Path(f"/proc/{int(found[1], 16)}").exists():
            space = line.split()[0]
            for pid in _run("ip", "netns", "pids", space).split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            _run("ip", "netns", "del", space, is_checked=False)
            _run("ip", "link", "del", f"trb{found[1]}", is_checked=False)


def _run(*command: str, is_checked: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
    if is_checked and done.returncode != 0:
        raise NoNetwork(f"`{' '.join(command)}` fails: {done.stderr.strip()}")
    return done.stdout
