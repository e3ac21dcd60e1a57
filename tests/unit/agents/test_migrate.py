"""Definitions beside the versions of their templates."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict

from runwright import Agent, BuildContext, Loop, Template
from runwright.agents.base import Declared, Migrate, Origin
from runwright.agents.discover import Discovery
from runwright.agents.input import read_messages
from runwright.agents.migrate import rewritten, standing
from runwright.agents.registry import Registry
from runwright.agents.templates import Templates


class Report(Template):
    """Writes reports."""

    name: ClassVar[str] = "report"
    version: ClassVar[str] = "1.2.0"

    class Config(BaseModel):
        """How long they are."""

        model_config = ConfigDict(extra="forbid")
        length: int = 3
        tone: str = "dry"
        model: str | None = None

    def build(self, config: Any, context: BuildContext) -> Loop:
        """Write nothing."""
        return Loop(model=config.model, read_input=read_messages)


def lines(config: dict[str, Any]) -> dict[str, Any]:
    """`length` is called `lines`."""
    return {"lines" if name == "length" else name: value for name, value in config.items()}


def style(config: dict[str, Any]) -> dict[str, Any]:
    """`tone` stands in `style`."""
    return config | {"style": {"tone": config.pop("tone", "dry")}}


class Newest(Report):
    """Writes reports with style."""

    version: ClassVar[str] = "3.1.0"
    name: ClassVar[str] = "report"
    migrations: ClassVar[Mapping[str, Migrate]] = {"3.0.0": style, "2.0.0": lines}

    class Config(BaseModel):  # pyright: ignore[reportIncompatibleVariableOverride] - a version of its own
        """How long they are, and how they sound."""

        model_config = ConfigDict(extra="forbid")
        lines: int
        style: dict[str, str]
        model: str | None = None


def registry(*templates: type[Template]) -> Registry:
    """A registry with versions of the template."""
    made = Registry([])
    made.replace(Discovery(templates=Templates(templates or (Report, Newest))))
    return made


def declared(template: str, **config: object) -> Declared:
    """A definition."""
    return Agent("a", template=template, config=config).declare(Origin(source="code", file="a.py"))


def test_current() -> None:
    """What is built from the newest version is current, and nothing would change."""
    found = standing(declared("report", lines=1, style={}), registry())
    assert (found.state, found.serving, found.moved) == ("current", "3.1.0", None)


def test_behind() -> None:
    """What asks for an older version that is there is served, and the steps to the newest are known."""
    found = standing(declared("report@^1", length=5, tone="warm"), registry())
    assert (found.state, found.serving, found.newest) == ("behind", "1.2.0", "3.1.0")
    assert found.moved is not None
    assert found.moved.steps == ("2.0.0", "3.0.0")
    assert found.moved.definition.template == "report@^3.1.0"
    assert found.moved.definition.config == {"lines": 5, "style": {"tone": "warm"}}


def test_a_version_that_is_gone() -> None:
    """What asks for a version that is not there any more is moved from the least one that it names."""
    found = standing(declared("report@^2.0", lines=5, tone="warm"), registry(Newest))
    assert (found.state, found.serving) == ("unfit", None)
    assert found.problems[0][0] == "/template"
    assert found.moved is not None
    assert (found.moved.steps, found.moved.definition.config) == (("3.0.0",), {"lines": 5, "style": {"tone": "warm"}})


@pytest.mark.parametrize(
    ("config", "steps"),
    [({"length": 2, "tone": "warm"}, ("2.0.0", "3.0.0")), ({"lines": 2, "tone": "warm"}, ("3.0.0",))],
)
def test_a_definition_that_names_no_version(config: dict[str, object], steps: tuple[str, ...]) -> None:
    """Without a constraint the fewest steps are taken that lead to what fits, and still none is named."""
    found = standing(declared("report", **config), registry())
    assert found.moved is not None
    assert (found.moved.steps, found.moved.definition.template) == (steps, "report")


def test_since() -> None:
    """Which version a definition was written for can be said."""
    found = standing(declared("report", lines=1, tone="x"), registry(), since="2.0.0")
    assert found.moved is not None
    assert found.moved.steps == ("3.0.0",)


def test_no_way() -> None:
    """A definition that does not fit after the steps stays, and both problems are told with their place."""
    found = standing(declared("report@^1", length="many"), registry())
    assert (found.state, found.moved) == ("unfit", None)
    (first, told), (second, after) = found.problems
    assert (first, second) == ("/config/length", "/config/lines")
    assert told.startswith("Input should be a valid integer")
    assert after.startswith("after the steps to 2.0.0, 3.0.0: Input should be a valid integer")


def test_no_template() -> None:
    """A definition of an unknown template is unfit, and nothing leads on."""
    found = standing(declared("raport@^1"), registry())
    assert (found.state, found.newest, found.moved) == ("unfit", None, None)
    assert standing(declared("report@latest"), registry()).state == "unfit"


def test_a_step_that_fails() -> None:
    """What a step raises is a problem that names the step."""

    def fails(config: dict[str, Any]) -> dict[str, Any]:
        raise KeyError("tone")

    broken = type("Broken", (Newest,), {"name": "report", "version": "4.0.0", "migrations": {"4.0.0": fails}})
    found = standing(declared("report@^3", lines=1, style={}), registry(Newest, broken))
    assert (found.state, found.moved) == ("behind", None)
    ((_, told),) = found.problems
    assert "Broken migrations['4.0.0']: KeyError: 'tone'" in told


def test_a_new_version_without_steps() -> None:
    """Where nothing of the configuration changed, only the version that is asked for moves."""
    later = type("Later", (Newest,), {"name": "report", "version": "4.0.0", "migrations": {}})
    found = standing(declared("report@^3", lines=1, style={}), registry(Newest, later))
    assert found.moved is not None
    assert (found.moved.steps, found.moved.definition.template) == ((), "report@^4.0.0")


def test_in_the_form_of_the_file() -> None:
    """A moved definition keeps the form of its file: what stands beside `config`, and what inside."""
    raw = {"name": "a", "template": "report@^1", "model": "demo", "config": {"length": 2}, "metadata": {"x": "y"}}
    moved = replace(declared("report").definition, template="report@^2", config={"model": "demo", "lines": 2})
    assert rewritten(raw, moved) == raw | {"template": "report@^2", "config": {"lines": 2}}
    inside = {"name": "a", "template": "report", "config": {"model": "demo"}}
    assert rewritten(inside, replace(moved, template="report")) == inside | {"config": {"model": "demo", "lines": 2}}
    assert rewritten(raw, replace(moved, config={})) == {"name": "a", "template": "report@^2", "metadata": {"x": "y"}}
