"""Agents, templates, tools and lifespans of a folder, a file, a module or installed packages."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TypeGuard, cast

import msgspec

from runwright import plugins
from runwright.agents.agent import Agent, tool_name
from runwright.agents.base import Declared, DeclaredSchedule, Origin, Template
from runwright.agents.load import SUFFIXES, load_file, located
from runwright.agents.modules import execute, fresh, package_of
from runwright.agents.templates import Templates
from runwright.core.agent import Tool
from runwright.errors import ConfigError
from runwright.tools.base import is_tool

Lifespan = Callable[[], AbstractAsyncContextManager[Mapping[str, Any] | None]]
"""What a module's `lifespan` is: entered at start, left at the end; it yields the state of contexts."""


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `files` are all files that were read; `problems` are (place, detail) pairs.

    `schedules` stand apart from their agents, in files of their own.
    """

    agents: tuple[Declared, ...] = ()
    schedules: tuple[DeclaredSchedule, ...] = ()
    templates: Templates = Templates()
    tools: Mapping[str, Tool] = MappingProxyType({})
    lifespans: tuple[Lifespan, ...] = ()
    files: tuple[Path, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()

    def check(self) -> None:
        """Raise ConfigError when there are problems."""
        if self.problems:
            raise located(list(self.problems))


def discover(*sources: str | PathLike[str]) -> Discovery:
    """Look through sources, each a folder, a file or the name of a module, and installed packages.

    Everything is looked at, whatever is broken, and nothing is raised: see `problems`. In a folder, its own Python
    and YAML files count and packages right below it, but not names that begin with '_' or '.'.
    """
    finds = _Finds()
    with finds.collected():
        finds.entry_points()
    for source in sources:
        with finds.collected():
            finds.source(source)
    return finds.discovery()


class _Finds:
    """What was found so far."""

    def __init__(self) -> None:
        self._agents: dict[str, Declared] = {}
        self._schedules: list[DeclaredSchedule] = []
        self._templates: dict[tuple[str, str], tuple[str, type[Template]]] = {}
        self._tools: dict[str, tuple[str, Tool]] = {}
        self._lifespans: dict[int, Lifespan] = {}
        self._files: dict[Path, None] = {}
        self._problems: list[tuple[str, str]] = []
        self._seen: dict[int, object] = {}

    def collected(self) -> _Collector:
        return _Collector(self._problems)

    def discovery(self) -> Discovery:
        return Discovery(
            agents=tuple(self._agents.values()),
            schedules=tuple(self._schedules),
            templates=Templates(each for _, each in self._templates.values()),
            tools=MappingProxyType({name: each for name, (_, each) in self._tools.items()}),
            lifespans=tuple(self._lifespans.values()),
            files=tuple(self._files),
            problems=tuple(dict.fromkeys(self._problems)),
        )

    def entry_points(self) -> None:
        for group, place, load in plugins.entry_points(plugins.TEMPLATES, plugins.TOOLS):
            with self.collected():
                found = plugins.guarded(place, load)
                if group == plugins.TOOLS:
                    self._offered_tool(place, found)
                elif _is_template(found):
                    self._add_template(place, found)
                else:
                    raise located([(place, f"{found!r} is no subclass of runwright.Template with a name")])

    def _offered_tool(self, place: str, found: object) -> None:
        if isinstance(found, type) or not is_tool(found):
            raise located([(place, f"{found!r} is no tool: decorate the function with @tool")])
        self._add_tool(place, found)

    def source(self, source: str | PathLike[str]) -> None:
        path = Path(source)
        if path.is_dir():
            self._folder(path)
        elif path.is_file():
            self._file(path, package_of(path.parent))
        elif isinstance(source, str) and _is_module_name(source):
            self._module_name(source)
        else:
            raise located([(str(source), "there is no such folder, file or module")])

    def _folder(self, folder: Path) -> None:
        package = package_of(folder)
        for path in sorted(folder.iterdir()):
            if not path.name.startswith((".", "_")) or path.name == "__init__.py":
                with self.collected():
                    self._file(path, package)

    def _file(self, path: Path, package: ModuleType) -> None:
        if path in self._files:
            return
        if path.suffix in SUFFIXES and path.is_file():
            self._files[path] = None
            loaded = load_file(path, shown=str(path), package=package.__name__)
            self._schedules += loaded.schedules
            for declared in loaded.agents:
                self._add_agent(declared)
        elif path.suffix == ".py":
            self._files[path] = None
            self._import(path, package)
        elif (path / "__init__.py").is_file():
            self._files.update(dict.fromkeys(sorted(path.rglob("*.py"))))
            self._import(path, package)

    def _import(self, path: Path, package: ModuleType) -> None:
        is_package = path.name == "__init__.py"
        work = partial(execute, package) if is_package else partial(import_module, f"{package.__name__}.{path.stem}")
        try:
            # Modules know their files by whole paths, as finders of Python name them.
            module = plugins.guarded(str(path.parent.absolute()), work)
        except ConfigError as error:
            raise _hinted(error, path) from error
        self._module(module, str(path))

    def _module_name(self, name: str) -> None:
        module = plugins.guarded(name, fresh, name)
        if paths := getattr(module, "__path__", None):
            for folder in paths:
                self._package_folder(Path(folder), module)
        else:
            self._files[Path(str(module.__file__))] = None
        self._module(module, str(module.__file__ or name))

    def _package_folder(self, folder: Path, module: ModuleType) -> None:
        for path in sorted(folder.iterdir()):
            if not path.name.startswith((".", "_")):
                with self.collected():
                    self._file(path, module)

    def _module(self, module: ModuleType, file: str) -> None:
        for name, value in vars(module).items():
            if name.startswith("__") or id(value) in self._seen:
                continue
            with self.collected():
                self._take(name, value, file)

    def _take(self, name: str, value: object, file: str) -> None:
        if isinstance(value, Agent):
            self._seen[id(value)] = value
            origin = Origin(source="code", file=file, path=name)
            self._add_agent(_declared(value, origin))
        elif _is_template(value):
            self._seen[id(value)] = value
            self._add_template(f"{file}: {name}", value)
        elif is_tool(value) and not isinstance(value, type):
            self._seen[id(value)] = value
            self._add_tool(f"{file}: {name}", value)
        elif name == "lifespan":
            self._seen[id(value)] = value
            self._lifespans[id(value)] = _lifespan(value, f"{file}: {name}")

    def _add_agent(self, declared: Declared) -> None:
        other = self._agents.setdefault(declared.name, declared)
        if other is not declared:
            raise _twice(f"agent {declared.name!r}", declared.origin.at(), other.origin.at())

    def _add_template(self, place: str, template: type[Template]) -> None:
        other, found = self._templates.setdefault((template.name, template.version), (place, template))
        if found is not template:
            raise _twice(f"template {template.name!r} {template.version}", place, other)

    def _add_tool(self, place: str, tool: Tool) -> None:
        name = tool_name(tool)
        other, found = self._tools.setdefault(name, (place, tool))
        if found is not tool:
            raise _twice(f"tool {name!r}", place, other)


class _Collector:
    """Keeps the problems of a block, so that what follows is looked at too."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self._problems = problems

    def __enter__(self) -> None:
        return

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, ConfigError):
            return False
        self._problems.extend(error.problems or (("", error.message),))
        return True


