"""Writes straight-line Python for one message: a slotted class per struct, with `decode` and `encode`.

Neighbouring fields of fixed size and equal versions become one `struct` call. A version test is written only where
the answer differs between the versions the struct can have. Messages in `HOT` are written once for every shape their
versions have, so that one test picks the shape and longer runs share a call: more text, measured in
`bench/bench_codec.py`. Readers and writers come from `wire.primitives`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from message_schema import HIGHEST, NEVER, Field, Message, Versions

HOT = {"ProduceRequest", "ProduceResponse", "FetchRequest", "FetchResponse"}
"""Messages of the data path. Everything else is short or rare."""

FIXED = {
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "float64": "d",
}
PYTHON_TYPES = {
    "bool": "bool",
    "float64": "float",
    "string": "str",
    "uuid": "UUID",
    "bytes": "bytes",
    "records": "RecordBytes",
}
ALWAYS = "always"
SOMETIMES = "sometimes"
NEVER_HERE = "never"
NUMBERS = {"int32": "i", "int64": "q", "int8": "b"}
"""Types whose arrays are read and written by one call."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The versions in which the code being written can run, and from which version on it is flexible."""

    versions: Versions
    flexible: Versions

    def holds(self, wanted: Versions) -> str:
        if wanted.covers(self.versions):
            return ALWAYS
        return NEVER_HERE if wanted.within(self.versions).empty else SOMETIMES

    def condition(self, wanted: Versions) -> str:
        """A Python test that `version` is in `wanted`, as short as the scope allows."""
        low, high = wanted.first > self.versions.first, wanted.last < self.versions.last
        if low and high:
            if wanted.first == wanted.last:
                return f"version == {wanted.first}"
            return f"{wanted.first} <= version <= {wanted.last}"
        return f"version >= {wanted.first}" if low else f"version <= {wanted.last}"

    def narrow(self, wanted: Versions) -> Scope:
        return Scope(wanted.within(self.versions), self.flexible)

    def pick(self, name_of: Callable[[int], str]) -> str:
        """The reader or writer `name_of(version)`, as one name or as a choice between the versions of the scope."""
        choices: list[tuple[int, str]] = []
        for version in range(self.versions.first, self.versions.last + 1):
            name = name_of(version)
            if not choices or choices[-1][1] != name:
                choices.append((version, name))
        text = choices[0][1]
        for version, name in choices[1:]:
            text = f"{name} if version >= {version} else {text}"
        return text if len(choices) == 1 else f"({text})"

    def shapes(self, fields: list[Field]) -> Iterator[Scope]:
        """The scope cut wherever the fields of a struct, or what they may hold, change."""
        first = self.versions.first
        for version in range(first + 1, self.versions.last + 2):
            if version > self.versions.last or self._shape(fields, version) != self._shape(fields, first):
                yield Scope(Versions(first, version - 1), self.flexible)
                first = version

    def _shape(self, fields: list[Field], version: int) -> list[bool]:
        ranges = [self.flexible]
        for item in fields:
            ranges += [item.versions, item.nullable, item.tagged]
        return [versions.has(version) for versions in ranges]


