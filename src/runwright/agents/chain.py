"""The chain template: agents one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

from pydantic import Field

from runwright.agents.base import BuildContext, Template
from runwright.agents.links import (
    ANYTHING,
    BoundFields,
    LinkFields,
    failed,
    names_of,
    read_input,
    run_link,
    taken_twice,
    write_output,
)
from runwright.agents.mapping import ConditionFields, filled, problems
from runwright.agents.schema import Fields, config_error
from runwright.core.agent import CodeFlow, Named
from runwright.core.context import Context
from runwright.errors import InvalidRequest

INPUT = (
    "What it is given: any JSON, in which `$input`, `$last` and `$steps.NAME.output` stand for what there is by then"
)


class StepFields(LinkFields):
    """A step of a chain."""

    input: Any = Field(default=None, description=f"{INPUT}; the output of the step before when left out.")
    condition: ConditionFields | None = Field(
        default=None, description="Else it is left out: its output is null, and `$last` stays."
    )


class ChainFields(Fields):
    """The configuration of a chain."""

    steps: tuple[StepFields, ...] = Field(max_length=100, description="The agents, in order.")
    output: Any = Field(default=None, description="What the chain gives, as `input` of a step; `$last` when left out.")
    limits: BoundFields = Field(default=BoundFields(), description="Bounds of the whole chain.")


class Chain(Template):
    """Agents one after the other: each is given the output of the one before, or what its `input` says."""

    name: ClassVar[str] = "chain"
    version: ClassVar[str] = "1.0.0"
    Config = ChainFields

    def build(self, config: ChainFields, context: BuildContext) -> CodeFlow:
        """Make the code flow. Raises ConfigError for references to nothing."""
        if found := list(_problems(config)):
            raise config_error(found)
        return CodeFlow(
            function=partial(_run, config),
            agents=tuple(
                Named(name=step.agent, version=step.version, at=f"/steps/{index}/agent")
                for index, step in enumerate(config.steps)
            ),
            limits=config.limits.to_core(),
            read_input=read_input,
            write_output=write_output,
            input_schema=ANYTHING,
            output_schema={"title": "Output", "description": "What the last step gave, or what `output` says."},
        )


async def _run(config: ChainFields, context: Context, value: object) -> object:
    scope: dict[str, Any] = {"input": value, "last": value, "steps": {}}
    for step, name in zip(config.steps, names_of(config.steps), strict=True):
        try:
            is_taken = step.condition is None or step.condition.holds(scope)
            given = filled(step.input, scope) if step.has_input and is_taken else scope["last"]
        except InvalidRequest as error:
            raise failed(name, error) from error
        output = await run_link(context, step, name, input=given) if is_taken else None
        scope["steps"][name] = {"output": output}
        scope["last"] = output if is_taken else scope["last"]
    return filled(config.output, scope) if "output" in config.model_fields_set else scope["last"]


def _problems(config: ChainFields) -> Iterator[tuple[str, str]]:
    yield from taken_twice(config.steps, "/steps")
    names = names_of(config.steps)
    for index, step in enumerate(config.steps):
        at = f"/steps/{index}"
        asked = {"input": step.input, "condition/value": step.condition and step.condition.value}
        for field, value in asked.items():
            yield from ((f"{at}/{field}{inside}", told) for inside, told in problems(value, names=names[:index]))
    yield from ((f"/output{inside}", told) for inside, told in problems(config.output, names=names))
