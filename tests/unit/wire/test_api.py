"""The table of APIs agrees with the generated messages, and reading it imports none of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tailrace.wire.api import ApiKey, api, camel_case, versions

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("key", list(ApiKey), ids=lambda key: key.name)
def test_the_table_says_what_the_messages_say(key: ApiKey) -> None:
    known = api(key)
    assert known is not None
    for message in (known.request, known.response):
        assert known.first_version == message.MIN_VERSION
        assert known.flexible_from == message.FLEXIBLE_FROM
    unstable = getattr(known.request, "LATEST_UNSTABLE", False)
    assert known.last_version == known.request.MAX_VERSION - unstable
    assert known.response.MAX_VERSION == known.request.MAX_VERSION
    assert versions(key) == (known.first_version, known.last_version, known.flexible_from)
    assert known.name == camel_case(key)
    assert api(int(key)) is known


def test_an_unknown_key_has_no_api() -> None:
    for key in (-1, 4, 7, 9999):
        assert api(key) is None
        assert versions(key) is None


def test_asking_for_versions_imports_no_message() -> None:
    program = (
        "import sys; from tailrace.wire.api import ApiKey, versions; assert all(versions(key) for key in ApiKey);"
        "sys.exit(any(name.startswith('tailrace.wire.messages') for name in sys.modules))"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(ROOT / "src")}, check=False).returncode
        == 0
    )


def test_generated_modules_are_those_the_schemas_give() -> None:
    command = [sys.executable, str(ROOT / "tools" / "generate_messages.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
