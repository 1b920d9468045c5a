"""Settings from a TOML file and the command line: what is read, what wins, what is refused and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.base.errors import ConfigError, TailraceError
from tailrace.node.settings import load_settings


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tailrace.toml"
    path.write_text(text)
    return path


def test_nothing_given_is_nothing_set() -> None:
    assert load_settings(None, {}) == {}


def test_dotted_keys_tables_and_quoted_names_mean_the_same(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        num.partitions = 3
        "message.max.bytes" = 77
        auto.create.topics.enable = false
        [log]
        cleanup.policy = ["compact", "delete"]
        cleaner.min.cleanable.ratio = 0.25
        """,
    )
    assert load_settings(path, {}) == {
        "num.partitions": "3",
        "message.max.bytes": "77",
        "auto.create.topics.enable": "false",
        "log.cleanup.policy": "compact,delete",
        "log.cleaner.min.cleanable.ratio": "0.25",
    }


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "num.partitions = 3\nlog.retention.ms = 5\n")
    assert load_settings(path, {"num.partitions": " 4 "}) == {"num.partitions": "4", "log.retention.ms": "5"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("num.partition = 3", ("num.partition", "3")),
        ("num.partitions = 0", ("num.partitions", "0", "at least 1")),
        ('num.partitions = "many"', ("num.partitions", "many", "INT")),
        ("num.partitions = 2.5", ("num.partitions", "2.5", "INT")),
        ("auto.create.topics.enable = 1", ("auto.create.topics.enable", "1", "true or false")),
        ("log.retention.ms = 2026-01-01", ("log.retention.ms", "date")),
        ("log.cleaner.min.cleanable.ratio = 1.5", ("log.cleaner.min.cleanable.ratio", "1.5", "no more than 1")),
    ],
)
def test_a_refusal_names_the_setting_the_value_and_what_is_allowed(
    tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings(written(tmp_path, text), {})
    for word in words:
        assert word in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_cannot_be_read_or_is_not_toml_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(TailraceError, match=r"absent\.toml"):
        load_settings(tmp_path / "absent.toml", {})
    with pytest.raises(TailraceError, match=r"tailrace\.toml is not TOML"):
        load_settings(written(tmp_path, "num.partitions = = 3"), {})
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TailraceError, match="is not TOML"):
        load_settings(tmp_path / "bytes.toml", {})
