"""Agents as tools: what a model is shown of an agent that it may have run, and the check of what it asks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Final

import msgspec

from runwright.agents.base import Face
from runwright.agents.input import INPUT_SCHEMA, read_json
from runwright.agents.output import SchemaOutput
from runwright.core.agent import Named
from runwright.core.context import Context
from runwright.core.message import digest
from runwright.core.model import ToolSpec
from runwright.core.step import Effect, StepKind
from runwright.core.values import is_object
from runwright.errors import InvalidRequest, RunError
from runwright.tools.deeds import UNBOUND_S
from runwright.tools.signature import in_words

INPUT = "input"
_TEXT: Mapping[str, object] = {"type": "string", "description": "What it is asked, with all that it has to know."}
SHOWN = 5
"""Mistakes that a model is told of at once."""

_ANYTHING: Mapping[str, object] = {
    "description": "What it is given.",
    "anyOf": [{"type": each} for each in ("string", "object", "array", "number", "boolean")],
}
_TYPED = ("type", "anyOf", "oneOf", "allOf", "enum", "const", "$ref")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


class Hand:
    """A tool whose calls are runs of an agent. Its schema is that of the agent's input, or has it as `input`."""

    kind: Final[StepKind] = "child"
    # The run has an id that is on record before it begins: nothing is begun twice.
    effect: Final[Effect] = "idempotent"
    timeout_s = UNBOUND_S

    def __init__(self, name: str, agent: Named, face: Face) -> None:
        self._agent = agent
        # An object is taken as it is, so that its fields are the arguments.
        self._is_whole = face.input_schema.get("type") == "object"
        description = face.description or f"Have the agent {agent.name!r} do something."
        self.spec = ToolSpec(name=name, description=description, parameters=_parameters(face.input_schema))
        parts = (name, agent.name, agent.version, description, self.spec.parameters)
        self.fingerprint = digest(msgspec.json.encode(parts, order="sorted")).hex()

    def check(self, arguments: str) -> Mapping[str, object]:
        """The run that these arguments ask for. Raises InvalidRequest that says what would be right."""
        given = read_json(arguments.encode(errors="replace") or b"{}")
        if problems := self._schema.problems(given)[:SHOWN]:
            expected = msgspec.json.encode(self.spec.parameters).decode()
            told = f"the arguments do not fit: {in_words(problems)}. Expected: {expected}"
            raise InvalidRequest(told, problems=problems)
        asked: dict[str, object] = {"agent": self._agent.name, INPUT: given}
        if not self._is_whole:
            asked[INPUT] = given[INPUT] if is_object(given) else given
        return asked if self._agent.version is None else {**asked, "version": self._agent.version}

    async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
        """Refused: the engine begins the run."""
        raise RunError(f"{self.spec.name!r} is a run of its own and is not called as a tool.")

    @cached_property
    def _schema(self) -> SchemaOutput:
        return SchemaOutput(self.spec.parameters)


def hand_name(agent: str) -> str:
    """The name of the tool of an agent: names of tools have no dots, and do not begin with a digit."""
    name = _NOT_IN_NAMES.sub("-", agent)
    return name if name[0].isalpha() or name[0] == "_" else f"_{name}"[:64]


def _parameters(schema: Mapping[str, object]) -> dict[str, object]:
    """The input of an agent as arguments of a tool."""
    if schema.get("type") == "object":
        return {"properties": {}, **{name: each for name, each in schema.items() if name != "title"}}
    inner = dict(schema)
    shared = {name: inner.pop(name) for name in ("$defs", "definitions") if name in inner}
    if schema == INPUT_SCHEMA:
        inner = dict(_TEXT)
    elif not any(name in inner for name in _TYPED):
        inner = {**_ANYTHING, **inner}
    inner.pop("title", None)
    return {
        "type": "object",
        "properties": {INPUT: inner},
        "required": [INPUT],
        "additionalProperties": False,
        **shared,
    }
