"""Regular expressions from clients, matched in time that grows with the text alone.

Python's `re` backtracks: `(a+)+b` against thirty letters takes minutes, and whoever may send a request could stop the
broker. Here an expression becomes a machine without backtracking (Thompson's construction) that remembers where a
character led it, so that names of one kind cost a look-up a character. The syntax is RE2's, as in Kafka, which uses
RE2/J for subscriptions (KIP-848) and transactional ids (KIP-1152): see `pattern_syntax`.

Invariant: a step costs at most `PATTERN_MAX_STATES`; what is remembered is bounded and begun anew at its bound.
"""

from __future__ import annotations

from typing import Final

from tailrace.base.pattern_syntax import (
    Alternatives,
    Assertion,
    Char,
    Node,
    Parser,
    PatternError,
    Repeat,
    Sequence,
    Test,
)

__all__ = ["PATTERN_MAX_STATES", "PATTERN_MAX_STEPS", "Pattern", "PatternError"]

PATTERN_MAX_STATES: Final = 2_500
"""Larger expressions are refused: a step of one takes a millisecond or so. RE2/J's bound is much higher."""
PATTERN_MAX_STEPS: Final = 1_000
"""Steps that are remembered. Names have few kinds; an expression that is made to need more forgets."""


class _State:
    """Goes on by a character that passes `test`; without a test at once, where the assertion holds."""

    __slots__ = ("assertion", "following", "test")

    def __init__(self, test: Test | None = None, assertion: str = "") -> None:
        self.test = test
        self.assertion = assertion
        self.following: list[_State] = []


class _Reached:
    """What some beginning of a text leads to: the states, the kind of its last character, and where others led on."""

    __slots__ = ("before", "is_end", "onward", "states")

    def __init__(self, states: frozenset[_State], before: str) -> None:
        self.states = states
        self.before = before
        self.onward: dict[str, _Reached] = {}
        self.is_end: bool | None = None
        """Whether the text may end here; None: nobody asked yet."""


class Pattern:
    """A compiled expression. Raises PatternError when made from something else."""

    def __init__(self, expression: str) -> None:
        first, self._end = _Machine().part(Parser(expression).parse())
        self._start = _Reached(frozenset((first,)), "")
        self._known: dict[tuple[frozenset[_State], str], _Reached] = {}
        self._steps = 0
        """How many are remembered."""
        self.work = 0
        """States looked at so far: what matching has cost, for those who bound it."""

    def matches(self, text: str) -> bool:
        """Whether the whole of `text` is what the expression describes."""
        reached = self._start
        for char in text:
            following = reached.onward.get(char)
            reached = self._step(reached, char) if following is None else following
            if not reached.states:
                return False
        if reached.is_end is None:
            reached.is_end = self._end in self._closure(reached, "")
        return reached.is_end

    def _step(self, reached: _Reached, char: str) -> _Reached:
        if self._steps >= PATTERN_MAX_STEPS:
            self._start = _Reached(self._start.states, "")
            self._known.clear()
            self._steps = 0
        states = frozenset(
            following
            for state in self._closure(reached, char)
            if state.test is not None and state.test(char)
            for following in state.following
        )
        kind = _kind(char)
        following = self._known.get((states, kind))
        if following is None:
            following = self._known[states, kind] = _Reached(states, kind)
        reached.onward[char] = following
        self._steps += 1
        return following

    def _closure(self, reached: _Reached, after: str) -> set[_State]:
        """The states, and those that come from them at once, between two characters."""
        found: set[_State] = set()
        waiting = list(reached.states)
        while waiting:
            state = waiting.pop()
            if state not in found:
                found.add(state)
                if state.test is None and (not state.assertion or _holds(state.assertion, reached.before, after)):
                    waiting += state.following
        self.work += len(found)
        return found


def _kind(char: str) -> str:
    """All that an assertion after it wants to know of a character."""
    return char if not char or char == "\n" else "w" if _is_word(char) else "-"


def _holds(assertion: str, before: str, after: str) -> bool:
    if assertion in "^m":
        return not before or (assertion == "m" and before == "\n")
    if assertion in "$M":
        return not after or (assertion == "M" and after == "\n")
    return (_is_word(before) != _is_word(after)) == (assertion == "b")


def _is_word(char: str) -> bool:
    return char == "_" or (char.isascii() and char.isalnum())


_Part = tuple[_State, _State]
"""The first state of a part, and its last."""


class _Machine:
    """Builds states from a tree."""

    def __init__(self) -> None:
        self._states = 0

    def part(self, node: Node) -> _Part:
        """The states of a node. Raises PatternError when there are too many."""
        if isinstance(node, Char):
            first, last = self._new(node.test), self._new()
            first.following.append(last)
            return first, last
        if isinstance(node, Assertion):
            first, last = self._new(assertion=node.kind), self._new()
            first.following.append(last)
            return first, last
        if isinstance(node, Sequence):
            first = last = self._new()
            for each in node.parts:
                start, end = self.part(each)
                last.following.append(start)
                last = end
            return first, last
        if isinstance(node, Alternatives):
            return self._alternatives(node)
        return self._repeat(node)

    def _new(self, test: Test | None = None, assertion: str = "") -> _State:
        self._states += 1
        if self._states > PATTERN_MAX_STATES:
            raise PatternError(f"the expression is larger than {PATTERN_MAX_STATES} states")
        return _State(test, assertion)

    def _alternatives(self, node: Alternatives) -> _Part:
        first, last = self._new(), self._new()
        for each in node.parts:
            start, end = self.part(each)
            first.following.append(start)
            end.following.append(last)
        return first, last

    def _repeat(self, node: Repeat) -> _Part:
        first = last = self._new()
        final = self._new()
        copies = node.least + 1 if node.most is None else node.most
        for number in range(copies):
            start, end = self.part(node.part)
            last.following.append(start)
            if number >= node.least:
                last.following.append(final)
            if node.most is None and number == copies - 1:
                end.following.append(start)
            last = end
        last.following.append(final)
        return first, final
