"""The templates of bridges. What they bridge to is loaded when an agent is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

import msgspec
from pydantic import Field

from runwright import plugins
from runwright.agents.base import BuildContext, Template
from runwright.agents.schema import APPROVALS, Approvals, Fields, LimitsFields, config_error
from runwright.core.agent import Approval, CodeFlow, Limits
from runwright.core.step import Effect
from runwright.errors import ConfigError

EFFECTS = "What tools do, by their names: `read`, `idempotent` or `once`, which is taken where nothing is said."


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What a definition says about an object of another framework that is served."""

    name: str
    value: object
    deps: object = None
    model: str | None = None
    output: str | None = None
    effects: Mapping[str, Effect] = {}
    approvals: Mapping[str, Approval] = {}
    limits: Limits = Limits()


class PydanticAIFields(Fields):
    """The configuration of an agent of Pydantic AI."""

    agent: str = Field(description="Where it stands: `package.module:attribute`; `.module:attribute` beside a file.")
    deps: str | None = Field(
        default=None, description="Its dependencies, written likewise: an object, or a function of the context."
    )
    model: str | None = Field(
        default=None,
        description="A reference as `provider:name`, in place of its own model.",
    )
    effects: dict[str, Effect] = Field(default={}, description=EFFECTS)
    approvals: Approvals = Field(default={}, description=APPROVALS)
    limits: LimitsFields = Field(default=LimitsFields(), description="Bounds of one run.")


class PydanticAI(Template):
    """An agent of Pydantic AI, served as it is: its model requests and tool calls are steps."""

    name: ClassVar[str] = "pydantic-ai"
    version: ClassVar[str] = "1.0.0"
    Config = PydanticAIFields
    requires: ClassVar[Mapping[str, Sequence[str]]] = {"extras": ("pydantic-ai",)}

    def build(self, config: PydanticAIFields, context: BuildContext) -> CodeFlow:
        """Make the code flow. Raises ConfigError where nothing of the kind is named."""
        served = Served(
            name=context.definition.name,
            value=_value(context, config.agent, "agent"),
            deps=None if config.deps is None else _value(context, config.deps, "deps"),
            model=config.model,
            effects=config.effects,
            approvals=_approvals(config.approvals),
            limits=config.limits.to_core(),
        )
        return _bridged("runwright.agents.bridges.pydantic_ai:flow_of", served, "/agent")


class LangGraphFields(Fields):
    """The configuration of a graph of LangGraph."""

    graph: str = Field(description="Where it stands: `package.module:attribute`; `.module:attribute` beside a file.")
    context: str | None = Field(
        default=None,
        description="Its runtime context, written likewise: an object, or a function of the run's context.",
    )
    model: str | None = Field(
        default=None, description="A reference as `provider:name`, for each `StepModel` that names none."
    )
    output: str | None = Field(
        default=None,
        description="The key of its state that is the output; else its last message, or all that it gives.",
    )
    effects: dict[str, Effect] = Field(default={}, description=EFFECTS)
    approvals: Approvals = Field(default={}, description=APPROVALS)
    limits: LimitsFields = Field(default=LimitsFields(), description="Bounds of one run.")


class LangGraph(Template):
    """A compiled graph of LangGraph, served as it is: its model and tool calls are steps."""

    name: ClassVar[str] = "langgraph"
    version: ClassVar[str] = "1.0.0"
    Config = LangGraphFields
    requires: ClassVar[Mapping[str, Sequence[str]]] = {"extras": ("langgraph",)}

    def build(self, config: LangGraphFields, context: BuildContext) -> CodeFlow:
        """Make the code flow. Raises ConfigError where no compiled graph is named."""
        served = Served(
            name=context.definition.name,
            value=_value(context, config.graph, "graph"),
            deps=None if config.context is None else _value(context, config.context, "context"),
            model=config.model,
            output=config.output,
            effects=config.effects,
            approvals=_approvals(config.approvals),
            limits=config.limits.to_core(),
        )
        return _bridged("runwright.agents.bridges.langgraph:flow_of", served, "/graph")


def _approvals(asked: Approvals) -> dict[str, Approval]:
    return {name: Approval(expires_s=each.expires_s) for name, each in asked.items()}


def _value(context: BuildContext, name: str, field: str) -> object:
    try:
        return context.value(name, what=field)
    except ConfigError as error:
        raise config_error([(f"/{field}", error.message)]) from error


def _bridged(bridge: str, served: Served, at: str) -> CodeFlow:
    flow_of: Callable[[Served], CodeFlow] = cast("Any", plugins.load_reference(bridge))
    try:
        return flow_of(served)
    except ConfigError as error:
        raise config_error([(at, error.message)]) from error
