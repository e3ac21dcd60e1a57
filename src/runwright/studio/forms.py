"""Forms of a JSON Schema: data as fields for a template, and what a form posted as data.

A field's name in the form is its JSON pointer, so that what is wrong finds its field. What is left empty is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import isfinite
from typing import Literal

import msgspec
from msgspec.structs import replace

from runwright.core.values import is_list, is_object
from runwright.errors import InvalidRequest

Kind = Literal["group", "list", "text", "long", "number", "choice", "json"]
Schema = Mapping[str, object]

ROWS = "#"
"""Ends the name under which a list posts its rows, in their order."""

DEEP = 4
"""Levels of groups that are shown without data in them; below, and in schemas that hold themselves, JSON is typed."""

DEEPEST = 50
"""Levels that a form may post."""

LONG = frozenset({"instructions", "prompt", "code", "description"})
"""Fields of several lines, by their name."""

ABSENT = msgspec.UNSET
_SCALARS = frozenset({"string", "number", "integer", "boolean"})


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field, or a group or list of them. `value` is the text that stands in it, `default` what holds without one."""

    name: str
    kind: Kind
    label: str
    help: str = ""
    default: str = ""
    value: str = ""
    choices: Sequence[tuple[str, str]] = ()
    is_needed: bool = False
    is_numeric: bool = False
    problems: Sequence[str] = ()
    fields: Sequence[Field] = ()

    @property
    def is_open(self) -> bool:
        """Whether something stands in it that has to be seen."""
        return bool(self.value or self.problems or self.is_needed) or any(each.is_open for each in self.fields)


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """What a form posted: data, the `typed` text of what cannot be read, and what is wrong, both by pointer."""

    data: dict[str, object]
    typed: Mapping[str, str] = {}
    problems: tuple[tuple[str, str], ...] = ()


def form(
    schema: Schema,
    posted: Posted,
    *,
    problems: Iterable[tuple[str, str]] = (),
    home: Schema | None = None,
) -> Field:
    """The fields of a schema with data in them. `home` is what its references point into."""
    made = _Builder(home or schema, posted.typed).field(schema, "", posted.data, is_needed=True)
    return _told(made, [*posted.problems, *problems])


def read(schema: Schema, pairs: Mapping[str, Sequence[str]], *, home: Schema | None = None) -> Posted:
    """What a form of a schema posted. `do` is the button that was pressed: it may add a row, or remove one."""
    reader = _Reader(home or schema, pairs)
    found = reader.read(schema, "", "")
    data = found if is_object(found) else {}
    return Posted(data=data, typed=reader.typed, problems=tuple(reader.problems))


def around(name: str, schema: Schema) -> Schema:
    """The schema of an object with one field, for a form of what may be no object; its `home` stays the inner one."""
    return {"type": "object", "properties": {name: schema}, "required": [name]}


def takes_text(schema: Schema) -> bool:
    """Whether what fits a schema may be text."""
    alternatives = [*_list(schema.get("anyOf")), *_list(schema.get("oneOf"))]
    return schema.get("type") == "string" or any(_object(each).get("type") == "string" for each in alternatives)


def is_draft(pairs: Mapping[str, Sequence[str]]) -> bool:
    """Whether a button was pressed that changes the form alone."""
    return pairs.get("do", [""])[0].startswith(("add:", "remove:"))


class _Builder:
    def __init__(self, home: Schema, typed: Mapping[str, str]) -> None:
        self._home = home
        self._typed = typed

    def field(
        self, schema: Schema, at: str, data: object, *, is_needed: bool = False, depth: int = 0, label: str = ""
    ) -> Field:
        plain = _plain(schema, self._home)
        if data is None and "type" in plain and plain.get("default") is None:
            data = ABSENT
        made = Field(
            name=at,
            kind=_kind(plain, at, data, depth=depth),
            label=label or str(plain.get("title", "")),
            help=_help(plain),
            default=_shown(plain.get("default")),
            is_needed=is_needed,
            is_numeric=plain.get("type") in {"number", "integer"},
        )
        if at in self._typed:
            return replace(made, kind="json", value=self._typed[at])
        match made.kind:
            case "group":
                given = data if is_object(data) else {}
                return replace(made, default="", fields=tuple(self._group(plain, at, given, depth=depth)))
            case "list":
                rows = data if is_list(data) else []
                items = _object(plain.get("items"))
                fields = [self.field(items, f"{at}/{i}", row, depth=depth + 1) for i, row in enumerate(rows)]
                return replace(made, default="", fields=tuple(fields))
            case "choice":
                return replace(made, choices=_choices(plain), value="" if data is ABSENT else _json(data))
            case "json":
                return replace(made, value=_json_text(data))
            case _:
                return replace(made, value=_shown(data))

    def _group(self, schema: Schema, at: str, data: Mapping[str, object], *, depth: int) -> Iterator[Field]:
        known = _object(schema.get("properties"))
        needed = schema.get("required", ())
        for name, each in known.items():
            yield self.field(
                _object(each),
                f"{at}/{_escaped(name)}",
                data.get(name, ABSENT),
                is_needed=is_list(needed) and name in needed,
                depth=depth + 1,
                label=_label(name),
            )
        for name in data:
            if name not in known:
                yield self.field({}, f"{at}/{_escaped(name)}", data[name], depth=depth + 1, label=name)


