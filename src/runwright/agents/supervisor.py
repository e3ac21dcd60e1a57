"""The supervisor template: a model that hands work to other agents, each of them a run of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from msgspec.structs import replace
from pydantic import BeforeValidator, Field, StrictBool

from runwright.agents.base import BuildContext
from runwright.agents.conversation import Conversation, ConversationFields
from runwright.agents.hands import Hand, hand_name
from runwright.agents.schema import NAME, SEMVER, Fields, LimitsFields, config_error
from runwright.core.agent import Limits, Loop, Named
from runwright.core.model import tools_wire

CHILDREN = 20
"""Runs that one run begins, where its limits do not say."""

DEPTH = 4
"""Runs that stand below each other below one run, where its limits do not say."""

Parallel = StrictBool | Annotated[int, Field(ge=1)]


class HandFields(Fields):
    """An agent that work is handed to."""

    agent: str = Field(pattern=NAME, description="The agent's name.")
    version: str | None = Field(default=None, pattern=SEMVER, description="A version other than the current one.")
    name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$",
        description="What the model calls it: the agent's name when left out.",
    )
    description: str | None = Field(
        default=None, description="What the model is told of it: the agent's own description when left out."
    )

    @property
    def called(self) -> str:
        """The name of its tool."""
        return self.name or hand_name(self.agent)


def _named(given: object) -> object:
    return {"agent": given} if isinstance(given, str) else given


HandField = Annotated[HandFields, BeforeValidator(_named, json_schema_input_type=str | HandFields)]


class SupervisorLimitsFields(LimitsFields):
    """Bounds of one run, and of those below it."""

    children: int = Field(  # pyright: ignore[reportIncompatibleVariableOverride] - frozen, and never unbounded here
        default=CHILDREN, ge=1, description="Runs that one run begins, one after the other or at once."
    )
    depth: int = Field(  # pyright: ignore[reportIncompatibleVariableOverride] - as above
        default=DEPTH, ge=1, description="How deep runs may stand below: at 1 no agent may hand work on."
    )

    def to_core(self) -> Limits:
        """The limits as the core knows them."""
        return replace(super().to_core(), children=self.children, depth=self.depth)


class SupervisorFields(ConversationFields):
    """The configuration of a supervisor."""

    agents: tuple[HandField, ...] = Field(
        min_length=1, max_length=100, description="The agents: names, or `{agent, version, name, description}`."
    )
    parallel: Parallel = Field(
        default=True,
        description="Whether those that the model asks for together are at work together: `false` has one after the "
        "other, a number so many at once.",
    )
    limits: SupervisorLimitsFields = Field(  # pyright: ignore[reportIncompatibleVariableOverride] - frozen fields
        default=SupervisorLimitsFields(), description="Bounds of one run, and of those below it."
    )

    @property
    def at_once(self) -> int | None:
        """Calls that are under way together."""
        return None if self.parallel is True else int(self.parallel) or 1


class Supervisor(Conversation):
    """A model that hands work to other agents: each is a tool, and each call of it a run of its own."""

    name: ClassVar[str] = "supervisor"
    version: ClassVar[str] = "1.0.0"
    Config = SupervisorFields

    def build(self, config: SupervisorFields, context: BuildContext) -> Loop:  # pyright: ignore[reportIncompatibleMethodOverride] - its own Config
        """Make the loop. Raises ConfigError for names that are taken twice, and for one that names itself."""
        loop = super().build(config, context)
        if found := list(_problems(config, context.definition.name, loop.tools)):
            raise config_error(found)
        tools = {**loop.tools, **{each.called: _hand(each, context) for each in config.agents}}
        return replace(
            loop,
            tools=tools,
            tools_raw=tools_wire(each.spec for each in tools.values()),
            agents=tuple(
                Named(name=each.agent, version=each.version, at=f"/agents/{index}")
                for index, each in enumerate(config.agents)
            ),
            at_once=config.at_once,
        )


def _hand(each: HandFields, context: BuildContext) -> Hand:
    face = context.face(each.agent, each.version)
    if each.description is not None:
        face = replace(face, description=each.description)
    return Hand(each.called, Named(name=each.agent, version=each.version), face)


def _problems(config: SupervisorFields, own: str, tools: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    taken = set(tools)
    for index, each in enumerate(config.agents):
        if each.agent == own:
            yield f"/agents/{index}", f"{own!r} cannot hand work to itself: name other agents"
        if each.called in taken:
            yield f"/agents/{index}", f"there is a tool {each.called!r} already: give this one another `name`"
        taken.add(each.called)
