"""Declared mappings: JSON in which `$input`, `$last` and `$steps.NAME.output` stand for what a run has by then."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from pydantic import Field

from runwright.agents.schema import Fields, did_you_mean
from runwright.core.values import is_list, is_object
from runwright.errors import InvalidRequest

_WHOLE = re.compile(r"\$(?P<path>[A-Za-z_].*)", re.DOTALL)
_INSIDE = re.compile(r"\{\{(?P<path>.*?)\}\}", re.DOTALL)

Take = Callable[[str], object]


class ConditionFields(Fields):
    """When a step is taken. Neither `equals` nor `differs`: when the value is true, and not empty, zero or null."""

    value: Any = Field(description="A value as in `input`, such as `$steps.triage.output.kind`.")
    equals: Any = Field(default=None, description="It has to be this.")
    differs: Any = Field(default=None, description="It must not be this.")

    def holds(self, scope: Mapping[str, Any]) -> bool:
        """Whether it holds. Raises InvalidRequest where a field is not there."""
        value = filled(self.value, scope)
        if "equals" in self.model_fields_set and value != self.equals:
            return False
        if "differs" in self.model_fields_set:
            return value != self.differs
        return "equals" in self.model_fields_set or bool(value)


def problems(
    value: object, *, names: Iterable[str], has_last: bool = True, facts: Sequence[str] = ("output",)
) -> Iterator[tuple[str, str]]:
    """What is wrong with the references in a value, as (JSON pointer, detail).

    `names` are those of earlier steps, `facts` what is known of them.
    """
    known = {"input"} | ({"last"} if has_last else set[str]())
    steps = set(names)
    for place, path in references(value):
        root, *fields = path.split(".")
        if root == "steps" and steps:
            if not fields or fields[0] not in steps:
                yield place, f"there is no earlier step {'.'.join(fields[:1])!r}{did_you_mean(_first(fields), steps)}"
            elif not fields[1:] or fields[1] not in facts:
                wanted = " or ".join(f"steps.{fields[0]}.{fact}" for fact in facts)
                yield place, f"write {wanted}, or a field of it, not {path!r}"
        elif root not in known:
            roots = sorted(known | ({"steps.NAME.output"} if steps else set[str]()))
            told = f"{path!r} names nothing here; there are: {', '.join(roots)}"
            yield place, f"{told}. Text that begins with '$' is written with '$$'"


def filled(value: object, scope: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    """The value with what its references stand for. Raises InvalidRequest where a field is not there."""
    if is_object(value):
        return {name: filled(each, scope) for name, each in value.items()}
    if is_list(value):
        return [filled(each, scope) for each in value]
    if not isinstance(value, str):
        return value
    if value.startswith("$$"):
        return value[1:]
    if whole := _WHOLE.fullmatch(value):
        return _found(whole["path"], scope)
    return _INSIDE.sub(lambda found: in_text(_found(found["path"].strip(), scope)), value)


def references(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    """The references in a value, as (JSON pointer, path without its `$`)."""
    if is_object(value):
        for name, each in value.items():
            yield from references(each, f"{place}/{name.replace('~', '~0').replace('/', '~1')}")
    elif is_list(value):
        for index, each in enumerate(value):
            yield from references(each, f"{place}/{index}")
    elif isinstance(value, str) and not value.startswith("$$"):
        if whole := _WHOLE.fullmatch(value):
            yield place, whole["path"]
        else:
            yield from ((place, found["path"].strip()) for found in _INSIDE.finditer(value))


def _found(path: str, scope: Mapping[str, Any]) -> object:
    value: object = scope
    seen = ""
    for name in path.split("."):
        if is_object(value) and name in value:
            value = value[name]
        elif is_list(value) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise InvalidRequest(f"{path!r} is not there: {seen or 'the run'} has no {name!r}")
        seen = f"{seen}.{name}".lstrip(".")
    return value


def in_text(value: object) -> str:
    """A value as it stands inside of text."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _first(fields: list[str]) -> str:
    return fields[0] if fields else ""
