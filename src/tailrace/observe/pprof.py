"""pprof's file: a gzipped protobuf message, written and read by hand, for Go's `pprof` and all that read its files.

    Profile   1 sample_type*  2 sample*  4 location*  5 function*  6 string_table*  9 time_nanos  10 duration_nanos
              11 period_type  12 period  13 comment*  14 default_sample_type
    ValueType 1 type  2 unit                  (all strings are indexes into string_table, of which the first is "")
    Sample    1 location_id* (packed)  2 value* (packed)  3 label*
    Label     1 key  2 str
    Location  1 id  4 line*
    Line      1 function_id  2 line
    Function  1 id  2 name  3 system_name  4 filename  5 start_line

Not its business: mappings and addresses of machine code, which Python has none of. `decode` reads what `encode` wrote
and the same fields of others' files; it bounds what it inflates. Source: google/pprof, proto/profile.proto.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from tailrace.observe.limits import PROFILE_BYTES_MAX
from tailrace.observe.profile import Frame, Profile, Sample, ValueType

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5
_GZIP_WINDOW_BITS: Final = 31


class ProfileFormatError(ValueError):
    """The bytes are not a profile, or one larger than we read."""


def encode(profile: Profile) -> bytes:
    """The file of a profile."""
    tables = _Tables()
    body = bytearray()
    for value_type in profile.sample_types:
        body += _message(1, tables.value_type(value_type))
    for sample in profile.samples:
        body += _message(2, tables.sample(sample))
    if profile.period_type is not None:
        body += _message(11, tables.value_type(profile.period_type))
    for comment in profile.comments:
        body += _number(13, tables.text(comment), always=True)
    body += _number(14, tables.text(profile.default_type))
    body += tables.locations + tables.functions
    for text in tables.texts:
        body += _message(6, text.encode("utf-8", "replace"))
    body += _number(9, profile.time_ns) + _number(10, profile.duration_ns) + _number(12, profile.period)
    deflate = zlib.compressobj(6, zlib.DEFLATED, _GZIP_WINDOW_BITS)
    return deflate.compress(body) + deflate.flush()


class _Tables:
    """What a file names once: texts, functions, locations."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {"": 0}
        self.functions = bytearray()
        self.locations = bytearray()
        self._function_ids: dict[tuple[str, str, int], int] = {}
        self._location_ids: dict[Frame, int] = {}

    def text(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts))

    def value_type(self, value_type: ValueType) -> bytes:
        return _number(1, self.text(value_type.type)) + _number(2, self.text(value_type.unit))

    def sample(self, sample: Sample) -> bytes:
        parts = [
            _message(1, b"".join(_varint(self._location(frame)) for frame in sample.stack)),
            _message(2, b"".join(_varint(value) for value in sample.values)),
        ]
        for key, value in sample.labels:
            parts.append(_message(3, _number(1, self.text(key)) + _number(2, self.text(value))))
        return b"".join(parts)

    def _location(self, frame: Frame) -> int:
        known = self._location_ids.get(frame)
        if known is None:
            known = self._location_ids[frame] = len(self._location_ids) + 1
            line = _number(1, self._function(frame)) + _number(2, frame.line)
            self.locations += _message(4, _number(1, known) + _message(4, line))
        return known

    def _function(self, frame: Frame) -> int:
        key = frame.name, frame.file, frame.first_line
        known = self._function_ids.get(key)
        if known is None:
            known = self._function_ids[key] = len(self._function_ids) + 1
            name = self.text(frame.name)
            self.functions += _message(
                5,
                _number(1, known)
                + _number(2, name)
                + _number(3, name)
                + _number(4, self.text(frame.file))
                + _number(5, frame.first_line),
            )
        return known


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # int64: two's complement
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(number: int, value: int, *, always: bool = False) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value) if value or always else b""


def _message(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(body)) + body


def decode(data: bytes) -> Profile:
    """The profile in a file, gzipped or not. Raises ProfileFormatError."""
    try:
        return _decode(_inflated(data))
    except (IndexError, KeyError, UnicodeDecodeError, zlib.error) as error:
        raise ProfileFormatError(f"not a profile of pprof: {error}") from error


