"""Random messages of every kind and version, made from the schemas the codec is generated from.

`values(message, version)` is a strategy for instances of the generated class that hold something in every field the
version has, and defaults in the others. `modest` keeps to what stricter codecs accept: known error codes, durations
and times that other languages' types can hold.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import strategies as st

from message_schema import Field, Message, load, snake_case

SCHEMA = Path(__file__).resolve().parents[2] / "schema"

INTEGERS = {"int8": (-128, 127), "int16": (-32768, 32767), "uint16": (0, 65535)}
INTEGERS |= {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "int64": (-(2**63), 2**63 - 1)}
DURATIONS = ("_ms", "timeout", "timestamp", "committed_time")


class Kind(NamedTuple):
    """One message of the schemas and the module its class is in."""

    message: Message
    module: str

    @property
    def type(self) -> Any:  # Any: each message has its own class
        return getattr(import_module(self.module), self.message.name)

    @property
    def versions(self) -> range:
        return range(self.message.versions.first, self.message.versions.last + 1)


def _kinds() -> dict[str, Kind]:
    found = {}
    for path in sorted((SCHEMA / "message").glob("*.json")):
        stem = path.stem.removesuffix("Request").removesuffix("Response")
        found[path.stem] = Kind(load(path), f"tailrace.wire.messages.{snake_case(stem)}")
    for path in sorted((SCHEMA / "records").glob("*.json")):
        stem = path.stem.removesuffix("Key").removesuffix("Value")
        found[path.stem] = Kind(load(path), f"tailrace.wire.{_record_folder(stem)}.{snake_case(stem)}")
    for path in sorted((SCHEMA / "metadata").glob("*.json")):
        stem = path.stem.removesuffix("Record")
        found[path.stem] = Kind(load(path), f"tailrace.wire.metadata_records.{snake_case(stem)}")
    return found


def _record_folder(stem: str) -> str:
    if stem in ("ShareSnapshot", "ShareUpdate"):
        return "share_records"
    return "transaction_records" if stem.startswith("Transaction") else "group_records"


KINDS = _kinds()
EVERY = [(name, version) for name, kind in KINDS.items() for version in kind.versions]
"""(name of a message, version) for all of them."""


@cache
def values(name: str, version: int, modest: bool = False) -> st.SearchStrategy[Any]:
    """Instances of message `name` with something in every field that `version` has."""
    kind = KINDS[name]
    return _struct(kind, name, kind.message.fields, version, modest)


def _struct(kind: Kind, name: str, fields: list[Field], version: int, modest: bool) -> st.SearchStrategy[Any]:
    present = [item for item in fields if item.versions.has(version)]
    made = getattr(import_module(kind.module), name)
    return st.builds(made, **{item.name: _field(kind, item, version, modest) for item in present})


def _field(kind: Kind, item: Field, version: int, modest: bool) -> st.SearchStrategy[Any]:
    one: st.SearchStrategy[Any]
    if item.is_struct:
        fields = item.fields or kind.message.common[item.type]
        one = _struct(kind, item.type, fields, version, modest)
    else:
        one = _scalar(item, modest)
    if item.is_array:
        one = st.lists(one, max_size=3)
    nullable = item.nullable.has(version)
    return st.none() | one if nullable else one


def _scalar(item: Field, modest: bool) -> st.SearchStrategy[Any]:
    match item.type:
        case "string":
            return st.text(st.characters(exclude_categories=["Cs"]), max_size=140)
        case "bytes" | "records":
            return st.binary(max_size=140)
        case "bool":
            return st.booleans()
        case "uuid":
            return st.binary(min_size=16, max_size=16).map(lambda raw: UUID(bytes=raw))
        case "float64":
            return st.floats(allow_nan=False)
    low, high = INTEGERS[item.type]
    if modest and item.name.endswith("error_code"):
        return st.integers(-1, 90)
    if modest and item.name.endswith(DURATIONS):
        return st.integers(0, 2**31 - 1)
    return st.integers(low, high) | st.just(int((item.default or "0").replace("null", "0"), 0))


def encoded(value: Any, version: int) -> bytes:
    """The bytes of a message in one version."""
    out = bytearray()
    value.encode(out, version)
    return bytes(out)


__all__ = ["EVERY", "KINDS", "Kind", "encoded", "values"]
