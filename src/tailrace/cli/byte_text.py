"""Bytes in JSON: as text where they are UTF-8, in base64 under `NAME_base64` where they are not."""

from __future__ import annotations

import base64
import json
from typing import Any


def put_bytes(document: dict[str, Any], name: str, content: bytes | None) -> None:
    """Set `document[name]` to the text or null; other bytes leave null there and go to `NAME_base64`."""
    text, encoded = as_text(content)
    document[name] = text
    if encoded is not None:
        document[f"{name}_base64"] = encoded


def as_text(content: bytes | None) -> tuple[str | None, str | None]:
    """(text, None) of UTF-8, (None, base64) of other bytes, (None, None) of null."""
    if content is None:
        return None, None
    try:
        return content.decode(), None
    except UnicodeDecodeError:
        return None, base64.b64encode(content).decode()


def header_to_json(name: str, value: bytes | None) -> list[str | None]:
    """[name, text], or [name, null, base64]."""
    text, encoded = as_text(value)
    return [name, text] if encoded is None else [name, None, encoded]


def quoted(text: str) -> str:
    """A word of `name=value` output: the text as it is, or as JSON where it could be taken for something else."""
    plain = text.isprintable() and text not in ("", "null", "true", "false") and not any(c in ' "' for c in text)
    return text if plain else json.dumps(text, ensure_ascii=False)
