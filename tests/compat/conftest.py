"""Marks everything here `compat` and gives the broker fixtures; nothing is skipped, what is missing fails."""

from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.harness.story")

from tests.harness.fixtures import broker, driver  # noqa: E402, F401

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m "not compat"` leaves these tests out."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.compat)
