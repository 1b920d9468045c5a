"""Reads a regular expression in RE2's syntax into a tree: what Kafka's RE2/J accepts, and refuses what that refuses.

    | () (?:) (?P<n>) (?<n>) (?ims-U:)   * + ? {n,m}, each also lazy   . [] [^] [[:alpha:]]   ^ $ \\A \\z \\b \\B
    \\d \\w \\s \\pL \\p{Lu} and opposites   \\x41 \\x{41} \\101 \\n ...   \\Q...\\E

Groups capture nothing, and greed means nothing, where the whole text is matched. Scripts (`\\p{Greek}`) are not known.
Source: https://github.com/google/re2/wiki/Syntax; the cases of tests/unit/base/re2_cases.txt are RE2/J's answers.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Final, NamedTuple

PATTERN_MAX_REPEAT: Final = 1_000
"""As in RE2: a larger count is refused."""
PATTERN_MAX_DEPTH: Final = 50
"""Groups within groups; each costs frames of Python's stack. RE2/J has 1,000."""

Test = Callable[[str], bool]


class PatternError(ValueError):
    """Not an expression, or too large a one."""


class Char(NamedTuple):
    """One character that passes the test."""

    test: Test


class Assertion(NamedTuple):
    """A place in the text: of `^$bB`, where `^` and `$` are the text's ends; `m` and `M` those of a line."""

    kind: str


class Sequence(NamedTuple):
    """One after the other."""

    parts: list[Node]


class Alternatives(NamedTuple):
    """Any of them."""

    parts: list[Node]


class Repeat(NamedTuple):
    """`most` None: no end."""

    part: Node
    least: int
    most: int | None


Node = Char | Assertion | Sequence | Alternatives | Repeat

_CLASSES: Final[dict[str, Test]] = {
    "d": lambda char: "0" <= char <= "9",
    "w": lambda char: char == "_" or (char.isascii() and char.isalnum()),
    "s": lambda char: char in " \t\n\r\f",
}
_POSIX: Final[dict[str, Test]] = {
    "alnum": lambda char: char.isascii() and char.isalnum(),
    "alpha": lambda char: char.isascii() and char.isalpha(),
    "ascii": str.isascii,
    "blank": lambda char: char in " \t",
    "cntrl": lambda char: char < " " or char == "\x7f",
    "digit": _CLASSES["d"],
    "graph": lambda char: "!" <= char <= "~",
    "lower": lambda char: "a" <= char <= "z",
    "print": lambda char: " " <= char <= "~",
    "punct": lambda char: "!" <= char <= "~" and not char.isalnum(),
    "space": lambda char: char in " \t\n\r\f\v",
    "upper": lambda char: "A" <= char <= "Z",
    "word": _CLASSES["w"],
    "xdigit": lambda char: char in "0123456789abcdefABCDEF",
}
_ESCAPES: Final = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_CATEGORIES: Final = {"C": "cfos", "L": "lmotu", "M": "cen", "N": "dlo", "P": "cdefios", "S": "ckmo", "Z": "lps"}
"""General categories of Unicode, and their divisions."""


