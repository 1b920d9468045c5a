"""Regular expressions of subscriptions: RE2's syntax, matched against whole topic names.

RE2 needs time in proportion to the text; Python's engine goes back, so patterns that could make it go back without end
are refused: repetitions within repetitions, and more of them than a pattern for names needs. What RE2 does not have
(looking around, references to groups, possessive repetition) is refused as RE2 does. Source: KIP-848, RE2/J.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.coordinator.consumer_groups.limits import REGEX_MAX_CHARS, REGEX_REPEATS_MAX

_FOREIGN: Final = re.compile(r"\(\?(?:[=!>(#]|<[=!]|P=|P>)|\\[1-9]|[*+?}]\+")
"""What Python's engine has and RE2 has not."""

_TOKEN: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(|\)|[*+]|\{\d+(?:,\d*)?\}|.", re.DOTALL)


@lru_cache(maxsize=64)
def compile_regex(regex: str) -> Callable[[str], object]:
    """A test for whole topic names. Raises INVALID_REGULAR_EXPRESSION."""
    if len(regex) > REGEX_MAX_CHARS:
        raise _invalid(regex, f"is longer than {REGEX_MAX_CHARS} characters")
    if _FOREIGN.search(re.sub(r"\\[^1-9]", "", regex)):
        raise _invalid(regex, "uses what RE2 does not have")
    _check_repeats(regex)
    try:
        return re.compile(regex).fullmatch
    except (re.error, OverflowError, RecursionError) as error:
        raise _invalid(regex, str(error)) from error


def _check_repeats(regex: str) -> None:
    """Refuse repetitions within repetitions, and too many."""
    total = 0
    within = [0]
    """Repetitions in each group that is open, and in the last one closed."""
    closed = 0
    for match in _TOKEN.finditer(regex):
        token = match[0]
        if token == "(":
            within.append(0)
        elif token == ")" and len(within) > 1:
            closed = within.pop()
            within[-1] += closed
            continue
        elif token in ("*", "+") or (token[0] == "{" and len(token) > 1):
            if closed:
                raise _invalid(regex, "repeats what repeats")
            total += 1
            within[-1] += 1
        closed = 0
    if total > REGEX_REPEATS_MAX:
        raise _invalid(regex, f"has more than {REGEX_REPEATS_MAX} repetitions")


def _invalid(regex: str, why: str) -> KafkaError:
    return KafkaError(
        ErrorCode.INVALID_REGULAR_EXPRESSION,
        f"SubscribedTopicRegex `{regex}` is not valid: {why}.",
    )
