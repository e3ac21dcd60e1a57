"""What an agent is made from: templates, and what they are handed."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import msgspec
from pydantic import BaseModel

from runwright import plugins
from runwright.agents.schema import SEMVER, Fields, config_error, did_you_mean, dotted
from runwright.core.agent import Definition, Flow, Tool
from runwright.core.schedule import Schedule
from runwright.errors import ConfigError, InvalidRequest
from runwright.tools.base import is_tool
from runwright.tools.git import Repositories
from runwright.tools.sandbox.workshop import Workshop

Source = Literal["code", "file", "api"]
Function = Callable[..., Awaitable[object]]


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a definition stands: a file and the path inside it. `lines` maps JSON pointers to line numbers.

    `package` holds the modules beside the file.
    """

    source: Source
    file: str = ""
    path: str = ""
    lines: Mapping[str, int] = {}
    package: str = ""

    def at(self, pointer: str = "") -> str:
        """The place of a JSON pointer into the definition, for people; the pointer itself for an API body."""
        if self.source == "api":
            return pointer
        inside = dotted(pointer)
        path = self.path + inside if inside.startswith("[") else ".".join(filter(None, (self.path, inside)))
        line = self._line(pointer)
        return f"{self.file}:{line}: {path}".rstrip(": ") if line else f"{self.file}: {path}".rstrip(": ")

    def _line(self, pointer: str) -> int | None:
        while pointer and pointer not in self.lines:
            pointer = pointer.rpartition("/")[0]
        return self.lines.get(pointer)


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The Python objects of a definition, which data cannot hold."""

    tools: Mapping[str, Tool] = {}
    output: Any = None
    function: Function | None = None
    functions: Mapping[str, Function] = {}


class DeclaredSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule of a definition or a file, and the JSON pointer to it in there."""

    schedule: Schedule
    origin: Origin
    at: str

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return self.origin.at(self.at)

    def located(self, error: ConfigError | InvalidRequest) -> tuple[tuple[str, str], ...]:
        """The problems of an error, whose pointers are into the schedule, with places."""
        problems = error.problems or (("", error.message),)
        return tuple((self.origin.at(self.at + place), detail) for place, detail in problems)


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A definition, the Python objects that come with it, and where it stands."""

    definition: Definition
    parts: Parts = Parts()
    origin: Origin
    schedules: tuple[DeclaredSchedule, ...] = ()

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.definition.name

    def located(self, error: ConfigError) -> tuple[tuple[str, str], ...]:
        """The problems of an error with pointers turned into places."""
        if not error.problems:
            return ((self.origin.at(), error.message),)
        return tuple((self.origin.at(place), detail) for place, detail in error.problems)


class Face(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent shows to others that may have it run."""

    description: str = ""
    input_schema: Mapping[str, object] = {}


UNSEEN = Face()
"""The face of an agent that is not there, or not yet."""


class BuildContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a template is handed: the definition, the tools of the server, and the definition's Python objects.

    `references` are the `package.module:attribute` that may be imported; None stands for all. One that begins with a
    dot leads into `package`, the folder of the definition's file. `face` shows another agent by name and version;
    whoever asks for it names the agent in the `agents` of its flow. `own` is the configuration as code or a
    file says it, where a caller has replaced parts of it for a run. `folder` is where the definition stands;
    `workshop` is what code in a sandbox needs; `repositories` reads those of git.
    """

    definition: Definition
    toolbox: Mapping[str, Tool] = {}
    parts: Parts = Parts()
    source: Source = "code"
    references: frozenset[str] | None = None
    face: Callable[[str, str | None], Face] = lambda _name, _version: UNSEEN
    package: str = ""
    own: Mapping[str, object] | None = None
    folder: Path | None = None
    workshop: Workshop | None = None
    repositories: Repositories = msgspec.field(default_factory=Repositories)

    def is_trusted(self, field: str, text: str) -> bool:
        """Whether code or a file says this text in this field of the configuration; else it comes from a caller."""
        if self.references is None or self.source == "api":
            return self.references is None
        said = (self.own or {}).get(field)
        return text == said or (isinstance(said, list | tuple) and text in said)

    def tools(self, names: Sequence[str], *, at: str = "/tools") -> dict[str, Tool]:
        """Tools by name, or by `package.module:attribute` where a file or code says so.

        A template may name tools in any field: `at` is its JSON pointer. Only what is looked up here is checked; a
        template that imports a name from its configuration itself lets any caller import. Raises ConfigError with a
        problem for each name that gives no usable tool.
        """
        found: dict[str, Tool] = {}
        problems: list[tuple[str, str]] = []
        for index, name in enumerate(names):
            try:
                tool = self.tool(name)
                shown = tool.spec.name
            except ConfigError as error:
                problems.append((f"{at}/{index}", error.message))
                continue
            if shown in found:
                problems.append((f"{at}/{index}", f"the agent has a tool {shown!r} already"))
            found[shown] = tool
        if problems:
            raise config_error(problems)
        return found

    def tool(self, name: str) -> Tool:
        """One tool, as in `tools`. Raises ConfigError."""
        tool = self.parts.tools.get(name) or self.toolbox.get(name)
        if tool is not None:
            return tool
        if self._may_import(name):
            return _as_tool(plugins.load_reference(name, self.package), name)
        known = (*self.parts.tools, *self.toolbox)
        raise ConfigError(f"there is no tool {name!r}{did_you_mean(name, known)}")

    def function(self, name: str) -> Function:
        """A function of the definition, or `package.module:attribute` where a file or code says so.

        Raises ConfigError.
        """
        function = self.value(name, what="function")
        if not callable(function):
            raise ConfigError(f"{name!r} is no function but {function!r}")
        return cast("Function", function)  # whether it is async is checked where it is used

    def value(self, name: str, *, what: str) -> object:
        """An object of the definition, or `package.module:attribute` where a file or code says so.

        Raises ConfigError, in which it is called `what`.
        """
        found = self.parts.functions.get(name)
        if found is not None:
            return found
        if not self._may_import(name):
            why = f"only a file and code name a {what}" if ":" in name else "write package.module:attribute"
            raise ConfigError(f"there is no {what} {name!r}: {why}")
        return plugins.load_reference(name, self.package)

    def _may_import(self, name: str) -> bool:
        return ":" in name and (self.references is None or name in self.references)


NEEDS = ("extras", "tools", "keys")
"""What a template can require: extras (`js`, or `acme[fast]` of another package), tools, variables that are set."""

Migrate = Callable[[dict[str, Any]], Mapping[str, Any]]
"""Turns a configuration for an older version into one for the version that it is declared under."""


class Template:
    """What agents are made from. Subclass it, set `name`, `version` and `Config`, and write `build`.

    The docstring of a subclass is its description. A class without a `name` of its own is a base for others.
    `requires` names `extras`, `tools` and `keys` (variables); it is looked at when an agent is built. `migrations` are
    steps by the version that they lead to: each takes a configuration for the version before and gives one that fits.
    """

    name: ClassVar[str] = ""
    version: ClassVar[str] = "1.0.0"
    Config: ClassVar[type[BaseModel]] = Fields
    requires: ClassVar[Mapping[str, Sequence[str]]] = {}
    migrations: ClassVar[Mapping[str, Migrate]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for each in (cls.version, *cls.migrations):
            if re.fullmatch(SEMVER, each) is None:
                told = f"the version of template {cls.__name__} has three numbers, such as '1.0.0'"
                raise ValueError(f"{told}, not {each!r}")
        if strangers := sorted(cls.requires.keys() - set(NEEDS)):
            told = f"template {cls.__name__} requires {', '.join(map(repr, strangers))}"
            raise ValueError(f"{told}; it can require {', '.join(NEEDS)}")

    @classmethod
    def registered(cls) -> None:
        """Called when the template is taken up, and again after each reload. A ConfigError refuses it."""

    def build(self, config: Any, context: BuildContext) -> Flow:  # noqa: ANN401 - a subclass names its Config
        """Make a loop or a code flow of a validated configuration. Raises ConfigError."""
        raise NotImplementedError


def _as_tool(value: object, name: str) -> Tool:
    if not is_tool(value):
        raise ConfigError(f"{name!r} is no tool but {value!r}: decorate the function with @tool")
    return value
