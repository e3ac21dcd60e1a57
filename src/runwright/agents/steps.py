"""The steps of a task: what their definitions say, made ready to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import Field

from runwright.agents import attempts
from runwright.agents.attempts import MayRepeat, Part, Prompt, Scope, Work
from runwright.agents.base import BuildContext
from runwright.agents.forms import Form, FormFields
from runwright.agents.functions import FlowFunction
from runwright.agents.links import LINK
from runwright.agents.mapping import ConditionFields, references
from runwright.agents.needs import Needing, needs_of
from runwright.agents.schema import NAME, SEMVER, SettingsFields
from runwright.core.agent import Tool
from runwright.errors import ConfigError, InvalidRequest
from runwright.tools.result import encode

GIVEN = "any JSON, in which `$input` and `$steps.NAME.output` stand for what there is by then"

MAPPED = ("prompt", "input", "arguments")
"""Fields that hold references."""

Made = tuple[Work, MayRepeat]
"""What a step does, and after which errors it is right to do that again."""

T = TypeVar("T")


class StepFields(FormFields):
    """A step of a task: one of `prompt`, `agent`, `tool` and `function`."""

    name: str = Field(pattern=LINK, description="What it is called; its steps stand in the lane of this name.")
    needs: tuple[str, ...] = Field(
        default=(), description="Steps that have to end before; those that it refers to need not be named."
    )
    prompt: str | None = Field(default=None, description="What a model is asked, with `{{ steps.NAME.output }}`.")
    agent: str | None = Field(default=None, pattern=NAME, description="The agent that runs.")
    tool: str | None = Field(default=None, description="The tool that is called.")
    function: str | None = Field(
        default=None,
        description="The async function, as `package.module:attribute`, or `.module:attribute` beside the file.",
    )
    input: Any = Field(default="$input", description=f"What an agent or a function is given: {GIVEN}.")
    arguments: dict[str, Any] = Field(default={}, description=f"What a tool is called with: {GIVEN}.")
    version: str | None = Field(default=None, pattern=SEMVER, description="A version of the agent.")
    model: str | None = Field(default=None, description="The model of a prompt; that of the task when left out.")
    instructions: str | None = Field(default=None, description="Those of a prompt; those of the task when left out.")
    settings: SettingsFields = Field(default=SettingsFields(), description="Sampling parameters of a prompt.")
    timeout_s: float | None = Field(default=None, ge=10, le=3600, description="Seconds for each attempt.")
    retries: int = Field(default=0, ge=0, le=5, description="How often it may be done again after a failure.")
    backoff_s: float = Field(
        default=1.0, ge=0, le=60, description="The longest pause before the first retry; doubled for each further one."
    )
    condition: ConditionFields | None = Field(
        default=None, description="Else it is left out: `skipped`, and its output is null."
    )

    @property
    def needing(self) -> Needing:
        """What it says of other steps."""
        mapped = {f"/{field}": getattr(self, field) for field in MAPPED}
        if self.condition is not None:
            mapped["/condition/value"] = self.condition.value
        return Needing(name=self.name, needs=self.needs, mapped=mapped)


class Builder:
    """Makes the steps of a task ready to run; `problems` says what is wrong with them."""

    def __init__(self, context: BuildContext, *, instructions: str, output_retries: int) -> None:
        self._context = context
        self._instructions = instructions
        self._output_retries = output_retries
        self.problems: list[tuple[str, str]] = []
        self.tools: dict[str, Tool] = {}

    def part(self, step: StepFields, at: str) -> Part | None:
        """A step; None where it cannot work."""
        kind = self._kind(step, at)
        form = self.tried(at, lambda: Form(step))
        if kind is None or form is None:
            return None
        made = self.tried(f"{at}/{kind}", lambda: _MAKE[kind](self, step, form, at))
        if made is None:
            return None
        work, may_repeat = made
        return Part(
            name=step.name,
            needs=needs_of(step.needing),
            work=work,
            is_taken=_always if step.condition is None else step.condition.holds,
            may_repeat=may_repeat,
            timeout_s=step.timeout_s,
            retries=step.retries,
            backoff_s=step.backoff_s,
        )

    def tried(self, at: str, make: Callable[[], T]) -> T | None:
        """What is made; None where that is a problem."""
        try:
            return make()
        except ConfigError as error:
            # Code that a reference names tells its own places, which are no pointers.
            placed = [(f"{at}{place}", told) for place, told in error.problems if place.startswith("/")]
            self.problems += placed or [(at, error.message)]
            return None

    def prompt(self, step: StepFields, form: Form, at: str) -> Made:
        """A step that asks a model."""
        told = self._instructions if step.instructions is None else step.instructions
        prompt = Prompt(
            text=step.prompt,
            model=step.model,
            instructions=told,
            settings=step.settings.to_core(),
            form=form,
            retries=self._output_retries,
        )
        return attempts.by_model(prompt), attempts.always

    def tool(self, step: StepFields, form: Form, at: str) -> Made:
        """A step that calls a tool."""
        tool = self._context.tool(step.tool or "")
        name = tool.spec.name
        self.tools[name] = tool
        if not list(references(step.arguments)):
            try:
                tool.check(encode(step.arguments).decode())
            except InvalidRequest as error:
                self.problems.append((f"{at}/arguments", error.message))
        return attempts.by_tool(name, step.arguments, form), attempts.for_effect(tool.effect)

    def agent(self, step: StepFields, form: Form, at: str) -> Made:
        """A step that is a run of another agent."""
        work = attempts.by_agent(step.agent or "", step.version, input=step.input, form=form)
        return work, attempts.unless_ended

    def function(self, step: StepFields, form: Form, at: str) -> Made:
        """A step that calls a function."""
        name = step.function or ""
        called = FlowFunction(self._context.function(name), name=name, title=f"function {name!r}")
        return attempts.by_function(called, input=step.input, form=form), attempts.unless_acted

    def _kind(self, step: StepFields, at: str) -> str | None:
        kinds = [kind for kind in OWN if getattr(step, kind) is not None]
        if len(kinds) != 1:
            told = f"it has {' and '.join(kinds)}" if kinds else "it has none"
            self.problems.append((at, f"a step is one of {', '.join(OWN)}: {told}"))
            return None
        for field in sorted(_OWNED & step.model_fields_set - OWN[kinds[0]]):
            fit = " or ".join(f"`{kind}`" for kind, fields in OWN.items() if field in fields)
            self.problems.append((f"{at}/{field}", f"only a step with {fit} has {field!r}"))
        return kinds[0]


OWN: Mapping[str, frozenset[str]] = {
    "prompt": frozenset({"model", "instructions", "settings"}),
    "tool": frozenset({"arguments"}),
    "agent": frozenset({"input", "version"}),
    "function": frozenset({"input"}),
}
"""The kinds of steps, and the fields that only they have."""

_OWNED = frozenset[str]().union(*OWN.values())
_MAKE = {"prompt": Builder.prompt, "tool": Builder.tool, "agent": Builder.agent, "function": Builder.function}


def _always(scope: Scope) -> bool:
    return True
