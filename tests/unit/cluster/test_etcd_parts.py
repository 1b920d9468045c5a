"""The parts of the etcd store that need no etcd: its layout, and what is said of how etcd answers."""

from __future__ import annotations

import zlib

import pytest
from tests.support.store_contract import EVERY_RECORD, setting

from tailrace.base.errors import TailraceError
from tailrace.cluster import etcd_layout
from tailrace.cluster.etcd_client import end_of_prefix
from tailrace.cluster.etcd_health import EtcdHealth
from tailrace.cluster.etcd_layout import BatchTooLarge, Layout, decode_value, encode_value, token_of
from tailrace.cluster.store import StoreUnavailable


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_values_come_back_and_name_who_wrote_them(count: int) -> None:
    records = [*EVERY_RECORD, *map(setting, range(count))]
    value = encode_value("broker-7", records)
    assert token_of(value) == "broker-7"
    assert decode_value(value) == records
    assert (value[9:10] == b"[") == (count < 100), "long ones are deflated"


def test_a_value_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_layout, "VALUE_MAX_BYTES", 100)
    with pytest.raises(BatchTooLarge, match="8 records"):
        encode_value("b", EVERY_RECORD)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"token",
        b"token\n",
        b"token\nnoise",
        b"token\n\x78noise",
        b'token\n[{"type":"spaceship"}]',
        b"token\n" + zlib.compress(b"\xff"),
    ],
)
def test_what_no_broker_wrote_is_refused(value: bytes) -> None:
    with pytest.raises(TailraceError):
        decode_value(value)


def test_a_value_that_inflates_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_layout, "TEXT_MAX_BYTES", 1000)
    with pytest.raises(TailraceError, match="more than 1000 bytes"):
        decode_value(b"t\n" + zlib.compress(b"[" + b" " * 2000 + b"]"))


def test_keys_of_batches_are_in_the_order_of_their_versions() -> None:
    layout = Layout("/tailrace/c")
    keys = [layout.batch(version) for version in (1, 9, 10, 255, 256, 1 << 40)]
    assert keys == sorted(keys)
    assert [layout.version_of(key) for key in keys] == [1, 9, 10, 255, 256, 1 << 40]
    assert all(layout.batches < key < end_of_prefix(layout.batches) for key in keys)


def test_each_change_of_state_is_told_once() -> None:
    told: list[str] = []
    health = EtcdHealth(told.append)
    gone = StoreUnavailable("etcd at h:1 does not answer: refused")
    for failure, took_ms in (
        (None, 3),
        (None, 1200),
        (None, 700),
        (None, 1500),
        (None, 400),
        (None, 700),
        (gone, 5000),
        (gone, 5000),
        (None, 20),
    ):
        health.on_call(failure, took_ms)
    assert [line.split(":")[0].split(".")[0] for line in told] == [
        "etcd is slow",
        "etcd answers in time again",
        "etcd at h",
        "etcd answers again",
    ]
