"""The form of an output: text, Markdown, or JSON that fits a schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
from pydantic import Field

from runwright.agents.mapping import in_text
from runwright.agents.output import output_check
from runwright.agents.schema import Fields
from runwright.core.model import OutputSpec
from runwright.core.values import is_list, is_object
from runwright.errors import ConfigError, OutputInvalid

Format = Literal["text", "markdown", "structured"]

IN_MARKDOWN = "Answer in Markdown."
_FENCED = re.compile(r"\s*```(?:markdown|md)[ \t]*\r?\n(.*?)\r?\n?```\s*", re.DOTALL)


class FormFields(Fields):
    """What an output looks like."""

    format: Format | None = Field(
        default=None,
        description="`text`; `markdown`; or `structured`: JSON that fits `output_schema`. As it comes when left out.",
    )
    output_schema: dict[str, Any] | None = Field(
        default=None, description="The JSON Schema of a structured output; a `format` need not be named then."
    )


class Form:
    """The form that fields declare. Raises ConfigError for a schema that is none, missing, or not used."""

    def __init__(self, fields: FormFields) -> None:
        self._format = fields.format or ("structured" if fields.output_schema is not None else None)
        if (self._format == "structured") != (fields.output_schema is not None):
            told = "a structured output needs its JSON Schema" if fields.output_schema is None else _UNUSED
            raise ConfigError(told, problems=(("/output_schema", told),))
        try:
            self._check = None if fields.output_schema is None else output_check(fields.output_schema)
        except ConfigError as error:
            raise ConfigError(error.message, problems=(("/output_schema", error.message),)) from error

    @property
    def spec(self) -> OutputSpec | None:
        """What a model is told of the schema."""
        return None if self._check is None else self._check.spec

    @property
    def instructions(self) -> str:
        """What a model is told in words."""
        return IN_MARKDOWN if self._format == "markdown" else ""

    @property
    def is_prose(self) -> bool:
        """Whether people read it."""
        return self._format in ("text", "markdown")

    @property
    def schema(self) -> dict[str, object] | None:
        """The JSON Schema of what comes out; None where that is open."""
        if self._check is not None:
            return self._check.spec.schema
        return {"type": "string"} if self._format else None

    def read(self, text: str) -> Any:  # noqa: ANN401 - any JSON
        """A model's answer in this form. Raises OutputInvalid that says what would be right."""
        if self._check is not None:
            return msgspec.json.decode(self._check.check(text))
        fenced = _FENCED.fullmatch(text) if self._format == "markdown" else None
        return fenced[1] if fenced else text

    def shaped(self, value: object) -> Any:  # noqa: ANN401 - any JSON
        """A value in this form. Raises OutputInvalid."""
        if self._check is not None:
            return self._fitting(value)
        if self._format is None:
            return value
        if value is None:
            return ""
        return in_text(value) if self._format == "text" else in_markdown(value)

    def _fitting(self, value: object) -> Any:  # noqa: ANN401 - any JSON
        """A value that fits the schema; text may hold it as JSON."""
        assert self._check is not None
        try:
            return msgspec.json.decode(self._check.check(msgspec.json.encode(value).decode()))
        except OutputInvalid:
            if not isinstance(value, str):
                raise
        return self.read(value)


_UNUSED = "only a structured output has a schema: leave out one of them"


def in_markdown(value: object, *, level: int = 2) -> str:
    """A value as Markdown: the fields of an object under headings, the places of a list as points."""
    if isinstance(value, str):
        return value
    if is_object(value):
        return "\n\n".join(_sections(value, level))
    if is_list(value):
        return "\n".join(f"- {in_text(each)}" for each in value)
    return in_text(value)


def _sections(value: Mapping[str, object], level: int) -> Iterator[str]:
    for name, each in value.items():
        yield f"{'#' * min(level, 6)} {name}"
        if each is not None:
            yield in_markdown(each, level=level + 1)
