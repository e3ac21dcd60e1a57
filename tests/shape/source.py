"""The source tree as the shape tests see it: parsed once, measured with the syntax tree alone."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "runwright"

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Definition: TypeAlias = Function | ast.ClassDef
Import: TypeAlias = ast.Import | ast.ImportFrom

BLOCKS = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.Try,
    ast.TryStar,
    ast.Match,
)
BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclass(frozen=True, kw_only=True)
class Module:
    """One file: its path below `src/runwright`, its number of lines, its syntax tree."""

    path: str
    lines: int
    tree: ast.Module

    @property
    def top(self) -> str:
        """The folder or lone module directly below `runwright`, such as `core` or `app`."""
        return self.path.split("/")[0].removesuffix(".py")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A class or function, and where it stands: `core/run.py::Run.key`."""

    where: str
    node: Definition


@cache
def modules() -> tuple[Module, ...]:
    """Every Python file of the package, in the order of their paths."""
    return tuple(_parse(path) for path in sorted(PACKAGE.rglob("*.py")))


@cache
def definitions() -> tuple[Place, ...]:
    """Every class and function of the package, nested ones too."""
    return tuple(place for module in modules() for place in _walk(module.path + "::", module.tree))


def functions() -> Iterator[tuple[str, Function]]:
    """Every function and method with its place."""
    for place in definitions():
        if not isinstance(place.node, ast.ClassDef):
            yield place.where, place.node


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    """Every class with its place."""
    for place in definitions():
        if isinstance(place.node, ast.ClassDef):
            yield place.where, place.node


def length(node: Function) -> int:
    """Lines from `def` to the end, without the docstring."""
    first = node.body[0]
    has_docstring = ast.get_docstring(node, clean=False) is not None
    docstring = _lines(first) if has_docstring else 0
    return _lines(node) - docstring


def complexity(node: Function) -> int:
    """McCabe's number: one, and one more for each branch; nested functions count for themselves."""
    return 1 + sum(isinstance(child, BRANCHES) for child in _own(node))


def nesting(node: ast.AST, depth: int = 0) -> int:
    """How many blocks stand inside each other at the deepest place; `elif` adds none."""
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, SCOPES):
            continue
        is_block = isinstance(child, BLOCKS) and not _is_elif(node, child)
        deepest = max(deepest, nesting(child, depth + is_block))
    return deepest


def positional(node: Function) -> int:
    """Parameters a caller may pass by position, `self` and `cls` left out."""
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def parameters(node: Function) -> int:
    """Parameters in all, `self`, `cls`, `*args` and `**kwargs` left out."""
    return positional(node) + len(node.args.kwonlyargs)


def methods(node: ast.ClassDef) -> set[str]:
    """Names of the methods a class defines: overloads and setters share one name."""
    return {child.name for child in node.body if isinstance(child, Function)}


def imported(node: Import) -> list[str]:
    """Full names an import statement may load: `from a import b` gives `a` and `a.b`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    return [base, *(f"{base}.{alias.name}" for alias in node.names)]


def _parse(path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(PACKAGE).as_posix()
    return Module(path=name, lines=len(text.splitlines()), tree=ast.parse(text, name))


def _walk(prefix: str, node: ast.AST) -> Iterator[Place]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            yield Place(where=prefix + child.name, node=child)
            yield from _walk(f"{prefix}{child.name}.", child)
        else:
            yield from _walk(prefix, child)


def _own(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, SCOPES):
            yield child
            yield from _own(child)


def _is_elif(parent: ast.AST, child: ast.AST) -> bool:
    return isinstance(parent, ast.If) and isinstance(child, ast.If) and child in parent.orelse


def _lines(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1
