"""pprof's file format: what is written is read back, and what is not a profile is refused."""

import gzip

import pytest

from tailrace.observe import pprof
from tailrace.observe.pprof import ProfileFormatError, decode, encode
from tailrace.observe.profile import Frame, Profile, Sample, ValueType, share_of

INNER = Frame("app.inner", "/srv/app.py", 12, 10)
OUTER = Frame("app.outer", "/srv/app.py", 30, 25)
PROFILE = Profile(
    sample_types=(ValueType("samples", "count"), ValueType("cpu", "nanoseconds")),
    samples=[
        Sample((INNER, OUTER), (3, 30_000_000_000), (("thread", "MainThread"),)),
        Sample((Frame("[elsewhere]"),), (0, -1)),
        Sample((), (1, 70_000_000_000)),
    ],
    time_ns=1_700_000_000_000_000_000,
    duration_ns=5_000_000_000,
    period_type=ValueType("wall", "nanoseconds"),
    period=10_000_000,
    default_type="cpu",
    comments=("one", "two"),
)


def test_what_is_written_is_read_back():
    assert decode(encode(PROFILE)) == PROFILE
    assert decode(gzip.decompress(encode(PROFILE))) == PROFILE


def test_a_place_is_named_once():
    twice = Profile(PROFILE.sample_types, [*PROFILE.samples, *PROFILE.samples])
    assert gzip.decompress(encode(twice)).count(b"/srv/app.py") == 1


def test_an_empty_profile():
    assert decode(encode(Profile((), []))) == Profile((), [])


@pytest.mark.parametrize("count", range(0, 200, 3))
def test_what_is_cut_off_is_refused_or_less(count):
    body = gzip.decompress(encode(PROFILE))
    try:
        decode(body[:count])
    except ProfileFormatError:
        pass
    with pytest.raises(ProfileFormatError):
        decode(encode(PROFILE)[:-9])


@pytest.mark.parametrize("body", [b"\x0f", b"\x0a\xff\xff\xff\xff\x0f", b"\xff" * 12, b"\x12\x02\x0a\x01", b"<html>"])
def test_what_is_no_profile_is_refused(body):
    with pytest.raises(ProfileFormatError):
        decode(body)


def test_a_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(pprof, "PROFILE_BYTES_MAX", 100_000)
    with pytest.raises(ProfileFormatError, match="more than"):
        decode(gzip.compress(bytes(1_000_000)))


def test_shares():
    assert share_of(PROFILE, "samples", ["inner"]) == 0.75
    assert share_of(PROFILE, "samples", ["inner", "outer", "elsewhere]"]) == 0.75
    assert share_of(Profile(PROFILE.sample_types, []), "cpu", ["inner"]) == 0.0
