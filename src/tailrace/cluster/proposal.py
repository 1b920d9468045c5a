"""A change that waits to be made: decided against the image when its turn comes, then appended, then answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from tailrace.base.errors import TailraceError
from tailrace.base.pending import Pending
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.records import Record

T = TypeVar("T")


class Decided(NamedTuple, Generic[T]):
    """What a decision asks for: records that become true together, and what its owner hears once they are.

    Without records nothing is appended and the result is given at once.
    """

    result: T
    records: Sequence[Record]


Decide: TypeAlias = Callable[[MetadataImage], Decided[T]]
"""Pure: it may be called again, against a newer image, when somebody else's change came first. Raises KafkaError to
refuse."""


@dataclass(slots=True, eq=False)
class Proposal(Generic[T]):
    """One change in the queue of `metadata.Metadata`."""

    decide: Decide[T]
    answer: Pending[T | TailraceError] = field(default_factory=Pending)
    attempts: int = 0
    """Decisions that somebody else's append made void."""
