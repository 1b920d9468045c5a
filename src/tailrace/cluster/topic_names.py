"""Which topic names are legal, and which two may not live together.

A name has 1 to 249 of the characters a-z A-Z 0-9 . _ - and is neither "." nor "..". Two names that differ only in "."
and "_" collide, because Kafka's metric names write both as "_". Source: Kafka Topic.validate, Topic.hasCollision.
"""

from __future__ import annotations

import re
from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError

MAX_NAME_LENGTH: Final = 249
"""Longest topic name: a directory `<topic>-<partition>` with its suffixes must fit in 255 bytes."""

_LEGAL: Final = re.compile(r"[a-zA-Z0-9._-]+")


def topic_name_error(name: str) -> str | None:
    """Why `name` is not a legal topic name, in Kafka's words; None when it is."""
    if not name:
        return "Topic name is invalid: the empty string is not allowed"
    if name in (".", ".."):
        return f"Topic name is invalid: '{name}' is not allowed"
    if len(name) > MAX_NAME_LENGTH:
        return f"Topic name is invalid: the length of '{name}' is longer than the max allowed length {MAX_NAME_LENGTH}"
    if not _LEGAL.fullmatch(name):
        return (
            f"Topic name is invalid: '{name}' contains one or more characters other than "
            "ASCII alphanumerics, '.', '_' and '-'"
        )
    return None


def check_topic_name(name: str) -> None:
    """Raise KafkaError(INVALID_TOPIC_EXCEPTION) unless `name` is legal."""
    error = topic_name_error(name)
    if error is not None:
        raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, error)


def unified_name(name: str) -> str:
    """What collides: two different names with the same unified name may not live together."""
    return name.replace(".", "_")
