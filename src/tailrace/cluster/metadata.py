"""The metadata of the cluster as one broker sees it: the image, and the one way to change it.

    propose(decide) -> its turn: decide against the image -> append to the store -> replay -> tell listeners -> answer
                                  somebody else was first: replay what they wrote, decide again

Invariants: the image never holds what the store does not; one proposal at a time is between its decision and its
answer, in the order they were made. The append runs in the background, everything else in the owner's thread.
Listeners run in the order they were added, after the whole batch is replayed; a listener may propose, and that batch is
told after the running one has been told to everybody.
Not its business: what to decide.
"""

from __future__ import annotations

import logging
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias, TypeVar
from uuid import UUID

from tailrace.base.background import Background, InlineBackground
from tailrace.base.config import ConfigValue
from tailrace.base.errors import ErrorCode, KafkaError, TailraceError
from tailrace.base.pending import Pending
from tailrace.base.rand import Random
from tailrace.base.types import ZERO_TOPIC_ID
from tailrace.cluster.controller import TopicDefaults
from tailrace.cluster.elections import ElectionRules
from tailrace.cluster.image import MetadataDelta, MetadataImage
from tailrace.cluster.image_difference import difference
from tailrace.cluster.producer_ids import ProducerIds
from tailrace.cluster.proposal import Decide, Decided, Proposal
from tailrace.cluster.records import BrokerRecord, ClusterRecord, Record, ResourceType
from tailrace.cluster.settings import BrokerSettings
from tailrace.cluster.store import Batch, Loaded, MetadataStore, StaleVersion, StoreUnavailable, Watcher
from tailrace.cluster.topic_settings import effective_topic_configs

T = TypeVar("T")

_log = logging.getLogger("tailrace.cluster")

Listener: TypeAlias = Callable[[MetadataDelta], None]

COMPACT_AFTER_RECORDS: Final = 1000
"""Records of dead history that are left alone. Beyond it, and beyond the living ones, a start rewrites the history."""

DECISIONS_MAX: Final = 100
"""Times that a proposal is decided, when others append first each time, before it is refused."""