def _label(name: str) -> str:
    """The name of a field as words; those that end in `_s` are durations."""
    return f"{name[:-2]} in seconds".replace("_", " ") if name.endswith("_s") else name.replace("_", " ")


class _Reader:
    def __init__(self, home: Schema, pairs: Mapping[str, Sequence[str]]) -> None:
        self._home = home
        what, _, self._target = pairs.get("do", [""])[0].partition(":")
        self._adds, self._removes = what == "add", what == "remove"
        # A list without rows posts nothing, and gets its first one.
        first: Mapping[str, Sequence[str]] = {self._target + ROWS: []} if self._adds else {}
        self._pairs = {**first, **pairs}
        self._parts = _parts(self._pairs)
        self.typed: dict[str, str] = {}
        self.problems: list[tuple[str, str]] = []

    def read(self, schema: Schema, name: str, at: str) -> object:
        """The value of a field by its name in the form, at its place in the data."""
        plain = _plain(schema, self._home)
        if name in self._pairs:
            return self._leaf(plain, self._pairs[name][-1].replace("\r\n", "\n"), name, at=at)
        if is_list(rows := self._pairs.get(name + ROWS)):
            return self._list(_object(plain.get("items")), rows, name, at=at)
        return self._group(plain, name, at)

    def _group(self, schema: Schema, name: str, at: str) -> object:
        known = _object(schema.get("properties"))
        found: dict[str, object] = {}
        for part in self._parts.get(name, ()):
            key = _unescaped(part)
            value = self.read(_object(known.get(key)), f"{name}/{part}", f"{at}/{part}")
            if value is not ABSENT:
                found[key] = value
        # In the order of the schema, which may say something.
        ordered = {key: found[key] for key in known if key in found} | found
        return ordered or ABSENT

    def _list(self, items: Schema, rows: Sequence[object], name: str, *, at: str) -> object:
        found: list[object] = []
        for row in dict.fromkeys(map(str, rows)):
            if not (row.isascii() and row.isdigit()):
                continue
            place = f"{name}/{row}"
            if self._removes and place == self._target:
                continue
            value = self.read(items, place, f"{at}/{len(found)}")
            if value is not ABSENT:
                found.append(value)
            elif not _is_scalar(_plain(items, self._home)):
                found.append({})
        if self._adds and self._target == name:
            found.append("" if _is_scalar(_plain(items, self._home)) else {})
        return found or ABSENT

    def _leaf(self, schema: Schema, text: str, name: str, *, at: str) -> object:
        kind = _kind(schema, name, ABSENT)
        if text == "" or (not text.strip() and kind not in {"long", "text"}):
            return ABSENT
        match kind:
            case "choice":
                return next((value for value in _values(schema) if _json(value) == text), text)
            case "number":
                return _number(text)
            case "text" | "long":
                return text
            case _:
                return self._typed_json(schema, text, at)

    def _typed_json(self, schema: Schema, text: str, at: str) -> object:
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            if _takes_text(schema, self._home) and text.lstrip()[:1] not in {"{", "[", '"'}:
                return text
            self.typed[at] = text
            self.problems.append((at, f"this is no JSON: {error}"))
            return text


def _plain(schema: Schema, home: Schema) -> Schema:
    """A schema without references and without null beside one other alternative."""
    for _ in range(DEEP):
        if isinstance(ref := schema.get("$ref"), str):
            schema = {**_pointed(home, ref), **{name: each for name, each in schema.items() if name != "$ref"}}
            continue
        several = next((name for name in ("anyOf", "oneOf", "allOf") if is_list(schema.get(name))), None)
        if several is None:
            return schema
        others = [each for each in map(_object, _list(schema[several])) if each.get("type") != "null"]
        around = {name: each for name, each in schema.items() if name != several}
        if len(others) == 1:
            schema = {**others[0], **around}
        elif others and all(each.get("type") in _SCALARS for each in others) and _has_text(others):
            return {**around, "type": "string"}
        else:
            return schema
    return schema


def _pointed(home: Schema, ref: str) -> Schema:
    found: object = home
    for part in ref.removeprefix("#").split("/")[1:]:
        found = found.get(_unescaped(part)) if is_object(found) else None
    return _object(found)


