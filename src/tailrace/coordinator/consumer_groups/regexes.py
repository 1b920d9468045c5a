"""Regular expressions of subscriptions: RE2's syntax, matched against whole topic names.

Source: KIP-848; the engine is `base.patterns`. An expression that is made to be costly is refused when it has proved to
be, so that no member can hold up the loop: Kafka has a thread for that.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.patterns import Pattern, PatternError
from tailrace.coordinator.consumer_groups.limits import REGEX_MAX_CHARS, REGEX_MAX_WORK


def matching(regex: str, names: Iterable[str]) -> list[str]:
    """Those of the names that the whole expression describes, rising. Raises INVALID_REGULAR_EXPRESSION."""
    pattern = compile_regex(regex)
    enough = pattern.work + REGEX_MAX_WORK
    found = []
    for name in names:
        if pattern.matches(name):
            found.append(name)
        if pattern.work > enough:
            raise _invalid(regex, "it is too costly to match")
    return sorted(found)


@lru_cache(maxsize=64)
def compile_regex(regex: str) -> Pattern:
    """The machine of an expression. Raises INVALID_REGULAR_EXPRESSION."""
    if len(regex) > REGEX_MAX_CHARS:
        raise _invalid(regex, f"it is longer than {REGEX_MAX_CHARS} characters")
    try:
        return Pattern(regex)
    except PatternError as error:
        raise _invalid(regex, str(error)) from error


def _invalid(regex: str, why: str) -> KafkaError:
    return KafkaError(
        ErrorCode.INVALID_REGULAR_EXPRESSION,
        f"SubscribedTopicRegex `{regex}` is not a valid regular expression: {why}.",
    )
