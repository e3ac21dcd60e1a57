"""Agents, templates, tools and lifespans, found in files and modules."""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from runwright.agents.discover import Discovery, discover
from runwright.errors import ConfigError

SUPPORT = """
    from contextlib import asynccontextmanager
    from pydantic import BaseModel
    from runwright import Agent, Template, tool
    from .shared import GREETING, search

    @tool(effect="read")
    async def weather(city: str) -> str:
        return city

    support = Agent("support", instructions=GREETING, tools=[weather])
    same = support

    class Base(Template):
        pass

    class Special(Base):
        name = "special"

    @asynccontextmanager
    async def lifespan():
        yield {"database": 1}
"""
SHARED = """
    from runwright import tool
    GREETING = "hello"

    @tool
    def search(query: str) -> str:
        return query
"""


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """A folder with files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(text))
    return folder


def names(found: Discovery) -> list[str]:
    """The names of the agents."""
    return [each.name for each in found.agents]


@pytest.fixture(autouse=True)
def own_modules() -> Iterator[None]:
    """What a test imports is forgotten."""
    before, paths = dict(sys.modules), list(sys.path)
    yield
    sys.path[:] = paths
    for name in [name for name in sys.modules if name not in before]:
        del sys.modules[name]


def test_folder(tmp_path: Path) -> None:
    """In a folder Python and YAML files count, relative imports work, and a thing that was imported counts once."""
    write(
        tmp_path, {"support.py": SUPPORT, "shared.py": SHARED, "team.yaml": "- name: a\n- name: b\n", "notes.txt": "x"}
    )
    found = discover(tmp_path)
    found.check()
    assert names(found) == ["support", "a", "b"]
    assert list(found.tools) == ["search", "weather"]
    assert list(found.templates) == ["special"]
    assert found.agents[0].origin.at() == f"{tmp_path}/support.py: support"
    assert [path.name for path in found.files] == ["shared.py", "support.py", "team.yaml"]


async def test_lifespan(tmp_path: Path) -> None:
    """A `lifespan` is an async context manager function, or the async generator for one."""
    write(tmp_path, {"a.py": "async def lifespan():\n    yield {'a': 1}\n", "b.py": SUPPORT, "shared.py": SHARED})
    states: list[Mapping[str, object] | None] = []
    found = await asyncio.to_thread(discover, tmp_path)
    for lifespan in found.lifespans:
        async with lifespan() as state:
            states.append(state)
    assert states == [{"a": 1}, {"database": 1}]


def test_file(tmp_path: Path) -> None:
    """A single file can be named; what stands beside it can be imported, but is not served."""
    write(tmp_path, {"support.py": SUPPORT, "shared.py": SHARED, "team.yaml": "name: a\n"})
    assert names(discover(str(tmp_path / "support.py"))) == ["support"]
    assert names(discover(tmp_path / "team.yaml")) == ["a"]


def test_module(tmp_path: Path) -> None:
    """A module or package of the Python path can be named; a package is read like a folder."""
    package = {"shop/__init__.py": "", "shop/support.py": SUPPORT, "shop/shared.py": SHARED, "shop/a.yaml": "name: a\n"}
    write(tmp_path, {**package, "one_agent.py": 'from runwright import Agent\none = Agent("one")\n'})
    sys.path.insert(0, str(tmp_path))
    found = discover("shop", "one_agent")
    found.check()
    assert names(found) == ["a", "support", "one"]
    assert sys.modules["shop.support"].__dict__["support"].name == "support"


def test_packages(tmp_path: Path) -> None:
    """A package in a folder is one module of it, and the folder's own `__init__.py` counts."""
    agent = "from runwright import Agent\nfrom .part import NAME\nmain = Agent(NAME)\n"
    write(
        tmp_path, {"__init__.py": agent, "part.py": 'NAME = "a"', "sub/__init__.py": agent, "sub/part.py": 'NAME = "b"'}
    )
    found = discover(tmp_path)
    found.check()
    assert names(found) == ["a", "b"]


def test_left_out(tmp_path: Path) -> None:
    """Hidden files, files with an underscore and folders that are no package are left out."""
    broken = "raise ValueError"
    write(tmp_path, {".hidden.py": broken, "_private.py": broken, "data/x.py": broken, "data/y.yaml": "!"})
    assert discover(tmp_path) == Discovery()


def test_every_problem(tmp_path: Path) -> None:
    """Files that cannot be imported or read are reported together, with file and line; the rest is found."""
    write(
        tmp_path,
        {
            "broken.py": "import os\nraise ValueError('no')\n",
            "exits.py": "import sys\nsys.exit(3)\n",
            "good.py": 'from runwright import Agent\ngood = Agent("good")\n',
            "imports.py": "from good import good\n",
            "lacks.py": "\nimport no_such_module\n",
            "pydantic_says_no.py": "from pydantic import BaseModel\n\nclass A(BaseModel):\n    x: 3\n",
            "syntax.py": "def\n",
            "team.yaml": "name: a\ntool: []\n",
            "wrong.py": 'from runwright import Agent\nwrong = Agent("a b", tools=[len])\nlifespan = 3\n',
        },
    )
    found = discover(tmp_path)
    assert names(found) == ["good"]
    places = [place.removeprefix(f"{tmp_path}/") for place, _ in found.problems]
    assert places == [
        *("broken.py:2", "exits.py:2", "imports.py:1", "lacks.py:2", "pydantic_says_no.py:3", "syntax.py:1"),
        *("team.yaml:2: tool", "wrong.py: wrong.tools[0]", "wrong.py: lifespan"),
    ]
    details = dict(zip(places, (detail for _, detail in found.problems), strict=True))
    assert details["imports.py:1"].endswith("for the file beside this one, write `from .good import ...`")
    assert details["lacks.py:2"] == "ModuleNotFoundError: No module named 'no_such_module'"
    with pytest.raises(ConfigError, match=r"broken.py:2: ValueError: no\n"):
        found.check()


