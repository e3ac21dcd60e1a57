"""What the steps of a task need of each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from runwright.agents.mapping import problems, references
from runwright.agents.schema import did_you_mean

FACTS = ("output", "status", "error")
"""What is known of a step that has ended."""


class Needing(msgspec.Struct, frozen=True, kw_only=True):
    """A step, as far as it speaks of others: `mapped` are values that hold references, by their JSON pointers."""

    name: str
    needs: tuple[str, ...]
    mapped: Mapping[str, object]


def needs_of(step: Needing) -> frozenset[str]:
    """The steps that have to end before this one."""
    return frozenset(name for _, name in _needed(step))


def needs_problems(steps: Sequence[Needing], *, output: object) -> Iterator[tuple[str, str]]:
    """What is wrong with the names and needs of steps and with their references, as (JSON pointer, detail)."""
    names = [step.name for step in steps]
    for index, step in enumerate(steps):
        at = f"/steps/{index}"
        if step.name in names[:index]:
            yield f"{at}/name", f"{step.name!r} is taken by another step: names are different"
        for place, need in enumerate(step.needs):
            if need not in names:
                yield f"{at}/needs/{place}", f"there is no step {need!r}{did_you_mean(need, names)}"
        yield from (
            (f"{at}{field}{inside}", told)
            for field, value in step.mapped.items()
            for inside, told in problems(value, names=names, has_last=False, facts=FACTS)
        )
    yield from (
        (f"/output{inside}", told) for inside, told in problems(output, names=names, facts=FACTS, has_last=False)
    )
    yield from _circles(steps)


def _circles(steps: Sequence[Needing]) -> Iterator[tuple[str, str]]:
    """Steps that need themselves, each circle told once, at the first of its steps."""
    places = {step.name: index for index, step in enumerate(steps)}
    needed = {step.name: [(at, name) for at, name in _needed(step) if name in places] for step in steps}
    seen: set[str] = set()
    for step in steps:
        circle = _circle(step.name, needed)
        if circle is None or seen & set(circle):
            continue
        seen |= set(circle)
        at = next(at for at, name in needed[step.name] if name == circle[1])
        told = " needs ".join(repr(name) for name in circle)
        yield f"/steps/{places[step.name]}{at}", f"no step can begin: {told}"


def _circle(name: str, needed: Mapping[str, Sequence[tuple[str, str]]]) -> list[str] | None:
    """The shortest way from a step back to itself."""
    ways = [[name]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for _, each in needed[way[-1]]:
            if each == name:
                return [*way, each]
            if each not in seen:
                seen.add(each)
                ways.append([*way, each])
    return None


def _needed(step: Needing) -> Iterator[tuple[str, str]]:
    """The steps that a step names and refers to, each with the JSON pointer to where."""
    yield from ((f"/needs/{place}", name) for place, name in enumerate(step.needs))
    for field, value in step.mapped.items():
        for place, path in references(value):
            root, *fields = path.split(".")
            if root == "steps" and fields:
                yield f"{field}{place}", fields[0]
