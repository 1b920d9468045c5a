"""What befalls a cluster, and when: a schedule that follows from a seed, and its execution on real processes.

    KILL           kill -9 of a broker; it is started again `lasts_s` later
    KILL_TWO       of two
    KILL_ALONE     a broker is cut off from the others but not from its clients, and killed at the end of it
    STOP           SIGTERM, to its end; started again `lasts_s` later
    PAUSE          SIGSTOP, and SIGCONT `lasts_s` later
    CUT            nothing passes between two brokers
    CUT_ONE_WAY    nothing that one sends reaches the other
    ALONE          a broker is cut off from the others, but not from etcd or its clients
    NO_ETCD        a broker is cut off from etcd
    DEAF, MUTE     nothing of etcd's reaches a broker, or nothing of the broker's reaches etcd
    ETCD_KILL      kill -9 of etcd; it is started again `lasts_s` later
    ETCD_PAUSE     SIGSTOP of etcd, and SIGCONT `lasts_s` later
    FULL           the disk of a broker is full
    SLOW           what a broker sends goes through a narrow link

One after the other, but what a fault leaves behind, replicas that are not in sync, leaders elsewhere, meets the next.
"""

from __future__ import annotations

import time
from enum import Enum, auto
from random import Random
from typing import NamedTuple

from tests.harness.networked import ETCD, NetworkedCluster


class Kind(Enum):
    KILL = auto()
    KILL_TWO = auto()
    KILL_ALONE = auto()
    STOP = auto()
    PAUSE = auto()
    CUT = auto()
    CUT_ONE_WAY = auto()
    ALONE = auto()
    NO_ETCD = auto()
    DEAF = auto()
    MUTE = auto()
    ETCD_KILL = auto()
    ETCD_PAUSE = auto()
    FULL = auto()
    SLOW = auto()


WEIGHTS = {
    Kind.KILL: 20,
    Kind.KILL_TWO: 5,
    Kind.KILL_ALONE: 8,
    Kind.STOP: 6,
    Kind.PAUSE: 12,
    Kind.CUT: 6,
    Kind.CUT_ONE_WAY: 6,
    Kind.ALONE: 6,
    Kind.NO_ETCD: 7,
    Kind.DEAF: 3,
    Kind.MUTE: 3,
    Kind.ETCD_KILL: 5,
    Kind.ETCD_PAUSE: 5,
    Kind.FULL: 5,
    Kind.SLOW: 3,
}
LONGEST_S = {Kind.PAUSE: 7.0, Kind.NO_ETCD: 7.0, Kind.ETCD_KILL: 5.0, Kind.ETCD_PAUSE: 5.0, Kind.SLOW: 3.0}
"""Longer than the leases of the runs (3 s), where that matters."""
ELSE_LONGEST_S = 5.0


class Fault(NamedTuple):
    """One thing that goes wrong, `after_s` after the last is over. `victims`: every broker, the one meant first."""

    kind: Kind
    after_s: float
    lasts_s: float
    victims: tuple[int, ...]

    def __str__(self) -> str:
        who = ", ".join(map(str, self.victims[:2]))
        return f"{self.kind.name} {who} after {self.after_s:.3f} s for {self.lasts_s:.3f} s"


def schedule(seed: int, seconds: float, brokers: int) -> list[Fault]:
    """Faults for so many seconds, restarts not counted; two at least."""
    random = Random(f"{seed} cluster faults")
    found: list[Fault] = []
    while len(found) < 2 or sum(fault.after_s + fault.lasts_s for fault in found) < seconds:
        kind = random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        lasts_s = LONGEST_S.get(kind, ELSE_LONGEST_S) * random.random() ** 1.5
        victims = tuple(random.sample(range(1, brokers + 1), brokers))
        found.append(Fault(kind, random.uniform(0, 2.0), lasts_s, victims))
    return found


def strike(cluster: NetworkedCluster, fault: Fault) -> None:
    """Let it happen, and return when it is over: nothing is cut any more, and every broker was started."""
    time.sleep(fault.after_s)
    _begin(cluster, fault)
    time.sleep(fault.lasts_s)
    _end(cluster, fault)


def _begin(cluster: NetworkedCluster, fault: Fault) -> None:
    kind, (victim, other) = fault.kind, fault.victims[:2]
    network, broker = cluster.network, cluster.brokers[victim]
    if kind in (Kind.KILL, Kind.KILL_TWO):
        for each in fault.victims[: 1 if kind is Kind.KILL else 2]:
            cluster.brokers[each].kill()
    elif kind is Kind.STOP:
        broker.stop()
    elif kind is Kind.PAUSE:
        broker.pause()
    elif kind is Kind.CUT:
        network.cut_both(str(victim), str(other))
    elif kind is Kind.CUT_ONE_WAY:
        network.cut(str(victim), str(other))
    elif kind in (Kind.ALONE, Kind.KILL_ALONE):
        for each in fault.victims[1:]:
            network.cut_both(str(victim), str(each))
    elif kind is Kind.FULL:
        cluster.fill(victim)
    elif kind is Kind.SLOW:
        network.slow(str(victim))
    else:
        _begin_etcd(cluster, kind, str(victim))


def _begin_etcd(cluster: NetworkedCluster, kind: Kind, victim: str) -> None:
    if kind in (Kind.NO_ETCD, Kind.DEAF):
        cluster.network.cut(ETCD, victim)
    if kind in (Kind.NO_ETCD, Kind.MUTE):
        cluster.network.cut(victim, ETCD)
    if kind is Kind.ETCD_KILL:
        cluster.etcd.kill()
    if kind is Kind.ETCD_PAUSE:
        cluster.etcd.pause()


def _end(cluster: NetworkedCluster, fault: Fault) -> None:
    victim = fault.victims[0]
    if fault.kind is Kind.KILL_ALONE:
        cluster.brokers[victim].kill()
    if fault.kind is Kind.PAUSE:
        cluster.brokers[victim].resume()
    if fault.kind is Kind.ETCD_KILL:
        cluster.etcd.start()
    if fault.kind is Kind.ETCD_PAUSE:
        cluster.etcd.resume()
    if fault.kind is Kind.FULL:
        cluster.free(victim)
    cluster.network.heal()
    for broker in cluster.brokers.values():
        if broker.process is None:
            broker.start()
