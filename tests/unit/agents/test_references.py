"""How often parts of a JSON Schema may be looked at."""

from __future__ import annotations

from typing import Any

import pytest

from runwright.agents.output import TOO_DEEP, SchemaOutput
from runwright.errors import ConfigError


def chain(levels: int, **last: Any) -> dict[str, Any]:
    """A schema whose references double at each level."""
    doubled = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/a0", "$defs": {**doubled, f"a{levels}": last}}


def within(levels: int) -> dict[str, Any]:
    """The same, one property deeper at each level."""
    doubled = {
        f"a{n}": {"allOf": [{"properties": {"x": {"$ref": f"#/$defs/a{n + 1}"}}} for _ in "ab"]} for n in range(levels)
    }
    return {"$ref": "#/$defs/a0", "$defs": {**doubled, f"a{levels}": {"type": "string"}}}


def by_anchor(levels: int) -> dict[str, Any]:
    """The same by names instead of pointers, in a schema with an address of its own."""
    doubled = [{"$anchor": f"a{n}", "anyOf": [{"$ref": f"#a{n + 1}"} for _ in "ab"]} for n in range(levels)]
    return {
        "$id": "https://example.org/s",
        "$ref": "s#a0",
        "$defs": {str(n): each for n, each in enumerate([*doubled, {"$anchor": f"a{levels}", "type": "string"}])},
    }


TREE = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
UNION = {
    "anyOf": [{"type": "number"}, {"$ref": "#/$defs/sum"}, {"$ref": "#/$defs/product"}],
    "$defs": {
        name: {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}
        for name in ("sum", "product")
    },
}
WIDE = {
    "properties": {f"p{n}": {"$ref": "#/$defs/a"} for n in range(60)},
    "$defs": {
        "a": {"properties": {f"p{n}": {"$ref": "#/$defs/b"} for n in range(60)}},
        "b": {"properties": {f"p{n}": {"$ref": "#/$defs/c"} for n in range(60)}},
        "c": {"type": "string"},
    },
}


@pytest.mark.parametrize(
    "schema",
    [chain(16, type="string"), within(16), by_anchor(16), chain(400, type="string")],
    ids=["pointers", "properties", "anchors", "long"],
)
def test_doubling_is_refused(schema: dict[str, Any]) -> None:
    """A small schema that would keep the server busy for seconds is no schema of an agent."""
    with pytest.raises(ConfigError, match=r"in more than 10,000 ways|too often"):
        SchemaOutput(schema)


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "#"}, {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"not": {"$ref": "#/$defs/a"}}]}}}],
    ids=["root", "part"],
)
def test_circles_are_refused(schema: dict[str, Any]) -> None:
    """What leads to itself for the same value never ends."""
    with pytest.raises(ConfigError, match="leads to itself"):
        SchemaOutput(schema)


@pytest.mark.parametrize(
    "schema",
    [TREE, UNION, WIDE, chain(5, type="string"), by_anchor(3), {"const": {"$ref": "#"}}],
    ids=["tree", "union", "wide", "shared", "anchors", "constant"],
)
def test_what_people_write_is_taken(schema: dict[str, Any]) -> None:
    """Trees, unions, wide objects and a few shared parts are schemas."""
    assert SchemaOutput(schema).spec.schema == schema


LEAF = {"type": "integer"}
TWICE: dict[str, Any] = {
    "type": ["object", "integer"],
    "properties": {"x": {"$ref": "#"}},
    "allOf": [{"properties": {"x": {"$ref": "#"}}}],
}
PATTERNS: dict[str, Any] = {
    "type": ["object", "integer"],
    "patternProperties": {"x": {"$ref": "#"}, "^x": {"$ref": "#"}},
}
KINDS: dict[str, Any] = {
    "anyOf": [
        *({"type": "object", "properties": {"k": {"const": k}, "x": {"$ref": "#"}}, "required": ["k"]} for k in "ab"),
        LEAF,
    ]
}


def nested(levels: int, leaf: object) -> object:
    """A value as deep as that."""
    value = leaf
    for _ in range(levels):
        value = {"k": "b", "x": value}
    return value


@pytest.mark.parametrize("schema", [TWICE, PATTERNS, KINDS], ids=["twice", "patterns", "kinds"])
def test_a_deep_value_is_checked_all_the_same(schema: dict[str, Any]) -> None:
    """A schema that looks twice at what is within it fits a deep value or not, without doubling at each level."""
    check = SchemaOutput(schema)
    assert check.problems(nested(300, 1)) == []
    assert check.problems(nested(300, "no")) == [("", TOO_DEEP)]
    shallow = check.problems(nested(2, "no"))
    assert shallow
    assert TOO_DEEP not in dict(shallow).values()


def test_mistakes_in_a_long_value_are_told() -> None:
    """What is long, and not deep, is looked at once in each place, so each mistake is told with its own."""
    check = SchemaOutput({"type": "array", "items": {"type": "object", "properties": {"x": LEAF}}})
    found = check.problems([*({"x": 1} for _ in range(20_000)), {"x": "no"}])
    assert [place for place, _ in found] == ["/20000/x"]


def test_mistakes_in_a_long_value_of_many_ways_are_not_searched_for() -> None:
    """Where a schema leads to its parts in several ways, a value of many parts is not counted through to the end."""
    parts = {"a": {"$ref": "#"}, "l": {"type": "array", "items": {"$ref": "#"}}}
    check = SchemaOutput({"type": "object", "properties": parts, "additionalProperties": False})
    few, many = ([dict[str, object]() for _ in range(count)] for count in (2_000, 20_000))
    assert check.problems({"l": few, "bad": 1})[0][1] != TOO_DEEP
    assert check.problems({"l": many, "bad": 1}) == [("", TOO_DEEP)]
