"""Size and names of everything in `src`. Exceptions stand in `allowed.txt`, which only shrinks."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.shape.source import (
    Function,
    classes,
    complexity,
    definitions,
    functions,
    length,
    methods,
    modules,
    nesting,
    parameters,
    positional,
)

ALLOWED = Path(__file__).with_name("allowed.txt")
# The number of lines in allowed.txt. Lower it with each line that goes; it is never raised.
ALLOWED_AT_MOST = 0

FUNCTION_LIMITS = {
    "lines": (length, 50),
    "complexity": (complexity, 10),
    "nesting": (nesting, 3),
    "positional": (positional, 3),
    "parameters": (parameters, 7),
}
MODULE_LINES = 500
METHODS = 20
PORT_METHODS = 7
SHORT_LINES = 40
SHORT_SHARE = 0.95

BANNED = {
    *("util", "utils", "helper", "helpers", "common", "misc", "manager", "universal"),
    *("enhanced", "advanced", "smart", "base2", "v2", "new", "phase"),
}


def test_nothing_outgrows_its_limit() -> None:
    """Functions, modules and classes keep their limits, and every allowed exception is needed."""
    allowed = _allowed()
    measured = {f"{rule} {where}": value for rule, where, value in _too_large()}
    assert measured == allowed


def test_the_allow_list_only_shrinks() -> None:
    """The list of exceptions is never longer than it was."""
    assert len(_allowed()) <= ALLOWED_AT_MOST


def test_functions_are_short() -> None:
    """Of 100 functions, 95 stay within 40 lines."""
    lengths = sorted(length(node) for where, node in functions() if _is_measured("lines", where))
    assert lengths[int(len(lengths) * SHORT_SHARE)] <= SHORT_LINES


def test_ports_are_narrow() -> None:
    """A port has at most seven methods."""
    ports = {where: len(methods(node)) for where, node in classes() if where.startswith("core/ports.py::")}
    assert {where: count for where, count in ports.items() if count > PORT_METHODS} == {}


def test_names_say_something() -> None:
    """No name holds a word that fits anything."""
    assert [name for name in _names() if BANNED & set(_words(name.split("::")[-1]))] == []


def _allowed() -> dict[str, int]:
    """Lines of the form `rule place value  # reason`, such as `lines cli/runs.py::tail 61  # ...`."""
    lines = [line for line in ALLOWED.read_text().splitlines() if line and line[0] != "#"]
    fields = [line.partition("  # ")[0].rsplit(" ", 1) for line in lines]
    return {place: int(value) for place, value in fields}


def _too_large() -> Iterator[tuple[str, str, int]]:
    for rule, (measure, limit) in FUNCTION_LIMITS.items():
        for where, node in functions():
            if _is_measured(rule, where) and measure(node) > limit:
                yield rule, where, measure(node)
    for module in modules():
        if module.lines > MODULE_LINES:
            yield "lines", module.path, module.lines
    for where, node in classes():
        if len(methods(node)) > METHODS:
            yield "methods", where, len(methods(node))


def _is_measured(rule: str, where: str) -> bool:
    # The arguments of a command are its options.
    if where.startswith("cli/"):
        return rule not in {"positional", "parameters"}
    # A migration is a list of statements, written once and never edited.
    return rule != "lines" or not where.startswith("store/migrations/versions/")


def _names() -> Iterator[str]:
    for module in modules():
        yield f"{module.path}::{module.path.replace('/', '_').removesuffix('.py')}"
    for place in definitions():
        yield place.where.replace(".", "::") if not _is_dunder(place.where) else ""
        if isinstance(place.node, Function):
            yield from _parameter_names(place.where, place.node)


def _parameter_names(where: str, node: Function) -> Iterator[str]:
    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    yield from (f"{where}({argument.arg})::{argument.arg}" for argument in arguments)


def _is_dunder(where: str) -> bool:
    return where.endswith("__")


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word for word in spaced.lower().split("_") if word]
