"""The checker finds each anomaly that is planted, and nothing in histories that are right."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from tests.history import journal
from tests.history import test_transactions as transactional
from tests.history.checker import check
from tests.history.model import (
    ALL_PROMISES,
    Bounds,
    Commit,
    Committed,
    DeleteRecords,
    History,
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

KEY = Key("t", 0)
COMPACTED = Key("c", 0)


class Builder:
    """Operations one after the other, each at its own two ticks."""

    def __init__(self) -> None:
        self.history = History(rules={"c": PartitionRules(is_compacted=True), "e": PartitionRules(expires=True)})
        self.now = 0.0

    def add(self, process: str, *steps: Step, outcome: Outcome = Outcome.OK) -> Builder:
        self.history.ops.append(Op(process, list(steps), outcome, self.now, self.now + 1))
        self.now += 2
        return self

    def send(self, value: str, offset: int | None, process: str = "p", **fields: object) -> Builder:
        outcome = fields.pop("outcome", Outcome.OK)
        assert isinstance(outcome, Outcome)
        return self.add(process, Send(KEY, value, offset, **fields), outcome=outcome)  # type: ignore[arg-type]

    def read(self, *records: tuple[int, str], process: str = "r") -> Builder:
        return self.add(process, Read(KEY, records))

    def final(self, *values: str, start: int = 0) -> Builder:
        return self.read(*((start + index, value) for index, value in enumerate(values)), process=FINAL)

    def found(self) -> set[str]:
        return kinds(check(self.history))


def three() -> Builder:
    return Builder().send("a", 0).send("b", 1).send("c", 2)


def test_a_right_history_passes() -> None:
    history = three().read((0, "a"), (1, "b")).read((2, "c")).final("a", "b", "c")
    history.add("admin", Bounds(KEY, 0, 3))
    history.send("d", None, outcome=Outcome.INFO).send("e", None, outcome=Outcome.FAIL)
    assert history.found() == set()


def test_what_nobody_knows_may_be_there_or_not() -> None:
    unknown = three().send("d", None, outcome=Outcome.INFO)
    assert unknown.final("a", "b", "c").found() == set()
    unknown = three().send("d", None, outcome=Outcome.INFO)
    assert unknown.final("a", "b", "c", "d").found() == set()


def planted_records() -> dict[str, tuple[Builder, set[str]]]:
    """Histories with one wrong each among the records, and what must be said of it."""
    return {
        "changed bytes": (three().final("a", "B", "c"), {"invented", "inconsistent-offset", "lost-write", "unseen"}),
        "of another partition": (
            three().add("p", Send(Key("t", 1), "x", 0)).read((0, "a"), (1, "b"), (2, "c"), (3, "x")),
            {"invented"},
        ),
        "two values at one offset": (
            three().read((0, "a"), (1, "b"), (2, "c")).add("r2", Read(KEY, ((1, "c"),))),
            {"inconsistent-offset", "duplicate"},
        ),
        "twice": (three().final("a", "b", "c", "c"), {"duplicate"}),
        "acknowledged twice by position": (three().send("a2", 3).final("a", "b", "c", "a2", "a"), {"duplicate"}),
        "refused, and there": (
            three().send("d", None, outcome=Outcome.FAIL).final("a", "b", "c", "d"),
            {"aborted-read"},
        ),
        "passed over by every reader": (
            three().read((0, "a")).add("r2", Read(KEY, ((2, "c"),))),
            {"lost-write"},
        ),
        "gone at the end": (three().final("a", "b"), {"unseen"}),
        "gone after it was read": (
            three().send("d", None, outcome=Outcome.INFO).read((3, "d")).final("a", "b", "c"),
            {"lost-read"},
        ),
        "a reader that skips": (three().read((0, "a"), (2, "c")).final("a", "b", "c"), {"poll-skip"}),
        "a reader that skips between polls": (
            three().read((0, "a")).read((2, "c")).final("a", "b", "c"),
            {"poll-skip"},
        ),
        "a reader that goes back": (three().read((0, "a")).read((0, "a")).final("a", "b", "c"), {"nonmonotonic-poll"}),
        "sent in order, stored in another": (
            Builder().send("a", 1).send("b", 0).final("b", "a"),
            {"nonmonotonic-send", "realtime-order"},
        ),
        "sent after the answer, stored before": (
            Builder().send("a", 1).send("b", 0, process="q").final("b", "a"),
            {"realtime-order"},
        ),
        "a hole": (
            three().send("d", 4).read((0, "a"), (1, "b"), (2, "c"), (4, "d"), process=FINAL),
            {"holes"},
        ),
    }


def planted_bounds() -> dict[str, tuple[Builder, set[str]]]:
    """The same of where partitions start and end, of groups' offsets, of compaction."""
    return {
        "the start moved by itself": (
            three().add("admin", Bounds(KEY, 1, 3)).final("b", "c", start=1),
            {"log-start"},
        ),
        "deleted, and back": (
            three()
            .add("admin", DeleteRecords(KEY, 2))
            .add("admin", Bounds(KEY, 2, 3))
            .add("admin", Bounds(KEY, 0, 3))
            .final("a", "b", "c"),
            {"log-start"},
        ),
        "deletion acknowledged and forgotten": (
            three().add("admin", DeleteRecords(KEY, 2)).add("admin", Bounds(KEY, 0, 3)).final("a", "b", "c"),
            {"log-start"},
        ),
        "the end went back": (
            three().add("admin", Bounds(KEY, 0, 3)).add("admin", Bounds(KEY, 0, 2)).final("a", "b", "c"),
            {"log-end"},
        ),
        "an older commit": (
            Builder().add("g", Commit("g", KEY, 5)).add("g", Commit("g", KEY, 9)).add("g", Committed("g", KEY, 5)),
            {"lost-commit"},
        ),
        "no commit left": (
            Builder().add("g", Commit("g", KEY, 5)).add("g", Committed("g", KEY, -1)),
            {"lost-commit"},
        ),
        "compacted away": (
            Builder()
            .add("p", Send(COMPACTED, "k=1", 0, "k"))
            .add("p", Send(COMPACTED, "k=2", 1, "k"))
            .add("p", Send(COMPACTED, "j=1", 2, "j"))
            .add(FINAL, Read(COMPACTED, ((0, "k=1"), (2, "j=1")))),
            {"lost-latest"},
        ),
    }


