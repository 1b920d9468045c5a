"""The metadata store that the brokers share, as etcd would be: one truth, heard of later, not always reachable.

`SharedStore` is the truth and keeps the image that it makes. A `StoreView` is one process's way to it: what it asks
fails while the way there is cut; an answer that is lost on the way back leaves open whether it happened; news come in
order, when the way is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from tests.sim.network import SimNetwork
from tests.sim.process import Process
from tests.sim.timeline import Timeline

from tailrace.cluster.image import MetadataDelta, MetadataImage
from tailrace.cluster.memory_store import MemoryStore
from tailrace.cluster.records import Record, encode_records
from tailrace.cluster.store import Batch, Loaded, StoreUnavailable, Watcher

T = TypeVar("T")

HOST = "store"
TIMEOUT_MS = 1500.0
"""After which an answer that does not come counts as failed."""


class _TrueClock:
    """The store's clock, which is right."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def wall_ms(self) -> int:
        return int(self._timeline.now_ms)

    def monotonic_ms(self) -> float:
        return self._timeline.now_ms


class SharedStore:
    """The truth."""

    def __init__(self, timeline: Timeline, network: SimNetwork) -> None:
        self.timeline = timeline
        self.network = network
        self.log = MemoryStore(_TrueClock(timeline))
        self.image = MetadataImage()
        self.on_change: Callable[[MetadataDelta], object] = lambda delta: None
        """Told of each change, when it is one."""
        self._views: dict[StoreView, None] = {}
        self._ear = MemoryStore(_TrueClock(timeline), shared_with=self.log)
        self._ear.watch(Watcher(self._on_batch, lambda: None, self._on_leases))

    def _on_batch(self, version: int, records: Sequence[Record]) -> None:
        self.timeline.note(encode_records(records).encode())
        delta = self.image.replay(records, version)
        self.on_change(delta)
        for view in list(self._views):
            view.tell(lambda watcher: watcher.on_batch(version, records))

    def _on_leases(self) -> None:
        for view in list(self._views):
            view.tell(lambda watcher: watcher.on_leases())

    def take_lease(self, name: str) -> None:
        """The store loses a lease, which it should not."""
        holder = self.log.read_leases().get(name)
        if holder is not None:
            self.log.release_lease(name, holder)

    def view(self, process: Process) -> StoreView:
        """A process's way to it."""
        view = StoreView(self, process)
        self._views[view] = None
        process.on_kill.append(view.close)
        return view

    def forget(self, view: StoreView) -> None:
        """It is closed."""
        self._views.pop(view, None)


class StoreView:
    """`cluster.store.MetadataStore` of one process."""

    def __init__(self, shared: SharedStore, process: Process) -> None:
        self._shared = shared
        self._process = process
        self._watcher: Watcher | None = None
        self._last_news_ms = 0.0

    def _ask(self, question: Callable[[], T]) -> T:
        network, host = self._shared.network, self._process.host
        if network.is_cut(host, HOST):
            raise StoreUnavailable("cut off")
        answer = question()
        if network.is_cut(HOST, host):
            raise StoreUnavailable("the answer was lost")
        return answer

    def load(self) -> Loaded:
        return self._ask(self._shared.log.load)

    def load_after(self, version: int) -> list[Batch] | None:
        return self._ask(lambda: self._shared.log.load_after(version))

    def append(self, expected_version: int, records: Sequence[Record]) -> int:
        return self._ask(lambda: self._shared.log.append(expected_version, records))

    def compact(self, version: int, records: Sequence[Record]) -> None:
        self._ask(lambda: self._shared.log.compact(version, records))

    def read_version(self) -> int:
        return self._ask(self._shared.log.read_version)

    def acquire_lease(self, name: str, holder: str, ttl_ms: int, instead_of: str | None = None) -> bool:
        return self._ask(lambda: self._shared.log.acquire_lease(name, holder, ttl_ms, instead_of))

    def release_lease(self, name: str, holder: str) -> None:
        self._ask(lambda: self._shared.log.release_lease(name, holder))

    def read_leases(self) -> dict[str, str]:
        return self._ask(self._shared.log.read_leases)

    def watch(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def tell(self, call: Callable[[Watcher], object]) -> None:
        """Have the process hear it, after what it was told before."""
        network, process, watcher = self._shared.network, self._process, self._watcher
        if watcher is not None:
            told = partial(process.run, lambda: call(watcher))
            self._last_news_ms = network.carry(HOST, process.host, self._last_news_ms, told)

    def close(self) -> None:
        self._watcher = None
        self._shared.forget(self)