@pytest.mark.parametrize("source", [".", "agents", "agents/a.py", "sub/../agents"])
def test_paths_as_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """What a module raises is told with file and line below the path that was named, also where that is relative."""
    write(tmp_path, {"agents/a.py": "x = 1\nx = y\n", "agents/b.py": "x = (\n", "sub/c.txt": ""})
    monkeypatch.chdir(tmp_path / "agents" if source == "." else tmp_path)
    places = [place for place, _ in discover(source).problems]
    folder = source.removesuffix("a.py").rstrip("/")
    assert places == [str(Path(folder, "a.py:2")), str(Path(folder, "b.py:1"))][: 1 if source.endswith(".py") else 2]


def test_wrong_argument(tmp_path: Path) -> None:
    """An argument that `Agent` does not have is told with the nearest one that it has."""
    write(tmp_path, {"a.py": 'from runwright import Agent\na = Agent("a", tool=[])\n'})
    assert discover(tmp_path).problems == (
        (f"{tmp_path}/a.py:2", "TypeError: Unexpected keyword argument 'tool'; did you mean 'tools'?"),
    )


def test_twice(tmp_path: Path) -> None:
    """Two agents, tools or templates of one name are a problem that names both places."""
    text = """
        from runwright import Agent, Template, tool
        one = Agent("one")

        @tool
        def find() -> None: ...

        class Mine(Template):
            name = "mine"
    """
    write(tmp_path, {"a.py": text, "b.py": text})
    found = discover(tmp_path)
    assert found.problems == (
        (f"{tmp_path}/b.py: one", f"there is another agent 'one' in {tmp_path}/a.py: one: rename one of them"),
        (f"{tmp_path}/b.py: find", f"there is another tool 'find' in {tmp_path}/a.py: find: rename one of them"),
        (
            f"{tmp_path}/b.py: Mine",
            f"there is another template 'mine' 1.0.0 in {tmp_path}/a.py: Mine: rename one of them",
        ),
    )


@pytest.mark.parametrize("source", ["no/such/folder", "no_such_module", "agents.txt"])
def test_nothing_there(source: str) -> None:
    """A source that does not exist is a problem that names it."""
    ((place, _),) = discover(source).problems
    assert place == source


def test_again(tmp_path: Path) -> None:
    """What changed within a second is seen, in a module that others import too; and a file that is gone is gone."""
    write(tmp_path, {"support.py": SUPPORT, "shared.py": SHARED, "gone.yaml": "name: gone\n"})
    first = discover(tmp_path)
    write(tmp_path, {"shared.py": SHARED.replace("hello", "howdy")})
    (tmp_path / "gone.yaml").unlink()
    second = discover(tmp_path)
    assert [(each.name, each.definition.config.get("instructions")) for each in first.agents] == [
        ("gone", None),
        ("support", "hello"),
    ]
    assert [each.definition.config["instructions"] for each in second.agents] == ["howdy"]
    assert not (tmp_path / "__pycache__").exists()


def test_same_source_twice(tmp_path: Path) -> None:
    """A file that is named beside its folder counts once."""
    write(tmp_path, {"a.py": 'from runwright import Agent\none = Agent("one")\n'})
    found = discover(tmp_path, tmp_path / "a.py")
    assert (names(found), found.problems) == (["one"], ())


def test_entry_points(tmp_path: Path) -> None:
    """Installed packages offer templates and tools; what cannot be loaded, or is none, is reported."""
    info = "acme-1.0.dist-info"
    points = [
        "[runwright.templates]",
        *(f"{each.lower()} = acme_templates:{each}" for each in ("Bad", "Gone", "Special")),
        "[runwright.tools]",
        "hours = acme_templates:hours",
        "none = acme_templates:Bad",
    ]
    module = 'from runwright import Template, tool\nBad = 3\nclass Special(Template):\n    name = "special"\n'
    module += "@tool\ndef hours() -> None: ...\n"
    write(tmp_path, {f"{info}/METADATA": "Name: acme\nVersion: 1.0\n", "acme_templates.py": module})
    (tmp_path / info / "entry_points.txt").write_text("\n".join(points))
    sys.path.insert(0, str(tmp_path))
    found = discover()
    assert (list(found.templates), list(found.tools)) == (["special"], ["hours"])
    assert [place for place, _ in found.problems] == [
        "entry point bad (acme_templates:Bad)",
        "entry point gone (acme_templates:Gone)",
        "entry point none (acme_templates:Bad)",
    ]


def test_a_package_that_is_installed_later_is_found(tmp_path: Path) -> None:
    """What packages offer is read again when one was added to a folder of them, or taken out."""
    sys.path.insert(0, str(tmp_path))
    assert list(discover().tools) == []
    info = tmp_path / "later-1.0.dist-info"
    write(tmp_path, {"later_tools.py": "from runwright import tool\n@tool\ndef late() -> None: ...\n"})
    write(tmp_path, {f"{info.name}/METADATA": "Name: later\nVersion: 1.0\n"})
    (info / "entry_points.txt").write_text("[runwright.tools]\nlate = later_tools:late\n")
    # Folders tell their changes in ticks of some milliseconds.
    os.utime(tmp_path, (0, 0))
    assert list(discover().tools) == ["late"]
    (info / "entry_points.txt").unlink()
    info.rename(tmp_path / "gone")
    os.utime(tmp_path, (1, 1))
    assert list(discover().tools) == []
