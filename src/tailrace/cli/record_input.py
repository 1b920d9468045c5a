"""Records read from bytes: one a line, one a JSON line, or one a file.

    lines   the line is the value; with a key separator, `KEY<separator>VALUE`
    json    the document `tailrace consume --json` prints (see `record_json`), so that one can feed the other
    whole   everything up to the end is one value

Reads no more than `LINE_MAX_BYTES` ahead. Does not talk to a cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from tailrace.cli.failure import CommandFailed
from tailrace.cli.record_json import InputRecord, record_from_json

LINE_MAX_BYTES: Final = 100 * 1024 * 1024
"""Longest line accepted: the default of `socket.request.max.bytes`, beyond which no broker would take it anyway."""


@dataclass(frozen=True, slots=True)
class InputRules:
    """How bytes become records. `key` and `headers` are given to every record that brings none of its own."""

    form: str  # lines | json | whole
    key: bytes | None = None
    key_separator: bytes | None = None
    null_marker: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def read_records(source: BinaryIO, name: str, rules: InputRules) -> Iterator[tuple[InputRecord, int]]:
    """Each record of `source` with the number of bytes it took there. `name` is for messages.

    Raises:
        CommandFailed: a line is too long, lacks the key separator, or is not the JSON of a record.
    """
    if rules.form == "whole":
        content = source.read(LINE_MAX_BYTES + 1)
        _check_size(content, name, 1)
        yield InputRecord(key=rules.key, value=content, headers=list(rules.headers)), len(content)
        return
    for number, line in _numbered_lines(source, name):
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        if rules.form == "json":
            if text.strip():
                yield _from_json(text, f"{name}, line {number}", rules), len(line)
        else:
            yield _from_line(text, f"{name}, line {number}", rules), len(line)


def _numbered_lines(source: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := source.readline(LINE_MAX_BYTES + 1):
        number += 1
        _check_size(line, name, number)
        yield number, line


def _check_size(content: bytes, name: str, number: int) -> None:
    if len(content) > LINE_MAX_BYTES:
        raise CommandFailed(f"{name}, line {number}: longer than {LINE_MAX_BYTES:,} bytes, the most a broker takes.")


def _from_line(text: bytes, place: str, rules: InputRules) -> InputRecord:
    key, value = rules.key, text
    if rules.key_separator is not None:
        left, separator, value = text.partition(rules.key_separator)
        if not separator:
            shown = rules.key_separator.decode(errors="replace")
            raise CommandFailed(
                f"{place}: no key separator {shown!r} in it; every line needs one with --key-separator."
            )
        key = _null_or(left, rules)
    return InputRecord(key=key, value=_null_or(value, rules), headers=list(rules.headers))


def _null_or(text: bytes, rules: InputRules) -> bytes | None:
    return None if rules.null_marker is not None and text == rules.null_marker else text


def _from_json(text: bytes, place: str, rules: InputRules) -> InputRecord:
    try:
        record = record_from_json(json.loads(text))
    except ValueError as failure:
        raise CommandFailed(f"{place}: not the JSON of a record: {failure}.") from failure
    if record.key is None:
        record.key = rules.key
    record.headers.extend(rules.headers)
    return record
