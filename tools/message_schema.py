"""Kafka's message schemas as values: reads `schema/**/*.json`, which hold JSON with `//` comments.

The JSON files are Apache Kafka's own (see NOTICE) and stay untouched. Two things are laid over them here:
`OLDER_VERSIONS` lowers the first version of messages that real clients still send in versions Kafka 4 dropped, and
adds the few fields that only those versions carry (KIP-896 lists what was dropped).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HIGHEST = 32767

JsonObject = dict[str, Any]  # a schema file is free-form JSON

OLDER_VERSIONS: dict[str, JsonObject] = {
    "ProduceRequest": {"first": 0},
    "ProduceResponse": {"first": 0},
    "FetchRequest": {"first": 0},
    "FetchResponse": {"first": 0},
    "ListOffsetsRequest": {
        "first": 0,
        "add": {
            "Topics.Partitions": [
                {
                    "name": "MaxNumOffsets",
                    "type": "int32",
                    "versions": "0",
                    "default": "1",
                    "about": "How many offsets to list at most.",
                }
            ]
        },
    },
    "ListOffsetsResponse": {
        "first": 0,
        "add": {
            "Topics.Partitions": [
                {"name": "OldStyleOffsets", "type": "[]int64", "versions": "0", "about": "The offsets, highest first."}
            ]
        },
    },
    "OffsetForLeaderEpochRequest": {"first": 0},
    "OffsetForLeaderEpochResponse": {"first": 0},
    "OffsetCommitRequest": {
        "first": 0,
        "add": {
            "Topics.Partitions": [
                {
                    "name": "CommitTimestamp",
                    "type": "int64",
                    "versions": "1",
                    "default": "-1",
                    "before": "CommittedMetadata",
                    "about": "The time of the commit in milliseconds, or -1 for now.",
                }
            ]
        },
    },
    "OffsetCommitResponse": {"first": 0},
    "OffsetFetchRequest": {"first": 0},
    "OffsetFetchResponse": {"first": 0},
    "CreateTopicsRequest": {"first": 0},
    "CreateTopicsResponse": {"first": 0},
    "DeleteTopicsRequest": {"first": 0},
    "DeleteTopicsResponse": {"first": 0},
    "DescribeConfigsRequest": {"first": 0},
    "DescribeConfigsResponse": {
        "first": 0,
        "add": {
            "Results.Configs": [
                {
                    "name": "IsDefault",
                    "type": "bool",
                    "versions": "0",
                    "before": "ConfigSource",
                    "about": "Whether the value is the default.",
                }
            ]
        },
    },
    "DescribeLogDirsRequest": {"first": 0},
    "DescribeLogDirsResponse": {"first": 0},
}


@dataclass(frozen=True, slots=True)
class Versions:
    """A closed range of versions; empty when first > last."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Versions:
        """`none`, `3`, `3+` or `3-7`."""
        text = text.strip()
        if text == "none":
            return cls(1, 0)
        if text.endswith("+"):
            return cls(int(text[:-1]), HIGHEST)
        first, _, last = text.partition("-")
        return cls(int(first), int(last or first))

    def within(self, other: Versions) -> Versions:
        return Versions(max(self.first, other.first), min(self.last, other.last))

    def covers(self, other: Versions) -> bool:
        return self.first <= other.first and other.last <= self.last

    def has(self, version: int) -> bool:
        return self.first <= version <= self.last

    @property
    def empty(self) -> bool:
        return self.first > self.last


NEVER = Versions(1, 0)


@dataclass(slots=True)
class Field:
    """One field of a struct. `type` is the schema's word, `[]` stripped into `is_array`."""

    name: str
    type: str
    is_array: bool
    versions: Versions
    nullable: Versions
    tagged: Versions
    tag: int
    default: str | None
    about: str
    fields: list[Field] = field(default_factory=list)

    @property
    def is_struct(self) -> bool:
        return self.type[0].isupper()


@dataclass(slots=True)
class Message:
    """One schema file."""

    name: str
    kind: str
    api_key: int
    versions: Versions
    flexible: Versions
    latest_unstable: bool
    fields: list[Field]
    common: dict[str, list[Field]]


def snake_case(name: str) -> str:
    """`TransactionalId` -> `transactional_id`."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def load(path: Path) -> Message:
    """Read one schema file, older versions laid over it."""
    text = re.sub(r"^\s*//.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = re.sub(r"(?<=[,{\]\"])\s*//.*$", "", text, flags=re.MULTILINE)
    raw: JsonObject = json.loads(text)
    versions = Versions.parse(raw["validVersions"])
    overlay = OLDER_VERSIONS.get(raw["name"])
    if overlay:
        versions = Versions(overlay["first"], versions.last)
        for where, extra in overlay.get("add", {}).items():
            _add_fields(raw, where.split("."), extra)
    return Message(
        name=raw["name"],
        kind=raw["type"],
        api_key=raw.get("apiKey", -1),
        versions=versions,
        flexible=Versions.parse(raw["flexibleVersions"]),
        latest_unstable=bool(raw.get("latestVersionUnstable", False)),
        fields=[_field(item) for item in raw["fields"]],
        common={item["name"]: [_field(sub) for sub in item["fields"]] for item in raw.get("commonStructs", [])},
    )


def _add_fields(raw: JsonObject, where: list[str], extra: list[JsonObject]) -> None:
    """Put `extra` into the struct reached by the field names in `where`, before the field each names, else last."""
    fields = raw["fields"]
    for name in where:
        fields = next(item for item in fields if item["name"] == name)["fields"]
    for item in extra:
        names = [other["name"] for other in fields]
        fields.insert(names.index(item["before"]) if "before" in item else len(fields), item)


def _field(raw: JsonObject) -> Field:
    kind = raw["type"]
    is_array = kind.startswith("[]")
    default = raw.get("default")
    tagged = Versions.parse(raw["taggedVersions"]) if "taggedVersions" in raw else NEVER
    return Field(
        name=snake_case(raw["name"]),
        type=kind.removeprefix("[]"),
        is_array=is_array,
        versions=Versions.parse(raw.get("versions") or raw["taggedVersions"]),
        nullable=Versions.parse(raw["nullableVersions"]) if "nullableVersions" in raw else NEVER,
        tagged=tagged,
        tag=raw.get("tag", -1),
        default=None if default is None else str(default),
        about=" ".join(raw.get("about", "").split()),
        fields=[_field(item) for item in raw.get("fields", [])],
    )
