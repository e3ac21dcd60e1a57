"""`Agent(...)`: the definition of an agent in Python."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

import msgspec

from runwright.agents.base import Declared, Function, Origin, Parts
from runwright.agents.output import schema_of
from runwright.agents.schedules import read_schedules
from runwright.agents.schema import config_error, read_definition
from runwright.core.agent import Approval, Limits, MemoryBlock, Tool
from runwright.core.model import ModelSettings
from runwright.core.policy import Guard
from runwright.core.schedule import Schedule
from runwright.errors import ConfigError
from runwright.tools.base import is_tool


class _Named(msgspec.Struct, frozen=True):
    name: str


class Agent(_Named, frozen=True, kw_only=True):
    """The definition of an agent: `Agent("support", model="openai:gpt-5-mini", tools=[weather])`.

    `tools` are `@tool` functions or names; `approvals` names those that a person has to allow; `output` is a type or
    a JSON Schema; `run` is an async function that takes the place of the loop; `guard` are policies for its calls;
    `schedules` have a server run it by itself. It is checked when it is built, together with everything else that is
    served.
    """

    model: str | None = None
    instructions: str = ""
    tools: Sequence[Tool | str] = ()
    approvals: Sequence[str] | Mapping[str, Approval | Mapping[str, object] | None] = ()
    output: Any = None
    memory: Sequence[MemoryBlock | Mapping[str, object]] = ()
    settings: ModelSettings | Mapping[str, object] | None = None
    limits: Limits | Mapping[str, object] | None = None
    guard: Guard | Mapping[str, object] | None = None
    description: str = ""
    version: str = "1.0.0"
    template: str | None = None
    config: Mapping[str, object] = {}
    metadata: Mapping[str, str] = {}
    run: Callable[..., Awaitable[object]] | None = None
    schedules: Sequence[Schedule | Mapping[str, object]] = ()

    def declare(self, origin: Origin | None = None) -> Declared:
        """The definition as data, with its Python objects beside it. Raises ConfigError with JSON pointers."""
        tools = self._tools_by_name()
        # Tools first, so that no function goes by the name of one.
        found: dict[str, object] = {name: tool for name, tool in tools.items() if not isinstance(tool, str)}
        definition = read_definition({**self._data(list(tools)), "config": _named(self.config, "/config", found)})
        parts = Parts(
            tools={name: each for name, each in found.items() if is_tool(each)},
            output=None if isinstance(self.output, dict) else self.output,
            function=self.run,
            # Whether they are async is checked where they are used.
            functions={name: cast("Function", each) for name, each in found.items() if not is_tool(each)},
        )
        origin = origin or Origin(source="code", file=f"Agent({self.name!r})")
        schedules = read_schedules(self.schedules, origin=origin, agent=self.name) if self.schedules else ()
        return Declared(definition=definition, parts=parts, origin=origin, schedules=schedules)

    def _data(self, tools: list[str]) -> dict[str, object]:
        data: dict[str, object] = {
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "metadata": dict(self.metadata),
            "template": self.template or ("function" if self.run else "conversation"),
            "model": self.model,
            "instructions": self.instructions or None,
            "tools": tools or None,
            "approvals": self._approvals() or None,
            "output": self._output_schema(),
            "memory": [_plain(each) for each in self.memory] or None,
            "settings": _plain(self.settings),
            "limits": _plain(self.limits),
            "guard": _plain(self.guard),
        }
        return {name: value for name, value in data.items() if value is not None}

    def _approvals(self) -> object:
        given = self.approvals
        return {name: _plain(each) for name, each in given.items()} if isinstance(given, Mapping) else list(given)

    def _output_schema(self) -> Any:  # noqa: ANN401 - plain data, checked next
        given = self.output
        if given is None or isinstance(given, dict):
            return given  # pyright: ignore[reportUnknownVariableType] - checked as plain data next
        try:
            return schema_of(self.output)
        except ConfigError as error:
            raise config_error([("/output", error.message)]) from error

    def _tools_by_name(self) -> dict[str, Tool | str]:
        found: dict[str, Tool | str] = {}
        problems: list[tuple[str, str]] = []
        for index, tool in enumerate(self.tools):
            if not isinstance(tool, str) and not is_tool(tool):
                problems.append((f"/tools/{index}", f"{tool!r} is no tool: decorate the function with @tool"))
                continue
            name = tool if isinstance(tool, str) else tool_name(tool)
            if name in found:
                problems.append((f"/tools/{index}", f"the agent has a tool {name!r} already"))
            found[name] = tool
        if problems:
            raise config_error(problems)
        return found


def tool_name(tool: Tool) -> str:
    """The name of a tool, without making its schema where that can be avoided."""
    name: object = getattr(tool, "name", None)
    return name if isinstance(name, str) else tool.spec.name


def _named(value: object, at: str, found: dict[str, object]) -> object:
    """A configuration in which objects of Python stand by their names. Raises ConfigError for two of one name."""
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, object]", value)
        return {name: _named(each, f"{at}/{name}", found) for name, each in fields.items()}
    if isinstance(value, list | tuple):
        places = cast("Sequence[object]", value)
        return [_named(each, f"{at}/{index}", found) for index, each in enumerate(places)]
    if value is None or isinstance(value, str | int | float):
        return value
    name = tool_name(value) if is_tool(value) else _name(value)
    if found.setdefault(name, value) is not value:
        raise config_error([(at, f"there is another {name!r}: rename one of them")])
    return name


def _plain(value: object) -> object:
    return msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value


def _name(value: object) -> str:
    named = (getattr(value, each, None) for each in ("__name__", "name"))
    return next((each for each in named if isinstance(each, str)), type(value).__name__)
