"""The rules of transactions find each anomaly that is planted, and nothing in histories that are right."""

from __future__ import annotations

import pytest
from tests.history.checker import check
from tests.history.model import (
    Bounds,
    Commit,
    Committed,
    History,
    Incarnation,
    Key,
    Op,
    Outcome,
    PartitionRules,
    Promise,
    Read,
    Reposition,
    Send,
    Step,
    kinds,
)
from tests.history.view import FINAL

SOURCE, KEY, OTHER = Key("s", 0), Key("t", 0), Key("t", 1)


class Builder:
    """Operations one after the other, at three ticks each: invoked, commit asked for, completed."""

    def __init__(self) -> None:
        self.history = History(rules={"t": PartitionRules(has_markers=True)}, copiers={"g": (SOURCE,)})
        self.now = 0.0

    def add(self, process: str, *steps: Step, outcome: Outcome = Outcome.OK) -> Builder:
        return self.put(Op(process, list(steps), outcome, self.now, self.now + 2))

    def txn(self, process: str, *steps: Step, outcome: Outcome = Outcome.OK) -> Builder:
        completed = self.now + 2 if outcome is not Outcome.INFO else float("inf")
        return self.put(Op(process, list(steps), outcome, self.now, completed, True, decided=self.now + 1))

    def put(self, op: Op) -> Builder:
        self.history.ops.append(op)
        self.now += 3
        return self

    def final(self, **records: dict[int, str]) -> Builder:
        for name, key in (("s", SOURCE), ("t", KEY), ("other", OTHER)):
            self.add(FINAL, Read(key, tuple(records.get(name, {}).items())))
        return self

    def found(self) -> set[str]:
        return kinds(check(self.history))


def copied(outcome: Outcome = Outcome.OK) -> Builder:
    """Two records, each copied in a transaction of its own; `outcome` is that of the second."""
    built = Builder().add("p", Send(SOURCE, "a", 0)).add("p", Send(SOURCE, "b", 1))
    built.txn("g", Read(SOURCE, ((0, "a"),)), Send(KEY, "1:a", 0, origin="a"), Commit("g", SOURCE, 1))
    return built.txn(
        "g", Read(SOURCE, ((1, "b"),)), Send(KEY, "2:b", 2, origin="b"), Commit("g", SOURCE, 2), outcome=outcome
    )


def test_who_reads_uncommitted_may_see_what_is_aborted_and_what_is_open() -> None:
    history = copied(Outcome.FAIL).put(Op("u", [Read(KEY, ((0, "1:a"), (2, "2:b")), False)], Outcome.OK, 0, 1))
    history.add(FINAL, Read(KEY, ((0, "1:a"), (2, "2:b")), False)).add("g", Committed("g", SOURCE, 1))
    assert history.final(s=BOTH, t={0: "1:a"}).found() == set()


BOTH = {0: "a", 1: "b"}
TWO = {0: "1:a", 2: "2:b"}


def test_a_right_history_passes() -> None:
    history = copied().add("r", Read(KEY, ((0, "1:a"), (2, "2:b")))).add("g", Committed("g", SOURCE, 2))
    assert history.final(s=BOTH, t=TWO).found() == set()


def test_aborted_and_read_again() -> None:
    history = copied(Outcome.FAIL).add("g", Reposition((SOURCE,)))
    history.txn("g", Read(SOURCE, ((1, "b"),)), Send(KEY, "3:b", 4, origin="b"), Commit("g", SOURCE, 2))
    history.add("r", Read(KEY, ((0, "1:a"), (4, "3:b")))).add("g", Committed("g", SOURCE, 2))
    assert history.final(s=BOTH, t={0: "1:a", 4: "3:b"}).found() == set()


def test_what_was_written_twice_may_be_copied_twice() -> None:
    history = Builder().add("p", Send(SOURCE, "a", 0, promise=Promise.KEPT))
    history.txn(
        "g", Read(SOURCE, ((0, "a"), (1, "a"))), Send(KEY, "1:a", 0, origin="a"), Send(KEY, "2:a", 1, origin="a")
    )
    assert history.final(s={0: "a", 1: "a"}, t={0: "1:a", 1: "2:a"}).found() == set()


