"""Keys and values of a coordinator's records: two bytes of type or version, then the fields. Kafka's form.

    key    | type i16 | fields |
    value  | version i16 | fields |   absent: tombstone

Every type here has one version of its value, 0. Source: Kafka's `CoordinatorRecordSerde`.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Any, Final

from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.wire.primitives import DecodeError, Message, StructError

_INT16 = Struct(">h")
_VERSION: Final = 0


class RecordTypes:
    """The types of records one part of a coordinator writes. Key and value classes are generated ones."""

    __slots__ = ("_numbers", "_types", "_what")

    def __init__(self, what: str, types: Mapping[int, tuple[type[Any], type[Any]]]) -> None:
        self._what = what
        """Whose records they are, for errors."""
        self._types = types
        self._numbers = {key: number for number, (key, _) in types.items()}

    def record(self, key: Message, value: Message | None) -> CoordinatorRecord:
        """The record of a key and its value; None for a tombstone."""
        return CoordinatorRecord(_encode(self._numbers[type(key)], key), None if value is None else _encode(0, value))

    def read(self, record: CoordinatorRecord) -> tuple[Any, Any] | None:
        """(key, value or None) of a record; None for a type that is not here. Raises DecodeError for damaged bytes."""
        try:
            (number,) = _INT16.unpack_from(record.key)
            if number not in self._types:
                return None
            key_type, value_type = self._types[number]
            key, _ = key_type.decode(memoryview(record.key), 2, _VERSION)
            return key, None if record.value is None else self._value(value_type, record.value)
        except (StructError, IndexError) as error:
            raise DecodeError(f"a record of {self._what} ends too early: {error}") from error

    def _value(self, value_type: type[Any], data: bytes) -> Any:
        (version,) = _INT16.unpack_from(data)
        if version != _VERSION:
            raise DecodeError(f"a value of {self._what} has version {version}; known is {_VERSION}")
        value, _ = value_type.decode(memoryview(data), 2, version)
        return value


def _encode(prefix: int, message: Message) -> bytes:
    out = bytearray(_INT16.pack(prefix))
    message.encode(out, _VERSION)  # type: ignore[attr-defined] # every generated class has it; the base does not say so
    return bytes(out)
