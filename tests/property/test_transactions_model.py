"""Transactional producers at random against a model that is a dozen lines: what read_committed sees is what committed.

Several transactional ids write to a few partitions, end, are replaced by others of the same id, time out; the broker is
killed and started again in between. The broker is the real one below the sockets (`tests/scenario/transaction_bench`).
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.scenario.transaction_bench import TransactionBench
from tests.scenario.transaction_trace import TransactionTrace

IDS = ("A", "B", "C")
PLACES = ("t-0", "t-1")
TIMEOUT_MS = 100_000


class Producer:
    """What the model knows of one transactional id's producer."""

    def __init__(self, *, bumps: bool) -> None:
        self.bumps = bumps
        self.open: dict[str, list[str]] = {}
        """Place -> what its open transaction wrote there."""
        self.is_fenced = False
        self.offset: int | None = None


class Transactions(RuleBasedStateMachine):
    """The broker and the model side by side."""

    @initialize()
    def begin(self) -> None:
        self.directory = TemporaryDirectory()
        self.bench = TransactionBench(Path(self.directory.name))
        self.trace = TransactionTrace(self.bench)
        self.trace.run("topics t:2")
        self.producers: dict[str, Producer] = {}
        self.decided: dict[str, list[tuple[int, str]]] = {place: [] for place in PLACES}
        """Committed values with their offsets."""
        self.positions: dict[str, list[tuple[str, int, str]]] = {place: [] for place in PLACES}
        """Open values: who, offset, value."""
        self.committed_offset: int | None = None
        self.count = 0

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.bench.bench.logs.abandon()
            self.directory.cleanup()

    def ask(self, line: str) -> str:
        (happened,) = self.trace.run(line)
        return happened.split(": ", 1)[1]

    def finish(self, name: str, *, is_commit: bool) -> None:
        """The model's end of a transaction."""
        producer = self.producers[name]
        for place in PLACES:
            ended = [(offset, value) for who, offset, value in self.positions[place] if who == name]
            self.positions[place] = [each for each in self.positions[place] if each[0] != name]
            if is_commit:
                self.decided[place] = sorted(self.decided[place] + ended)
        if is_commit and producer.offset is not None:
            self.committed_offset = producer.offset
        producer.open, producer.offset = {}, None

    @rule(name=st.sampled_from(IDS), bumps=st.booleans())
    def init(self, name: str, bumps: bool) -> None:
        answer = self.ask(f"init {name} timeout={TIMEOUT_MS}")
        known = self.producers.get(name)
        if known is not None and (known.open or known.offset is not None):
            assert answer == "CONCURRENT_TRANSACTIONS"
            self.finish(name, is_commit=False)
            answer = self.ask(f"init {name} timeout={TIMEOUT_MS}")
        assert answer.startswith("ok P"), answer
        self.producers[name] = Producer(bumps=bumps)

    @rule(name=st.sampled_from(IDS), place=st.sampled_from(PLACES), count=st.integers(1, 3))
    def write(self, name: str, place: str, count: int) -> None:
        producer = self.producers.get(name)
        if producer is None or producer.is_fenced:
            return
        values = [f"{name}{self.count + index}" for index in range(count)]
        self.count += count
        if not producer.bumps:
            assert self.ask(f"add {name} {place}") == f"{place}=ok"
        answer = self.ask(f"write {name} {place} {' '.join(values)} v={12 if producer.bumps else 9}")
        assert answer.startswith("ok at "), answer
        first = int(answer.removeprefix("ok at "))
        producer.open.setdefault(place, []).extend(values)
        self.positions[place] += [(name, first + index, value) for index, value in enumerate(values)]

    @rule(name=st.sampled_from(IDS))
    def offsets(self, name: str) -> None:
        producer = self.producers.get(name)
        if producer is None or producer.is_fenced or any(each.offset is not None for each in self.producers.values()):
            return
        self.count += 1
        if not producer.bumps:
            assert self.ask(f"group {name} g") == "ok"
        assert self.ask(f"offsets {name} g t-0={self.count} v={5 if producer.bumps else 3}") == "t-0=ok"
        producer.offset = self.count

    @rule(name=st.sampled_from(IDS), is_commit=st.booleans())
    def end(self, name: str, is_commit: bool) -> None:
        producer = self.producers.get(name)
        if producer is None or producer.is_fenced:
            return
        is_open = bool(producer.open) or producer.offset is not None
        if not is_open:
            return
        answer = self.ask(f"end {name} {'commit' if is_commit else 'abort'} v={5 if producer.bumps else 3}")
        assert answer.startswith("ok"), answer
        self.finish(name, is_commit=is_commit)

    @rule()
    def time_out(self) -> None:
        self.trace.run(f"advance {TIMEOUT_MS + 20_000}")
        for name, producer in self.producers.items():
            if producer.open or producer.offset is not None:
                self.finish(name, is_commit=False)
                producer.is_fenced = True

    @rule(name=st.sampled_from(IDS))
    def a_fenced_producer_is_refused(self, name: str) -> None:
        producer = self.producers.get(name)
        if producer is not None and producer.is_fenced:
            assert self.ask(f"write {name} t-0 never v=12") in ("INVALID_PRODUCER_EPOCH", "INVALID_TXN_STATE")
            assert not self.ask(f"end {name} commit v=5").startswith("ok")

    @rule()
    def restart(self) -> None:
        self.trace.run("restart")

    @rule()
    def compact_and_restart(self) -> None:
        self.trace.run("compact")
        self.trace.run("restart")

    @rule()
    def lose_the_markers_of_the_next_end_and_restart(self) -> None:
        """Killed between the Prepare record and the markers: the next life writes them."""
        name = next((name for name, each in self.producers.items() if each.open and not each.is_fenced), None)
        if name is None:
            return
        self.trace.run("lose-markers")
        answer = self.ask(f"end {name} commit v={5 if self.producers[name].bumps else 3}")
        assert answer.startswith("ok"), answer
        self.trace.run("restart")
        self.finish(name, is_commit=True)

    @invariant()
    def readers_see_what_committed_before_the_first_open_transaction(self) -> None:
        if not hasattr(self, "trace"):
            return
        for place in PLACES:
            stable = min((offset for _, offset, _ in self.positions[place]), default=1 << 62)
            expected = [value for offset, value in self.decided[place] if offset < stable]
            shown = self.ask(f"read {place}")
            seen = [word for word in shown.split(" (")[0].split() if not word.startswith("<") and word != "-"]
            assert seen == expected, shown

    @invariant()
    def offsets_are_those_of_committed_transactions(self) -> None:
        if not hasattr(self, "trace"):
            return
        pending = any(each.offset is not None for each in self.producers.values())
        known = -1 if self.committed_offset is None else self.committed_offset
        stable = "UNSTABLE_OFFSET_COMMIT" if pending else str(known)
        assert self.ask("committed g t-0") == f"stable {stable}; any {known}"


Transactions.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTransactions = pytest.mark.slow(Transactions.TestCase)