@pytest.mark.parametrize(("there", "offset"), [({0: "1:a"}, 1), (TWO, 2)])
def test_what_nobody_knows_is_there_whole_or_not(there: dict[int, str], offset: int) -> None:
    history = copied(Outcome.INFO).add("r", Read(KEY, tuple(there.items()))).add("g", Committed("g", SOURCE, offset))
    assert history.final(s=BOTH, t=there).found() == set()


def planted_ends() -> dict[str, tuple[Builder, set[str]]]:
    """Histories with one wrong each at the end of a transaction, and what must be said of it."""
    pair = (Send(KEY, "x", 0), Send(OTHER, "y", 0))
    return {
        "an aborted record is read": (
            Builder().txn("p", Send(KEY, "x", 0), outcome=Outcome.FAIL).add("r", Read(KEY, ((0, "x"),))).final(),
            {"aborted-read", "lost-read"},
        ),
        "an aborted offset is committed": (
            copied(Outcome.FAIL).add("g", Committed("g", SOURCE, 2)).final(s=BOTH, t={0: "1:a"}),
            {"lost-commit", "unprocessed"},
        ),
        "a committed offset is not": (
            copied().add("g", Committed("g", SOURCE, 1)).final(s=BOTH, t=TWO),
            {"lost-commit"},
        ),
        "a committed record is gone": (
            Builder().txn("p", *pair).final(t={0: "x"}),
            {"unseen"},
        ),
        "one of two": (
            Builder().txn("p", *pair, outcome=Outcome.INFO).final(t={0: "x"}),
            {"torn-transaction"},
        ),
    }


def planted_reads() -> dict[str, tuple[Builder, set[str]]]:
    """The same of what readers and copiers get to see, and of fences."""
    return {
        "its own record": (
            Builder().txn("p", Send(KEY, "x", 0), Read(KEY, ((0, "x"),))).final(t={0: "x"}),
            {"precommitted-read"},
        ),
        "served past the last stable offset": (
            Builder()
            .put(Op("r", [Read(KEY, ((0, "x"),))], Outcome.OK, 0, 1))
            .put(Op("p", [Send(KEY, "x", 0)], Outcome.OK, 0, 9, True, decided=8))
            .final(t={0: "x"}),
            {"open-read"},
        ),
        "each read the other": (
            Builder()
            .txn("p", Send(KEY, "x", 0), Read(OTHER, ((0, "y"),)))
            .txn("q", Send(OTHER, "y", 0), Read(KEY, ((0, "x"),)))
            .add(FINAL, Read(KEY, ((0, "x"),)))
            .add(FINAL, Read(OTHER, ((0, "y"),))),
            {"read-cycle"},
        ),
        "a fence forgotten": (
            copied()
            .txn("g2", Send(KEY, "3:b", 4, origin="b"), Commit("g", SOURCE, 2))
            .final(s=BOTH, t={**TWO, 4: "3:b"}),
            {"processed-twice"},
        ),
        "a zombie commits": (
            Builder()
            .add("p", Incarnation("t", 1))
            .add("p", Incarnation("t", 2))
            .txn("p", Incarnation("t", 1), Send(KEY, "x", 0))
            .final(t={0: "x"}),
            {"zombie"},
        ),
        "still open at the end": (
            Builder().txn("p", Send(KEY, "x", 0)).add(FINAL, Bounds(KEY, 0, 4, 2)).final(t={0: "x"}),
            {"stable-end"},
        ),
        "shown to read_committed alone": (
            Builder().txn("p", Send(KEY, "x", 0)).add(FINAL, Read(KEY, (), False)).final(t={0: "x"}),
            {"lost-read"},
        ),
        "an aborted record skipped by who reads them": (
            Builder()
            .txn("p", Send(KEY, "x", 1), outcome=Outcome.FAIL)
            .txn("p", Send(KEY, "w", 0), Send(KEY, "y", 3))
            .add("u", Read(KEY, ((0, "w"), (3, "y")), False))
            .final(t={0: "w", 3: "y"}),
            {"poll-skip"},
        ),
        "passed over by the copier": (
            copied()
            .add("p", Send(SOURCE, "c", 2))
            .txn("g", Commit("g", SOURCE, 3))
            .add("g", Committed("g", SOURCE, 3))
            .final(s={**BOTH, 2: "c"}, t=TWO),
            {"unprocessed"},
        ),
    }


PLANTED = {**planted_ends(), **planted_reads()}


@pytest.mark.parametrize("name", PLANTED)
def test_planted(name: str) -> None:
    builder, expected = PLANTED[name]
    assert builder.found() == expected
