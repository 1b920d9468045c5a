"""What a client may do, as the bit fields of Metadata and the Describe answers. Nobody is refused anything yet.

Bit n stands for the operation with code n: 3 read, 4 write, 5 create, 6 delete, 7 alter, 8 describe, 9 cluster action,
10 describe configs, 11 alter configs, 12 idempotent write. Source: Kafka AclOperation, AclEntry.supportedOperations.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

NOT_ASKED: Final = -(2**31)
"""The field's value when the client did not ask for it."""

TOPIC_OPERATIONS: Final = sum(1 << code for code in (3, 4, 5, 6, 7, 8, 10, 11))
GROUP_OPERATIONS: Final = sum(1 << code for code in (3, 6, 8, 10, 11))
CLUSTER_OPERATIONS: Final = sum(1 << code for code in (5, 7, 8, 9, 10, 11, 12))


class _DescribedGroup(Protocol):
    error_code: int
    authorized_operations: int


def tell_group_operations(groups: Iterable[_DescribedGroup]) -> None:
    """Say what the client may do with each group that could be described."""
    for group in groups:
        if not group.error_code:
            group.authorized_operations = GROUP_OPERATIONS