class Emitter:
    """Collects the source of one module. `structs` maps a name already written to its fields, to catch clashes."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.packers: dict[str, str] = {}
        self.written: dict[str, tuple[object, ...]] = {}
        self.hot = False
        self.tagged_declared = False

    # -- structs ---------------------------------------------------------------------------------------------------

    def message(self, message: Message) -> None:
        scope = Scope(message.versions, message.flexible)
        self.hot = message.name in HOT
        for name, fields in message.common.items():
            self.struct(name, fields, scope, f"Shared by several fields of {message.name}.", [])
        constants = [
            f"MIN_VERSION: ClassVar[int] = {message.versions.first}",
            f"MAX_VERSION: ClassVar[int] = {message.versions.last}",
            f"FLEXIBLE_FROM: ClassVar[int] = {message.flexible.first if not message.flexible.empty else HIGHEST}",
        ]
        if message.api_key >= 0 and message.kind in ("request", "response"):
            constants.insert(0, f"API_KEY: ClassVar[int] = {message.api_key}")
        if message.latest_unstable:
            constants.append("LATEST_UNSTABLE: ClassVar[bool] = True")
        shown = f"{message.versions.first}" + (
            f"-{message.versions.last}" if message.versions.last != message.versions.first else ""
        )
        self.struct(message.name, message.fields, scope, f"{message.name}, versions {shown}.", constants)

    def struct(self, name: str, fields: list[Field], scope: Scope, about: str, constants: list[str]) -> None:
        fields = [item for item in fields if scope.holds(item.versions) != NEVER_HERE]
        for item in fields:
            if item.is_struct and item.fields:
                self.struct(item.type, item.fields, scope.narrow(item.versions), item.about or item.type, [])
        shape = (scope, tuple((item.name, item.type, item.versions) for item in fields))
        if name in self.written:
            if self.written[name] != shape:
                raise ValueError(f"two different structs are called {name}")
            return
        self.written[name] = shape
        out = self.lines
        out += ["", "", f"class {name}(Message):"]
        out += self._docstring(about)
        out.append("")
        out += ["    __slots__ = (" + "".join(f"{item.name!r}, " for item in fields) + ")"]
        out += [f"    {line}" for line in constants]
        out.append("")
        self._init(fields)
        out.append("")
        self._decode(name, fields, scope)
        out.append("")
        self._encode(fields, scope)

    def _docstring(self, about: str) -> list[str]:
        text = about.rstrip(".").replace("\\", "\\\\").replace('"', "'") + "."
        text = text[0].upper() + text[1:]
        wrapped = textwrap.wrap(text, 108)
        if len(wrapped) == 1:
            return [f'    """{wrapped[0]}"""']
        return [f'    """{wrapped[0]}', *(f"    {line}" for line in wrapped[1:]), '    """']

    def _init(self, fields: list[Field]) -> None:
        out = self.lines
        if not fields:
            out += ["    def __init__(self) -> None:", "        pass"]
            return
        out.append("    def __init__(")
        out.append("        self,")
        out += [f"        {item.name}: {parameter_type(item)} = {parameter_default(item)}," for item in fields]
        out.append("    ) -> None:")
        for item in fields:
            value = item.name
            if fresh_default(item) is not None:
                value = f"{fresh_default(item)} if {item.name} is None else {item.name}"
            out.append(f"        self.{item.name} = {value}")

    # -- decode ----------------------------------------------------------------------------------------------------

    def _decode(self, name: str, fields: list[Field], scope: Scope) -> None:
        out = self.lines
        out.append("    @classmethod")
        out.append(f"    def decode(cls, buf: memoryview, pos: int, version: int) -> tuple[{name}, int]:")
        for shape, indent in self._shapes(fields, scope):
            self._decode_shape(fields, shape, indent)

    def _shapes(self, fields: list[Field], scope: Scope) -> Iterator[tuple[Scope, str]]:
        """What to write bodies for, and how far indented: every shape of a hot struct, highest first, else one."""
        shapes = list(scope.shapes(fields)) if self.hot else [scope]
        for index, shape in enumerate(reversed(shapes)):
            if index == len(shapes) - 1:
                yield shape, "        "
            else:
                self.lines.append(f"        if version >= {shape.versions.first}:")
                yield shape, "            "

    def _decode_shape(self, fields: list[Field], scope: Scope, indent: str) -> None:
        out = self.lines
        out.append(f"{indent}self = new(cls)")
        plain, tagged = split_tagged(fields, scope)
        for run in runs(plain, scope):
            wanted = run[0].versions
            if scope.holds(wanted) == ALWAYS:
                self._read_run(run, scope, indent)
            elif scope.holds(wanted) == SOMETIMES:
                out.append(f"{indent}if {scope.condition(wanted)}:")
                self._read_run(run, scope.narrow(wanted), f"{indent}    ")
                out.append(f"{indent}else:")
                out += [f"{indent}    self.{item.name} = {decoded_default(item)}" for item in run]
        self._read_tagged(tagged, scope, indent)
        absent = [item for item in fields if scope.holds(item.versions) == NEVER_HERE]
        out += [f"{indent}self.{item.name} = {decoded_default(item)}" for item in absent]
        out.append(f"{indent}return self, pos")

    def _read_run(self, run: list[Field], scope: Scope, indent: str) -> None:
        for group in groups(run):
            if is_fixed(group[0]):
                packer = self._packer("".join(FIXED[item.type] for item in group))
                names = ", ".join(f"self.{item.name}" for item in group)
                names = f"({names},)" if len(group) == 1 else names
                self.lines.append(f"{indent}{names} = {packer}.unpack_from(buf, pos)")
                self.lines.append(f"{indent}pos += {size_of(group)}")
            else:
                self._read_one(group[0], scope, indent)

    def _read_one(self, item: Field, scope: Scope, indent: str) -> None:
        out = self.lines
        if item.is_array:
            self._read_array(item, scope, indent)
        elif item.is_struct and not item.nullable.empty:
            out.append(f"{indent}present = buf[pos]")
            out.append(f"{indent}pos += 1")
            out.append(f"{indent}if present > 127:")
            out.append(f"{indent}    self.{item.name} = None")
            out.append(f"{indent}else:")
            out.append(f"{indent}    self.{item.name}, pos = {item.type}.decode(buf, pos, version)")
        elif item.is_struct:
            out.append(f"{indent}self.{item.name}, pos = {item.type}.decode(buf, pos, version)")
        else:
            out.append(f"{indent}self.{item.name}, pos = {reader(item, scope)}(buf, pos)")

    def _read_array(self, item: Field, scope: Scope, indent: str) -> None:
        out = self.lines
        out.append(
            f"{indent}length, pos = {scope.pick(lambda version: length_name('read', item, scope, version))}(buf, pos)"
        )
        if item.type in NUMBERS:
            out.append(f"{indent}self.{item.name}, pos = read_{item.type}s(buf, pos, length)")
        else:
            if item.is_struct:
                read, arguments = f"{item.type}.decode", "(buf, pos, version)"
            else:
                read, arguments = reader(item, scope), "(buf, pos)"
            out.append(f"{indent}self.{item.name} = []")
            out.append(f"{indent}decode_{item.name} = {read}")
            out.append(f"{indent}for _ in range(length):")
            out.append(f"{indent}    {item.name}_element, pos = decode_{item.name}{arguments}")
            out.append(f"{indent}    self.{item.name}.append({item.name}_element)")
        if scope.holds(item.nullable) != NEVER_HERE:
            out.append(f"{indent}if length < 0:")
            out.append(f"{indent}    self.{item.name} = None")

    def _read_tagged(self, tagged: list[Field], scope: Scope, indent: str) -> None:
        out = self.lines
        out += [f"{indent}self.{item.name} = {decoded_default(item)}" for item in tagged]
        holds = scope.holds(scope.flexible)
        if holds == NEVER_HERE:
            return
        if holds == SOMETIMES:
            out.append(f"{indent}if {scope.condition(scope.flexible)}:")
            indent += "    "
        inner = scope.narrow(scope.flexible)
        if not tagged:
            out.append(f"{indent}pos = pos + 1 if buf[pos] == 0 else skip_tagged_fields(buf, pos)")
            return
        out.append(f"{indent}tags, pos = read_tag_count(buf, pos)")
        out.append(f"{indent}for _ in range(tags):")
        out.append(f"{indent}    tag, end, pos = read_tag(buf, pos)")
        word = "if"
        for item in tagged:
            test = f"tag == {item.tag}"
            if inner.holds(item.tagged) == SOMETIMES:
                test += f" and {inner.condition(item.tagged)}"
            out.append(f"{indent}    {word} {test}:")
            self._read_run([item], inner.narrow(item.tagged), f"{indent}        ")
            word = "elif"
        out.append(f"{indent}    else:")
        out.append(f"{indent}        pos = end")
        out.append(f"{indent}    if pos != end:")
        out.append(f'{indent}        raise DecodeError("tagged field is not as long as it says")')

    # -- encode ----------------------------------------------------------------------------------------------------

    def _encode(self, fields: list[Field], scope: Scope) -> None:
        out = self.lines
        out.append("    def encode(self, out: bytearray, version: int) -> None:")
        before = len(out)
        self.tagged_declared = False
        for shape, indent in self._shapes(fields, scope):
            self._encode_shape(fields, shape, indent)
            if len(indent) > 8:
                out.append(f"{indent}return")
        if len(out) == before:
            out.append("        pass")

    def _encode_shape(self, fields: list[Field], scope: Scope, indent: str) -> None:
        plain, tagged = split_tagged(fields, scope)
        for run in runs(plain, scope):
            wanted = run[0].versions
            if scope.holds(wanted) == ALWAYS:
                self._write_run(run, scope, indent)
            elif scope.holds(wanted) == SOMETIMES:
                self.lines.append(f"{indent}if {scope.condition(wanted)}:")
                self._write_run(run, scope.narrow(wanted), f"{indent}    ")
        self._write_tagged(tagged, scope, indent)

    def _write_run(self, run: list[Field], scope: Scope, indent: str) -> None:
        for group in groups(run):
            if is_fixed(group[0]):
                packer = self._packer("".join(FIXED[item.type] for item in group))
                values = ", ".join(f"self.{item.name}" for item in group)
                self.lines.append(f"{indent}out += {packer}.pack({values})")
            else:
                self._write_one(group[0], scope, indent, "out")

    def _write_one(self, item: Field, scope: Scope, indent: str, out_name: str) -> None:
        out = self.lines
        value = f"self.{item.name}"
        if item.is_array:
            self._write_array(item, scope, indent, out_name)
        elif item.is_struct and not item.nullable.empty:
            out.append(f"{indent}if {value} is None:")
            out.append(f"{indent}    {out_name}.append(255)")
            out.append(f"{indent}else:")
            out.append(f"{indent}    {out_name}.append(1)")
            out.append(f"{indent}    {value}.encode({out_name}, version)")
        elif item.is_struct:
            out.append(f"{indent}{value}.encode({out_name}, version)")
        elif item.type in FIXED:
            out.append(f"{indent}{out_name} += {self._packer(FIXED[item.type])}.pack({value})")
        elif item.type == "uuid":
            out.append(f"{indent}{out_name} += {value}.bytes")
        else:
            out.append(f"{indent}{writer(item, scope)}({out_name}, {value})")

    def _write_array(self, item: Field, scope: Scope, indent: str, out_name: str) -> None:
        out = self.lines
        value = f"self.{item.name}"
        length = scope.pick(lambda version: length_name("write", item, scope, version))
        out.append(f"{indent}{length}({out_name}, {value})")
        values = value if item.nullable.empty else f"{value} or ()"
        if item.type in NUMBERS:
            out.append(f"{indent}write_{item.type}s({out_name}, {values})")
            return
        element = f"{item.name}_element"
        out.append(f"{indent}for {element} in {values}:")
        if item.is_struct:
            out.append(f"{indent}    {element}.encode({out_name}, version)")
        elif item.type == "uuid":
            out.append(f"{indent}    {out_name} += {element}.bytes")
        else:
            out.append(f"{indent}    {writer(item, scope)}({out_name}, {element})")

    def _write_tagged(self, tagged: list[Field], scope: Scope, indent: str) -> None:
        out = self.lines
        holds = scope.holds(scope.flexible)
        if holds == NEVER_HERE:
            return
        if holds == SOMETIMES:
            out.append(f"{indent}if {scope.condition(scope.flexible)}:")
            indent += "    "
        inner = scope.narrow(scope.flexible)
        if not tagged:
            out.append(f"{indent}out.append(0)")
            return
        out.append(f"{indent}tagged{'' if self.tagged_declared else ': list[tuple[int, bytearray]]'} = []")
        self.tagged_declared = True
        for item in sorted(tagged, key=lambda entry: entry.tag):
            test = not_default(item)
            if inner.holds(item.tagged) == SOMETIMES:
                test = f"{inner.condition(item.tagged)} and ({test})"
            out.append(f"{indent}if {test}:")
            out.append(f"{indent}    data = bytearray()")
            if item.is_struct and not item.is_array and not item.nullable.empty:
                out.append(f"{indent}    data.append(1)")  # what is null is its default, and is not written
                out.append(f"{indent}    self.{item.name}.encode(data, version)")
            else:
                self._write_one(item, inner.narrow(item.tagged), f"{indent}    ", "data")
            out.append(f"{indent}    tagged.append(({item.tag}, data))")
        out.append(f"{indent}if tagged:")
        out.append(f"{indent}    write_tagged_fields(out, tagged)")
        out.append(f"{indent}else:")
        out.append(f"{indent}    out.append(0)")

    def _packer(self, codes: str) -> str:
        return self.packers.setdefault(
            codes, f"_{codes.replace('?', 'o')}".replace("H", "uh").replace("I", "ui").upper()
        )


def split_tagged(fields: list[Field], scope: Scope) -> tuple[list[Field], list[Field]]:
    tagged = [item for item in fields if scope.holds(item.tagged) != NEVER_HERE]
    plain = [item for item in fields if item not in tagged and scope.holds(item.versions) != NEVER_HERE]
    return plain, tagged


def runs(fields: list[Field], scope: Scope) -> list[list[Field]]:
    """Neighbours with the same versions, within the scope."""
    found: list[list[Field]] = []
    for item in fields:
        if found and found[-1][0].versions.within(scope.versions) == item.versions.within(scope.versions):
            found[-1].append(item)
        else:
            found.append([item])
    return found


def groups(run: list[Field]) -> list[list[Field]]:
    """The run cut into neighbours of fixed size, which share a `struct` call, and single other fields."""
    found: list[list[Field]] = []
    for item in run:
        if found and is_fixed(item) and is_fixed(found[-1][0]):
            found[-1].append(item)
        else:
            found.append([item])
    return found


def is_fixed(item: Field) -> bool:
    return not item.is_array and item.type in FIXED


def size_of(group: list[Field]) -> int:
    sizes = {"bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "float64": 8}
    return sum(sizes[item.type] for item in group)


def primitive_name(verb: str, item: Field, scope: Scope, version: int) -> str:
    """The primitive that reads or writes a string, bytes, records or uuid field in one version."""
    if item.type == "uuid":
        return f"{verb}_uuid"
    compact = "compact_" if scope.flexible.has(version) else ""
    if item.type == "records":
        return f"{verb}_{compact}nullable_{'records' if verb == 'read' else 'bytes'}"
    nullable = "nullable_" if item.nullable.has(version) and not item.is_array else ""
    return f"{verb}_{compact}{nullable}{item.type}"


def length_name(verb: str, item: Field, scope: Scope, version: int) -> str:
    """The primitive for an array's element count in one version."""
    compact = "compact_" if scope.flexible.has(version) else ""
    nullable = "nullable_" if item.nullable.has(version) else ""
    return f"{verb}_{compact}{nullable}array_length"


