"""What names a call of any function, and how its result is kept."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.guard.questions import codec_of, question_of

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=9,
)


class City(msgspec.Struct):
    """What a typed function gives and takes."""

    name: str
    size: int = 0


@dataclasses.dataclass(frozen=True)
class Box:
    """Holds a value and has a method."""

    value: object

    async def look(self) -> object:
        """The value."""
        return self.value


async def look(city: object, unit: str = "C", *, days: int = 1) -> Any:
    """A function without a word about what it returns."""


async def find(name: str) -> City | None:
    """A function that says what it returns."""


def asked(*args: object, **kwargs: object) -> bytes:
    """What a call of `look` asks."""
    return question_of(look)(args, kwargs)


def test_the_same_call_however_it_is_written() -> None:
    """Arguments by place, by name or by default are the same question; the order of a dictionary says nothing."""
    same = [asked("Rome"), asked("Rome", "C"), asked(city="Rome", days=1), asked(unit="C", city="Rome")]
    assert len(set(same)) == 1
    assert asked({"a": 1, "b": 2}) == asked({"b": 2, "a": 1})
    assert asked({1, 2, 3}) == asked({3, 2, 1})


def test_other_calls() -> None:
    """Another argument, another type of it, or another function is another question."""
    day = datetime.date(2026, 1, 2)
    values: list[object] = ["1", 1, 1.0, True, b"1", Decimal(1), None, [1], {"1": 1}, day, str(day), City("1")]
    questions = [*map(asked, values), asked("1", "F"), asked("1", days=2), question_of(find)(("1",), {})]
    assert len(set(questions)) == len(questions)


def test_types_at_any_depth() -> None:
    """What is written alike and is not of one type is another question, however deep it stands."""
    values = ["1", Decimal(1)]
    holders: list[list[object]] = [[[each], {"a": each}, (each,), frozenset([each]), Box(each)] for each in values]
    questions = {asked(held) for each in holders for held in (*each, [each])}
    assert len(questions) == 2 * 6
    assert asked({Decimal(1), "1"}) == asked({"1", Decimal(1)})


def test_other_targets() -> None:
    """A function under another target is asked something else."""
    assert question_of(find, "Rome")(("x",), {}) != question_of(find, "Oslo")(("x",), {})


def test_functions_that_read_more_than_their_arguments() -> None:
    """A function of a factory and a method of an object are refused until a target tells which one it is."""

    def made(unit: str) -> Callable[[str], str]:
        return lambda text: text + unit

    with pytest.raises(ValueError, match="it reads unit, which its arguments do not tell; give @guarded a target"):
        question_of(made("C"))
    with pytest.raises(ValueError, match="it reads Box, which"):
        question_of(Box(1).look)
    assert question_of(made("C"), "C")(("x",), {}) != question_of(made("F"), "F")(("x",), {})


@given(ANYTHING, ANYTHING)
def test_equal_means_equal(one: object, other: object) -> None:
    """Two calls ask the same exactly when their arguments are written alike."""
    is_same = msgspec.json.encode((type(one).__name__, one), order="deterministic") == msgspec.json.encode(
        (type(other).__name__, other), order="deterministic"
    )
    assert (asked(one) == asked(other)) == is_same


def test_arguments_that_cannot_be_written() -> None:
    """The error names function and argument and says what to do."""
    with pytest.raises(TypeError, match=r"test_questions\.look cannot be cached: city=<object .* leave the cache off"):
        asked(object())


@given(ANYTHING)
def test_plain_results_come_back(value: object) -> None:
    """Whatever is plain JSON comes back as it was."""
    codec = codec_of(look)
    data = codec.encode(value)
    assert data is not None
    assert codec.decode(data) == value


def test_typed_results_come_back() -> None:
    """A function that says what it returns gets that back, and its kept results are known as such."""
    codec = codec_of(find)
    for value in (City("Rome", 3), None):
        data = codec.encode(value)
        assert data is not None
        assert codec.decode(data) == value
    assert codec.shape != codec_of(look).shape


@pytest.mark.parametrize("value", [City("Rome"), (1, 2), {1: 2}, {"a": (1,)}, b"x"], ids=repr)
def test_results_that_would_come_back_as_others(value: object) -> None:
    """A result that is no plain JSON is refused where nothing says what it is, rather than changed."""
    with pytest.raises(TypeError, match=r"annotate what it returns|no written form"):
        codec_of(look).encode(value)


def test_results_without_a_written_form() -> None:
    """A result that cannot be written is refused, also where the function announces it."""

    async def announced() -> object:
        return None

    async def typed() -> type[City]:
        return City

    with pytest.raises(TypeError, match="has no written form"):
        codec_of(announced).encode(object())
    with pytest.raises(TypeError, match="has no written form"):
        codec_of(typed).encode(City)
