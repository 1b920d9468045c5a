r"""The `--format` of `tailrace consume`: a text with places for the parts of a record.

    %t topic    %p partition   %o offset   %k key   %v value   %h headers (name=value,...)
    %T timestamp, ms since 1970   %I timestamp, ISO 8601   %K and %V bytes in key and value, -1 when null
    %% percent  \n \t \r \0 \\ as in C

A null key or value is printed as nothing. Bytes are printed as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from confluent_kafka import Message

from tailrace.cli.positions import format_time
from tailrace.cli.record_json import headers_of

Meaning = TypeVar("Meaning")
Part = Callable[[Message], bytes]

ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\"}


def _number(value: int | None) -> bytes:
    return str(-1 if value is None else value).encode()


def _length(content: bytes | None) -> bytes:
    return _number(None if content is None else len(content))


def _headers(message: Message) -> bytes:
    return b",".join(name.encode() + b"=" + (value or b"") for name, value in headers_of(message))


PARTS: Final[dict[str, Part]] = {
    "t": lambda message: (message.topic() or "").encode(),
    "p": lambda message: _number(message.partition()),
    "o": lambda message: _number(message.offset()),
    "k": lambda message: message.key() or b"",
    "v": lambda message: message.value() or b"",
    "h": _headers,
    "T": lambda message: _number(message.timestamp()[1]),
    "I": lambda message: format_time(max(0, message.timestamp()[1])).encode(),
    "K": lambda message: _length(message.key()),
    "V": lambda message: _length(message.value()),
}


def compile_format(text: str) -> Callable[[Message], bytes]:
    """A function that renders a record as `text` says.

    Raises:
        ValueError: `%` or a backslash is followed by something that has no meaning.
    """
    parts: list[Part] = []
    for literal, letter in _pieces(text):
        if literal:
            parts.append(_constant(literal.encode()))
        if letter:
            parts.append(PARTS[letter])
    return lambda message: b"".join([part(message) for part in parts])


def _constant(content: bytes) -> Part:
    return lambda message: content


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """(literal before, letter of the part) pairs; the last one has no letter."""
    literal = ""
    characters = iter(text)
    for character in characters:
        if character == "\\":
            literal += _looked_up(ESCAPES, next(characters, ""), "\\")
        elif character == "%":
            letter = next(characters, "")
            if letter == "%":
                literal += "%"
                continue
            _looked_up(PARTS, letter, "%")
            yield literal, letter
            literal = ""
        else:
            literal += character
    yield literal, ""


def _looked_up(table: dict[str, Meaning], letter: str, introducer: str) -> Meaning:
    if letter not in table:
        allowed = " ".join(f"{introducer}{known}" for known in table)
        raise ValueError(f"{introducer}{letter} means nothing here; known are {allowed}")
    return table[letter]
