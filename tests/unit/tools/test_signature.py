"""What a function takes, as a schema and as a check."""

import json as json_text
from collections.abc import Callable
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from runwright.core.context import Context
from runwright.errors import ConfigError, InvalidRequest
from runwright.tools.signature import Signature, pointer


class Place(BaseModel):
    """A nested model."""

    title: str
    floors: list[int] = []


def visit(
    city: str,
    unit: Literal["c", "f"] = "c",
    place: Place | None = None,
    json: Annotated[int, Field(ge=1, description="its own words")] = 3,
    *,
    surroundings: Context | None = None,
) -> None:
    """Visit a city.

    Args:
        city: Where to go.
        unit: Celsius or Fahrenheit.
        place: A place in it.
        json: Words that stand back.
        surroundings: Not for the model.
    """


MISSING = object()
VISIT = Signature(visit, name="visit")


def refused(signature: Signature, arguments: object) -> InvalidRequest:
    """The error of arguments that do not fit."""
    text = arguments if isinstance(arguments, str) else json_text.dumps(arguments)
    with pytest.raises(InvalidRequest) as caught:
        signature.check(text)
    return caught.value


def test_schema() -> None:
    """Types, defaults, constraints and descriptions make the schema; the context has no place in it."""
    assert VISIT.context == "surroundings"
    assert VISIT.parameters == {
        "$defs": {
            "Place": {
                "description": "A nested model.",
                "properties": {
                    "title": {"type": "string"},
                    "floors": {"default": [], "items": {"type": "integer"}, "type": "array"},
                },
                "required": ["title"],
                "title": "Place",
                "type": "object",
            }
        },
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "city": {"type": "string", "description": "Where to go."},
            "unit": {"type": "string", "enum": ["c", "f"], "default": "c", "description": "Celsius or Fahrenheit."},
            "place": {
                "anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}],
                "default": None,
                "description": "A place in it.",
            },
            "json": {"type": "integer", "minimum": 1, "default": 3, "description": "its own words"},
        },
        "required": ["city"],
    }


def test_given_only() -> None:
    """Only what was sent is passed on, so that the function's own defaults hold."""
    assert VISIT.check('{"city": "Bonn", "json": "4"}') == {"city": "Bonn", "json": 4}


def test_nested() -> None:
    """A nested model arrives as an object of its class."""
    assert VISIT.check('{"city": "Bonn", "place": {"title": "Town hall"}}')["place"] == Place(title="Town hall")


def test_problems() -> None:
    """Every problem is located, and the message shows what is allowed."""
    error = refused(VISIT, {"town": "Bonn", "unit": "k", "place": {"floors": ["x"]}, "json": 0})
    assert error.problems == (
        ("/city", "Field required"),
        ("/unit", "Input should be 'c' or 'f', not 'k'"),
        ("/place/title", "Field required"),
        (
            "/place/floors/0",
            "Input should be a valid integer, unable to parse string as an integer, not 'x'",
        ),
        ("/json", "Input should be greater than or equal to 1, not 0"),
        ("/town", "There is no such field"),
    )
    assert error.message.startswith("the arguments do not fit: /city: Field required; ")
    assert error.message.endswith(
        'Allowed: city (string, required), unit (one of ["c","f"]), place (Place or null), json (integer)'
    )


@pytest.mark.parametrize("text", ["{", "[]", "1", '"x"', '{"city": "\ud800"}'])
def test_no_object(text: str) -> None:
    """What is no JSON object is refused."""
    assert refused(VISIT, text).problems[0][0] == ""


@pytest.mark.parametrize("text", ["", "null", "{}"])
def test_nothing(text: str) -> None:
    """A model that writes nothing, or null, sends no arguments."""

    def ping() -> None: ...

    assert Signature(ping, name="ping").check(text) == {}


def test_unexpected() -> None:
    """A tool without parameters says that it takes none."""

    def ping() -> None: ...

    assert refused(Signature(ping, name="ping"), {"a": 1}).message.endswith("It takes no arguments: send {}")


def test_long_value() -> None:
    """A long value is shown in part."""
    assert len(refused(VISIT, {"city": ["x" * 500]}).problems[0][1]) < 150


def star(*city: str) -> None:
    """Take several."""


def stars(**city: str) -> None:
    """Take several by name."""


def positional(city: str, /) -> None:
    """Take one by position."""


def no_schema(city: Signature) -> None:
    """Take what has no schema."""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (star, "take a list"),
        (stars, "name each parameter"),
        (positional, "remove the '/'"),
        (no_schema, "have no JSON Schema"),
    ],
)
def test_not_offered(function: Callable[..., None], words: str) -> None:
    """A function that JSON arguments cannot reach is a configuration error that says what to change."""
    with pytest.raises(ConfigError, match=words):
        Signature(function, name="each")


def test_unknown_hint() -> None:
    """A type hint that cannot be resolved is a configuration error."""

    def lost(city: object) -> None: ...

    lost.__annotations__["city"] = "Nowhere"
    with pytest.raises(ConfigError, match="name 'Nowhere' is not defined; import it at the top"):
        Signature(lost, name="lost")


def test_untyped() -> None:
    """A parameter without a type hint takes anything."""

    def loose(value, other=MISSING): ...  # noqa: ANN001, ANN202 - on purpose # pyright: ignore - on purpose

    signature = Signature(loose, name="loose")  # pyright: ignore[reportUnknownArgumentType] - on purpose
    assert signature.parameters["properties"] == {"value": {}, "other": {}}
    assert signature.check('{"value": [1]}') == {"value": [1]}


@given(
    st.fixed_dictionaries(
        {"city": st.text()},
        optional={"unit": st.sampled_from(["c", "f"]), "json": st.integers(1, 2**60)},
    )
)
def test_round_trip(arguments: dict[str, object]) -> None:
    """Arguments that fit the schema arrive as they were sent."""
    assert VISIT.check(json_text.dumps(arguments)) == arguments


def test_pointer() -> None:
    """Slash and tilde in a name are escaped as in RFC 6901."""
    assert pointer(["a/b", 0, "c~d"]) == "/a~1b/0/c~0d"
