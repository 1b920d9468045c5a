"""The documents say what the code serves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import api_table
from tailrace.broker.served import SERVED
from tailrace.wire.api import ApiKey, camel_case

ROOT = Path(__file__).resolve().parents[3]


def test_every_document_is_current() -> None:
    command = [sys.executable, str(ROOT / "tools" / "api_table.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_table_has_a_row_for_everything_served() -> None:
    rows = [line.split("|")[1:6] for line in api_table.table().splitlines() if line.startswith("| ")][1:]
    assert [(int(key), name.strip()) for key, name, *_ in rows] == [(int(k), camel_case(k)) for k in sorted(SERVED)]


def test_keys_are_kafkas() -> None:
    for key in ApiKey:
        assert api_table.KAFKA_4_3[camel_case(key)][0] == key
    keys = [key for key, _, _ in api_table.KAFKA_4_3.values()]
    assert keys == sorted(set(keys))
    assert len(keys) == 77


def test_differences_from_kafka_are_noted() -> None:
    assert api_table.note(ApiKey.FETCH, 0, 18).startswith("v0-3 for clients of before Kafka 2.1; ")
    assert api_table.note(ApiKey.DELETE_GROUPS, 0, 3) == "v3 is of Kafka 4.4"
    assert api_table.note(ApiKey.HEARTBEAT, 0, 4) == ""
