"""What a broker in a cluster has and one that is alone has not: the shared store, a life, a membership.

Built by `Server` in three steps: open the store (before the logs, which bear the cluster's id), join (before anything
is led), serve (when clients are answered). Loaded by brokers of a cluster only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from tailrace.base.clock import Clock
from tailrace.base.limits import LEAVE_MAX_MS
from tailrace.base.rand import Random
from tailrace.broker.services import Services
from tailrace.cluster.metadata import Metadata
from tailrace.cluster.records import BrokerRecord
from tailrace.cluster.registration import Life
from tailrace.cluster.settings import BrokerSettings
from tailrace.net.address import Address
from tailrace.net.loop import Engine
from tailrace.node.background import Pools
from tailrace.node.cluster_store import cluster_id_of, open_cluster_store
from tailrace.node.departure import Departure, DeparturePorts, wait_max_ms
from tailrace.node.listeners import advertised_address, check_reachable
from tailrace.node.membership import Membership, MembershipSurroundings

if TYPE_CHECKING:
    from tailrace.node.peers import Peers


class ClusteredOptions(NamedTuple):
    """What it is built from."""

    settings: BrokerSettings
    node_id: int
    clock: Clock
    random: Random


class Clustered:
    """One broker's part in its cluster. Started and stopped once."""

    def __init__(self, options: ClusteredOptions, post: Callable[[Callable[[], object]], object]) -> None:
        """Open the store and learn the cluster's id. Waits. Raises TailraceError, one sentence."""
        self._settings = options.settings
        self._clock = options.clock
        self.life = Life(options.node_id, options.random.uuid().hex)
        self.store = open_cluster_store(options.settings, self.life.incarnation_id, options.clock, post)
        self._membership: Membership | None = None
        self._peers: Peers | None = None
        """Who is asked before a stop."""
        try:
            self.cluster_id = cluster_id_of(self.store, options.random)
        except BaseException:
            self.store.close()
            raise

    def join(self, metadata: Metadata, record: BrokerRecord, engine: Engine, pools: Pools) -> None:
        """Take the lease and register, fenced. Waits. Raises TailraceError."""
        around = MembershipSurroundings(metadata, self.store, pools.leases, engine.timers, self._clock)
        self._membership = Membership(around, self.life)
        self._membership.join(record._replace(incarnation_id=self.life.incarnation_id))

    def serve(self, services: Services, served: Address, done: Callable[[], None]) -> None:
        """Clients are answered: be unfenced; then `done()`. Raises TailraceError for an address of no use to others."""
        membership = self._membership
        assert membership is not None
        services.is_fenced = lambda: membership.is_fenced
        host, port = advertised_address(self._settings) or check_reachable(served)
        membership.unfenced.on_complete(lambda _: done())
        membership.serve(host, port)

    def leave(self, services: Services, engine: Engine, done: Callable[[], None]) -> None:
        """Have others lead what is led here, when they are known to be alive; then, or when that cannot be or there is
        nothing, `done()`."""
        membership = self._membership
        if membership is None or membership.is_fenced:
            done()
            return
        from tailrace.node.peers import Peers  # start-up time: wanted at a stop only

        metadata = services.metadata
        peers = self._peers = Peers(metadata, engine, "leaving")
        ports = DeparturePorts(membership, metadata, engine.timers, self._clock, peers.ask_whether_alive)
        Departure(ports, done).begin()

    @property
    def leave_max_ms(self) -> float:
        """How long `leave` may take."""
        return wait_max_ms(self._settings) + LEAVE_MAX_MS

    def close(self) -> None:
        """Renew no more, and ask nobody."""
        if self._membership is not None:
            self._membership.close()
        if self._peers is not None:
            self._peers.close()

    def end(self, *, gives_back: bool) -> None:
        """Give the leases back, if that is wanted, and end every call to etcd that still waits. Waits itself, a second
        at most; after `close`."""
        if gives_back and self._membership is not None:
            self._membership.release()
        self.store.close()
