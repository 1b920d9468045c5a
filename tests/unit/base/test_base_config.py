"""Definitions of settings: parsing, ranges and the sentences of refusals. Sentences are those of Kafka's ConfigDef."""

from __future__ import annotations

import pytest

from tailrace.base.config import ConfigDefs, ConfigValue, parse_list, render
from tailrace.base.errors import ConfigError

DEFS = ConfigDefs(
    (
        ("flag", "BOOLEAN", "false", None, "low", 2),
        ("count", "INT", "5", (1, 9), "low", 2),
        ("small", "SHORT", "1", None, "low", 2),
        ("size", "LONG", "-1", (-1, None), "low", 2),
        ("ratio", "DOUBLE", "0.5", (0, 1), "low", 2),
        ("policy", "LIST", "delete", ("compact", "delete"), "low", 2),
        ("codec", "STRING", "gzip", ("gzip", "lz4"), "low", 2),
        ("level", "INT", "-1", "gzip-level", "low", 2),
        ("replicas", "LIST", "", "throttled-replicas", "low", 2),
        ("reset", "STRING", "latest", "offset-reset", "low", 2),
        ("policy.name", "STRING", "up", "any-case:UP,DOWN", "low", 2),
        ("name", "STRING", None, "non-empty", "low", 2),
        ("secret", "PASSWORD", None, None, "low", 2),
    )
)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("flag", "TRUE", True),
        ("flag", " false ", False),
        ("count", " 7 ", 7),
        ("size", "9223372036854775807", 2**63 - 1),
        ("ratio", "1", 1.0),
        ("policy", "compact, delete,compact", ("compact", "delete")),
        ("policy", "", ()),
        ("codec", "lz4", "lz4"),
        ("level", "-1", -1),
        ("replicas", "0:1,1:2", ("0:1", "1:2")),
        ("replicas", "*", ("*",)),
        ("reset", "by_duration:P1DT2H", "by_duration:P1DT2H"),
        ("policy.name", "Down", "Down"),
        ("secret", "s3", "s3"),
    ],
)
def test_parses(name: str, text: str, value: ConfigValue) -> None:
    assert DEFS[name].parse(text) == value


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("flag", "yes", "Expected value to be either true or false"),
        ("count", "abc", "Not a number of type INT"),
        ("count", "1_0", "Not a number of type INT"),
        ("count", "2147483648", "Not a number of type INT"),
        ("small", "40000", "Not a number of type SHORT"),
        ("count", "0", "Value must be at least 1"),
        ("count", "10", "Value must be no more than 9"),
        ("size", "", "Not a number of type LONG"),
        ("size", "-2", "Value must be at least -1"),
        ("ratio", "x", "Not a number of type DOUBLE"),
        ("ratio", "nan", "Value must be at least 0"),
        ("policy", "delete,foo", "String must be one of: compact, delete"),
        ("codec", "zip", "String must be one of: gzip, lz4"),
        ("level", "0", "Value must be between 1 and 9 or equal to -1"),
        ("replicas", "1:2,*", "literal '*'"),
        ("reset", "by_duration:P", "by_duration:PnDTnHnMn.nS"),
        ("policy.name", "left", "String must be one of (case insensitive): UP, DOWN"),
        ("name", "", "it must not be empty"),
    ],
)
def test_a_refusal_names_the_setting_and_what_is_allowed(name: str, text: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        DEFS[name].parse(text)
    assert refused.value.name == name
    assert f"for configuration {name}: " in str(refused.value)
    assert why in str(refused.value)


def test_a_default_may_be_outside_its_own_range() -> None:
    """Kafka's compression.gzip.level is such a case before its validator knew -1."""
    assert DEFS.typed_default("level") == -1
    assert DEFS.typed_default("secret") is None


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no\.such\.name"):
        DEFS["no.such.name"]
    assert DEFS.get("no.such.name") is None


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (7, "7"), (0.5, "0.5"), (("a", "b"), "a,b"), ((), ""), ("x", "x"), (None, None)]
)
def test_renders(value: ConfigValue, text: str | None) -> None:
    assert render(value) == text


def test_a_list_keeps_the_first_of_duplicates() -> None:
    assert parse_list("b,, a ,b") == ("b", "a")