def _hinted(error: ConfigError, path: Path) -> ConfigError:
    """The error with what would be right, where that can be seen."""
    return located([(_below(path.parent, place), detail + _hint(detail, path)) for place, detail in error.problems])


def _below(folder: Path, place: str) -> str:
    """A place below a folder, written as the folder is."""
    root = str(folder.absolute())
    return str(folder / place.removeprefix(root).lstrip("/")) if place.startswith(root) else place


def _hint(detail: str, path: Path) -> str:
    if unknown := re.search(r"Unexpected keyword argument '(\w+)'", detail):
        near = get_close_matches(unknown[1], Agent.__struct_fields__, n=1)
        return f"; did you mean {near[0]!r}?" if near else ""
    # Absolute imports among the files of a folder fail.
    missing = detail.partition("No module named ")[2].strip("'\"")
    is_sibling = missing.isidentifier() and (
        (path.parent / f"{missing}.py").is_file() or (path.parent / missing).is_dir()
    )
    return f"; for the file beside this one, write `from .{missing} import ...`" if is_sibling else ""


def _declared(agent: Agent, origin: Origin) -> Declared:
    try:
        return agent.declare(origin)
    except ConfigError as error:
        raise located([(origin.at(place), detail) for place, detail in error.problems]) from error


def _is_template(value: object) -> TypeGuard[type[Template]]:
    return isinstance(value, type) and issubclass(value, Template) and bool(vars(value).get("name"))


def _is_module_name(source: str) -> bool:
    """Whether the text is the name of a module of a package, or file, that Python can find."""
    parts = source.split(".")
    return all(part.isidentifier() for part in parts) and find_spec(parts[0]) is not None


def _lifespan(value: object, place: str) -> Lifespan:
    if inspect.isasyncgenfunction(value):
        function: Callable[[], AsyncIterator[Mapping[str, Any] | None]] = value
        return asynccontextmanager(function)
    if not callable(value):
        raise located([(place, "`lifespan` is an async context manager function: @asynccontextmanager")])
    return cast("Lifespan", value)  # what it returns shows when it is entered


def _twice(what: str, place: str, other: str) -> ConfigError:
    return located([(place, f"there is another {what} in {other}: rename one of them")])