class Metadata:
    """The current image, commits to it, and the settings derived from it."""

    def __init__(
        self,
        store: MetadataStore,
        node_id: int,
        settings: BrokerSettings,
        random: Random,
        background: Background | None = None,
    ) -> None:
        """Load the store's image. A store that holds nothing is given a cluster id.

        `background` is where appends wait, one at a time; None: in the caller's thread.
        """
        self.image = MetadataImage()
        self.node_id = node_id
        self.settings = settings
        self._store = store
        self._background = InlineBackground() if background is None else background
        self._random = random
        self._listeners: list[Listener] = []
        self._untold: deque[MetadataDelta] = deque()
        self._telling = False
        self._queue: deque[Proposal[Any]] = deque()
        self._is_running = False
        self._is_waiting = False
        """Whether the store is at work on a proposal."""
        self._is_catching_up = False
        self._is_compacting = False
        self._history_count = 0
        """Records that the store holds, as far as this process knows."""
        self._compact_from = COMPACT_AFTER_RECORDS
        self.on_leases: Callable[[], object] = _nothing
        """Called when a lease of the store came or went."""
        self.producer_ids = ProducerIds(self.propose, node_id)
        self._topic_configs: dict[str, dict[str, ConfigValue]] = {}
        self._load()
        store.watch(Watcher(self._on_batch, self.catch_up, lambda: self.on_leases()))  # noqa: PLW0108 (it is set later)

    def _load(self) -> None:
        version, records = self._store.load()
        self.image.replay(records, version)
        if not self.image.cluster_id:
            cluster_id = urlsafe_b64encode(self._random.uuid().bytes).rstrip(b"=").decode()
            self.image.replay([ClusterRecord(cluster_id)], self._store.append(version, [ClusterRecord(cluster_id)]))
        living = self.image.records()
        self._history_count = len(records)
        if len(records) > 2 * len(living) + COMPACT_AFTER_RECORDS:
            self._compact_at_start(living)
        self._refresh_settings()

    def _compact_at_start(self, living: list[Record]) -> None:
        with suppress(StaleVersion):  # others are at work: the controller among them does it
            self._store.compact(self.image.version, living)
            self._history_count = len(living)

    def listen(self, listener: Listener) -> None:
        """Call `listener(delta)` after every later change."""
        self._listeners.append(listener)

    def propose(self, decide: Decide[T]) -> Pending[T | TailraceError]:
        """Make true what `decide` wants, when its turn comes. Completes with its result, durable, replayed and told; or
        with why not: the KafkaError it raised, REQUEST_TIMED_OUT when others were faster DECISIONS_MAX times, or the
        StorageError or StoreUnavailable of the store.
        """
        proposal = Proposal(decide)
        self._queue.append(proposal)
        self._run()
        return proposal.answer

    def settle(self, decide: Decide[T]) -> T:
        """As `propose`, but waits, and raises what went wrong. Only before the broker serves, and for tools."""
        assert not self._is_waiting, "a change is on its way"
        for _ in range(DECISIONS_MAX):
            decided = decide(self.image)
            try:
                self.commit_now(decided.records)
            except StaleVersion:
                self._on_news(self._news())
            else:
                return decided.result
        raise _outrun()

    def commit_now(self, records: Sequence[Record]) -> None:
        """Make `records` true and wait for it. Empty: nothing happens. Only where `settle` may be called.

        Raises StaleVersion when another process appended first (never with a store of one process), StorageError when
        the store cannot write; the image is then unchanged.
        """
        assert not self._is_waiting, "a change is on its way"
        if records:
            self._apply(records, self._store.append(self.image.version, records))

    def register_broker(self, broker: BrokerRecord) -> None:
        """Make this broker known, unless it is known just so. Waits, as `settle`."""

        def decide(image: MetadataImage) -> Decided[None]:
            return Decided(None, [] if image.brokers.get(broker.broker_id) == broker else [broker])

        self.settle(decide)

    def topic_id(self, topic: str) -> UUID:
        """The id of a topic, by name; the zero id where there is none."""
        found = self.image.topic(topic)
        return ZERO_TOPIC_ID if found is None else found.topic_id

    def new_topic_id(self) -> UUID:
        """A random topic id."""
        return self._random.uuid()

    @property
    def topic_defaults(self) -> TopicDefaults:
        """What a topic gets when nobody says how many partitions and replicas."""
        settings = self.settings
        return TopicDefaults(settings.integer("num.partitions"), settings.integer("default.replication.factor"))

    def topic_configs(self, name: str) -> dict[str, ConfigValue]:
        """Every setting of topic `name`, typed, in force now. The caller must not change it."""
        found = self._topic_configs.get(name)
        if found is None:
            own = self.image.configs(ResourceType.TOPIC, name)
            found = self._topic_configs[name] = effective_topic_configs(own, self.settings)
        return found

    def election_rules(self, topic: str) -> ElectionRules:
        """What the settings of a topic say of elections."""
        configs = self.topic_configs(topic)
        min_insync_replicas = configs["min.insync.replicas"]
        assert isinstance(min_insync_replicas, int)
        return ElectionRules(min_insync_replicas, configs["unclean.leader.election.enable"] is True)

    def compact_if_long(self) -> None:
        """Replace a history that has grown long, in the background. For the one process that does so in a cluster."""
        if self._history_count <= self._compact_from or self._is_compacting:
            return
        living = self.image.records()
        self._compact_from = 2 * len(living) + COMPACT_AFTER_RECORDS
        if self._history_count <= self._compact_from:
            return
        self._is_compacting = True
        version = self.image.version

        def go_on(outcome: Exception | None) -> None:
            self._is_compacting = False
            if outcome is None:
                self._history_count = len(living)
            # else it has grown meanwhile, or the store is away: there will be another time

        self._background.submit(lambda: self._store.compact(version, living), go_on)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    # Proposals

    def _run(self) -> None:
        if self._is_running:
            return
        self._is_running = True
        try:
            while self._queue and not self._is_waiting:
                self._begin(self._queue.popleft())
        finally:
            self._is_running = False

    def _begin(self, proposal: Proposal[Any]) -> None:
        proposal.attempts += 1
        try:
            decided = proposal.decide(self.image)
        except TailraceError as error:
            proposal.answer.complete(error)
            return
        except Exception as error:
            proposal.answer.complete(_bug(error))
            return
        records = list(decided.records)
        if not records:
            proposal.answer.complete(decided.result)
            return
        version = self.image.version
        self._is_waiting = True
        self._background.submit(
            lambda: self._store.append(version, records),
            lambda outcome: self._on_appended(proposal, decided, outcome),
        )

    def _on_appended(self, proposal: Proposal[Any], decided: Decided[Any], outcome: int | Exception) -> None:
        self._is_waiting = False
        if isinstance(outcome, StaleVersion) and proposal.attempts < DECISIONS_MAX:
            self._catch_up(proposal)
        elif isinstance(outcome, Exception):
            self._refuse(proposal, outcome)
        else:
            if outcome > self.image.version:  # else the store's watch was faster
                self._apply(decided.records, outcome)
            proposal.answer.complete(decided.result)
        self._run()

    def _catch_up(self, proposal: Proposal[Any]) -> None:
        """Replay what others appended, and let `proposal` be the next to be decided."""
        self._is_waiting = True

        def go_on(news: list[Batch] | Loaded | Exception) -> None:
            self._is_waiting = False
            if isinstance(news, Exception):
                self._refuse(proposal, news)
            else:
                self._on_news(news)
                self._queue.appendleft(proposal)
            self._run()

        self._background.submit(self._news, go_on)

    def _refuse(self, proposal: Proposal[Any], error: Exception) -> None:
        """The store refused one change. While it is not there it would refuse the others too, one after the other, each
        after a time limit: those that wait are refused with this one."""
        refused = [proposal]
        if isinstance(error, StoreUnavailable):
            refused += self._queue
            self._queue.clear()
        refusal = _refusal(error)
        for each in refused:
            each.answer.complete(refusal)

    # What others append

    def catch_up(self) -> None:
        """Read what the store holds beyond the image. For when there is a reason to think that something was missed."""
        if self._is_catching_up:
            return
        self._is_catching_up = True

        def go_on(news: list[Batch] | Loaded | Exception) -> None:
            self._is_catching_up = False
            if not isinstance(news, Exception):  # else the next reason to look will come
                self._on_news(news)

        self._background.submit(self._news, go_on)

    def _news(self) -> list[Batch] | Loaded:
        """What the store holds beyond the image: batches, or everything where their history is gone. Blocks."""
        batches = self._store.load_after(self.image.version)
        return self._store.load() if batches is None else batches

    def _on_news(self, news: list[Batch] | Loaded) -> None:
        if isinstance(news, Loaded):
            self._on_loaded(news)
        else:
            for version, records in news:
                self._on_batch(version, records)

    def _on_batch(self, version: int, records: Sequence[Record]) -> None:
        if version == self.image.version + 1:
            self._apply(records, version)
        elif version > self.image.version:
            self.catch_up()

    def _on_loaded(self, loaded: Loaded) -> None:
        """Become what the store holds, telling the difference: the batches that led there are gone."""
        if loaded.version > self.image.version:
            there = MetadataImage()
            there.replay(loaded.records, loaded.version)
            self._apply(difference(self.image, there), loaded.version)

    def _apply(self, records: Sequence[Record], version: int) -> None:
        delta = self.image.replay(records, version)
        self._history_count += len(records)
        for resource in delta.configs_changed:
            if resource.type == ResourceType.BROKER:
                self._refresh_settings()
            elif resource.type == ResourceType.TOPIC:
                self._topic_configs.pop(resource.name, None)
        for topic in delta.topics_deleted:
            self._topic_configs.pop(topic.name, None)
        self._tell(delta)

    def _tell(self, delta: MetadataDelta) -> None:
        self._untold.append(delta)
        if self._telling:
            return
        self._telling = True
        try:
            while self._untold:
                told = self._untold.popleft()
                for listener in self._listeners:
                    listener(told)
        finally:
            self._telling = False

    def _refresh_settings(self) -> None:
        image = self.image
        per_broker = image.configs(ResourceType.BROKER, str(self.node_id))
        self.settings.set_dynamic(per_broker, image.configs(ResourceType.BROKER, ""))
        self._topic_configs.clear()


def _nothing() -> None:
    pass


def _outrun() -> KafkaError:
    return KafkaError(ErrorCode.REQUEST_TIMED_OUT, f"Others changed the metadata {DECISIONS_MAX} times first.")


def _refusal(error: Exception) -> TailraceError:
    """Why a proposal failed, for whom made it."""
    if isinstance(error, StaleVersion):
        return _outrun()
    return error if isinstance(error, TailraceError) else _bug(error)


def _bug(error: Exception) -> KafkaError:
    _log.critical("a change of the metadata failed", exc_info=error)
    return KafkaError(ErrorCode.UNKNOWN_SERVER_ERROR)
