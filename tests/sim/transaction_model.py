"""What transactions were promised: which may be seen by whom reads what is committed, and which must be.

    OPEN        nobody has asked to commit it, or only a producer that was replaced before: nobody may see it
    ASKED       somebody has, and was not told that it is done: it is seen whole, or not at all
    COMMITTED   its producer was told so: it is seen whole

Complaints go to the cluster's model.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum, auto

from tests.sim.group_model import GroupModel
from tests.sim.model import Model

from tailrace.base.types import TopicPartition

COPY = b"copy "
"""The beginning of a record that is one of another: then come the partition and the offset of that."""
Identity = tuple[int, int]
"""Producer id and epoch: of one transactional id the later is the greater."""


class Fate(Enum):
    """As above."""

    OPEN = auto()
    ASKED = auto()
    COMMITTED = auto()


@dataclass(eq=False)
class Transaction:
    """One of a producer's. `name` says whose, and which."""

    name: str
    transactional_id: str
    identity: Identity
    """Its producer's when it began."""
    fate: Fate = Fate.OPEN
    values: list[bytes] = field(default_factory=list)
    """What it wrote, or tried to."""


class TransactionModel:
    """Every transaction of a run, and what readers saw of them."""

    def __init__(self, model: Model, groups: GroupModel) -> None:
        self._model = model
        self._groups = groups
        self.all: list[Transaction] = []
        self._of_value: dict[bytes, Transaction] = {}
        self._newest: defaultdict[str, Identity] = defaultdict(lambda: (-1, -1))
        """Who an id's latest producer began as, as far as anybody was told."""
        self.seen: defaultdict[TopicPartition, list[tuple[int, bytes]]] = defaultdict(list)
        """What the reader of a partition was given, with its offsets."""
        self._places: dict[bytes, tuple[TopicPartition, int]] = {}

    def begin_producer(self, transactional_id: str, identity: Identity) -> None:
        """A producer was told that the id is its own: those before commit nothing any more."""
        self._newest[transactional_id] = max(self._newest[transactional_id], identity)

    def begin(self, transactional_id: str, identity: Identity) -> Transaction:
        """A transaction begins."""
        begun = Transaction(f"{transactional_id}.{len(self.all)}", transactional_id, identity)
        self.all.append(begun)
        return begun

    def on_sent(self, transaction: Transaction, values: list[bytes]) -> None:
        """Its producer sends these for the first time."""
        transaction.values += values
        self._of_value.update(dict.fromkeys(values, transaction))

    def on_commit_asked(self, transaction: Transaction) -> None:
        """Its producer is about to ask to commit it."""
        if transaction.identity >= self._newest[transaction.transactional_id] and transaction.fate is Fate.OPEN:
            transaction.fate = Fate.ASKED

    def on_commit_acknowledged(self, transaction: Transaction) -> None:
        """Its producer was told that it is committed."""
        if transaction.fate is Fate.OPEN:
            self._model.complain(f"transaction {transaction.name} of a producer that was replaced is committed")
        transaction.fate = Fate.COMMITTED

    def on_seen(self, at: TopicPartition, offset: int, value: bytes) -> None:
        """A reader of what is committed was given a record."""
        transaction = self._of_value[value]
        if transaction.fate is Fate.OPEN:
            what = f"{value!r} of transaction {transaction.name}, which nobody may commit"
            self._model.complain(f"a read_committed reader of {at} saw {what}")
        if value in self._places:
            self._model.complain(f"{value!r} is at {at} {offset}, and at {self._places[value]} before")
        self._places[value] = at, offset
        if value.startswith(COPY):
            topic, _, index = value.split()[1].decode().rpartition("-")
            self._groups.on_copy_seen(TopicPartition(topic, int(index)), int(value.split()[2]))
        self.seen[at].append((offset, value))

    def judge(self, committed: dict[TopicPartition, list[tuple[int, bytes]]]) -> None:
        """At the end, of what is committed by the markers in the logs."""
        for at, records in committed.items():
            if records != self.seen[at]:
                differing = sorted({*records} ^ {*self.seen[at]})[:3]
                self._model.complain(f"the reader of {at} did not see what is committed there: {differing}")
        for each in self.all:
            count = sum(value in self._places for value in each.values)
            is_whole = count == len(each.values)
            if count and not is_whole:
                self._model.complain(f"of transaction {each.name} {count} of {len(each.values)} records are committed")
            if each.fate is Fate.COMMITTED and not is_whole:
                self._model.complain(f"transaction {each.name} was acknowledged, and {count} of its records are there")

    @property
    def counts(self) -> tuple[int, int]:
        """How many transactions there were, and how many of them were acknowledged as committed."""
        return len(self.all), sum(each.fate is Fate.COMMITTED for each in self.all)