def reader(item: Field, scope: Scope) -> str:
    return scope.pick(lambda version: primitive_name("read", item, scope, version))


def writer(item: Field, scope: Scope) -> str:
    return scope.pick(lambda version: primitive_name("write", item, scope, version))


def scalar_type(item: Field) -> str:
    if item.is_struct:
        return item.type
    return PYTHON_TYPES.get(item.type, "int")


def field_type(item: Field) -> str:
    kind = f"list[{scalar_type(item)}]" if item.is_array else scalar_type(item)
    optional = not item.nullable.empty or item.type == "records"
    return f"{kind} | None" if optional else kind


def parameter_type(item: Field) -> str:
    kind = field_type(item)
    if fresh_default(item) is not None and not kind.endswith("| None"):
        kind += " | None"
    return kind


def fresh_default(item: Field) -> str | None:
    """The expression for a default that must be made anew each time."""
    if not item.nullable.empty:
        return None
    if item.is_array:
        return "[]"
    return f"{item.type}()" if item.is_struct else None


def parameter_default(item: Field) -> str:
    """The default in the constructor's signature."""
    if item.is_array or item.is_struct or item.type == "records" or (item.default == "null"):
        return "None"
    match item.type:
        case "string":
            return repr(item.default or "").replace("'", '"')
        case "bytes":
            return 'b""'
        case "uuid":
            return "ZERO_TOPIC_ID"
        case "bool":
            return "True" if str(item.default).lower() == "true" else "False"
        case "float64":
            return item.default or "0.0"
        case _:
            return str(int(item.default or "0", 0))


def decoded_default(item: Field) -> str:
    """What `decode` puts into a field that its version does not have."""
    return fresh_default(item) or parameter_default(item)


def not_default(item: Field) -> str:
    value = f"self.{item.name}"
    if item.is_array and item.nullable.empty:
        return value
    default = parameter_default(item)
    if item.is_struct and item.nullable.empty:
        if all(is_fixed(part) and part.tagged.empty for part in item.fields):
            parts = [f"{value}.{part.name} != {parameter_default(part)}" for part in item.fields]
            return " or ".join(parts)
        return f"{value} != {item.type}()"
    if default == "None":
        return f"{value} is not None"
    if default in ("True", "False"):
        return value if default == "False" else f"not {value}"
    return f"{value} != {default}"


__all__ = ["NEVER", "Emitter"]
