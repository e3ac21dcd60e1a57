"""Templates in several versions, what they require, and what they are told."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from pydantic import BaseModel, model_validator

from runwright import Agent, BuildContext, ConfigError, Loop, NotFound, Template
from runwright.agents.base import Declared, Origin
from runwright.agents.chain import Chain
from runwright.agents.discover import Discovery, discover
from runwright.agents.input import read_messages
from runwright.agents.registry import Registry
from runwright.agents.templates import Templates, has_extra


class Report(Template):
    """Writes reports."""

    name: ClassVar[str] = "report"

    class Config(BaseModel):
        """How long they are."""

        lines: int = 3
        least: int = 1

        @model_validator(mode="after")
        def fits(self) -> Self:
            """Least is not more than most."""
            if self.least > self.lines:
                raise ValueError(f"least is {self.least}, which is more than lines ({self.lines})")
            return self

    def build(self, config: Config, context: BuildContext) -> Loop:
        """Say which version it is."""
        return Loop(model=None, instructions=f"{self.version}: {config.lines}", read_input=read_messages)


def version(number: str, base: type[Template] = Report, **parts: Any) -> type[Template]:
    """Another version of a template."""
    return type(
        f"V{number.replace('.', '_').replace('-', '_')}", (base,), {"name": "report", "version": number, **parts}
    )


def served(*templates: type[Template], agents: Sequence[Agent] = (), keys: Sequence[str] = ()) -> Registry:
    """A registry with templates and agents."""
    registry = Registry(has_key=lambda name: name in keys)
    declared = tuple(each.declare(Origin(source="code", file="a.py", path="it")) for each in agents)
    registry.replace(Discovery(agents=declared, templates=Templates(templates)))
    return registry


@pytest.mark.parametrize(
    ("asked", "built"),
    [
        ("report", "2.0.0"),
        ("report@*", "2.0.0"),
        ("report@^1.1", "1.10.0"),
        ("report@~1.1", "1.1.5"),
        ("report@1.1.5", "1.1.5"),
        ("report@^3.0.0-rc.1", "3.0.0-rc.1"),
    ],
)
def test_versions_stand_side_by_side(asked: str, built: str) -> None:
    """A definition is built from the newest version that it allows; a pre-release only when it names one."""
    known = [version(each) for each in ("1.1.5", "2.0.0", "1.10.0", "3.0.0-rc.1")]
    agent = served(*known, agents=[Agent("a", template=asked)]).get("a")
    assert agent.template_version == built
    assert isinstance(agent.flow, Loop)
    assert agent.flow.instructions == f"{built}: 3"


def test_fingerprints_tell_versions_apart() -> None:
    """The same definition from another version of its template is another agent to runs that go on."""
    agents = [Agent("a", template="report")]
    one, two = (served(version(each), agents=agents).get("a").fingerprint for each in ("1.0.0", "1.0.1"))
    assert one != two


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            "report@^3",
            "no version of template 'report' fits '^3'; there are: 2.0.0, 1.0.0. See: runwright templates check",
        ),
        ("report@newest", "'report@newest': 'newest' is no constraint on versions"),
        ("raport@^1", "there is no template 'raport'; did you mean 'report'?"),
    ],
)
def test_no_such_version(asked: str, told: str) -> None:
    """A version that is not there, and what is no constraint, are problems of the definition's `template`."""
    with pytest.raises(ConfigError) as caught:
        served(version("1.0.0"), version("2.0.0"), agents=[Agent("a", template=asked)])
    ((place, detail),) = caught.value.problems
    assert place == "a.py: it.template"
    assert detail.startswith(told)


def test_a_built_in_template_and_a_newer_one_of_a_folder() -> None:
    """A folder can bring a newer version of a built-in template, but not the same version once more."""
    newer = type("Newer", (Chain,), {"version": "1.1.0", "name": "chain"})
    registry = served(newer, agents=[Agent("a", template="chain@~1.0", config={"steps": []})])
    assert (registry.templates.versions("chain"), registry.get("a").template_version) == (("1.1.0", "1.0.0"), "1.0.0")
    with pytest.raises(ConfigError, match=r"there is a template 'chain' 1.0.0 already, runwright.agents.chain:Chain"):
        served(type("Same", (Chain,), {"name": "chain", "version": "1.0.0"}))


def test_cross_field_problems_have_a_line(tmp_path: Path) -> None:
    """A rule about several fields is reported at the line of the configuration that breaks it."""
    (tmp_path / "a.yaml").write_text("name: a\ntemplate: report\nconfig:\n  lines: 2\n  least: 5\n")
    found = discover(tmp_path)
    registry = Registry([Report])
    with pytest.raises(ConfigError) as caught:
        registry.replace(found)
    told = "least is 5, which is more than lines (2)"
    assert caught.value.problems == ((f"{tmp_path}/a.yaml:4: config", told),)


