"""Definitions from YAML files and API bodies, and policies from files of their own."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import yaml

from runwright.agents.base import Declared, DeclaredSchedule, Origin
from runwright.agents.schedules import FIELD, read_schedules
from runwright.agents.schema import read_definition
from runwright.core.policy import Guard
from runwright.core.policy_reader import read_guard
from runwright.core.values import is_object
from runwright.errors import ConfigError, InvalidRequest

SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 1024 * 1024
MAX_NODES = 100_000
MAX_DEPTH = 50

_TAG = "tag:yaml.org,2002:"
_SCALARS = frozenset(_TAG + each for each in ("str", "int", "float", "bool", "null"))
_MERGE = "tag:yaml.org,2002:merge"


class Loaded(msgspec.Struct, frozen=True):
    """What a file defines: agents, with the schedules beside them, and schedules that stand apart."""

    agents: tuple[Declared, ...]
    schedules: tuple[DeclaredSchedule, ...] = ()


def load_file(path: Path, *, shown: str | None = None, package: str = "") -> Loaded:
    """The definitions of a YAML file: one, or a list. Raises ConfigError with every problem of the file.

    `shown` is the file's name in messages, `package` holds the modules beside it. Tags beyond plain data are refused,
    as is a file above 1 MiB.
    """
    file = shown or str(path)
    data, lines = read_yaml(read_text(path, file), file)
    entries: list[object] = [data]
    paths = [""]
    if isinstance(data, list):
        entries = list(data)  # pyright: ignore[reportUnknownArgumentType] - plain data, checked next
        paths = [f"/{index}" for index in range(len(entries))]
    agents: list[Declared] = []
    schedules: list[DeclaredSchedule] = []
    problems: list[tuple[str, str]] = []
    for path_in_file, entry in zip(paths, entries, strict=True):
        inside = {at.removeprefix(path_in_file): line for at, line in lines.items() if _is_below(at, path_in_file)}
        path_shown = f"[{path_in_file[1:]}]" if path_in_file else ""
        origin = Origin(source="file", file=file, path=path_shown, lines=inside, package=package)
        try:
            if is_object(entry) and entry.keys() == {FIELD}:
                schedules += read_schedules(entry[FIELD], origin=origin)
            else:
                agents.append(_declared(entry, origin))
        except ConfigError as error:
            problems.extend((origin.at(place), detail) for place, detail in error.problems)
    if problems:
        raise located(problems)
    return Loaded(tuple(agents), tuple(schedules))


def _declared(entry: object, origin: Origin) -> Declared:
    if not is_object(entry) or FIELD not in entry:
        return Declared(definition=read_definition(entry), origin=origin)
    definition = read_definition({name: value for name, value in entry.items() if name != FIELD})
    beside = read_schedules(entry[FIELD], origin=origin, agent=definition.name)
    return Declared(definition=definition, origin=origin, schedules=beside)


def load_guard(path: Path) -> Guard:
    """The policies of a TOML or YAML file, as they stand under `guard` in a definition.

    Raises ConfigError with every problem and its place.
    """
    file = str(path)
    text = read_text(path, file)
    lines: dict[str, int] = {}
    if path.suffix in SUFFIXES:
        data, lines = read_yaml(text, file, least="retry: true")
    elif path.suffix == ".toml":
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise located([(file, f"this is no TOML: {error}")]) from None
    else:
        raise located([(file, f"policies stand in a file that ends in .toml, {' or '.join(SUFFIXES)}")])
    origin = Origin(source="file", file=file, lines=lines)
    try:
        return read_guard(data)
    except ConfigError as error:
        raise located([(origin.at(place), detail) for place, detail in error.problems]) from None


def load_body(body: bytes | Mapping[str, object]) -> Declared:
    """The definition of an API body. Raises InvalidRequest with JSON pointers into the body."""
    try:
        data = msgspec.json.decode(body) if isinstance(body, bytes) else body
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is no JSON: {error}") from None
    try:
        return Declared(definition=read_definition(data), origin=Origin(source="api"))
    except ConfigError as error:
        raise InvalidRequest(error.message, problems=error.problems) from None


def located(problems: list[tuple[str, str]]) -> ConfigError:
    """A ConfigError with one line for each problem."""
    known = tuple(dict.fromkeys(problems))
    return ConfigError("\n".join(f"{place}: {detail}" for place, detail in known), problems=known)


def _is_below(pointer: str, parent: str) -> bool:
    return pointer == parent or pointer.startswith(f"{parent}/")


def read_text(path: Path, file: str) -> str:
    """The text of a file of definitions. Raises ConfigError."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise located([(file, f"the file cannot be read: {error.strerror}")]) from error
    if len(data) > MAX_BYTES:
        raise located([(file, f"the file is larger than {MAX_BYTES:,} bytes: split it")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise located([(f"{file}:{line}", "this is no valid UTF-8: save the file as UTF-8")]) from None


def read_yaml(text: str, file: str, *, least: str = "name: ...") -> tuple[object, dict[str, int]]:
    """Plain data, and the line of each JSON pointer into it. `least` is what an empty file is missing.

    Raises ConfigError.
    """
    try:
        loader = yaml.SafeLoader(text)
        node: yaml.Node | None = loader.get_single_node()
        if node is None:
            raise located([(file, f"the file is empty: write at least `{least}`")])
        reader = _Reader(loader, file)
        return reader.value(node, "", depth=0), reader.lines
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        words = "; ".join(filter(None, (error.context, error.problem)))
        raise located([(f"{file}:{line}", f"this is no YAML: {words}")]) from None
    except yaml.YAMLError as error:
        raise located([(file, f"this is no YAML: {str(error).splitlines()[0]}")]) from None
    except RecursionError:
        raise located([(file, "the file is nested too deeply")]) from None


class _Reader:
    """YAML nodes as plain data; aliases count again each time, so that they cannot blow up."""

    def __init__(self, loader: yaml.SafeLoader, file: str) -> None:
        self.lines: dict[str, int] = {}
        self._loader = loader
        self._file = file
        self._nodes = 0

    def value(self, node: yaml.Node, at: str, *, depth: int) -> object:
        self.lines[at] = node.start_mark.line + 1
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise self._wrong(node, "the file holds too much: its aliases or its nesting multiply")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.value(each, f"{at}/{index}", depth=depth + 1) for index, each in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, at: str, depth: int) -> dict[str, object]:
        if node.tag != f"{_TAG}map":
            raise self._wrong(node, f"the tag {_shown(node.tag)} is not allowed: write plain data")
        self._refuse_twice(node)
        self._loader.flatten_mapping(node)
        return {
            name: self.value(value, f"{at}/{name}", depth=depth + 1)
            for key, value in node.value
            for name in (self._key(key),)
        }

    def _refuse_twice(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if key.tag != _MERGE and name in seen:
                raise self._wrong(key, f"{name!r} stands here twice: keep one of them")
            seen.add(name)

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._wrong(node, "a key is text")
        return str(node.value)

    def _scalar(self, node: yaml.Node) -> object:
        if node.tag == f"{_TAG}timestamp":
            return str(node.value)
        if node.tag not in _SCALARS:
            raise self._wrong(node, f"the tag {_shown(node.tag)} is not allowed: write plain data")
        return self._loader.construct_object(node)  # pyright: ignore[reportUnknownMemberType] - untyped stub

    def _wrong(self, node: yaml.Node, detail: str) -> ConfigError:
        return located([(f"{self._file}:{node.start_mark.line + 1}", detail)])


def _shown(tag: str) -> str:
    return f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag
