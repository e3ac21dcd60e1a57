"""The fields of a definition."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.agents.schema import LimitsFields, SettingsFields, dotted, read_definition, write_definition
from runwright.core.agent import Definition, Limits
from runwright.core.model import ModelSettings
from runwright.errors import ConfigError


@pytest.mark.parametrize(("fields", "core"), [(SettingsFields, ModelSettings), (LimitsFields, Limits)])
def test_same_as_core(fields: type[SettingsFields | LimitsFields], core: type[ModelSettings | Limits]) -> None:
    """The fields that files may set are those of the core, with the same defaults, and each is described."""
    assert {name: field.default for name, field in fields.model_fields.items()} == {
        field.name: field.default if field.default is not msgspec.NODEFAULT else {}
        for field in msgspec.structs.fields(core)
    }
    assert all(field.description for field in fields.model_fields.values())
    assert fields().to_core() == core()


NAMES = st.text("abc-", min_size=1, max_size=5)


@given(
    config=st.dictionaries(NAMES, st.integers(), max_size=3),
    instructions=st.text(),
    description=st.text(),
)
def test_round_trip(config: dict[str, object], instructions: str, description: str) -> None:
    """A definition written as data reads as the same definition."""
    definition = Definition(name="a", description=description, config={"instructions": instructions, **config})
    assert read_definition(write_definition(definition)) == definition


@pytest.mark.parametrize("version", ["1", "1.0", "01.0.0", "1.0.0-", "v1.0.0", "1.0.0+ä", ""])
def test_no_version(version: str) -> None:
    """A version that is none of semver.org is refused."""
    with pytest.raises(ConfigError, match="a version has three numbers"):
        read_definition({"name": "a", "version": version})


@pytest.mark.parametrize("version", ["0.0.0", "1.20.3", "1.0.0-rc.1", "1.0.0+build", "1.0.0-a.b+c-d"])
def test_version(version: str) -> None:
    """A version of semver.org is taken."""
    assert read_definition({"name": "a", "version": version}).version == version


def test_dotted() -> None:
    """A pointer reads as a path, escapes undone."""
    assert [dotted(each) for each in ("", "/a", "/0/a~1b/1/~0c")] == ["", "a", "[0].a/b[1].~c"]
