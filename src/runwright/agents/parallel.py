"""The parallel template: agents side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from runwright.agents.base import BuildContext, Template
from runwright.agents.links import (
    ANYTHING,
    BoundFields,
    LinkFields,
    names_of,
    read_input,
    run_link,
    taken_twice,
    write_output,
)
from runwright.agents.mapping import filled, problems
from runwright.agents.schema import Fields, config_error
from runwright.core.agent import CodeFlow, Named
from runwright.core.context import Context
from runwright.errors import ChildFailed, RunwrightError

Join = Literal["all", "any", "first", "settled"] | Annotated[int, Field(ge=1)]
JOINS = ("all", "any", "first", "settled")

OUTPUT: dict[str, object] = {
    "title": "Output",
    "type": "object",
    "required": ["results", "errors", "cancelled"],
    "properties": {
        "results": {"type": "object", "description": "The output of each branch that came to a result."},
        "errors": {"type": "object", "description": "Why each of the others failed."},
        "cancelled": {"type": "array", "description": "Branches that were no longer needed."},
    },
}


def _joined(given: object) -> object:
    # pydantic would tell one problem for each arm of the union, at places that are not in the definition.
    if given in JOINS or (type(given) is int and given >= 1):
        return given
    raise ValueError(f"this is {', '.join(map(repr, JOINS))} or a number of results, at least 1, not {given!r}")


class BranchFields(LinkFields):
    """A branch of a parallel run."""

    input: Any = Field(
        default=None,
        description="What it is given: any JSON, in which `$input` stands for the input of the run, which it is given "
        "when this is left out.",
    )


class ParallelFields(Fields):
    """The configuration of a parallel run."""

    branches: tuple[BranchFields, ...] = Field(max_length=100, description="The agents.")
    join: Annotated[Join, BeforeValidator(_joined, json_schema_input_type=Join)] = Field(
        default="all",
        description="When it is decided: `all` came to a result, or one failed; `any` came to a result; the `first` "
        "ended, well or not; so many came to a result; or all have ended, well or not (`settled`).",
    )
    limit: int | None = Field(default=None, ge=1, description="Branches at work at once; all of them when left out.")
    limits: BoundFields = Field(default=BoundFields(), description="Bounds of the whole run.")


class Parallel(Template):
    """Agents side by side. When the join is decided, branches that are still at work are cancelled."""

    name: ClassVar[str] = "parallel"
    version: ClassVar[str] = "1.0.0"
    Config = ParallelFields

    def build(self, config: ParallelFields, context: BuildContext) -> CodeFlow:
        """Make the code flow. Raises ConfigError for a join that cannot be met and references to nothing."""
        if found := list(_problems(config)):
            raise config_error(found)
        return CodeFlow(
            function=partial(_run, config),
            agents=tuple(
                Named(name=each.agent, version=each.version, at=f"/branches/{index}/agent")
                for index, each in enumerate(config.branches)
            ),
            limits=config.limits.to_core(),
            read_input=read_input,
            write_output=write_output,
            input_schema=ANYTHING,
            output_schema=OUTPUT,
        )


class Ends:
    """How the branches of a parallel run ended so far, and whether that decides it."""

    def __init__(self, join: Join, *, of: int) -> None:
        self._join = join
        self._of = of
        self.results: dict[str, Any] = {}
        self.errors: dict[str, str] = {}

    @property
    def is_decided(self) -> bool:
        """Whether nothing that the other branches do can change how it ends."""
        return self._is_met or self._is_missed

    def outcome(self, names: list[str]) -> dict[str, Any]:
        """The output, in the order of these names. Raises ChildFailed when the join was not met."""
        if not self._is_met:
            told = "; ".join(self.errors.values())
            raise ChildFailed(f"{len(self.errors)} of {self._of} branches failed, join is {self._join!r}: {told}")
        return {
            "results": {name: self.results[name] for name in names if name in self.results},
            "errors": {name: self.errors[name] for name in names if name in self.errors},
            "cancelled": [name for name in names if name not in self.results and name not in self.errors],
        }

    @property
    def _needed(self) -> int:
        """Results that it takes."""
        if isinstance(self._join, int):
            return self._join
        return {"all": self._of, "any": min(1, self._of), "first": min(1, self._of), "settled": 0}[self._join]

    @property
    def _is_met(self) -> bool:
        is_waiting = self._join == "settled" and len(self.results) + len(self.errors) < self._of
        return not is_waiting and len(self.results) >= self._needed

    @property
    def _is_missed(self) -> bool:
        spare = 0 if self._join == "first" else self._of - self._needed
        return len(self.errors) > spare


async def _run(config: ParallelFields, context: Context, value: object) -> object:
    names = names_of(config.branches)
    ends = Ends(config.join, of=len(names))
    room = asyncio.Semaphore(config.limit or max(1, len(names)))
    tasks: list[asyncio.Task[None]] = []

    async def branch(each: BranchFields, name: str) -> None:
        async with room:
            try:
                given = filled(each.input, {"input": value}) if each.has_input else value
                ends.results[name] = await run_link(context, each, name, input=given)
            except RunwrightError as error:
                ends.errors[name] = error.message
        if ends.is_decided:
            for task in tasks:
                if task is not asyncio.current_task():
                    task.cancel()

    async with asyncio.TaskGroup() as group:
        tasks += [group.create_task(branch(each, name)) for each, name in zip(config.branches, names, strict=True)]
    return ends.outcome(names)


def _problems(config: ParallelFields) -> Iterator[tuple[str, str]]:
    yield from taken_twice(config.branches, "/branches")
    if isinstance(config.join, int) and config.join > len(config.branches):
        yield "/join", f"{config.join} results cannot come of {len(config.branches)} branches"
    for index, each in enumerate(config.branches):
        told = problems(each.input, names=(), has_last=False)
        yield from ((f"/branches/{index}/input{inside}", detail) for inside, detail in told)
