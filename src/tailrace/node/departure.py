"""What comes before a clean stop's handing over: whoever is counted on afterwards is known to be alive.

    begin -> ask every broker that is in sync where this one is -> all answered, or fenced meanwhile -> hand over

A broker that died a moment ago is in sync for as long as its lease runs. To leave in sync only such brokers would be to
give the only copy away: when they return they are in sync with nothing, for they may have lost what was not synced, and
this one is not either. Once they are fenced it stays eligible to lead, as the last that had everything.

Invariant: handed over is once, at the latest after `wait_max_ms`: by then the lease of whoever was dead has ended, so
one that neither answered nor was fenced is alive, and only cannot be reached from here.
Not its business: what handing over decides (`cluster.registration`), what the answer says: any is a sign of life.
Source: ours. Kafka's controller counts on every broker whose session has not ended (ReplicationControlManager).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from tailrace.base.clock import Clock
from tailrace.base.errors import TailraceError
from tailrace.base.limits import LEAVE_MAX_MS
from tailrace.cluster.elections import in_sync_beside
from tailrace.cluster.metadata import Metadata
from tailrace.cluster.settings import BrokerSettings
from tailrace.coordinator.ports import TimerHandle, Timers
from tailrace.node.membership import Membership

_log = logging.getLogger("tailrace.cluster")

LOOK_MS: Final = 200
"""How often a broker that refused is asked again, for it may be starting, and this one looks whether it is fenced."""

ANSWER_LASTS_MS: Final = 1_000
"""For how long an answer counts, where others are waited for. An answer takes a few ms, a lease some seconds."""

LEASE_GRACE_MS: Final = 1_500
"""How much later than asked for a lease may end: etcd makes the shortest two seconds, and is half a second late."""

IsAlive = Callable[[bool], object]
"""Called with whether a broker answered."""


class DeparturePorts(NamedTuple):
    """What a departure works with. `ask` tells once, in a later step."""

    membership: Membership
    metadata: Metadata
    timers: Timers
    clock: Clock
    ask: Callable[[int, IsAlive], object]


def wait_max_ms(settings: BrokerSettings) -> float:
    """How long others are waited for at most: until a dead controller's lease has ended, another is in office and has
    fenced the dead."""
    session_ms = settings.integer("broker.session.timeout.ms")
    return session_ms + 3 * settings.integer("broker.heartbeat.interval.ms") + LEASE_GRACE_MS


class Departure:
    """One broker's, once. One owner, the loop's thread."""

    def __init__(self, ports: DeparturePorts, done: Callable[[], object]) -> None:
        """`done()` once: when it is handed over, or that was refused; when the store has not answered for
        `LEAVE_MAX_MS`, or the broker is fenced, which leaves nothing to hand over."""
        self._ports = ports
        self._done = done
        self._asked: set[int] = set()
        """Brokers of which an answer is to come."""
        self._answered_ms: dict[int, float] = {}
        self._timers: list[TimerHandle] = []
        self._is_handed_over = False
        self._is_over = False

    def begin(self) -> None:
        """Ask, and wait."""
        ports = self._ports
        ports.metadata.listen(lambda _: self._look())
        schedule = ports.timers.schedule
        self._timers += [
            schedule(LOOK_MS, self._on_interval),
            schedule(wait_max_ms(ports.metadata.settings), self._give_up),
        ]
        self._look()

    def _on_interval(self) -> None:
        self._timers[0].reset(LOOK_MS)
        self._look()

    def _look(self) -> None:
        """Ask whoever has not answered; hand over when there is nobody."""
        if self._is_handed_over or self._is_over:
            return
        if self._ports.membership.is_fenced:
            self._end()
            return
        silent = self._silent()
        if not silent:
            self._hand_over()
        for broker_id in silent - self._asked:
            self._asked.add(broker_id)
            self._ports.ask(broker_id, partial(self._on_answer, broker_id))

    def _silent(self) -> frozenset[int]:
        ports = self._ports
        since_ms = ports.clock.monotonic_ms() - ANSWER_LASTS_MS
        awaited = in_sync_beside(ports.metadata.image, ports.metadata.node_id)
        return frozenset(each for each in awaited if self._answered_ms.get(each, since_ms) <= since_ms)

    def _on_answer(self, broker_id: int, is_alive: bool) -> None:
        self._asked.discard(broker_id)
        if is_alive:
            self._answered_ms[broker_id] = self._ports.clock.monotonic_ms()
            self._look()

    def _give_up(self) -> None:
        if not self._is_handed_over and not self._is_over:
            numbers = ", ".join(map(str, sorted(self._silent())))
            _log.warning("handed over without an answer of broker %s, which is not fenced", numbers)
            self._hand_over()

    def _hand_over(self) -> None:
        self._is_handed_over = True
        self._timers.append(self._ports.timers.schedule(LEAVE_MAX_MS, self._end))
        self._ports.membership.leave().on_complete(self._on_handed_over)

    def _on_handed_over(self, _: TailraceError | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            for timer in self._timers:
                timer.cancel()
            self._done()
