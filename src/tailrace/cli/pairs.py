"""`NAME=VALUE` words of a command line."""

from __future__ import annotations

from collections.abc import Iterable

import click


def parse_pair(word: str, *, option: str) -> tuple[str, str]:
    """Split `NAME=VALUE` at the first `=`. A word without one, or without a name, is a usage error naming `option`."""
    name, separator, value = word.partition("=")
    if not separator or not name.strip():
        raise click.UsageError(f"{option} takes NAME=VALUE, but got {word!r}")
    return name.strip(), value


def parse_pairs(words: Iterable[str], *, option: str) -> dict[str, str]:
    """Split several `NAME=VALUE` words; the last one of a name wins."""
    return dict(parse_pair(word, option=option) for word in words)
