"""Clients' expressions: they mean what Python's `re` says they mean, and cost what RE2 would."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.base.patterns import PATTERN_MAX_STATES, Pattern, PatternError

TEXTS = [
    "", "a", "b", "ab", "abc", "aab", "abab", "a.b", "-", "1", "a1_", " ", "\n", "é", "aaaa", "b]", "^a", "ac",
    "x{2}",
]  # fmt: skip
EXPRESSIONS = [
    "", "a", "ab", ".", ".*", "a*", "a+b?", "(ab)*", "(?:ab)+", "a|b", "(a|b)*c?", "[ab]+", "[^ab]", "[a-c]{2,3}",
    "a{2}", "a{0,2}", "a{1,}", r"\d", r"\w+", r"\s", r"\D*", r"\W", r"a\.b", "^ab$", "[]b]+", "[a-]", r"[\w-]+",
    "(a*)*", "(a|ab)(c|)", "a*?b", "((a))", "a{3,}", "(a{2}){2}", "(|a)+",
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_matches(expression: str) -> None:
    pattern, oracle = Pattern(expression), re.compile(expression, re.ASCII)
    for text in TEXTS:
        assert pattern.matches(text) == (oracle.fullmatch(text) is not None), text


NODES = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,1}", "{1,}"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)


@given(NODES, st.text("abc", max_size=6))
def test_what_matches_at_random(expression: str, text: str) -> None:
    assert Pattern(expression).matches(text) == (re.fullmatch(expression, text, re.ASCII) is not None)


CASES = [json.loads(line) for line in (Path(__file__).parent / "re2_cases.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("expression", "matching"), CASES[1:], ids=[case[0] for case in CASES[1:]])
def test_what_re2j_says(expression: str, matching: list[str] | None) -> None:
    """`tests/compat/test_expressions.py` asks RE2/J the same."""
    try:
        pattern = Pattern(expression)
    except PatternError:
        assert matching is None
    else:
        assert [text for text in CASES[0] if pattern.matches(text)] == matching


@pytest.mark.parametrize("expression", [r"\p{Greek}", "(a{1000}){1000}"])
def test_what_re2j_takes_and_we_refuse(expression: str) -> None:
    with pytest.raises(PatternError):
        Pattern(expression)


def test_a_costly_expression_shows_it() -> None:
    """Its steps are all different, so nothing is remembered for long: whoever bounds `work` notices."""
    costly = Pattern("(?:.*a.{100}){3}")
    cheap = Pattern("orders-.*")
    for number in range(200):
        cheap.matches(f"orders-{number}")
        costly.matches(f"{number:b}".replace("0", "b").replace("1", "a") * 20)
    assert cheap.work < 3_000 < 100_000 < costly.work


@pytest.mark.parametrize("expression", ["*", "(", ")", "a)", "[a", "a{2,1}", "\\", r"\1", "(?=a)", "[b-a]", "a**"])
def test_what_is_no_expression(expression: str) -> None:
    with pytest.raises(PatternError):
        Pattern(expression)


def test_no_expression_takes_long() -> None:
    """What takes `re` longer than the age of the universe."""
    assert not Pattern("(a+)+b").matches("a" * 10_000)
    assert not Pattern("(a|a)*b").matches("a" * 10_000)


@pytest.mark.parametrize("expression", ["(a{100}){100}", "a" * PATTERN_MAX_STATES, "(" * 60 + ")" * 60])
def test_no_expression_is_large(expression: str) -> None:
    with pytest.raises(PatternError):
        Pattern(expression)