def _inflated(data: bytes) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    inflate = zlib.decompressobj(_GZIP_WINDOW_BITS)
    body = inflate.decompress(data, PROFILE_BYTES_MAX)
    if inflate.unconsumed_tail:
        raise ProfileFormatError(f"a profile of more than {PROFILE_BYTES_MAX} bytes")
    if not inflate.eof:
        raise ProfileFormatError("the profile is cut off")
    return body


def _decode(body: bytes) -> Profile:
    texts: list[str] = []
    single: dict[int, int] = {}
    parts: dict[int, list[bytes]] = {1: [], 2: [], 4: [], 5: [], 11: []}
    comments: list[int] = []
    for number, value in _fields(body):
        if isinstance(value, bytes):
            if number == 6:
                texts.append(value.decode("utf-8"))
            elif number == 13:
                comments += _varints(value)
            elif number in parts:
                parts[number].append(value)
        elif number == 13:
            comments.append(value)
        else:
            single[number] = value
    frames = _frames(parts[4], parts[5], texts)
    return Profile(
        sample_types=tuple(_value_type(part, texts) for part in parts[1]),
        samples=[_sample(part, frames, texts) for part in parts[2]],
        time_ns=single.get(9, 0),
        duration_ns=single.get(10, 0),
        period_type=_value_type(parts[11][-1], texts) if parts[11] else None,
        period=single.get(12, 0),
        default_type=texts[single.get(14, 0)],
        comments=tuple(texts[index] for index in comments),
    )


def _value_type(part: bytes, texts: list[str]) -> ValueType:
    numbers = _numbers(part)
    return ValueType(texts[numbers.get(1, 0)], texts[numbers.get(2, 0)])


def _frames(locations: list[bytes], functions: list[bytes], texts: list[str]) -> dict[int, tuple[Frame, ...]]:
    """What each location stands for: several frames where functions were inlined."""
    known = {(numbers := _numbers(part))[1]: numbers for part in functions}
    found: dict[int, tuple[Frame, ...]] = {}
    for part in locations:
        frames: list[Frame] = []
        for number, value in _fields(part):
            if number == 4 and isinstance(value, bytes):
                line = _numbers(value)
                function = known[line[1]]
                name, file = texts[function.get(2, 0)], texts[function.get(4, 0)]
                frames.append(Frame(name, file, line.get(2, 0), function.get(5, 0)))
        found[_numbers(part)[1]] = tuple(frames)
    return found


def _sample(part: bytes, frames: dict[int, tuple[Frame, ...]], texts: list[str]) -> Sample:
    stack: list[Frame] = []
    values: list[int] = []
    labels: list[tuple[str, str]] = []
    for number, value in _fields(part):
        if number == 3 and isinstance(value, bytes):
            label = _numbers(value)
            labels.append((texts[label.get(1, 0)], texts[label.get(2, 0)]))
            continue
        numbers = _varints(value) if isinstance(value, bytes) else [value]
        if number == 1:
            for location in numbers:
                stack += frames[location]
        elif number == 2:
            values += numbers
    return Sample(tuple(stack), tuple(values), tuple(labels))


def _numbers(part: bytes) -> dict[int, int]:
    return {number: value for number, value in _fields(part) if isinstance(value, int)}


def _fields(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(body):
        key, at = _read_varint(body, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _read_varint(body, at)
            yield number, value
        elif kind == _BYTES:
            size, at = _read_varint(body, at)
            if size < 0 or at + size > len(body):
                raise ProfileFormatError("not a profile of pprof: a field is cut off")
            yield number, body[at : at + size]
            at += size
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ProfileFormatError(f"not a profile of pprof: wire type {kind}")


def _varints(packed: bytes) -> list[int]:
    found: list[int] = []
    at = 0
    while at < len(packed):
        value, at = _read_varint(packed, at)
        found.append(value)
    return found


def _read_varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise ProfileFormatError("not a profile of pprof: a number without end")
    return (value - (1 << 64) if value >> 63 else value), at
