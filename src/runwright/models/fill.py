"""Values for a JSON Schema, taken from a text where they fit and made up where not. Deterministic."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

DEEPEST = 8
FORMATS = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "time": "03:04:05Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
Schema = Mapping[str, Any]


class Filler:
    """Fills one schema from one text; each number and name of the text is used once."""

    def __init__(self, text: str, root: Schema) -> None:
        self._text = text
        self._root = root
        self._numbers = [float(found) for found in re.findall(r"(?<![\w.-])-?\d+(?:\.\d+)?(?![\w-])", text)]
        self._names = names_in(text)

    def fill(self, schema: Schema, depth: int = 0) -> object:
        """A value that fits the schema."""
        schema = self._plain(schema, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._choice(cast("list[object]", schema["enum"]))
        kind = _kind(schema)
        make: dict[str, Callable[[Schema, int], object]] = {
            "object": self._object,
            "array": self._array,
            "integer": self._number,
            "number": self._number,
            "string": self._string,
        }
        if kind in make:
            return make[kind](schema, depth)
        return True if kind == "boolean" else None

    def _plain(self, schema: Schema, depth: int) -> Schema:
        """Follow references and take the first branch that says something."""
        for _ in range(DEEPEST):
            if "$ref" in schema:
                schema = self._resolve(cast("str", schema["$ref"]))
            elif "allOf" in schema:
                schema = _merged(schema, [self._plain(part, depth) for part in schema["allOf"]])
            elif "anyOf" in schema or "oneOf" in schema:
                schema = _branch(cast("Sequence[Schema]", schema.get("anyOf") or schema["oneOf"]), depth)
            else:
                break
        return schema

    def _resolve(self, ref: str) -> Schema:
        node: Any = self._root
        for part in ref.removeprefix("#").split("/")[1:]:
            node = node[part.replace("~1", "/").replace("~0", "~")]
        return cast("Schema", node)

    def _choice(self, options: list[object]) -> object:
        said = self._text.lower()
        for option in options:
            if isinstance(option, str) and re.search(rf"\b{re.escape(option.lower())}\b", said):
                # A value that was named is used once: "from EUR to USD" fills source and target.
                self._text = re.sub(rf"\b{re.escape(option)}\b", "", self._text, count=1, flags=re.IGNORECASE)
                return option
        return options[0]

    def _object(self, schema: Schema, depth: int) -> object:
        required = set(schema.get("required", ()))
        found: dict[str, object] = {}
        for name, part in cast("Mapping[str, Schema]", schema.get("properties") or {}).items():
            is_said = "default" not in part and depth < 2 and self._has_value(part)
            if name in required or is_said:
                found[name] = self.fill(part, depth + 1)
        return found

    def _has_value(self, schema: Schema) -> bool:
        kind = _kind(schema)
        return bool(self._numbers) if kind in ("integer", "number") else kind == "string" and bool(self._names)

    def _array(self, schema: Schema, depth: int) -> object:
        items = cast("Schema", schema.get("items") or {"type": "string"})
        least = int(schema.get("minItems", 0))
        count = max(least, 1) if depth < DEEPEST else least
        count = min(count, int(schema.get("maxItems", count)))
        return [self.fill(items, depth + 1) for _ in range(count)]

    def _number(self, schema: Schema, depth: int) -> object:
        step = float(schema.get("multipleOf", 1 if _kind(schema) == "integer" else 0))
        low, high = _bounds(schema, step or 1.0)
        value = self._numbers.pop(0) if self._numbers else max(low, min(high, 1.0))
        value = max(low, min(high, value))
        if step:
            value = math.ceil(value / step) * step if value < low + step else math.floor(value / step) * step
        return int(value) if float(value).is_integer() else value

    def _string(self, schema: Schema, depth: int) -> object:
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        examples = schema.get("examples")
        if self._names:
            value = self._names.pop(0)
        elif "default" in schema:
            value = str(schema["default"])
        elif examples:
            value = str(examples[0])
        else:
            value = _object_of(self._text) or " ".join(self._text.split()) or "text"
        value = value.ljust(int(schema.get("minLength", 0)), ".")
        return value[: int(schema.get("maxLength", 200))]


def fill(schema: Schema, text: str) -> object:
    """A value that fits a JSON Schema (types, enums, bounds, lengths, references; patterns are not looked at)."""
    return Filler(text, schema).fill(schema)


def names_in(text: str) -> list[str]:
    """What looks like a value: quoted text, then codes with digits, then capitalised words within sentences."""
    quoted = re.findall(r"[\"“`]([^\"”`]+)[\"”`]|(?<!\w)'([^']+)'(?!\w)", text)
    rest = re.sub(r"[\"“`][^\"”`]+[\"”`]|(?<!\w)'[^']+'(?!\w)", " ", text)
    codes = re.findall(r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]+\b", rest)
    begun = r"(?:^|(?<=[.!?]\s))\s*[A-Z][\w'-]*"
    inner = re.sub(begun, lambda found: " " * len(found.group()), rest)
    capitals = re.findall(r"\b[A-Z][\w'-]+(?: [A-Z][\w'-]+)*", inner)
    found = [first or second for first, second in quoted]
    return list(dict.fromkeys([*found, *codes, *(name for name in capitals if name not in codes)]))


def _object_of(text: str) -> str:
    """What a lower-case request is about: "the weather in paris?" is about "paris"."""
    found = re.search(r"\b(?:about|at|for|from|in|of|on|to)\s+(?:the\s+)?([^\s,;?!]+(?: [^\s,;?!]+)?)[\s.?!]*$", text)
    return found.group(1).rstrip(".") if found else ""


def _kind(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((str(one) for one in cast("list[object]", kind) if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    return "object" if "properties" in schema else "string"


def _merged(schema: Schema, parts: Sequence[Schema]) -> Schema:
    merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in parts:
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        required = [*merged.get("required", ()), *part.get("required", ())]
        merged.update(part)
        merged.update({"properties": properties, "required": required} if properties else {})
    return merged


def _branch(branches: Sequence[Schema], depth: int) -> Schema:
    if depth >= DEEPEST:
        return next((branch for branch in branches if branch.get("type") == "null"), branches[0])
    return next((branch for branch in branches if branch.get("type") != "null"), branches[0])


def _bounds(schema: Schema, step: float) -> tuple[float, float]:
    low = max(float(schema.get("minimum", -math.inf)), float(schema.get("exclusiveMinimum", -math.inf)) + step)
    high = min(float(schema.get("maximum", math.inf)), float(schema.get("exclusiveMaximum", math.inf)) - step)
    return low, high
