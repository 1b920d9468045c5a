"""Fixtures for the Python client suites."""

import pytest

pytest.register_assert_rewrite("tests.harness.story")

from tests.harness.fixtures import broker, driver  # noqa: E402, F401
