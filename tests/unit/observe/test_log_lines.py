"""Lines of the log: one an event, in either form, without secrets."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from tailrace.observe.log_lines import JsonLines, TextLines, lines_of, redacted


def record(message: str, *, fails_with: str | None = None) -> logging.LogRecord:
    error = None
    if fails_with is not None:
        try:
            raise ValueError(fails_with)
        except ValueError:
            error = sys.exc_info()
    made = logging.LogRecord("tailrace.test", logging.WARNING, "f.py", 1, message, None, error)
    made.created, made.msecs = 1_700_000_000.25, 250.0
    return made


def test_text_begins_a_line_for_an_event_alone() -> None:
    lines = TextLines().format(record("first\n2026-01-01 forged", fails_with="boom")).splitlines()
    assert lines[0].endswith("WARNING tailrace.test first")
    assert len(lines) > 3 and all(line.startswith("    ") for line in lines[1:])
    assert lines[-1].endswith("ValueError: boom")


def test_lines_of_a_worker_bear_its_number() -> None:
    assert " WARNING worker-2 tailrace.test told" in lines_of("text", 2).format(record("told"))
    assert json.loads(lines_of("json", 2).format(record("told")))["worker"] == 2
    assert "worker" not in json.loads(lines_of("json").format(record("told")))


def test_json_is_one_line() -> None:
    line = JsonLines().format(record('a "quoted"\nline', fails_with="boom"))
    assert "\n" not in line
    event = json.loads(line)
    assert event["time"] == "2023-11-14T22:13:20.250Z"
    assert (event["level"], event["logger"], event["message"]) == ("WARNING", "tailrace.test", 'a "quoted"\nline')
    assert event["trace"].endswith("ValueError: boom")
    assert "trace" not in json.loads(JsonLines().format(record("quiet")))


@pytest.mark.parametrize("name", ["text", "json"])
def test_no_secret_is_written(name: str) -> None:
    text = "cannot reach etcd://root:hunter2@10.0.0.1:2379, password=hunter2"
    line = lines_of(name).format(record(text, fails_with=f'{text} {{"password": "hunter2"}}'))
    assert "hunter2" not in line
    assert line.count("etcd://root:***@10.0.0.1:2379") == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://u:p%40ss:w@h:1/x", "https://u:***@h:1/x"),
        ("etcd://:secret@h", "etcd://:***@h"),
        ("'root:secret@127.0.0.1:1': needs brackets", "'root:***@127.0.0.1:1': needs brackets"),
        ("etcd.password=s3cr3t;", "etcd.password=***;"),
        ('sasl.jaas.config: password="a b"', "sasl.jaas.config: password=***"),
        ("kafka=127.0.0.1:9092 data=/a@b", "kafka=127.0.0.1:9092 data=/a@b"),
        ("the password is asked for", "the password is asked for"),
    ],
)
def test_what_is_taken_for_a_secret(text: str, said: str) -> None:
    assert redacted(text) == said
