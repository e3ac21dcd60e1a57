"""The conversation template: a model, instructions and tools in our own loop."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec.structs import replace
from pydantic import Field

from runwright.agents.base import BuildContext, Template
from runwright.agents.history import HistoryFields
from runwright.agents.input import INPUT_SCHEMA, read_messages
from runwright.agents.output import output_check
from runwright.agents.schema import (
    APPROVALS,
    Approvals,
    BlockFields,
    Fields,
    LimitsFields,
    SettingsFields,
    approvals_of,
    config_error,
)
from runwright.core.agent import Loop, MemoryBlock, OutputCheck
from runwright.core.model import tools_wire
from runwright.errors import ConfigError
from runwright.tools.memory import memory_tools


class ConversationFields(Fields):
    """The configuration of a conversation."""

    model: str | None = Field(
        default=None, description="A reference as `provider:name`; the server's default model when left out."
    )
    instructions: str = Field(default="", description="What the model is told before the conversation.")
    tools: tuple[str, ...] = Field(default=(), description="Names of tools that the model may call.")
    approvals: Approvals = Field(default={}, description=APPROVALS)
    output: dict[str, Any] | None = Field(
        default=None, description="A JSON Schema that the final answer must fit; text when left out."
    )
    memory: tuple[BlockFields, ...] = Field(default=(), description="Blocks of memory that the model is shown.")
    history: HistoryFields | None = Field(
        default=None, description="How much of the conversation the model is sent; all of it when left out."
    )
    settings: SettingsFields = Field(default=SettingsFields(), description="Sampling parameters.")
    limits: LimitsFields = Field(default=LimitsFields(), description="Bounds of one run.")


class Conversation(Template):
    """A model that talks, with instructions and tools."""

    name: ClassVar[str] = "conversation"
    version: ClassVar[str] = "1.0.0"
    Config = ConversationFields

    def build(self, config: ConversationFields, context: BuildContext) -> Loop:
        """Make the loop. Raises ConfigError for unknown tools and a schema that is none."""
        memory = _memory(config)
        context = replace(context, toolbox={**context.toolbox, **memory_tools(memory)})
        tools = context.tools(config.tools)
        return Loop(
            model=config.model,
            instructions=config.instructions,
            tools=tools,
            tools_raw=tools_wire(each.spec for each in tools.values()),
            output=_output(config, context),
            memory=memory,
            history=None if config.history is None else config.history.to_core(),
            settings=config.settings.to_core(),
            limits=config.limits.to_core(),
            approvals=approvals_of(config.approvals, tools),
            read_input=read_messages,
            input_schema=INPUT_SCHEMA,
        )


def _memory(config: ConversationFields) -> tuple[MemoryBlock, ...]:
    names = [block.name for block in config.memory]
    twice = [index for index, name in enumerate(names) if name in names[:index]]
    if twice:
        raise config_error((f"/memory/{index}/name", f"there is a block {names[index]!r} already") for index in twice)
    return tuple(block.to_core() for block in config.memory)


def _output(config: ConversationFields, context: BuildContext) -> OutputCheck | None:
    if config.output is None:
        return None
    try:
        return output_check(config.output, context.parts.output)
    except ConfigError as error:
        raise config_error([("/output", error.message)]) from error
