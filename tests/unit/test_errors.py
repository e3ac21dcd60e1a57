"""The error tree."""

import inspect

import pytest

from runwright import errors
from runwright.errors import AgentError, RunwrightError, ToolError, error_classes, revive

CLASSES = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, RunwrightError)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_code_leads_back_to_its_class(kind: type[RunwrightError]) -> None:
    """Every class has a code of its own, and what was recorded with it is that class again."""
    error = revive(kind.code, "m")
    assert (type(error), error.message) == (kind, "m")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_tree_at_the_top_is_complete(kind: type[RunwrightError]) -> None:
    """The drawing in the docstring of the module names every class."""
    assert f" {kind.__name__} " in f" {' '.join((errors.__doc__ or '').split())} "


def test_an_unknown_code_is_the_root() -> None:
    """A code that no class has, of another release perhaps, is the root of the tree."""
    assert type(revive("never_heard", "m")) is RunwrightError


def test_a_class_without_a_code_of_its_own_goes_by_its_parent() -> None:
    """A caller's subclass does not take the place of the class whose code it has."""

    class Lost(ToolError):
        pass

    assert error_classes()[Lost.code] is ToolError


def test_what_an_agent_raises_has_a_class() -> None:
    """The code of an exception inside the agent's own code is one of the tree."""
    assert type(revive("agent_error", "KeyError: 'x'")) is AgentError
