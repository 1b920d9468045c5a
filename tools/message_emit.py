"""Writes straight-line Python for one message: a slotted class per struct, with `decode` and `encode`.

Neighbouring fields of fixed size and equal versions become one `struct` call. A version test is written only where
the answer differs between the versions the struct can have. Readers and writers come from `wire.primitives`.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from message_schema import HIGHEST, NEVER, Field, Message, Versions

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

    def pick(self, compact: str, classic: str) -> str:
        """The name of a reader or writer for the scope's flexibility."""
        match self.holds(self.flexible):
            case "always":
                return compact
            case "never":
                return classic
            case _:
                return f"({compact} if {self.condition(self.flexible)} else {classic})"


class Emitter:
    """Collects the source of one module. `structs` maps a name already written to its fields, to catch clashes."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.packers: dict[str, str] = {}
        self.written: dict[str, tuple[object, ...]] = {}

    # -- structs ---------------------------------------------------------------------------------------------------

    def message(self, message: Message) -> None:
        scope = Scope(message.versions, message.flexible)
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
        for item in fields:
            if needs_declaration(item):
                out.append(f"        {item.name}: {parameter_type(item)}")
        plain, tagged = split_tagged(fields, scope)
        for run in runs(plain, scope):
            wanted = run[0].versions
            if scope.holds(wanted) == ALWAYS:
                self._read_run(run, scope, "        ")
                continue
            out.append(f"        if {scope.condition(wanted)}:")
            self._read_run(run, scope.narrow(wanted), "            ")
            out.append("        else:")
            out += [f"            {item.name} = {local_default(item)}" for item in run]
        self._read_tagged(tagged, scope)
        out.append(f"        return cls({', '.join(item.name for item in fields)}), pos")

    def _read_run(self, run: list[Field], scope: Scope, indent: str) -> None:
        index = 0
        while index < len(run):
            fixed = 0
            while index + fixed < len(run) and is_fixed(run[index + fixed]):
                fixed += 1
            if fixed:
                group = run[index : index + fixed]
                packer = self._packer("".join(FIXED[item.type] for item in group))
                names = ", ".join(item.name for item in group)
                names = f"({names},)" if fixed == 1 else names
                self.lines.append(f"{indent}{names} = {packer}.unpack_from(buf, pos)")
                self.lines.append(f"{indent}pos += {size_of(group)}")
                index += fixed
            else:
                self._read_one(run[index], scope, indent)
                index += 1

    def _read_one(self, item: Field, scope: Scope, indent: str) -> None:
        out = self.lines
        if item.is_array:
            out.append(f"{indent}count, pos = {scope.pick('read_compact_array_length', 'read_array_length')}(buf, pos)")
            items = item.name if item.nullable.empty else f"{item.name}_items"
            element = f"{item.name}_element"
            annotation = "" if item.nullable.empty else f": list[{scalar_type(item)}]"
            out.append(f"{indent}{items}{annotation} = []")
            out.append(f"{indent}for _ in range(count):")
            self._read_value(item, scope, indent + "    ", element)
            out.append(f"{indent}    {items}.append({element})")
            if not item.nullable.empty:
                out.append(f"{indent}{item.name} = None if count < 0 else {items}")
        elif item.is_struct and not item.nullable.empty:
            out.append(f"{indent}present = buf[pos]")
            out.append(f"{indent}pos += 1")
            out.append(f"{indent}if present == 255:")
            out.append(f"{indent}    {item.name} = None")
            out.append(f"{indent}else:")
            self._read_value(item, scope, indent + "    ", item.name)
        else:
            self._read_value(item, scope, indent, item.name)

    def _read_value(self, item: Field, scope: Scope, indent: str, target: str) -> None:
        out = self.lines
        if item.is_struct:
            out.append(f"{indent}{target}, pos = {item.type}.decode(buf, pos, version)")
        elif item.type in FIXED:
            packer = self._packer(FIXED[item.type])
            out.append(f"{indent}({target},) = {packer}.unpack_from(buf, pos)")
            out.append(f"{indent}pos += {packer}.size")
        elif item.type == "uuid":
            out.append(f"{indent}{target}, pos = read_uuid(buf, pos)")
        else:
            out.append(f"{indent}{target}, pos = {scope.pick(*codec_names('read', item))}(buf, pos)")

    def _read_tagged(self, tagged: list[Field], scope: Scope) -> None:
        out = self.lines
        for item in tagged:
            out.append(f"        {item.name} = {local_default(item)}")
        holds = scope.holds(scope.flexible)
        if holds == NEVER_HERE:
            return
        indent = "        "
        if holds == SOMETIMES:
            out.append(f"        if {scope.condition(scope.flexible)}:")
            indent = "            "
        inner = scope.narrow(scope.flexible)
        if not tagged:
            out.append(f"{indent}pos = pos + 1 if buf[pos] == 0 else skip_tagged_fields(buf, pos)")
            return
        out.append(f"{indent}tags, pos = read_uvarint(buf, pos)")
        out.append(f"{indent}for _ in range(tags):")
        out.append(f"{indent}    tag, pos = read_uvarint(buf, pos)")
        out.append(f"{indent}    size, pos = read_uvarint(buf, pos)")
        out.append(f"{indent}    end = pos + size")
        out.append(f"{indent}    if end > len(buf):")
        out.append(f'{indent}        raise DecodeError("tagged field passes the end of the message")')
        word = "if"
        for item in tagged:
            test = f"tag == {item.tag}"
            if inner.holds(item.tagged) == SOMETIMES:
                test += f" and {inner.condition(item.tagged)}"
            out.append(f"{indent}    {word} {test}:")
            self._read_one(item, inner.narrow(item.tagged), indent + "        ") if not is_fixed(item) else (
                self._read_run([item], inner, indent + "        ")
            )
            word = "elif"
        out.append(f"{indent}    pos = end")

    # -- encode ----------------------------------------------------------------------------------------------------

    def _encode(self, fields: list[Field], scope: Scope) -> None:
        out = self.lines
        out.append("    def encode(self, out: bytearray, version: int) -> None:")
        before = len(out)
        plain, tagged = split_tagged(fields, scope)
        for run in runs(plain, scope):
            wanted = run[0].versions
            if scope.holds(wanted) == ALWAYS:
                self._write_run(run, scope, "        ")
            else:
                out.append(f"        if {scope.condition(wanted)}:")
                self._write_run(run, scope.narrow(wanted), "            ")
        self._write_tagged(tagged, scope)
        if len(out) == before:
            out.append("        pass")

    def _write_run(self, run: list[Field], scope: Scope, indent: str) -> None:
        index = 0
        while index < len(run):
            fixed = 0
            while index + fixed < len(run) and is_fixed(run[index + fixed]):
                fixed += 1
            if fixed:
                group = run[index : index + fixed]
                packer = self._packer("".join(FIXED[item.type] for item in group))
                values = ", ".join(f"self.{item.name}" for item in group)
                self.lines.append(f"{indent}out += {packer}.pack({values})")
                index += fixed
            else:
                self._write_one(run[index], scope, indent, f"self.{run[index].name}", "out")
                index += 1

    def _write_one(self, item: Field, scope: Scope, indent: str, value: str, out_name: str) -> None:
        out = self.lines
        if item.is_array:
            writer = scope.pick("write_compact_array_length", "write_array_length")
            out.append(f"{indent}{writer}({out_name}, {value})")
            over = f"{value} or ()" if not item.nullable.empty else value
            element = f"{item.name}_element"
            out.append(f"{indent}for {element} in {over}:")
            self._write_value(item, scope, indent + "    ", element, out_name)
        elif item.is_struct and not item.nullable.empty:
            out.append(f"{indent}if {value} is None:")
            out.append(f"{indent}    {out_name}.append(255)")
            out.append(f"{indent}else:")
            out.append(f"{indent}    {out_name}.append(1)")
            self._write_value(item, scope, indent + "    ", value, out_name)
        else:
            self._write_value(item, scope, indent, value, out_name)

    def _write_value(self, item: Field, scope: Scope, indent: str, value: str, out_name: str) -> None:
        out = self.lines
        if item.is_struct:
            out.append(f"{indent}{value}.encode({out_name}, version)")
        elif item.type in FIXED:
            out.append(f"{indent}{out_name} += {self._packer(FIXED[item.type])}.pack({value})")
        elif item.type == "uuid":
            out.append(f"{indent}{out_name} += {value}.bytes")
        else:
            out.append(f"{indent}{scope.pick(*codec_names('write', item))}({out_name}, {value})")

    def _write_tagged(self, tagged: list[Field], scope: Scope) -> None:
        out = self.lines
        holds = scope.holds(scope.flexible)
        if holds == NEVER_HERE:
            return
        indent = "        "
        if holds == SOMETIMES:
            out.append(f"        if {scope.condition(scope.flexible)}:")
            indent = "            "
        inner = scope.narrow(scope.flexible)
        if not tagged:
            out.append(f"{indent}out.append(0)")
            return
        out.append(f"{indent}tagged: list[tuple[int, bytearray]] = []")
        for item in sorted(tagged, key=lambda entry: entry.tag):
            test = not_default(item)
            if inner.holds(item.tagged) == SOMETIMES:
                test = f"{inner.condition(item.tagged)} and {test}"
            out.append(f"{indent}if {test}:")
            out.append(f"{indent}    data = bytearray()")
            self._write_one(item, inner.narrow(item.tagged), indent + "    ", f"self.{item.name}", "data")
            out.append(f"{indent}    tagged.append(({item.tag}, data))")
        out.append(f"{indent}write_tagged_fields(out, tagged)")

    def _packer(self, codes: str) -> str:
        return self.packers.setdefault(
            codes, f"_{codes.replace('?', 'o')}".replace("H", "uh").replace("I", "ui").upper()
        )


def split_tagged(fields: list[Field], scope: Scope) -> tuple[list[Field], list[Field]]:
    tagged = [item for item in fields if scope.holds(item.tagged) != NEVER_HERE]
    return [item for item in fields if item not in tagged], tagged


def runs(fields: list[Field], scope: Scope) -> list[list[Field]]:
    """Neighbours with the same versions, within the scope."""
    found: list[list[Field]] = []
    for item in fields:
        if found and found[-1][0].versions.within(scope.versions) == item.versions.within(scope.versions):
            found[-1].append(item)
        else:
            found.append([item])
    return found


def is_fixed(item: Field) -> bool:
    return not item.is_array and item.type in FIXED


def size_of(group: list[Field]) -> int:
    sizes = {"bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "float64": 8}
    return sum(sizes[item.type] for item in group)


def codec_names(verb: str, item: Field) -> tuple[str, str]:
    """(compact, classic) primitive names for a string, bytes or records field."""
    if item.type == "records":
        kind = "nullable_records" if verb == "read" else "nullable_bytes"
    elif item.nullable.empty or item.is_array:
        kind = item.type
    else:
        kind = f"nullable_{item.type}"
    return f"{verb}_compact_{kind}", f"{verb}_{kind}"


def needs_declaration(item: Field) -> bool:
    """Whether mypy cannot infer the local's type from its first assignment."""
    return item.is_array or item.is_struct or parameter_type(item).endswith("| None")


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


def local_default(item: Field) -> str:
    """The default of a local variable in `decode`; None stands for what the constructor makes anew."""
    return parameter_default(item)


def not_default(item: Field) -> str:
    value = f"self.{item.name}"
    if item.is_array and item.nullable.empty:
        return value
    default = parameter_default(item)
    if item.is_struct and item.nullable.empty:
        return f"{value} != {item.type}()"
    if default == "None":
        return f"{value} is not None"
    if default in ("True", "False"):
        return value if default == "False" else f"not {value}"
    return f"{value} != {default}"


__all__ = ["NEVER", "Emitter"]
