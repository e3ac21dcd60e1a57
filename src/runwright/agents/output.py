"""Checks of a final answer against the shape that the caller wants."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import jsonschema_rs
import msgspec
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from runwright.agents.references import refuse_many_paths
from runwright.core.agent import OutputCheck
from runwright.core.model import OutputSpec
from runwright.errors import ConfigError, OutputInvalid
from runwright.tools.signature import in_words, pointed, pointer

_FENCED = re.compile(r"```[A-Za-z]*[ \t]*\r?\n(.*?)```", re.DOTALL)
_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
_SHOWN = 5
TOO_DEEP = "it does not fit, and leads too deep into a schema of many ways for each mistake to be told"


class TypedOutput:
    """An answer that a Python type can be made of: a pydantic model, a dataclass, `list[int]`, ..."""

    def __init__(self, output: Any, schema: Mapping[str, object]) -> None:  # noqa: ANN401 - any type form
        self._output = output
        self.spec = _spec(getattr(output, "__name__", "output"), schema)

    def check(self, text: str) -> bytes:
        """Give the output as JSON text. Raises OutputInvalid that says what would be right."""
        try:
            value = self._adapter.validate_json(unfenced(text))
        except ValidationError as error:
            raise _invalid(list(pointed(error))) from None
        return self._adapter.dump_json(value, by_alias=True)

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self._output)


class SchemaOutput:
    """An answer that fits a JSON Schema (draft 2020-12, or the one that `$schema` names)."""

    def __init__(self, schema: Mapping[str, object]) -> None:
        title = schema.get("title")
        self.spec = _spec(title if isinstance(title, str) else "output", schema)
        self._paths = refuse_many_paths(schema)
        try:
            self._validator = jsonschema_rs.validator_for(dict(schema), retriever=_refuse_reference)
        except ValueError as error:
            raise ConfigError(f"this is no JSON Schema: {str(error).splitlines()[0]}") from None

    def check(self, text: str) -> bytes:
        """Give the output as JSON text. Raises OutputInvalid that says what would be right."""
        try:
            value = msgspec.json.decode(unfenced(text))
        except (msgspec.DecodeError, RecursionError) as error:
            raise _invalid([("", f"this is no JSON: {error}")]) from None
        if problems := self.problems(value):
            raise _invalid(problems)
        return msgspec.json.encode(value)

    def problems(self, value: object) -> list[tuple[str, str]]:
        """What does not fit in a JSON value, as (JSON pointer, detail)."""
        # This remembers what it saw. Telling mistakes looks again, which doubles with each level of some schemas.
        if self._validator.is_valid(value):
            return []
        if not self._paths.are_few(value):
            return [("", TOO_DEEP)]
        return [(pointer(each.instance_path), each.message) for each in self._validator.iter_errors(value)]


def output_check(schema: Mapping[str, object], output: Any = None) -> OutputCheck:  # noqa: ANN401 - any type form
    """The check for a JSON Schema, by the Python type that it was made of if there is one. Raises ConfigError."""
    return SchemaOutput(schema) if output is None else TypedOutput(output, schema)


def schema_of(output: Any, *, mode: str = "validation") -> dict[str, object]:  # noqa: ANN401 - any type form
    """The JSON Schema of a Python type. Raises ConfigError when it has none."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(output)
        return adapter.json_schema(mode="serialization" if mode == "serialization" else "validation")
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise ConfigError(f"{output!r} has no JSON Schema: {str(error).splitlines()[0]}") from error


def unfenced(text: str) -> str:
    """The JSON of an answer that wraps it in a Markdown code block, with or without words around it."""
    bare = text.strip()
    if bare.startswith(("{", "[", '"')):
        return bare
    block = _FENCED.search(bare)
    return block.group(1).strip() if block else bare


def _refuse_reference(uri: str) -> str:
    """Without this the library would read files and send requests for whoever may write a schema."""
    raise ValueError(f"references lead inside the schema, not to {uri!r}")


def _spec(name: str, schema: Mapping[str, object]) -> OutputSpec:
    return OutputSpec(name=_NOT_A_NAME.sub("_", name)[:64] or "output", schema=dict(schema))


def _invalid(problems: list[tuple[str, str]]) -> OutputInvalid:
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return OutputInvalid(
        f"the answer does not fit the output schema: {in_words(problems[:_SHOWN])}{more}. "
        "Answer with JSON that fits the schema, and nothing else."
    )
