"""Values for schemas."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.models.fill import FORMATS, fill, names_in

SCHEMAS: list[dict[str, Any]] = [
    {"type": "string", "minLength": 30, "maxLength": 40},
    {"type": "integer", "minimum": 5, "maximum": 9},
    {"type": "integer", "exclusiveMinimum": 5, "multipleOf": 4},
    {"type": "number", "exclusiveMaximum": -2},
    {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3},
    {"type": ["null", "boolean"]},
    {"anyOf": [{"type": "null"}, {"enum": ["a", "b"]}]},
    {"const": 3},
    {"type": "null"},
    {
        "allOf": [
            {"properties": {"a": {"type": "string"}}, "required": ["a"]},
            {"properties": {"b": {"type": "number"}}, "required": ["b"]},
        ]
    },
    {
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {
                    "value": {"type": "string"},
                    "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                },
                "required": ["value", "next"],
            }
        },
        "$ref": "#/$defs/Node",
    },
]


@pytest.mark.parametrize("schema", SCHEMAS)
@given(text=st.text(max_size=40))
def test_fits_the_schema(schema: dict[str, Any], text: str) -> None:
    """Whatever the text, the value fits the schema, and is the same each time."""
    value = fill(schema, text)
    jsonschema_rs.validate(schema, value)
    assert value == fill(schema, text)


@pytest.mark.parametrize("form", sorted(set(FORMATS) - {"url"}))
def test_formats(form: str) -> None:
    """Known formats get a value that is one."""
    schema = {"type": "string", "format": form}
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(fill(schema, "x"))


def test_values_come_from_the_text() -> None:
    """Quoted text, codes and capitalised words are values; the first word of a sentence is not."""
    assert names_in('Ask about "the guard", order A-17 and New York. Then it\'s done.') == [
        "the guard",
        "A-17",
        "New York",
    ]


def test_optional_properties_are_filled_when_said() -> None:
    """An optional number is given when the text holds one."""
    schema: dict[str, Any] = {"type": "object", "properties": {"count": {"type": "integer"}}}
    assert fill(schema, "take 3") == {"count": 3}
    assert fill(schema, "take some") == {}
