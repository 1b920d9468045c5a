"""Regular expressions from clients, matched in time that grows with the text alone.

Python's `re` backtracks: `(a+)+b` against thirty letters takes minutes, and whoever may send a request could stop the
broker. Here an expression becomes a machine without backtracking (Thompson's construction): matching costs at most
states times characters. What RE2 knows of the common syntax: literals, `.`, classes, `\\d \\w \\s` and their opposites,
groups, `|`, `* + ?` and `{n,m}`, all of which may be lazy, for the match is of the whole text. No back-references, no
look-around, as in RE2, which Kafka uses (KIP-848, KIP-1152).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

PATTERN_MAX_STATES: Final = 1_000
"""Larger expressions are refused: matching one against an id of 100 characters would take some 10 ms."""

_CLASSES: Final[dict[str, Callable[[str], bool]]] = {
    "d": lambda char: "0" <= char <= "9",
    "w": lambda char: char == "_" or (char.isascii() and char.isalnum()),
    "s": lambda char: char in " \t\n\r\f\v",
}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}

Test = Callable[[str], bool]


class PatternError(ValueError):
    """Not an expression, or too large a one."""


class _State:
    """Goes on by a character that passes `test`, or, without a test, at once."""

    __slots__ = ("following", "test")

    def __init__(self, test: Test | None = None) -> None:
        self.test = test
        self.following: list[_State] = []


class Pattern:
    """A compiled expression. Raises PatternError when made from something else."""

    def __init__(self, expression: str) -> None:
        parser = _Parser(expression)
        first, self._end = parser.parse()
        self._start = _closure([first])

    def matches(self, text: str) -> bool:
        """Whether the whole of `text` is what the expression describes."""
        current = self._start
        for char in text:
            reached = [
                following
                for state in current
                if state.test is not None and state.test(char)
                for following in state.following
            ]
            if not reached:
                return False
            current = _closure(reached)
        return self._end in current


def _closure(states: list[_State]) -> dict[_State, None]:
    """The states, and those that are reached from them at once."""
    found: dict[_State, None] = {}
    waiting = list(states)
    while waiting:
        state = waiting.pop()
        if state not in found:
            found[state] = None
            if state.test is None:
                waiting += state.following
    return found


_Part = tuple[_State, _State]


class _Parser:
    """Recursive descent; each part is its first and its last state."""

    def __init__(self, expression: str) -> None:
        self._text = expression
        self._at = 0
        self._states = 0
        self._depth = 0

    def parse(self) -> _Part:
        part = self._alternatives()
        if self._at < len(self._text):
            raise PatternError(f"a ')' too many at {self._at}")
        return part

    def _new(self, test: Test | None = None) -> _State:
        self._states += 1
        if self._states > PATTERN_MAX_STATES:
            raise PatternError(f"the expression is larger than {PATTERN_MAX_STATES} states")
        return _State(test)

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else ""

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise PatternError("the expression ends too early")
        self._at += 1
        return char

    def _alternatives(self) -> _Part:
        first, last = self._new(), self._new()
        while True:
            start, end = self._sequence()
            first.following.append(start)
            end.following.append(last)
            if self._peek() != "|":
                return first, last
            self._at += 1

    def _sequence(self) -> _Part:
        first = last = self._new()
        while self._peek() not in ("", "|", ")"):
            start, end = self._repeated()
            last.following.append(start)
            last = end
        return first, last

    def _repeated(self) -> _Part:
        begin = self._at
        part = self._one()
        end = self._at
        least, most = self._count()
        if (least, most) == (1, 1):
            return part
        # Copies are made by reading the text again: expressions are short.
        after = self._at
        first = last = self._new()
        for number in range(max(least, most or 0, 1)):
            if number:
                self._at = begin
                part = self._one()
                assert self._at == end
            start, stop = part
            last.following.append(start)
            if number >= least:
                last.following.append(stop)
            last = stop
        if most is None:
            last.following.append(part[0])
            if least == 0:
                first.following.append(last)
        final = self._new()
        last.following.append(final)
        self._at = after
        return first, final

    def _count(self) -> tuple[int, int | None]:
        char = self._peek()
        if char not in ("*", "+", "?", "{"):
            return 1, 1
        self._at += 1
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(char, (1, 1))
        if char == "{":
            closing = self._text.find("}", self._at)
            low, comma, high = self._text[self._at : closing].partition(",")
            if closing < 0 or not low.isdecimal() or not (high.isdecimal() or not high):
                raise PatternError("'{' without a count")
            least, most = int(low), int(high) if high else None if comma else int(low)
            if most == 0 or (most is not None and most < least) or max(least, most or 0) > PATTERN_MAX_STATES:
                raise PatternError("a count that cannot be")
            self._at = closing + 1
        if self._peek() == "?":  # lazy: the same when the whole text is matched
            self._at += 1
        if self._peek() in ("*", "+", "?") and self._peek():
            raise PatternError("a repetition of a repetition")
        return least, most

    def _one(self) -> _Part:
        char = self._take()
        if char in "*+?{":
            raise PatternError(f"nothing to repeat at {self._at - 1}")
        if char == "(":
            self._depth += 1
            if self._depth > 50:
                raise PatternError("groups in groups in groups")
            if self._text.startswith("?:", self._at):
                self._at += 2
            elif self._peek() == "?":
                raise PatternError("groups of this kind are not known")
            part = self._alternatives()
            if self._take() != ")":
                raise PatternError("a group without end")
            self._depth -= 1
            return part
        if char in "^$":  # the whole text is matched: what stands there says nothing more
            state = self._new()
            return state, state
        return self._of_test(self._test(char))

    def _of_test(self, test: Test) -> _Part:
        state, after = self._new(test), self._new()
        state.following.append(after)
        return state, after

    def _test(self, char: str) -> Test:
        if char == ".":
            return lambda other: other != "\n"
        if char == "[":
            return self._char_class()
        if char == "\\":
            return self._escape()
        return lambda other: other == char

    def _escape(self) -> Test:
        char = self._take()
        found = _CLASSES.get(char.lower())
        if found is not None:
            return found if char.islower() else lambda other: not found(other)
        if char.isalnum() and char not in _ESCAPES:
            raise PatternError(f"\\{char} is not known")
        wanted = _ESCAPES.get(char, char)
        return lambda other: other == wanted

    def _char_class(self) -> Test:
        is_negated = self._peek() == "^"
        if is_negated:
            self._at += 1
        tests: list[Test] = []
        while self._peek() != "]" or not tests:
            char = self._take()
            if char == "\\":
                tests.append(self._escape())
            elif self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._take()
                if high < char:
                    raise PatternError(f"the range {char}-{high} is empty")
                tests.append(lambda other, low=char, high=high: low <= other <= high)  # type: ignore[misc]
            else:
                tests.append(lambda other, wanted=char: other == wanted)  # type: ignore[misc]
        self._at += 1
        return lambda other: any(test(other) for test in tests) != is_negated
