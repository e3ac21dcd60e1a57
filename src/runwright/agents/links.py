"""What chains and parallel runs have in common: named runs of other agents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import Field

from runwright.agents.input import read_json
from runwright.agents.schema import NAME, SEMVER, Dollars, Fields
from runwright.core.agent import Limits
from runwright.core.context import Context
from runwright.errors import ChildFailed, RunwrightError
from runwright.tools.result import encode

LINK = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""The shape of a step's name: dots lead to the fields of its output."""

ANYTHING: dict[str, object] = {"title": "Input", "description": "Any JSON value."}

read_input = read_json
write_output = encode


class LinkFields(Fields):
    """One run of another agent."""

    agent: str = Field(pattern=NAME, description="The agent's name.")
    version: str | None = Field(default=None, pattern=SEMVER, description="A version other than the current one.")
    name: str | None = Field(
        default=None, pattern=LINK, description="What it is called here: the agent's name when left out."
    )

    @property
    def has_input(self) -> bool:
        """Whether an input was declared, be it null."""
        return "input" in self.model_fields_set


class BoundFields(Fields):
    """Bounds of all of it together; each run has the limits of its agent."""

    time_s: float | None = Field(default=None, gt=0, description="Seconds for all of it.")
    usd: Dollars | None = Field(default=None, description="US dollars for all of it, reserved before each call.")

    def to_core(self) -> Limits:
        """The limits as the core knows them."""
        return Limits(time_s=self.time_s, usd=self.usd)


def names_of(links: Sequence[LinkFields]) -> list[str]:
    """The name of each link: its own, or its agent's, which is numbered where it is taken."""
    taken = {link.name for link in links if link.name is not None}
    return [link.name or _free(link.agent.replace(".", "-"), taken) for link in links]


def taken_twice(links: Sequence[LinkFields], at: str) -> Iterable[tuple[str, str]]:
    """Names that are given twice, as (JSON pointer, detail)."""
    seen: set[str] = set()
    for index, link in enumerate(links):
        if link.name is not None and link.name in seen:
            yield f"{at}/{index}/name", f"{link.name!r} is taken by another one: names are different"
        seen |= {link.name} if link.name else set()


async def run_link(context: Context, link: LinkFields, name: str, *, input: object) -> Any:  # noqa: ANN401 - any JSON
    """Have the agent of a link run. Raises ChildFailed that says which one failed."""
    try:
        return await context.lane(name).run(link.agent, input, version=link.version)
    except RunwrightError as error:
        raise failed(name, error) from error


def failed(name: str, error: RunwrightError) -> ChildFailed:
    """The error of a link that came to no result."""
    return ChildFailed(f"{name!r} failed: {error.message}")


def _free(name: str, taken: set[str]) -> str:
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    taken.add(found)
    return found
