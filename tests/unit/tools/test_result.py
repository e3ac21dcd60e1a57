"""Values of user code as JSON text."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from runwright.tools.result import encode


class City(BaseModel):
    """A pydantic model."""

    name: str
    founded: date


@dataclass
class Point:
    """A dataclass."""

    x: int
    city: City


class Colour(Enum):
    """An enumeration."""

    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ä", b'"\xc3\xa4"'),
        (None, b"null"),
        (1.5, b"1.5"),
        (datetime(2026, 1, 2, tzinfo=UTC), b'"2026-01-02T00:00:00Z"'),
        (Decimal("1.10"), b'"1.10"'),
        (UUID(int=0), b'"00000000-0000-0000-0000-000000000000"'),
        (Colour.RED, b'"red"'),
        (PurePosixPath("a/b"), b'"a/b"'),
        ((1, {2}), b"[1,[2]]"),
        ({1: "a"}, b'{"1":"a"}'),
        (Point(1, City(name="Bonn", founded=date(1, 1, 1))), b'{"x":1,"city":{"name":"Bonn","founded":"0001-01-01"}}'),
        ([City(name="Bonn", founded=date(1, 1, 1))], b'[{"name":"Bonn","founded":"0001-01-01"}]'),
    ],
)
def test_encoded(value: object, text: bytes) -> None:
    """Plain data, times, decimals, enums, paths, dataclasses and pydantic models have a JSON form."""
    assert encode(value) == text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"x", "bytes cannot be written as JSON: decode it to text"),
        ({"a": [bytearray(b"x")]}, "bytearray cannot be written"),
        (Point(1, memoryview(b"")), "memoryview cannot be written"),  # pyright: ignore[reportArgumentType] - on purpose
        ([object()], "a object cannot be written as JSON: return text, numbers"),
        ({(1, 2): 3}, "a dict cannot be written as JSON"),
        ("\ud800", "no valid Unicode"),
        (["\ud800"], "no valid Unicode"),
        (test_encoded, "a function cannot be written"),
    ],
)
def test_refused(value: object, words: str) -> None:
    """What has no JSON form is refused with the name of its type; binary data is never guessed at."""
    with pytest.raises(TypeError, match=words):
        encode(value)


def test_endless() -> None:
    """A list that contains itself is refused."""
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(TypeError, match="contains itself"):
        encode(endless)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_round_trip(value: object) -> None:
    """JSON data comes back as it was."""
    assert msgspec.json.decode(encode(value)) == value
