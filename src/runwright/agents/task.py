"""The task template: steps that need each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec.structs import replace
from pydantic import Field

from runwright.agents.attempts import Outcome, Part
from runwright.agents.base import BuildContext, Template
from runwright.agents.course import Course, facts
from runwright.agents.forms import Form, FormFields
from runwright.agents.input import read_json, read_text
from runwright.agents.links import ANYTHING, write_output
from runwright.agents.mapping import filled
from runwright.agents.needs import needs_problems
from runwright.agents.schema import APPROVALS, Approvals, LimitsFields, approvals_of, config_error
from runwright.agents.steps import Builder, StepFields
from runwright.core.agent import CodeFlow, Limits, Named
from runwright.core.context import Context
from runwright.core.values import is_object

STEPS = 20


class TaskLimits(LimitsFields):
    """Bounds of one run of a task. Calls may take as long as the longest step, and be as many as its steps may need."""

    time_s: float | None = Field(default=None, gt=0, description="Seconds for the whole run.")


class TaskFields(FormFields):
    """The configuration of a task."""

    # With a `min_length`, a mistake in the only step would also be told as no step.
    steps: tuple[StepFields, ...] = Field(
        max_length=STEPS, json_schema_extra={"minItems": 1}, description="The steps, at least one."
    )
    parallel: bool | Annotated[int, Field(ge=1, le=STEPS)] = Field(
        default=False, description="Whether steps that do not need each other run side by side, or how many at once."
    )
    failures: Literal["strict", "lenient"] = Field(
        default="strict",
        description="`strict`: a step that fails fails the task; `lenient`: its output is null, and the rest goes on.",
    )
    output: Any = Field(
        default=None,
        description="What the task gives, as `input` of a step, also with `$steps.NAME.status` and `.error`; all of "
        "that of every step when left out.",
    )
    model: str | None = Field(default=None, description="The model of prompts that name none.")
    instructions: str = Field(default="", description="What models are told before prompts.")
    tools: tuple[str, ...] = Field(default=(), description="Names of further tools, for functions.")
    approvals: Approvals = Field(default={}, description=APPROVALS)
    limits: TaskLimits = Field(default=TaskLimits(), description="Bounds of one run.")


OUTPUT: dict[str, object] = {
    "title": "Output",
    "type": "object",
    "required": ["status", "steps"],
    "properties": {
        "status": {"enum": ["completed", "partial"], "description": "`partial` where a step has failed."},
        "steps": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["status", "output", "attempts", "error"],
                "properties": {
                    "status": {"enum": ["completed", "failed", "skipped"]},
                    "output": {"description": "What it gave; null where it came to nothing."},
                    "attempts": {"type": "integer"},
                    "error": {"type": ["object", "null"], "description": "Code and message."},
                },
            },
        },
    },
}


class Task(Template):
    """Steps that need each other: prompts, tools, agents and functions, one by one or side by side."""

    name: ClassVar[str] = "task"
    version: ClassVar[str] = "1.0.0"
    Config = TaskFields

    def build(self, config: TaskFields, context: BuildContext) -> CodeFlow:
        """Make the code flow. Raises ConfigError with a place for each thing that can never work."""
        limits = _limits(config)
        builder = Builder(context, instructions=config.instructions, output_retries=limits.output_retries)
        parts = [builder.part(step, f"/steps/{index}") for index, step in enumerate(config.steps)]
        form = builder.tried("", lambda: Form(config))
        found = [*needs_problems([step.needing for step in config.steps], output=config.output), *builder.problems]
        if not config.steps:
            found.append(("/steps", "a task has at least one step"))
        if context.parts.output is not None:
            found.append(("/output", "a task has a mapping here; name the JSON Schema in config as `output_schema`"))
        if found:
            raise config_error(found)
        assert form is not None
        tools = {**context.tools(config.tools), **builder.tools}
        plan = _Plan(config=config, parts=[part for part in parts if part is not None], form=form)
        return CodeFlow(
            function=partial(_run, plan),
            agents=tuple(
                Named(name=step.agent, version=step.version, at=f"/steps/{index}/agent")
                for index, step in enumerate(config.steps)
                if step.agent is not None
            ),
            tools=tools,
            model=config.model,
            models=tuple(dict.fromkeys(step.model for step in config.steps if step.model is not None)),
            approvals=approvals_of(config.approvals, tools),
            limits=limits,
            read_input=_read_input,
            write_output=write_output,
            input_schema=ANYTHING,
            output_schema=form.schema or (OUTPUT if _is_whole(config) else {"title": "Output"}),
        )


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration that was checked, and what was made of it."""

    config: TaskFields
    parts: Sequence[Part]
    form: Form


async def _run(plan: _Plan, context: Context, value: object) -> object:
    config = plan.config
    room = int(config.parallel) if type(config.parallel) is int else STEPS if config.parallel else 1
    course = Course(plan.parts, room=room, is_strict=config.failures == "strict")
    outcomes = await course.run(context, value)
    if "output" in config.model_fields_set:
        given = filled(config.output, course.scope())
    else:
        given = _result(outcomes) if _is_whole(config) else _ends(plan, outcomes)
    return plan.form.shaped(given)


def _result(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    is_partial = any(each.status == "failed" for each in outcomes.values())
    steps = {name: facts(each) for name, each in outcomes.items()}
    return {"status": "partial" if is_partial else "completed", "steps": steps}


def _ends(plan: _Plan, outcomes: Mapping[str, Outcome]) -> Any:  # noqa: ANN401 - any JSON
    """The outputs of the steps that no other one needs; of a single one, that itself. Prose says what failed."""
    needed = frozenset[str]().union(*(part.needs for part in plan.parts))
    found: dict[str, Any] = {}
    for name, each in outcomes.items():
        if each.error is not None and plan.form.is_prose:
            found[name] = f"(failed: {each.error.message})"
        elif name not in needed:
            found[name] = each.output
    return next(iter(found.values())) if len(found) == 1 else found


def _is_whole(config: TaskFields) -> bool:
    """Whether the task gives all that is known of its steps."""
    return not {"output", "format", "output_schema"} & config.model_fields_set


def _limits(config: TaskFields) -> Limits:
    """What is left open follows from the steps: calls may take as long as the longest, and there are enough of them."""
    base = config.limits.to_core()
    times = [step.timeout_s or 0.0 for step in config.steps]
    calls = [(1 + step.retries) * (1 + base.output_retries) for step in config.steps]
    derived = {
        "time_s": None,
        "steps": max(base.steps, sum(calls)),
        "model_timeout_s": max([base.model_timeout_s, *times]),
        "tool_timeout_s": max([base.tool_timeout_s, *times]),
    }
    given = config.limits.model_fields_set
    return replace(base, **{name: value for name, value in derived.items() if name not in given})


def _read_input(data: bytes) -> object:
    """Any JSON; of a conversation, what the user said last."""
    value = read_json(data)
    return read_text(data) if is_object(value) and "messages" in value else value
