"""Who holds something of which there is little: bounded, those that hold it for longest give it up first.

No account is kept of uses, because a use must not pay for it. Holders are known weakly: one that is forgotten gives up
what it has by that alone.
Invariant: what is held is at most `max_size`, or by one holder alone. One owner, one thread.
Not its business: what is held (`open_files`, `loaded_indexes`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import ReferenceType, ref

Holder = TypeVar("Holder")


class BoundedHolders(Generic[Holder]):
    """Holders by rising time, and how much each holds."""

    __slots__ = ("_give_up", "_sizes", "max_size", "size")

    size: int
    """What all of them hold."""

    def __init__(self, max_size: int, give_up: Callable[[Holder], None]) -> None:
        """`give_up` has a holder let go of what it holds; it must not come back to this."""
        self.max_size = max_size
        self.size = 0
        self._give_up = give_up
        self._sizes: OrderedDict[ReferenceType[Holder], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sizes)

    def hold(self, holder: Holder, size: int = 1) -> None:
        """`holder` holds so much from now on; where that is too much, others give up theirs."""
        self.forget(holder)
        self._sizes[ref(holder, self._gone)] = size
        self.size += size
        while self.size > self.max_size and len(self._sizes) > 1:
            reference, given_up = self._sizes.popitem(last=False)
            self.size -= given_up
            oldest = reference()
            if oldest is not None:
                self._give_up(oldest)

    def forget(self, holder: Holder) -> None:
        """`holder` holds nothing any more; harmless where it held nothing."""
        self._gone(ref(holder))

    def _gone(self, reference: ReferenceType[Holder]) -> None:
        self.size -= self._sizes.pop(reference, 0)
