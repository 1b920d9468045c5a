"""What request handlers may use, and the one way they may end a connection."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode, KafkaError, StorageError, TailraceError
from tailrace.base.page_cache import ColdReads, InlineReads
from tailrace.base.pending import Pending, completed, mapped
from tailrace.base.rand import Random
from tailrace.broker.context import RequestContext
from tailrace.broker.faults import Faults
from tailrace.broker.fetch_sessions import FetchSessions
from tailrace.broker.request_meters import RequestMeters
from tailrace.cluster.auto_topics import auto_topic
from tailrace.cluster.controller import decide_auto_create
from tailrace.cluster.elections import active_brokers
from tailrace.cluster.image import INTERNAL_TOPICS, TRANSACTION_STATE_TOPIC, MetadataImage, PartitionImage
from tailrace.cluster.metadata import Metadata
from tailrace.cluster.proposal import Decide, Decided
from tailrace.cluster.records import Record
from tailrace.cluster.settings import BrokerSettings
from tailrace.coordinator.groups.coordinator import GroupCoordinator
from tailrace.log.logs import Logs
from tailrace.log.trouble import Trouble as Trouble
from tailrace.net.timers import TimingWheel
from tailrace.replication.partitions import Partitions

if TYPE_CHECKING:  # start-up time: most brokers see no transaction in their first second, and many never
    from tailrace.broker.share.share_partitions import SharePartitions
    from tailrace.broker.transaction_questions import AskElsewhere, Codes, Entries, Question
    from tailrace.coordinator.share_state.coordinator import ShareStateCoordinator
    from tailrace.coordinator.transactions.coordinator import TransactionCoordinator

T = TypeVar("T")

_log = logging.getLogger("tailrace.broker")


class CloseConnection(TailraceError):
    """Raised by a handler when the protocol leaves nothing to answer but a closed connection."""


@dataclass(slots=True)
class Services:
    """Everything a handler may reach. Built once by `node`."""

    node_id: int
    settings: BrokerSettings
    metadata: Metadata
    partitions: Partitions
    groups: GroupCoordinator
    transactions_of: Callable[[], TransactionCoordinator]
    """The transaction coordinator, which is made when it is first asked for."""
    share_states_of: Callable[[], ShareStateCoordinator]
    """The share coordinator, made likewise."""
    share_of: Callable[[], SharePartitions]
    """What share groups consume here, made when it is first asked for."""
    logs: Logs
    fetch_sessions: FetchSessions
    timers: TimingWheel
    clock: Clock
    random: Random
    faults: Faults
    call_soon: Callable[[Callable[[], None]], object]
    advertised_address: tuple[str, int] | None = None
    """Host and port of `advertised.listeners`; None when clients should use what they dialled."""
    own_port: int | None = None
    """Of a worker, whose clients may have dialled the port that the workers of its host share: the port of its own."""
    is_fenced: Callable[[], bool] | None = None
    """Of a broker in a cluster: whether it lacks its lease at this moment and speaks for no partition (`fence`)."""
    ask_elsewhere: AskElsewhere | None = None
    """Of a broker that may have others beside it: how a coordinator on another one is asked about a transaction."""
    knows_racks: bool = False
    """Whether consumers are told of a replica in their own rack (`replica.selector.class`)."""
    internal_topics: frozenset[str] = INTERNAL_TOPICS
    cold_reads: ColdReads = field(default_factory=InlineReads)
    """Loads what reads miss in memory, so that the loop does not wait for the disk."""
    requests: RequestMeters = field(default_factory=RequestMeters)
    """What is counted of requests."""
    entries: Entries = field(default_factory=dict)
    """Producers whose transactions wait to be let into partitions (`transaction_entry`)."""
    _share: SharePartitions | None = None
    """What `share_of` made."""
    _refusals: dict[str, str] = field(default_factory=dict)
    """Internal topic -> why it could not be made, as it was last logged."""

    @property
    def transactions(self) -> TransactionCoordinator:
        """The coordinator of every transactional id."""
        return self.transactions_of()

    def ask_transaction(self, question: Question) -> Pending[Codes]:
        """Ask the coordinator of a transaction, here or on another broker; COORDINATOR_NOT_AVAILABLE where there is
        none."""
        # start-up time: see above
        from tailrace.broker.transaction_questions import answer_here

        image = self.metadata.image.partition(
            TRANSACTION_STATE_TOPIC, self.transactions.partition_for(question.transactional_id)
        )
        if image is not None and image.leader < 0:
            return completed(dict.fromkeys(question.partitions, ErrorCode.COORDINATOR_NOT_AVAILABLE))
        if self.ask_elsewhere is None or image is None or image.leader == self.node_id:
            return answer_here(self.transactions, question)
        return self.ask_elsewhere(image.leader, question)

    @property
    def share_states(self) -> ShareStateCoordinator:
        """The coordinator of every share partition's state."""
        return self.share_states_of()

    @property
    def share(self) -> SharePartitions:
        """Share partitions and the sessions of those who consume them."""
        share = self._share
        if share is None:
            share = self._share = self.share_of()
        return share

    def on_connection_closed(self, connection_id: int) -> None:
        """A client is gone: what it held goes to others."""
        if self._share is not None:
            self._share.on_connection_closed(connection_id)

    @property
    def controller_id(self) -> int:
        """The broker that clients should take for the controller: any broker does what they ask of one."""
        controller = self.metadata.image.controller
        return controller.broker_id if controller.epoch else self.node_id

    def advertised(self, context: RequestContext) -> tuple[str, int]:
        """(host, port) a client should use: `advertised.listeners` when set, else the address it dialled, for a worker
        with the port of its own."""
        return self.advertised_address or (context.local_host, self.own_port or context.local_port)

    def propose(self, decide: Decide[T]) -> Pending[T | KafkaError]:
        """Change the metadata (`Metadata.propose`). What fails below it is logged here, and completes with the refusal
        that clients should hear."""
        return mapped(self.metadata.propose(decide), self._refused)

    def propose_freeing(self, decide: Decide[T]) -> Pending[T | KafkaError]:
        """As `propose`, of a change that frees space: on a full volume once more, with the reserve given up."""
        later: Pending[T | KafkaError] = Pending()

        def answer(outcome: T | TailraceError) -> None:
            if isinstance(outcome, StorageError) and self.logs.on_upkeep_error(outcome) is Trouble.NO_SPACE:
                self.propose(decide).on_complete(later.complete)
            else:
                later.complete(self._refused(outcome))

        self.metadata.propose(decide).on_complete(answer)
        return later

    def producer_ids_ready(self) -> Pending[KafkaError | None]:
        """Completes when `metadata.producer_ids` has one to take, or with why it has none."""
        return mapped(self.metadata.producer_ids.wait_ready(), self._refused)

    def _refused(self, outcome: T | TailraceError) -> T | KafkaError:
        if isinstance(outcome, KafkaError) or not isinstance(outcome, TailraceError):
            return outcome
        if isinstance(outcome, StorageError):
            self.on_storage_error(outcome)
            return KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"{outcome}.")
        return KafkaError(ErrorCode.REQUEST_TIMED_OUT, f"{outcome}.")

    def auto_create(self, *names: str) -> Pending[dict[str, KafkaError]]:
        """Create those of the topics that are not there, for a client or a coordinator. Completes with the refusals."""
        missing = [name for name in names if self.metadata.image.topic(name) is None]
        if not missing:
            return completed({})
        return mapped(self.propose(partial(self._decide_topics, missing)), partial(self._told, missing))

    def _decide_topics(self, names: list[str], image: MetadataImage) -> Decided[dict[str, KafkaError]]:
        metadata = self.metadata
        refused: dict[str, KafkaError] = {}
        records: list[Record] = []
        for name in names:
            if image.topic(name) is None:
                wish = auto_topic(name, self.settings, len(image.live_brokers))
                try:
                    self.logs.space.check_create()
                    records += decide_auto_create(image, wish, metadata.topic_defaults, metadata.new_topic_id)
                except KafkaError as error:
                    refused[name] = error
        return Decided(refused, records)

    def _told(self, names: list[str], outcome: dict[str, KafkaError] | KafkaError) -> dict[str, KafkaError]:
        refused = dict.fromkeys(names, outcome) if isinstance(outcome, KafkaError) else outcome
        for name, error in refused.items():
            self._tell_refusal(name, str(error))
        return refused

    def _tell_refusal(self, name: str, reason: str) -> None:
        """Log why a topic that the broker itself needs is not made, once: clients show a timeout and ask for ever."""
        if name in INTERNAL_TOPICS and self._refusals.get(name) != reason:
            self._refusals[name] = reason
            _log.error("the topic %s cannot be created, and what needs it does not work: %s", name, reason)

    def partition_state(self, topic: str, index: int) -> tuple[PartitionImage, list[int]]:
        """A partition of the image as clients should see it, and its offline replicas.

        One whose log directory is offline has no leader, though the image, which may lie on the same disk, names one.
        """
        partition = self.metadata.image.topics[topic].partitions[index]
        image = self.metadata.image
        offline = [each for each in partition.replicas if each not in image.brokers or image.is_fenced(each)]
        if self.partitions.is_offline(topic, index):
            return partition._replace(leader=-1), [*offline, self.node_id]
        return partition, offline

    def able_to_lead(self, topic: str, index: int) -> dict[int, int]:
        """Brokers that may lead a partition, as `cluster.elections` wants them: not this one where its disk failed."""
        is_offline = self.partitions.is_offline(topic, index)
        return active_brokers(self.metadata.image, without=(self.node_id,) if is_offline else ())

    def on_storage_error(self, error: StorageError) -> Trouble:
        """The environment failed below a log: what follows from it, and one line where people look.

        Of a directory that failed or is full, `node` says so once.
        """
        trouble = self.logs.on_storage_error(error)
        if trouble is Trouble.ELSEWHERE:
            _log.error("storage failure: %s", error)
        return trouble
