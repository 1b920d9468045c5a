"""What bytes are, for people."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tailrace.console.decoding import Decoder, Shown


def show(data: bytes | None, form: str = "auto", most: int = 4096) -> Any:
    return Decoder(None).show(data, Shown(form, most))


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        (b"", "text", ""),
        (b"hello", "text", "hello"),
        ("grüße\n\t".encode(), "text", "grüße\n\t"),
        (b'{"a": [1, 2]}', "json", '{"a": [1, 2]}'),
        (b' ["x"] ', "json", ' ["x"] '),
        (b"{not json}", "text", "{not json}"),
        (b"42", "text", "42"),
        (b"\x00\x01\xff", "hex", "00 01 ff"),
        (b"bell\x07", "hex", "62 65 6c 6c 07"),
        (b"\xff\xfe", "hex", "ff fe"),
        (b"\x00\x00\x00\x00\x07abc", "hex", "00 00 00 00 07 61 62 63"),
    ],
)
def test_what_it_is(data: bytes, kind: str, text: str) -> None:
    shown = show(data)
    assert (shown["format"], shown["text"], shown["size"], shown["is_cut"]) == (kind, text, len(data), False)


def test_null_is_null() -> None:
    assert show(None) is None


def test_a_chosen_form() -> None:
    assert show(b"ab", "hex")["text"] == "61 62"
    assert show(b"\xffa", "text")["text"] == "\ufffda"
    assert show(b"[1]", "text")["format"] == "text"
    assert show(b"\x00\x01", "base64")["base64"] == base64.b64encode(b"\x00\x01").decode()


def test_what_is_long_is_cut_where_a_character_ends() -> None:
    data = "é".encode() * 100
    for most in range(1, 20):
        shown = show(data, most=most)
        assert (shown["text"], shown["is_cut"], shown["format"]) == ("é" * most, True, "text")
    assert show(b"\xff" * 5000)["is_cut"]
    assert len(show(b"\xff" * 5000)["text"]) <= 4096


def test_a_cut_within_a_character_of_four_bytes() -> None:
    data = b"a" + "𝄞".encode() * 50
    assert show(data, most=3)["format"] == "text"


def test_deep_json_is_text() -> None:
    assert show(b"[" * 100_000)["format"] == "text"
    assert json.dumps(show(b"[" * 10))
