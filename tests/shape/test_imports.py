"""Who may import what, where a layer order cannot say it. The layers stand in `pyproject.toml`."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions

import pytest

from tests.shape.source import ROOT, Import, Module, functions, imported, modules

# Each framework has a home: code elsewhere does not know that it exists.
HOMES = {
    "aiohttp": {"cli", "models", "tools"},
    "alembic": {"store"},
    "fastapi": {"server", "studio"},
    "jinja2": {"studio"},
    "langgraph": {"agents"},
    "markdown_it": {"studio"},
    "opentelemetry": {"watch"},
    "prometheus_client": {"watch"},
    "pydantic_ai": {"agents", "models"},
    "redis": {"backends"},
    "sqlalchemy": {"store"},
    "starlette": {"server", "studio"},
    "xllamacpp": {"models"},
    "runwright.backends": {"app"},
    # The effective configuration is what a caller can ask for; no other service knows the settings.
    "runwright.settings": {"app", "cli", "service/config.py", "testing"},
}
# Starlette is FastAPI's own base, and FastAPI says which one fits; the plugin of pytest is imported by pytest itself.
BROUGHT = {"pytest", "starlette"}
# Frameworks that one file of each home knows.
ONE_FILE = {"langgraph", "pydantic_ai", "redis", "xllamacpp"}


def test_each_framework_has_one_home() -> None:
    """A framework, and each of our own guarded modules, is imported at its home alone."""
    strangers = [
        f"{module.path} imports {name}"
        for module, name in _all_imports()
        for guarded, homes in HOMES.items()
        if _is_within(name, guarded) and not {module.top, module.path} & (homes | _itself(guarded))
    ]
    assert strangers == []


def test_optional_frameworks_live_in_one_place() -> None:
    """An optional framework is imported by one file, or by one folder below it, of each home."""
    files = {
        (guarded, module.top, module.path.rpartition("/")[0] if module.path.count("/") > 1 else module.path)
        for module, name in _all_imports()
        for guarded in ONE_FILE
        if _is_within(name, guarded)
    }
    homes = [(guarded, top) for guarded, top, _ in files]
    assert [home for home in homes if homes.count(home) > 1] == []


def test_the_root_is_for_users() -> None:
    """Nothing inside the package imports what the root re-exports: each thing is taken from its home."""
    own = {module.top for module in modules()} | {"__version__"}
    strangers = [
        f"{module.path} imports {alias.name}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "runwright"
        for alias in node.names
        if alias.name not in own
    ]
    assert strangers == []


def test_functions_import_nothing_of_our_own() -> None:
    """Commands, the backend table and what renders pages alone import our own modules inside a function."""
    late = [
        f"{where} imports {name}"
        for where, node in functions()
        if not where.startswith(("cli/", "app.py", "studio/site.py::Studio._load"))
        for name in _names(node)
        if _is_within(name, "runwright")
    ]
    assert late == []


def test_what_is_imported_is_declared() -> None:
    """A package that the code imports is a dependency of its own, not one that another one happens to bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    declared = {_normal(re.split(r"[^\w.-]", each)[0]) for each in (*project["dependencies"], *extras)}
    distributions = packages_distributions()
    names = {name.partition(".")[0] for _, name in _all_imports()} - sys.stdlib_module_names - {"runwright"} - BROUGHT
    strangers = {name for name in names if not declared & set(map(_normal, distributions.get(name, [name])))}
    assert strangers == set()


@pytest.mark.parametrize(
    ("extra", "places"),
    [
        ("langgraph", ("agents/bridges/graph_run", "agents/bridges/lang")),
        ("pydantic-ai", ("agents/bridges/pydantic_ai", "models/pydantic_ai/")),
    ],
)
def test_a_bridge_needs_no_more_than_its_extra(extra: str, places: tuple[str, ...]) -> None:
    """What the files of a framework import is in the core or in the extra that they ask for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    given = (*project["dependencies"], *project["optional-dependencies"][extra])
    declared = {_normal(re.split(r"[^\w.-]", each)[0]) for each in given}
    distributions = packages_distributions()
    found = {
        name.partition(".")[0]
        for module, name in _all_imports()
        if module.path.startswith(places)
        if name.partition(".")[0] not in sys.stdlib_module_names | {"runwright"}
    }
    assert found, "no file is there"
    strangers = {name for name in found if not declared & set(map(_normal, distributions.get(name, [name])))}
    assert strangers == set()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _all_imports() -> Iterator[tuple[Module, str]]:
    for module in modules():
        yield from ((module, name) for name in _names(module.tree))


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, Import):
            yield from imported(node)


def _is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def _itself(guarded: str) -> set[str]:
    return {guarded.removeprefix("runwright.")} if guarded.startswith("runwright.") else set()