def planted_undone() -> dict[str, tuple[Builder, set[str]]]:
    """Log starts that go back, though no deletion of unknown fate was there to be undone."""
    return {
        "back from where a later deletion of unknown fate was to bring it": (
            three()
            .add("admin", Bounds(KEY, 2, 3))
            .add("admin", DeleteRecords(KEY, 2), outcome=Outcome.INFO)
            .add("admin", Bounds(KEY, 0, 3))
            .final("a", "b", "c"),
            {"log-start"},
        ),
        "back from where no deletion of unknown fate would bring it": (
            three()
            .add("admin", DeleteRecords(KEY, 1), outcome=Outcome.INFO)
            .add("admin", DeleteRecords(KEY, 3), outcome=Outcome.INFO)
            .add("admin", Bounds(KEY, 2, 3))
            .add("admin", Bounds(KEY, 0, 3))
            .final("a", "b", "c"),
            {"log-start"},
        ),
        "a deletion of unknown fate undone, and one that was acknowledged with it": (
            three()
            .add("admin", DeleteRecords(KEY, 1))
            .add("admin", DeleteRecords(KEY, 2), outcome=Outcome.INFO)
            .add("admin", Bounds(KEY, 2, 3))
            .add("admin", Bounds(KEY, 0, 3))
            .final("a", "b", "c"),
            {"log-start"},
        ),
        "a deletion that was refused, shown and undone": (
            three()
            .add("admin", DeleteRecords(KEY, 2), outcome=Outcome.FAIL)
            .add("admin", Bounds(KEY, 2, 3))
            .add("admin", Bounds(KEY, 0, 3))
            .final("a", "b", "c"),
            {"log-start"},
        ),
    }


