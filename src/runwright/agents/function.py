"""The function template: an async function as an agent."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from runwright.agents.base import BuildContext, Template
from runwright.agents.functions import FlowFunction
from runwright.agents.schema import APPROVALS, Approvals, Fields, LimitsFields, approvals_of
from runwright.core.agent import CodeFlow
from runwright.errors import ConfigError


class FunctionFields(Fields):
    """The configuration of a function."""

    model: str | None = Field(default=None, description="The model for `context.model(...)` when it names none.")
    tools: tuple[str, ...] = Field(default=(), description="Names of tools for `context.tool(...)`.")
    approvals: Approvals = Field(default={}, description=APPROVALS)
    limits: LimitsFields = Field(default=LimitsFields(), description="Bounds of one run.")


class FunctionTemplate(Template):
    """An async function in Python: `Agent("triage", run=triage)`."""

    name: ClassVar[str] = "function"
    version: ClassVar[str] = "1.0.0"
    Config = FunctionFields

    def build(self, config: FunctionFields, context: BuildContext) -> CodeFlow:
        """Make the code flow. Raises ConfigError when there is no function, or one with other parameters."""
        function = context.parts.function
        if function is None:
            raise ConfigError("this template needs a function in Python: Agent(name, run=function)")
        name = context.definition.name
        face = FlowFunction(function, name=name, title=f"`run` of agent {name!r}")
        tools = context.tools(config.tools)
        return CodeFlow(
            function=face.function,
            tools=tools,
            approvals=approvals_of(config.approvals, tools),
            model=config.model,
            limits=config.limits.to_core(),
            read_input=face.read_input,
            write_output=face.write_output,
            input_schema=face.input_schema,
            output_schema=face.output_schema,
        )