def _kind(schema: Schema, at: str, data: object, *, depth: int = 0) -> Kind:
    if "enum" in schema or "const" in schema or schema.get("type") == "boolean":
        is_known = data is ABSENT or data in _values(schema)
        return "choice" if is_known else "json"
    match schema.get("type"):
        case "string":
            return _text_kind(at, data)
        case "number" | "integer":
            is_known = data is ABSENT or (isinstance(data, str | int | float) and not isinstance(data, bool))
            return "number" if is_known else "json"
        case "object" if _object(schema.get("properties")) and (data is not ABSENT or depth < DEEP):
            return "group" if data is ABSENT or is_object(data) else "json"
        case "array" if is_object(schema.get("items")):
            return "list" if data is ABSENT or is_list(data) else "json"
        case _:
            return "json"


def _text_kind(at: str, data: object) -> Kind:
    if data is not ABSENT and not isinstance(data, str):
        return "json"
    is_long = at.rpartition("/")[2] in LONG or (isinstance(data, str) and ("\n" in data or len(data) > 100))
    return "long" if is_long else "text"


def _values(schema: Schema) -> Sequence[object]:
    if "const" in schema:
        return [schema["const"]]
    return _list(schema.get("enum")) or [True, False]


def _choices(schema: Schema) -> Sequence[tuple[str, str]]:
    names = {True: "yes", False: "no"}
    return [(_json(each), names[each] if isinstance(each, bool) else _shown(each)) for each in _values(schema)]


def _help(schema: Schema) -> str:
    bounds = [
        f"{word} {_shown(schema[name])}"
        for name, word in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "more than"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "less than"),
        )
        if name in schema
    ]
    said = str(schema.get("description", "")).strip()
    return " ".join(each for each in (said, f"({', '.join(bounds)})" if bounds else "") if each)


def _takes_text(schema: Schema, home: Schema) -> bool:
    if "type" in schema:
        return schema["type"] == "string"
    alternatives = [*_list(schema.get("anyOf")), *_list(schema.get("oneOf"))]
    return not alternatives or any(_takes_text(_plain(_object(each), home), home) for each in alternatives)


def _has_text(schemas: Sequence[Schema]) -> bool:
    return any(each.get("type") == "string" and "enum" not in each for each in schemas)


def _parts(pairs: Iterable[str]) -> Mapping[str, Iterable[str]]:
    """The next part of the names below each name. Raises InvalidRequest for one of more parts than data has levels."""
    found: dict[str, dict[str, None]] = {}
    for name in pairs:
        if not name.startswith("/"):
            continue
        parts = name.removesuffix(ROWS).split("/")[1:]
        if len(parts) > DEEPEST:
            raise InvalidRequest(f"The form has a field {name[:100]!r} that is nested too deeply.")
        above = ""
        for part in parts:
            found.setdefault(above, {})[part] = None
            above += f"/{part}"
    return found


def _is_scalar(schema: Schema) -> bool:
    return schema.get("type") in _SCALARS or "enum" in schema


def _number(text: str) -> object:
    """A number that JSON can hold, or null, or the text where it is neither: who checks the data says what is wrong."""
    if text.strip() == "null":
        return None
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError):
        # Thousands of digits are too many for an integer, and an infinite one here, which JSON has not.
        if isfinite(found := float(text)):
            return found
    return text


def _shown(value: object) -> str:
    """A value in a field or beside it: text as it is."""
    if value is ABSENT or value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else _json(value)


def _json_text(value: object) -> str:
    """A value as JSON over lines; text that is read as itself stays as it is."""
    if value is ABSENT:
        return ""
    if isinstance(value, str) and _is_plain(value):
        return value
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _is_plain(text: str) -> bool:
    """Whether a field for JSON reads a text as itself, not as JSON."""
    if not text.strip() or text.lstrip()[0] in {"{", "[", '"'}:
        return False
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return True
    return False


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _object(value: object) -> Schema:
    return value if is_object(value) else {}


def _list(value: object) -> Sequence[object]:
    return value if is_list(value) else []


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _told(made: Field, problems: Iterable[tuple[str, str]]) -> Field:
    """The fields with what is wrong, each at the nearest field that is shown."""
    names = set(_names(made))
    told: dict[str, list[str]] = {}
    for pointer, detail in problems:
        place = pointer
        while place and place not in names:
            place = place.rpartition("/")[0]
        if detail not in (known := told.setdefault(place, [])):
            known.append(detail)
    return _with(made, told) if told else made


def _names(field: Field) -> Iterator[str]:
    yield field.name
    for each in field.fields:
        yield from _names(each)


def _with(field: Field, told: Mapping[str, Sequence[str]]) -> Field:
    fields = tuple(_with(each, told) for each in field.fields)
    return replace(field, fields=fields, problems=tuple(told.get(field.name, ())))
