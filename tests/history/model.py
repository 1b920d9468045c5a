"""A history: what clients asked of a broker, when, and what they were told. The checker's input; it knows no client.

    History                   every operation, and what each partition promises
      Op                      one call of one process: its steps, when invoked and completed, its outcome
        Send Read Commit Committed DeleteRecords Bounds Reposition Incarnation      what a step was about

An operation of one step is a plain call; one `is_transaction` holds the sends and reads of a transaction, all or none.
Outcomes: OK (it happened), FAIL (it certainly did not), INFO (nobody knows: a timeout, a lost connection).
Values are unique among all sends, so that a record read tells which send wrote it. Times are of one monotonic clock.
Source: our history-checker notes, after the published ideas of Jepsen's and Maelstrom's Kafka workloads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, Flag, auto
from typing import NamedTuple


class Key(NamedTuple):
    """A partition."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


class Outcome(Enum):
    """What a process knows of its operation."""

    OK = auto()
    FAIL = auto()
    INFO = auto()


class Promise(Flag):
    """What a producer was configured to get."""

    KEPT = auto()
    """An acknowledged record is stored (acks other than 0)."""
    ONCE = auto()
    """At most once: idempotent, or never retried."""
    ORDERED = auto()
    """Records of one process are stored in the order they were sent."""


ALL_PROMISES = Promise.KEPT | Promise.ONCE | Promise.ORDERED


class Send(NamedTuple):
    """One record. `offset` is known when the broker told it; `record_key` matters where the topic is compacted."""

    key: Key
    value: str
    offset: int | None = None
    record_key: str | None = None
    promise: Promise = ALL_PROMISES
    origin: str | None = None
    """The value this one was made of, by a copier that promises to do so once."""


class Read(NamedTuple):
    """Records of one partition in the order they were returned, to a read_committed reader or to another."""

    key: Key
    records: tuple[tuple[int, str], ...]
    is_committed: bool = True


class Commit(NamedTuple):
    """A group's offset, written."""

    group: str
    key: Key
    offset: int


class Committed(NamedTuple):
    """A group's offset, read; -1 where there is none."""

    group: str
    key: Key
    offset: int


class DeleteRecords(NamedTuple):
    """Everything below `before` was asked to go."""

    key: Key
    before: int


class Bounds(NamedTuple):
    """Where a partition starts and ends (its high watermark), as ListOffsets told, and before that its stable end."""

    key: Key
    log_start: int
    log_end: int
    stable_end: int | None = None


class Reposition(NamedTuple):
    """The process reads elsewhere from here on: an assignment, a seek, a rebalance."""

    keys: tuple[Key, ...]


class Incarnation(NamedTuple):
    """Which producer of a transactional id: in a plain operation it was begun, in a transaction it is whose it is."""

    transactional_id: str
    number: int


Step = Send | Read | Commit | Committed | DeleteRecords | Bounds | Reposition | Incarnation


@dataclass(slots=True)
class Op:
    """One operation. `completed` is `inf` where nothing was ever heard."""

    process: str
    steps: list[Step]
    outcome: Outcome
    invoked: float
    completed: float = float("inf")
    is_transaction: bool = False
    error: str = ""
    decided: float = float("-inf")
    """When the commit of a transaction was asked for: nobody may read of it before."""


class PartitionRules(NamedTuple):
    """What a partition may do to its records beside keeping them."""

    is_compacted: bool = False
    expires: bool = False
    """Retention may raise the log start at any time."""
    has_markers: bool = False
    """Transactions write to it: their markers take offsets, and those of unknown end may be gone."""


@dataclass
class History:
    """All operations, in no order, and the final reads: whole partitions, from the log start to the end."""

    ops: list[Op] = field(default_factory=list)
    rules: dict[str, PartitionRules] = field(default_factory=dict)
    """By topic."""
    copiers: dict[str, tuple[Key, ...]] = field(default_factory=dict)
    """By group: the partitions of which it copies each record once, and commits the offset in the same transaction."""

    def rules_of(self, key: Key) -> PartitionRules:
        return self.rules.get(key.topic, PartitionRules())

    def steps(self, *outcomes: Outcome) -> Iterator[tuple[Op, Step]]:
        """(operation, step) of each operation with one of `outcomes`, all when none is given."""
        for op in self.ops:
            if not outcomes or op.outcome in outcomes:
                for step in op.steps:
                    yield op, step

    def sends(self, *outcomes: Outcome) -> Iterator[tuple[Op, Send]]:
        return ((op, step) for op, step in self.steps(*outcomes) if isinstance(step, Send))

    def reads(self) -> Iterator[tuple[Op, Read]]:
        """What was returned: by calls that succeeded, and within transactions, however they ended."""
        for op, step in self.steps():
            if isinstance(step, Read) and (op.outcome is Outcome.OK or op.is_transaction):
                yield op, step


class Anomaly(NamedTuple):
    """Something that a correct broker does not do."""

    kind: str
    key: Key | None
    what: str

    def __str__(self) -> str:
        return f"{self.kind} {self.key or ''}: {self.what}"


def kinds(anomalies: Iterable[Anomaly]) -> set[str]:
    """The names alone."""
    return {anomaly.kind for anomaly in anomalies}
