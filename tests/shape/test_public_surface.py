"""What `import runwright` offers."""

import ast
import re
import tomllib
from importlib.metadata import version

import runwright
from tests.shape.source import PACKAGE, ROOT

NAMES_AT_MOST = 25


def test_the_root_names_are_a_literal() -> None:
    """`__all__` is written out, so that readers and tools need not run the code to know it."""
    assert _literal_all() == list(runwright.__all__)


def test_the_root_names_are_sorted_and_few() -> None:
    """`__all__` is sorted, holds no name twice, and has 25 names at the most."""
    names = list(runwright.__all__)
    assert names == sorted(set(names))
    assert len(names) <= NAMES_AT_MOST


def test_the_root_offers_what_it_names() -> None:
    """`__all__` equals the public namespace of the root, and each name leads to something."""
    public = {name for name in dir(runwright) if not name.startswith("_")}
    assert public == {name for name in runwright.__all__ if not name.startswith("_")}
    assert [name for name in runwright.__all__ if not hasattr(runwright, name)] == []


def test_the_version_is_one() -> None:
    """The package, its metadata and the changelog agree on the version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" in project["dynamic"]
    assert runwright.__version__ == version("runwright")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"\b{re.escape(runwright.__version__)}\b", changelog)


def _literal_all() -> list[str]:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return list(ast.literal_eval(value))
            case ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value):
                return list(ast.literal_eval(value))
            case _:
                pass
    return []
