"""Brokers of one cluster on a shared memory store and one manual clock: each may be cut off, paused, killed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from tailrace.base.background import InlineBackground
from tailrace.base.clock import ManualClock
from tailrace.base.rand import SeededRandom
from tailrace.cluster.memory_store import MemoryStore
from tailrace.cluster.metadata import Metadata
from tailrace.cluster.records import BrokerRecord, PartitionRecord, Record, TopicRecord
from tailrace.cluster.registration import Life
from tailrace.cluster.settings import BrokerSettings
from tailrace.cluster.store import Batch, Loaded, StoreUnavailable, Watcher
from tailrace.net.timers import TimingWheel
from tailrace.node.membership import Membership, MembershipSurroundings

TOPIC = UUID(int=1)
INTERVAL_MS, TIMEOUT_MS = 1000, 3000
STEP_MS = 100


class CuttableStore(MemoryStore):
    """One broker's look at the shared store. Cut off, it answers nothing and hears nothing; paused, it hears later."""

    is_cut = False
    is_paused = False
    slow_ms = 0.0
    """How long the next answer about a lease takes."""

    def __init__(self, clock: ManualClock, shared_with: MemoryStore) -> None:
        super().__init__(clock, shared_with)
        self._manual_clock = clock
        self._unheard: list[Callable[[], object]] = []

    def _check(self) -> None:
        assert not self.is_paused, "a paused process asks for nothing"
        if self.is_cut:
            raise StoreUnavailable("cut off")

    def load(self) -> Loaded:
        self._check()
        return super().load()

    def load_after(self, version: int) -> list[Batch] | None:
        self._check()
        return super().load_after(version)

    def append(self, expected_version: int, records: Sequence[Record]) -> int:
        self._check()
        return super().append(expected_version, records)

    def acquire_lease(self, name: str, holder: str, ttl_ms: int, instead_of: str | None = None) -> bool:
        self._check()
        is_acquired = super().acquire_lease(name, holder, ttl_ms, instead_of)
        self._manual_clock.advance(self.slow_ms)
        self.slow_ms = 0.0
        return is_acquired

    def watch(self, watcher: Watcher) -> None:
        def heard(call: Callable[..., object]) -> Callable[..., object]:
            def hear(*arguments: object) -> None:
                if self.is_paused:
                    self._unheard.append(lambda: call(*arguments))
                elif not self.is_cut:
                    call(*arguments)

            return hear

        super().watch(Watcher(*map(heard, watcher)))

    def hear(self) -> None:
        """What was sent while it was paused arrives, if it is not cut off."""
        unheard, self._unheard = self._unheard, []
        for call in unheard:
            if not self.is_cut:
                call()


class Broker:
    """One of them, with timers of its own, which stand still while it is paused."""

    def __init__(self, world: World, life: Life, directory: str) -> None:
        self.clock = world.clock
        self.store = CuttableStore(world.clock, world.first)
        self.timers = TimingWheel(now_ms=self.clock.monotonic_ms(), read_ms=self.clock.monotonic_ms)
        self.metadata = Metadata(self.store, life.broker_id, BrokerSettings(), SeededRandom(life.broker_id))
        around = MembershipSurroundings(self.metadata, self.store, InlineBackground(), self.timers, world.clock)
        self.membership = Membership(around, life)
        self.membership.join(BrokerRecord(life.broker_id, "", 0, None, ((directory, "/d"),), life.incarnation_id))
        assert self.membership.is_fenced, "not before it serves"
        self.membership.serve("h", 9000 + life.broker_id)

    def run_timers(self) -> None:
        while not self.store.is_paused and self.timers.advance(self.clock.monotonic_ms()):
            pass

    def pause(self) -> None:
        self.store.is_paused = True

    def resume(self) -> None:
        """What comes first when a process goes on, timers or messages, is open: `run_timers` is left to the caller."""
        self.store.is_paused = False

    def die(self) -> None:
        """As a kill: nothing is given back."""
        self.membership.close()
        self.store.is_paused = False
        self.store.is_cut = True

    def stop(self) -> None:
        self.membership.leave()
        self.membership.close()
        self.membership.release()
        self.store.close()

    def leads(self, topic: str, index: int) -> int | None:
        """The epoch in which it would serve a client as the leader at this moment; None where it would not."""
        partition = self.metadata.image.partition(topic, index)
        if self.store.is_paused or self.membership.is_fenced or partition is None:
            return None
        return partition.leader_epoch if partition.leader == self.membership.life.broker_id else None


class World:
    """Time, a shared store, and brokers."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.first = MemoryStore(self.clock)
        self.brokers: dict[int, Broker] = {}
        self._lives = 0

    def start(self, broker_id: int, directory: str | None = None) -> Broker:
        """A new process of a broker."""
        self._lives += 1
        life = Life(broker_id, f"{broker_id}-{self._lives}")
        self.brokers[broker_id] = Broker(self, life, directory or f"d{broker_id}")
        return self.brokers[broker_id]

    def advance(self, ms: float) -> None:
        for _ in range(int(ms / STEP_MS)):
            self.clock.advance(STEP_MS)
            for broker in list(self.brokers.values()):
                broker.run_timers()

    def create(self, *replicas_of: tuple[int, ...]) -> None:
        """Topic "t", a partition for each tuple of replicas, led by the first."""
        partitions = (
            PartitionRecord(TOPIC, index, replicas[0], 0, replicas, replicas, 0)
            for index, replicas in enumerate(replicas_of)
        )
        self._sees.metadata.commit_now([TopicRecord("t", TOPIC), *partitions])

    @property
    def fenced(self) -> dict[int, bool]:
        return {broker_id: broker.membership.is_fenced for broker_id, broker in self.brokers.items()}

    @property
    def _sees(self) -> Broker:
        return next(each for each in self.brokers.values() if not each.store.is_cut and not each.store.is_paused)

    @property
    def live(self) -> list[int]:
        """As any broker that is not cut off sees it."""
        return sorted(self._sees.metadata.image.live_brokers)

    @property
    def controller(self) -> tuple[int, int]:
        return self._sees.metadata.image.controller[:2]