@pytest.mark.parametrize(
    ("requires", "told"),
    [
        ({"keys": ["ACME_KEY", "OTHER_KEY"]}, "template 'report' 1.0.0 needs the variable ACME_KEY: set it"),
        ({"tools": ["weathr"]}, "template 'report' 1.0.0 needs a tool 'weathr'"),
        (
            {"extras": ["nothing"]},
            "template 'report' 1.0.0 needs the extra 'nothing': pip install 'runwright[nothing]'",
        ),
    ],
)
def test_requirements(requires: Mapping[str, Sequence[str]], told: str) -> None:
    """What a template requires and does not find is a problem of each definition that names it, and of no other."""
    needy = version("1.0.0", requires=requires)
    served(needy, agents=[Agent("b")])
    with pytest.raises(ConfigError) as caught:
        served(needy, agents=[Agent("a", template="report")], keys=["OTHER_KEY"])
    assert caught.value.problems == (("a.py: it.template", told),)


def test_requirements_that_are_met() -> None:
    """A template whose key is set and whose tool the definition brings is built."""
    needy = version("1.0.0", requires={"keys": ["ACME_KEY"], "extras": ["redis"]})
    assert served(needy, agents=[Agent("a", template="report")], keys=["ACME_KEY"]).get("a")


@pytest.mark.parametrize(
    ("extra", "is_there"),
    [("redis", True), ("nothing", False), ("no-such-package[x]", False), ("pydantic[email]", False)],
)
def test_extras(extra: str, is_there: bool) -> None:
    """An extra is there when every package that it stands for is."""
    assert has_extra(extra) is is_there


def test_wrong_declarations() -> None:
    """A class with an unknown requirement, or a step to what is no version, is refused where it is written."""
    with pytest.raises(ValueError, match=re.escape("requires 'key'; it can require extras, tools, keys")):
        version("1.0.0", requires={"key": ["A"]})
    with pytest.raises(ValueError, match="three numbers"):
        version("1.0.0", migrations={"2": dict})


def test_templates_are_told_that_they_are_taken_up() -> None:
    """Each version is told once; one that refuses, or fails, is a problem and changes nothing."""
    told: list[str] = []

    @classmethod
    def registered(cls: type[Template]) -> None:
        told.append(cls.version)

    registry = served(version("1.0.0", registered=registered), version("1.1.0", registered=registered))
    assert told == ["1.1.0", "1.0.0"]

    @classmethod
    def refuses(cls: type[Template]) -> None:
        raise ConfigError("not on this machine")

    with pytest.raises(ConfigError, match="test_templates:V2_0_0: not on this machine"):
        registry.replace(Discovery(templates=Templates([version("2.0.0", registered=refuses)])))
    assert registry.templates.versions("report") == ("1.1.0", "1.0.0")

    @classmethod
    def fails(cls: type[Template]) -> None:
        raise OSError("no disk")

    with pytest.raises(ConfigError, match="OSError: no disk"):
        registry.replace(Discovery(templates=Templates([version("2.0.0", registered=fails)])))


def test_references_to_agents_that_are_not_there(tmp_path: Path) -> None:
    """An agent that names another that is not there is told with the line; it counts only when all are known."""
    chain = "name: c\ntemplate: chain\nconfig:\n  steps:\n  - agent: a\n  - agent: b\n  - {agent: a, version: 2.0.0}\n"
    (tmp_path / "c.yaml").write_text(chain)
    (tmp_path / "a.yaml").write_text("name: a\n")
    registry = Registry()
    registry.replace(discover(tmp_path))
    assert [place for place, _ in registry.dangling()] == [
        f"{tmp_path}/c.yaml:6: config.steps[1].agent",
        f"{tmp_path}/c.yaml:7: config.steps[2].agent",
    ]
    registry.put(Declared(definition=Agent("b").declare().definition, origin=Origin(source="api")))
    assert len(registry.dangling()) == 1


def test_versions_by_name() -> None:
    """Every version is listed, the newest first; a name alone is the newest release."""
    found = Templates([version("1.0.0"), version("2.0.0-rc.1"), version("1.2.0")])
    assert [each.version for each in found.every()] == ["2.0.0-rc.1", "1.2.0", "1.0.0"]
    assert (len(found), list(found), found["report"].version) == (1, ["report"], "1.2.0")
    assert found.versions("nothing") == ()
    with pytest.raises(KeyError):
        found["nothing"]
    with pytest.raises(NotFound):
        Registry([]).get("nothing")
