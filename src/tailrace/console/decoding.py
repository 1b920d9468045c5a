"""What a key or a value is, for people: text, JSON, what a schema makes of it, or hex. Bytes are never changed.

auto    known schema id (Confluent: 0x00, id as u32) -> what the schema says; UTF-8 without control characters ->
        JSON or text; anything else -> hex
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final, NamedTuple

from tailrace.console.limits import PARSED_JSON_MAX_BYTES, SHOWN_CHARACTERS_MAX
from tailrace.console.schemas import MAGIC, SCHEMA_ID_BYTES, Schemas

FORMATS: Final = ("auto", "text", "json", "hex", "base64")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_UTF8_MAX_BYTES: Final = 4


class Shown(NamedTuple):
    """How bytes are to be shown: one of FORMATS, and at most so many characters."""

    format: str = "auto"
    most: int = SHOWN_CHARACTERS_MAX


class Decoder:
    """Makes bytes readable. Blocks where a schema has to be fetched: called in threads alone."""

    def __init__(self, schemas: Schemas | None) -> None:
        self._schemas = schemas

    def show(self, data: bytes | None, shown: Shown) -> dict[str, Any] | None:
        """The JSON form of a key, a value or a header; None for null."""
        if data is None:
            return None
        answer: dict[str, Any] = {
            "format": "text",
            "text": "",
            "base64": None,
            "size": len(data),
            "is_cut": False,
            "schema": None,
            "problem": None,
        }
        if shown.format == "base64":
            answer["base64"] = base64.b64encode(data[: shown.most]).decode("ascii")
        text, kind = self._text(data, shown, answer)
        answer["format"] = kind
        answer["is_cut"] = len(text) > shown.most or answer["is_cut"]
        answer["text"] = text[: shown.most]
        return answer

    def searched(self, data: bytes, most: int) -> str:
        """The text in which something is looked for: at most `most` characters."""
        decoded = self._by_schema(data, {})
        return decoded[:most] if decoded is not None else data[:most].decode("utf-8", "replace")

    @property
    def knows_schemas(self) -> bool:
        """Whether there is a schema registry; without one bytes are what they are."""
        return self._schemas is not None

    def has_schema(self, data: bytes) -> bool:
        """Whether the bytes begin as those of a schema do, and schemas are known."""
        return self._schemas is not None and len(data) >= SCHEMA_ID_BYTES and data[0] == MAGIC

    def _text(self, data: bytes, shown: Shown, answer: dict[str, Any]) -> tuple[str, str]:
        if shown.format == "hex":
            return _hex(data, shown.most, answer), "hex"
        if shown.format in ("auto", "json", "base64"):
            decoded = self._by_schema(data, answer)
            if decoded is not None:
                return decoded, str(answer["schema"]["type"]).lower().replace("json", "jsonschema")
        text = _utf8(data, shown.most, answer, is_forced=shown.format == "text")
        if text is None:
            return _hex(data, shown.most, answer), "hex"
        if shown.format != "text" and is_json(data):
            return text, "json"
        return text, "text"

    def _by_schema(self, data: bytes, answer: dict[str, Any]) -> str | None:
        if self._schemas is None or not self.has_schema(data):
            return None
        found = self._schemas.decode(data)
        answer["schema"], answer["problem"] = found.schema, found.problem
        return found.text


def is_json(data: bytes) -> bool:
    """Whether it is a JSON object, array, text or null; a bare number is a number in any text."""
    if len(data) > PARSED_JSON_MAX_BYTES or data.lstrip()[:1] not in (b"{", b"[", b'"'):
        return False
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _utf8(data: bytes, most: int, answer: dict[str, Any], *, is_forced: bool) -> str | None:
    """The text, None when it is none. Only what can be shown is decoded."""
    head = data[: most * _UTF8_MAX_BYTES]
    answer["is_cut"] = len(head) < len(data)
    try:
        text = head.decode("utf-8", "replace" if is_forced else "strict")
    except UnicodeDecodeError as error:
        if not answer["is_cut"] or error.start < len(head) - _UTF8_MAX_BYTES:
            return None
        text = head[: error.start].decode("utf-8")  # a character that the cut went through
    return text if is_forced or _CONTROL.search(text) is None else None


def _hex(data: bytes, most: int, answer: dict[str, Any]) -> str:
    head = data[: most // 3 + 1]
    answer["is_cut"] = len(head) < len(data)
    return head.hex(" ")
