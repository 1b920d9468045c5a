"""Every message of every version is read back as it was written, to the last byte."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire_messages import EVERY, KINDS, encoded, values

from tailrace.wire.primitives import DecodeError, EncodeError, decode_whole

EXAMPLES = 40 if "TAILRACE_EXPLORE" in os.environ else 6
"""The same ones in every run that does not explore; `test_wire_oracles.py` writes and reads back what it draws, too."""
QUICK = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize(("name", "version"), EVERY)
def test_what_is_written_is_read_back(name: str, version: int) -> None:
    @QUICK
    @given(values(name, version))
    def check(value: Any) -> None:
        data = encoded(value, version)
        again, pos = KINDS[name].type.decode(memoryview(data), 0, version)
        assert again == value
        assert pos == len(data)
        assert encoded(again, version) == data

    check()


NULL_BY_DEFAULT = {("MetadataRequest", 0), ("OffsetFetchRequest", 0), ("OffsetFetchRequest", 1)}
"""Here the list of topics is null by default, which means all, and cannot be said."""


@pytest.mark.parametrize(("name", "version"), [pair for pair in EVERY if pair not in NULL_BY_DEFAULT])
def test_a_new_message_can_be_written(name: str, version: int) -> None:
    value = KINDS[name].type()
    again, _ = KINDS[name].type.decode(memoryview(encoded(value, version)), 0, version)
    assert again == value


@pytest.mark.parametrize(("name", "version"), sorted(NULL_BY_DEFAULT))
def test_null_is_not_written_where_it_cannot_be_said(name: str, version: int) -> None:
    with pytest.raises(EncodeError):
        encoded(KINDS[name].type(), version)


@pytest.mark.parametrize(("name", "version"), EVERY)
def test_a_message_that_is_cut_is_refused(name: str, version: int) -> None:
    @settings(QUICK, max_examples=3)
    @given(values(name, version), st.data())
    def check(value: Any, data: st.DataObject) -> None:
        whole = encoded(value, version)
        for cut in range(len(whole)):
            with pytest.raises(DecodeError):
                decode_whole(KINDS[name].type, whole[:cut], version)

    check()
