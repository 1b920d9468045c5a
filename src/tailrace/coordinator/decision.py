"""What a coordinator's state machine decides: the records it wants in the log, and what is to follow.

Sans-IO: `turns` appends the records, applies them, and then runs what follows.
"""

from __future__ import annotations

from collections.abc import Callable

from tailrace.base.errors import ErrorCode
from tailrace.coordinator.ports import CoordinatorRecord, InTransaction


class Decision:
    """What an operation wants appended, and what is to follow.

    `on_commit` runs after the records were committed and replayed, `on_failure` when they were refused: then nothing
    they say has happened. With a `transaction` the records count when that commits.
    """

    __slots__ = ("on_commit", "on_failure", "records", "transaction")

    def __init__(
        self,
        records: list[CoordinatorRecord],
        on_commit: Callable[[], None],
        on_failure: Callable[[ErrorCode], Decision | None],
        transaction: InTransaction | None = None,
    ) -> None:
        assert records, "a decision without records is None"
        self.records = records
        self.on_commit = on_commit
        self.on_failure = on_failure
        """May decide again, in the same turn."""
        self.transaction = transaction

    def and_then(self, on_commit: Callable[[], None], on_failure: Callable[[ErrorCode], None]) -> Decision:
        """The same records with something more to do, afterwards."""
        first_commit, first_failure = self.on_commit, self.on_failure

        def commit() -> None:
            first_commit()
            on_commit()

        def failure(code: ErrorCode) -> Decision | None:
            decision = first_failure(code)
            on_failure(code)
            return decision

        return Decision(self.records, commit, failure, self.transaction)


Operation = Callable[[], Decision | None]
"""One turn. May raise KafkaError before it changes anything."""
