"""A broker's place in its cluster: its lease renewed, its fence, and the controller's work while it holds that office.

    every broker.heartbeat.interval.ms, in a thread:  renew the lease, read leases and version, try for the office
    then, in the loop:                                fenced or not? anything missed? brokers gone? (controller)

Invariants: the broker is fenced (serves nothing that needs leadership) unless its lease counts by its own clock and the
image shows its present life unfenced; so it stops before another may lead in its place. Each change is logged once.
Not its business: the decisions (`cluster.registration`), what a fence refuses (`broker.fence`).
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Final, NamedTuple

from tailrace.base.background import Background
from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode, KafkaError, TailraceError
from tailrace.base.pending import Pending
from tailrace.cluster.elections import active_brokers, decide_preferred
from tailrace.cluster.image import MetadataDelta, MetadataImage
from tailrace.cluster.metadata import Metadata
from tailrace.cluster.proposal import Decided
from tailrace.cluster.records import BrokerRecord
from tailrace.cluster.registration import (
    CONTROLLER_LEASE,
    Fenced,
    Life,
    broker_lease,
    decide_claim,
    decide_fence,
    decide_registration,
    decide_shut_down,
    decide_unfence,
    is_in_office,
    live_lives,
    without_lease,
)
from tailrace.cluster.session import Session
from tailrace.cluster.store import MetadataStore, StoreUnavailable
from tailrace.coordinator.ports import TimerHandle, Timers

_log = logging.getLogger("tailrace.cluster")

CATCH_UP_LOOK_MS: Final = 50
"""How soon a broker that has its lease back looks again whether it has read what it missed."""

ELECTIONS_PER_BALANCE_MAX: Final = 1000
"""Leaders that go back to their preferred replicas at a time. Source: Kafka ReplicationControlManager."""


class MembershipSurroundings(NamedTuple):
    """What a membership is given to work with. `leases`: a thread that waits for etcd, apart from the appends."""

    metadata: Metadata
    store: MetadataStore
    leases: Background
    timers: Timers
    clock: Clock


class Beat(NamedTuple):
    """What a look at the store found."""

    sent_ms: float
    is_held: bool
    is_controller: bool
    leases: dict[str, str]
    version: int
    is_released: bool = False
    """The lease was given back, not asked for."""


class Membership:
    """One broker's. One owner, the loop's thread."""

    def __init__(self, around: MembershipSurroundings, life: Life) -> None:
        """It begins fenced."""
        settings = around.metadata.settings
        self.life = life
        self._around = around
        self.unfenced: Pending[None] = Pending()
        """Completes when the broker is unfenced for the first time."""
        self._address = ("", 0)
        self._timeout_ms = settings.integer("broker.session.timeout.ms")
        self._interval_ms = settings.integer("broker.heartbeat.interval.ms")
        self._session = Session(self._timeout_ms)
        self._was_fenced = True
        """Whether it was when somebody last looked; told in the log when it changes."""
        self._timers: list[TimerHandle] = []
        self._is_beating = False
        self._is_wanted = False
        self._is_unfencing = False
        self._is_settling = False
        self._is_leaving = False
        self._is_closed = False
        self._version_seen = 0
        self._is_lost = False
        """Whether it does not know any more what the cluster decides."""
        self._followed_ms = around.clock.monotonic_ms()
        """When the image last held what the look before had found."""
        self._trouble = ""
        self._balanced_ms = self._followed_ms
        """When leaders were last given back to their preferred replicas; while another is the controller, now."""

    # -- coming ----------------------------------------------------------------------------------------------------

    def join(self, record: BrokerRecord) -> None:
        """Take the broker's lease and begin its life, fenced. Waits; only before the broker serves.

        The lease of a life that had the same log directories is taken over at once: this process has locked them.
        Raises TailraceError when another process holds it, or the store is not there.
        """
        around, (broker_id, incarnation_id) = self._around, self.life
        known = around.metadata.image.brokers.get(broker_id)
        ours = {directory_id for directory_id, _ in record.directories}
        is_ours = known is not None and not ours.isdisjoint(directory_id for directory_id, _ in known.directories)
        dead = known.incarnation_id if known is not None and is_ours else None
        sent_ms = around.clock.monotonic_ms()
        if not around.store.acquire_lease(broker_lease(broker_id), incarnation_id, self._timeout_ms, dead):
            raise TailraceError(
                f"node id {broker_id} is in use by another process of the cluster. Give this one another node.id; "
                f"or, if that process ended, start again in {self._timeout_ms} ms"
            )
        self._session.on_renewed(sent_ms, around.clock.monotonic_ms())
        rules_of, leases = around.metadata.election_rules, around.store.read_leases()

        def register(image: MetadataImage) -> Decided[None]:
            gone = frozenset(each for each, holder in live_lives(image) if leases.get(broker_lease(each)) != holder)
            return Decided(None, decide_registration(image, record, rules_of, gone))

        around.metadata.settle(register)

    def serve(self, host: str, port: int) -> None:
        """The broker listens, at this address: begin to renew the lease, and be unfenced."""
        self._address = host, port
        around = self._around
        around.metadata.listen(self._on_delta)
        around.metadata.on_leases = self.look
        self._timers = [
            around.timers.schedule(self._interval_ms, self._on_interval),
            around.timers.schedule(self._timeout_ms, self._check),
        ]
        self.look()

    # -- looking ---------------------------------------------------------------------------------------------------

    def _on_interval(self) -> None:
        self._timers[0].reset(self._interval_ms)
        self.look()

    def look(self) -> None:
        """Renew the lease and look at the store, soon; once more afterwards if asked meanwhile."""
        if self._is_closed:
            return
        if self._is_beating:
            self._is_wanted = True
            return
        self._is_beating, self._is_wanted = True, False
        image = self._around.metadata.image
        self._around.leases.submit(self._beat, partial(self._on_beat, live_lives(image), image.version))

    def _beat(self) -> Beat:
        """In the thread."""
        store, (broker_id, holder) = self._around.store, self.life
        sent_ms = self._around.clock.monotonic_ms()
        if self._is_lost:  # others are to lead in its place
            store.release_lease(broker_lease(broker_id), holder)
            store.release_lease(CONTROLLER_LEASE, holder)
            return Beat(sent_ms, False, False, {}, store.read_version(), is_released=True)
        is_held = store.acquire_lease(broker_lease(broker_id), holder, self._timeout_ms)
        leases = store.read_leases()
        is_held = is_held and leases.get(broker_lease(broker_id)) == holder
        may_be = is_held and not self._is_leaving and leases.get(CONTROLLER_LEASE, holder) == holder
        is_controller = may_be and store.acquire_lease(CONTROLLER_LEASE, holder, self._timeout_ms)
        return Beat(sent_ms, is_held, is_controller, leases, store.read_version())

    def _on_beat(self, lives: list[Life], version: int, beat: Beat | Exception) -> None:
        self._is_beating = False
        if self._is_closed:
            return
        if isinstance(beat, Beat) and beat.version < version:
            self._session.on_lost()
            self._tell_trouble(
                f"the metadata went back from version {version} to {beat.version}: it was restored from an older copy. "
                "Stop every broker of the cluster and start it again"
            )
        elif isinstance(beat, Beat):
            self._on_found(lives, beat)
        elif not isinstance(beat, StoreUnavailable):  # that one is told by the store's health
            self._tell_trouble(f"the cluster's metadata cannot be read: {beat}")
        self._check()
        if self._is_wanted:
            self.look()

    def _on_found(self, lives: list[Life], beat: Beat) -> None:
        metadata = self._around.metadata
        now_ms = self._around.clock.monotonic_ms()
        if metadata.image.version >= self._version_seen:
            self._followed_ms = now_ms
        else:  # the watch had a whole interval, and is silent
            metadata.catch_up()
        self._version_seen = beat.version
        self._is_lost = now_ms - self._followed_ms > self._timeout_ms
        if self._is_lost:
            self._session.on_lost()
            self._tell_trouble("the cluster's metadata cannot be followed; this broker is fenced until it can")
        elif beat.is_released:
            self._is_wanted = True  # it follows again
        elif not beat.is_held:
            self._session.on_lost()
            if beat.leases.get(broker_lease(self.life.broker_id)) not in (None, self.life.incarnation_id):
                self._tell_trouble(f"node id {self.life.broker_id} is in use by another process; this one is fenced")
            else:  # it was ended just now: it is to be taken anew
                self._is_wanted = True
        elif metadata.image.version >= beat.version or self._session.is_held(now_ms):
            self._trouble = ""
            self._session.on_renewed(beat.sent_ms, now_ms)
            self._is_wanted |= not self._session.is_held(now_ms)
        else:  # the lease was lost for a while: what was decided meanwhile comes first
            metadata.catch_up()
            self._timers[0].reset(CATCH_UP_LOOK_MS)
        if beat.is_controller:
            self._settle(without_lease(lives, beat.leases))
            self._balance(now_ms)
        else:
            self._balanced_ms = now_ms
            metadata.compact_if_long()

    # -- the fence -------------------------------------------------------------------------------------------------

    @property
    def is_fenced(self) -> bool:
        """Whether the broker must serve nothing that needs leadership, as of this moment: also in the first request
        after the process was stopped for a while, before any timer."""
        return self._was_fenced or not self._session.is_held(self._around.clock.monotonic_ms())

    def _on_delta(self, delta: MetadataDelta) -> None:
        if self.life.broker_id in delta.brokers_changed:
            self._check()

    def _check(self) -> None:
        """Fence or not, as the lease and the image say now; and again when the lease would end."""
        if self._is_closed:
            return
        now_ms = self._around.clock.monotonic_ms()
        is_held = self._session.is_held(now_ms)
        image = self._around.metadata.image
        known = image.brokers.get(self.life.broker_id)
        is_present = known is not None and known.incarnation_id == self.life.incarnation_id
        if known is None and not self._was_fenced:
            self._tell_trouble(f"broker {self.life.broker_id} was removed from the cluster; start it again to join")
        is_unfenced = is_present and not image.is_fenced(self.life.broker_id)
        if is_held and self._session.deadline_ms is not None:
            self._timers[1].reset(self._session.deadline_ms - now_ms)
        self._tell_fence(not (is_held and is_unfenced), is_held=is_held)
        if is_held and is_present and known is not None and not self._is_leaving:
            wanted = known._replace(host=self._address[0], port=self._address[1])
            if not is_unfenced or known != wanted:
                self._unfence(wanted)

    def _tell_fence(self, is_fenced: bool, *, is_held: bool) -> None:
        if is_fenced == self._was_fenced:
            return
        self._was_fenced = is_fenced
        if not is_fenced:
            _log.info("broker %d serves in the cluster", self.life.broker_id)
        elif not is_held:
            _log.error(
                "lease lost: not renewed for %d ms. Broker %d is fenced: it leads nothing until it has it again",
                self._timeout_ms,
                self.life.broker_id,
            )
        else:
            _log.error("broker %d was fenced by the controller, or by another life of it", self.life.broker_id)
        if not self.unfenced.done:
            self.unfenced.complete(None)

    def _unfence(self, record: BrokerRecord) -> None:
        if self._is_unfencing:
            return
        self._is_unfencing = True
        metadata = self._around.metadata
        rules_of = metadata.election_rules

        def answer(outcome: TailraceError | None) -> None:
            self._is_unfencing = False
            if isinstance(outcome, KafkaError) and outcome.code is ErrorCode.DUPLICATE_BROKER_REGISTRATION:
                self._tell_trouble(f"{outcome} This process is fenced for good; stop it.")

        metadata.propose(lambda image: Decided(None, decide_unfence(image, record, rules_of))).on_complete(answer)

    def _tell_trouble(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            _log.error("%s", trouble)

    # -- the controller --------------------------------------------------------------------------------------------

    def _settle(self, dead: frozenset[Life]) -> None:
        """Take office if another has it, and fence the dead."""
        metadata, life = self._around.metadata, self.life
        was_in_office = is_in_office(metadata.image, life)
        if self._is_settling or (was_in_office and not dead):
            return
        self._is_settling = True

        def decide(image: MetadataImage) -> Decided[Fenced]:
            fenced = decide_fence(image, life, dead, metadata.election_rules)
            return Decided(fenced, fenced.records)

        def claimed(outcome: TailraceError | None) -> None:
            if isinstance(outcome, TailraceError):
                self._is_settling = False
                return
            if not was_in_office:
                _log.warning("broker %d is the controller, epoch %d", life.broker_id, metadata.image.controller.epoch)
            metadata.propose(decide).on_complete(self._on_settled)

        metadata.propose(lambda image: Decided(None, decide_claim(image, life))).on_complete(claimed)

    def _on_settled(self, outcome: Fenced | TailraceError) -> None:
        self._is_settling = False
        if isinstance(outcome, Fenced):
            if outcome.brokers:
                _log.warning("brokers fenced, for their leases are gone: %s", _numbers(outcome.brokers))
            for topic, index in outcome.unclean:
                _log.error("%s-%d has a leader that may lack committed records", topic, index)

    def _balance(self, now_ms: float) -> None:
        """Now and then, have the preferred replicas lead again."""
        metadata = self._around.metadata
        interval_ms = metadata.settings.integer("leader.imbalance.check.interval.seconds") * 1000
        if now_ms - self._balanced_ms < interval_ms:
            return
        self._balanced_ms = now_ms
        if not metadata.settings.boolean("auto.leader.rebalance.enable"):
            return

        def decide(image: MetadataImage) -> Decided[int]:
            if not is_in_office(image, self.life):
                return Decided(0, [])
            records = decide_preferred(image, active_brokers(image))[:ELECTIONS_PER_BALANCE_MAX]
            return Decided(len(records), records)

        def answer(outcome: int | TailraceError) -> None:
            if isinstance(outcome, int) and outcome:
                _log.info("%d partitions are led by their preferred replicas again", outcome)

        metadata.propose(decide).on_complete(answer)

    # -- going -----------------------------------------------------------------------------------------------------

    def leave(self) -> Pending[TailraceError | None]:
        """Hand over what is led, before a clean stop. Completes when the metadata says so, or cannot."""
        self._is_leaving = True
        metadata, life = self._around.metadata, self.life
        return metadata.propose(lambda image: Decided(None, decide_shut_down(image, life, metadata.election_rules)))

    def close(self) -> None:
        """Renew no more."""
        self._is_closed = True
        for timer in self._timers:
            timer.cancel()

    def release(self) -> None:
        """Let others know at once that this process is gone; leases that do not count any more are left. Waits."""
        if not self._session.is_held(self._around.clock.monotonic_ms()):
            return
        store, (broker_id, holder) = self._around.store, self.life
        try:
            for lease in (CONTROLLER_LEASE, broker_lease(broker_id)):
                store.release_lease(lease, holder)
        except StoreUnavailable as error:
            _log.warning("the lease is left to end by itself: %s", error)


def _numbers(broker_ids: list[int]) -> str:
    return ", ".join(map(str, broker_ids))