class Parser:
    """Recursive descent over one expression."""

    def __init__(self, expression: str) -> None:
        self._text = expression
        self._at = 0
        self._depth = 0
        self._flags = ""
        """Those that are on, of `ims`."""
        self._names: set[str] = set()

    def parse(self) -> Node:
        """The tree. Raises PatternError."""
        tree = self._alternatives()
        if self._at < len(self._text):
            raise PatternError(f"a ')' too many at {self._at}")
        return tree

    # Text

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise PatternError("the expression ends too early")
        self._at += 1
        return char

    def _skip(self, word: str) -> bool:
        """Go past `word` if it comes next."""
        found = self._text.startswith(word, self._at)
        self._at += len(word) * found
        return found

    def _until(self, end: str) -> str:
        """What comes before `end`, and go past that."""
        found = self._text.find(end, self._at)
        if found < 0:
            raise PatternError(f"'{end}' is missing")
        start, self._at = self._at, found + len(end)
        return self._text[start:found]

    # Structure

    def _alternatives(self) -> Node:
        parts = [self._sequence()]
        while self._skip("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Alternatives(parts)

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            if self._skip("\\Q"):
                parts += [Char(self._literal(char)) for char in self._quoted()]
                continue
            part = self._one()
            if part is None:
                self._refuse_count("nothing to repeat")
                continue
            parts.append(self._repeated(part))
        return Sequence(parts)

    def _quoted(self) -> str:
        if "\\E" in self._text[self._at :]:
            return self._until("\\E")
        rest, self._at = self._text[self._at :], len(self._text)
        return rest

    def _repeated(self, part: Node) -> Node:
        count = self._count()
        if count is None:
            return part
        self._skip("?")  # lazy: the same when the whole text is matched
        self._refuse_count("a repetition of a repetition")
        return Repeat(part, *count)

    def _refuse_count(self, why: str) -> None:
        if self._count() is not None:
            raise PatternError(f"{why} at {self._at - 1}")

    def _count(self) -> tuple[int, int | None] | None:
        """The repetition that comes next, if one does; a brace that holds no count is a letter like others."""
        char = self._peek()
        if char in ("*", "+", "?") and char:
            self._at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        closing = self._text.find("}", self._at)
        if char != "{" or closing < 0:
            return None
        low, comma, high = self._text[self._at + 1 : closing].partition(",")
        if not _is_number(low) or (high and not _is_number(high)):
            return None
        least, most = int(low), int(high) if high else None if comma else int(low)
        if max(least, most or 0) > PATTERN_MAX_REPEAT or (most is not None and most < least):
            raise PatternError("a count that cannot be")
        self._at = closing + 1
        return least, most

    def _one(self) -> Node | None:
        """The next part; None where flags are set."""
        self._refuse_count("nothing to repeat")
        char = self._take()
        if char == "(":
            return self._group()
        if char in "^$":
            return Assertion(("m" if char == "^" else "M") if "m" in self._flags else char)
        if char == "\\" and self._peek() in ("A", "z", "b", "B"):
            return Assertion({"A": "^", "z": "$"}.get(taken := self._take(), taken))
        if char == ".":
            return Char((lambda other: True) if "s" in self._flags else (lambda other: other != "\n"))
        if char == "[":
            return Char(self._char_class())
        if char == "\\":
            test, literal = self._escape()
            return Char(test if literal is None else self._literal(literal))
        return Char(self._literal(char))

    def _group(self) -> Node | None:
        flags = self._flags
        if self._skip("?P<") or self._skip("?<"):
            name = self._until(">")
            if not name.isascii() or not name.replace("_", "a").isalnum() or name in self._names:
                raise PatternError(f"'{name}' is no name for a group, or another's")
            self._names.add(name)
        elif self._skip("?") and self._set_flags():
            return None
        self._depth += 1
        if self._depth > PATTERN_MAX_DEPTH:
            raise PatternError("groups in groups in groups")
        part = self._alternatives()
        if self._take() != ")":
            raise PatternError("a group without end")
        self._depth -= 1
        self._flags = flags
        return part

    def _set_flags(self) -> bool:
        """Flags of a group, or, if True, of what follows in the present one."""
        is_on = True
        seen = ""
        while (char := self._take()) not in "):":
            if char == "-" and is_on:
                is_on = False
            elif char in "imsU":
                self._flags = self._flags.replace(char, "") + (char if is_on else "")
            else:
                raise PatternError(f"groups of this kind are not known: (?{char}")
            seen += char
        if seen.endswith("-"):
            raise PatternError("no flag after '-'")
        return char == ")"

    # Characters

    def _literal(self, wanted: str) -> Test:
        return self._folded(lambda other: other == wanted)

    def _folded(self, test: Test) -> Test:
        """The same test whatever the case, where that was asked for."""
        if "i" not in self._flags:
            return test

        def folded(char: str) -> bool:
            lower, upper = char.lower(), char.upper()
            return test(char) or test(lower) or test(upper) or test(lower.upper()) or test(upper.lower())

        return folded

    def _escape(self) -> tuple[Test, str | None]:
        """After a backslash: a test, and the character where it is one."""
        char = self._take()
        found = _CLASSES.get(char.lower())
        if found is not None:
            return (found if char.islower() else lambda other: not found(other)), None
        if char in "pP":
            return self._category(is_negated=char == "P"), None
        literal = self._escaped(char)
        return (lambda other: other == literal), literal

    def _escaped(self, char: str) -> str:
        if char == "x":
            return self._hexadecimal()
        if "1" <= char <= "7" and not "0" <= self._peek() <= "7":
            raise PatternError(f"a reference to group {char}")
        if "0" <= char <= "7":
            digits = char
            while len(digits) < 3 and self._peek() and "0" <= self._peek() <= "7":
                digits += self._take()
            return chr(int(digits, 8))
        if char in _ESCAPES:
            return _ESCAPES[char]
        if char.isascii() and char.isalnum():
            raise PatternError(f"\\{char} is not known")
        return char

    def _hexadecimal(self) -> str:
        digits = self._until("}") if self._skip("{") else self._take() + self._take()
        if not digits or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
            raise PatternError(f"\\x{digits} is no number")
        if len(digits) > 8 or int(digits, 16) > 0x10FFFF:
            raise PatternError(f"\\x{digits} is no character")
        return chr(int(digits, 16))

    def _category(self, is_negated: bool) -> Test:
        name = self._until("}") if self._skip("{") else self._take()
        if name.startswith("^"):
            name, is_negated = name[1:], not is_negated
        if name == "Any":
            return lambda other: not is_negated
        divisions = _CATEGORIES.get(name[:1])
        if divisions is None or len(name) > 2 or name[1:] not in divisions:
            raise PatternError(f"\\p{{{name}}} is not known")
        return lambda other: unicodedata.category(other).startswith(name) != is_negated

    def _char_class(self) -> Test:
        is_negated = self._skip("^")
        tests: list[Test] = []
        is_first = True
        while is_first or self._peek() != "]":
            is_first = False
            tests.append(self._posix() or self._range())
        self._at += 1
        test = self._folded(lambda other: any(test(other) for test in tests))
        return (lambda other: not test(other)) if is_negated else test

    def _posix(self) -> Test | None:
        closing = self._text.find(":]", self._at + 2)
        if not self._text.startswith("[:", self._at) or closing < 0:
            return None
        name = self._text[self._at + 2 : closing]
        found = _POSIX.get(name.removeprefix("^"))
        if found is None:
            raise PatternError(f"[:{name}:] is not known")
        self._at = closing + 2
        return (lambda other: not found(other)) if name.startswith("^") else found

    def _range(self) -> Test:
        test, low = self._end()
        after = self._text[self._at + 1 : self._at + 2]
        if low is None or self._peek() != "-" or after in ("]", ""):
            return test
        self._at += 1
        _, high = self._end()
        if high is None or high < low:
            raise PatternError(f"the range from {low} is none")
        return lambda other: low <= other <= high

    def _end(self) -> tuple[Test, str | None]:
        """One character of a class, or an escape."""
        char = self._take()
        return self._escape() if char == "\\" else (lambda other: other == char, char)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
