"""The function template: an async function as an agent."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import msgspec
from pydantic import Field, TypeAdapter, ValidationError

from runwright.agents.base import BuildContext, Template
from runwright.agents.input import INPUT_SCHEMA, read_json, read_text
from runwright.agents.output import schema_of
from runwright.agents.schema import APPROVALS, Approvals, Fields, LimitsFields, approvals_of
from runwright.core.agent import CodeFlow
from runwright.core.context import Context
from runwright.errors import ConfigError, InvalidRequest, OutputInvalid
from runwright.tools.result import encode
from runwright.tools.signature import in_words, is_context, pointed, read_hints

Function = Callable[..., Awaitable[object]]


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
        face = _Face(function, name=context.definition.name)
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


class _Face:
    """The input and output of a function, by its type hints."""

    def __init__(self, function: Function, *, name: str) -> None:
        if not inspect.iscoroutinefunction(function):
            raise ConfigError(f"`run` of agent {name!r} is an async function, not {function!r}: use async def")
        self._run = function
        self._name = name
        hints = read_hints(function, name=name)
        self._input, self._context = _parameters(function, hints, name)
        hint = hints.get(self._input, object) if self._input else object
        self._is_text = hint is str
        self.input_schema = INPUT_SCHEMA if hint is str else schema_of(Any if hint is object else hint)
        self._adapter: TypeAdapter[Any] | None = None if hint in (str, object, Any) else TypeAdapter(hint)
        self.output_schema = schema_of(hints.get("return", Any), mode="serialization")

    async def function(self, context: Context, value: object) -> object:
        given: dict[str, object] = {}
        if self._input:
            given[self._input] = value
        if self._context:
            given[self._context] = context
        return await self._run(**given)

    def read_input(self, data: bytes) -> object:
        if self._is_text:
            return read_text(data)
        value = read_json(data)
        if self._adapter is None:
            return value
        try:
            return self._adapter.validate_json(msgspec.json.encode(value))
        except ValidationError as error:
            problems = pointed(error)
            raise InvalidRequest(f"the input does not fit: {in_words(problems)}", problems=problems) from None

    def write_output(self, value: object) -> bytes:
        try:
            return encode(value)
        except TypeError as error:
            raise OutputInvalid(f"what agent {self._name!r} returned is unusable: {error}") from error


def _parameters(function: Function, hints: dict[str, Any], name: str) -> tuple[str | None, str | None]:
    """The names of the parameters for input and context."""
    names = list(inspect.signature(function).parameters)
    contexts = [each for each in names if is_context(hints.get(each))]
    inputs = [each for each in names if each not in contexts]
    if len(contexts) > 1 or len(inputs) > 1:
        raise ConfigError(
            f"`run` of agent {name!r} takes its input and a `context: Context`, not {', '.join(names)}: "
            "put several inputs into one pydantic model"
        )
    return next(iter(inputs), None), next(iter(contexts), None)