PLANTED = {**planted_records(), **planted_bounds(), **planted_undone()}


@pytest.mark.parametrize("name", PLANTED)
def test_planted(name: str) -> None:
    builder, expected = PLANTED[name]
    assert builder.found() == expected


def test_what_is_allowed() -> None:
    loose = ALL_PROMISES & ~Promise.ONCE
    assert three().send("d", 4, promise=loose).final(*"abcdd").found() == set()
    skipping = three().read((0, "a")).add("r", Reposition((KEY,))).read((2, "c")).add("r", Reposition((KEY,)))
    assert skipping.read((0, "a")).final("a", "b", "c").found() == set()
    deleted = three().add("admin", DeleteRecords(KEY, 2)).add("admin", Bounds(KEY, 2, 3)).final("c", start=2)
    assert deleted.found() == set()
    undone = three().read((0, "a")).add("admin", DeleteRecords(KEY, 2), outcome=Outcome.INFO).read((2, "c"))
    assert undone.final("a", "b", "c").found() == set()
    shown = three().add("admin", DeleteRecords(KEY, 1)).add("admin", DeleteRecords(KEY, 2), outcome=Outcome.INFO)
    shown.add("admin", Bounds(KEY, 2, 3)).add("admin", Bounds(KEY, 1, 3))
    assert shown.final("b", "c", start=1).found() == set()
    sent_back = three().read((0, "a")).add("admin", DeleteRecords(KEY, 2), outcome=Outcome.INFO).read((0, "a"))
    assert sent_back.final("a", "b", "c").found() == set()
    told = three().read((0, "a")).add("admin", DeleteRecords(KEY, 0), outcome=Outcome.INFO).read((0, "a"))
    assert told.final("a", "b", "c").found() == {"nonmonotonic-poll"}
    expired = Builder().add("p", Send(Key("e", 0), "a", 0)).add("p", Send(Key("e", 0), "b", 1))
    expired.add("admin", Bounds(Key("e", 0), 1, 2)).add(FINAL, Read(Key("e", 0), ((1, "b"),)))
    assert expired.found() == set()
    committed = Builder().add("g", Commit("g", KEY, 5)).add("g", Commit("g", KEY, 9), outcome=Outcome.INFO)
    committed.add("g", Committed("g", KEY, 5)).add("g", Committed("g", KEY, 9))
    assert committed.found() == set()
    compacted = Builder().add("p", Send(COMPACTED, "k=1", 0, "k")).add("p", Send(COMPACTED, "k=2", 1, "k"))
    assert compacted.add(FINAL, Read(COMPACTED, ((1, "k=2"),))).found() == set()


@pytest.mark.parametrize("seed", range(5))
def test_a_record_taken_out_of_a_long_history_is_missed(seed: int) -> None:
    random = Random(seed)
    builder = Builder()
    values = [f"v{number}" for number in range(500)]
    for offset, value in enumerate(values):
        known = offset if random.random() < 0.9 else None
        outcome = Outcome.OK if known is not None else Outcome.INFO
        builder.send(value, known, process=f"p{random.randrange(4)}", outcome=outcome)
    assert builder.final(*values).found() == set()
    lost = random.choice([op.steps[0] for op in builder.history.ops if op.outcome is Outcome.OK][:-1])
    assert isinstance(lost, Send) and lost.offset is not None
    builder.history.ops.pop()
    records = [(offset, value) for offset, value in enumerate(values) if value != lost.value]
    builder.read(*records, process=FINAL)
    assert {"lost-write", "unseen", "holes"} <= builder.found()


def test_a_history_in_a_file_is_judged_as_it_was(tmp_path: Path) -> None:
    for name, (builder, expected) in {**PLANTED, **transactional.PLANTED}.items():
        path = tmp_path / "history.jsonl"
        journal.write(builder.history, path, name)
        history, told = journal.read(path)
        assert (history, told) == (builder.history, name)
        assert kinds(check(history)) == expected
