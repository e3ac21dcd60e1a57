"""The input and output of an async function that is an agent or a step of one, by its type hints."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from pydantic import TypeAdapter, ValidationError

from runwright.agents.input import INPUT_SCHEMA, read_json, read_text
from runwright.agents.output import schema_of
from runwright.core.context import Context
from runwright.errors import ConfigError, InvalidRequest, OutputInvalid
from runwright.tools.result import encode
from runwright.tools.signature import in_words, is_context, pointed, read_hints

Function = Callable[..., Awaitable[object]]


class FlowFunction:
    """A function as a code flow calls it; `title` is what messages call it. Raises ConfigError for other parameters."""

    def __init__(self, function: Function, *, name: str, title: str) -> None:
        if not inspect.iscoroutinefunction(function):
            raise ConfigError(f"{title} is an async function, not {function!r}: use async def")
        self._run = function
        self._title = title
        hints = read_hints(function, name=name)
        self._input, self._context = _parameters(function, hints, title)
        hint = hints.get(self._input, object) if self._input else object
        self._is_text = hint is str
        self.input_schema = INPUT_SCHEMA if hint is str else schema_of(Any if hint is object else hint)
        self._adapter: TypeAdapter[Any] | None = None if hint in (str, object, Any) else TypeAdapter(hint)
        self.output_schema = schema_of(hints.get("return", Any), mode="serialization")

    async def function(self, context: Context, value: object) -> object:
        """Call the function with what it takes."""
        given: dict[str, object] = {}
        if self._input:
            given[self._input] = value
        if self._context:
            given[self._context] = context
        return await self._run(**given)

    def read_input(self, data: bytes) -> object:
        """JSON text as the function's input. Raises InvalidRequest."""
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
        """What the function returned as JSON text. Raises OutputInvalid."""
        try:
            return encode(value)
        except TypeError as error:
            raise OutputInvalid(f"what {self._title} returned is unusable: {error}") from error


def _parameters(function: Function, hints: dict[str, Any], title: str) -> tuple[str | None, str | None]:
    """The names of the parameters for input and context."""
    names = list(inspect.signature(function).parameters)
    contexts = [each for each in names if is_context(hints.get(each))]
    inputs = [each for each in names if each not in contexts]
    if len(contexts) > 1 or len(inputs) > 1:
        raise ConfigError(
            f"{title} takes its input and a `context: Context`, not {', '.join(names)}: "
            "put several inputs into one pydantic model"
        )
    return next(iter(inputs), None), next(iter(contexts), None)
