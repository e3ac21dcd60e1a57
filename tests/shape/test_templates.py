"""Each template that is built in has what the others have: examples, and tests that kill and replay it."""

from __future__ import annotations

from typing import Any

import pytest

from runwright.tools.sandbox.local import LocalSandbox
from tests.docs import matrix, test_examples
from tests.e2e import test_real_tokens, test_replays


def _cases(test: Any) -> object:
    """What a test is repeated for."""
    (marker,) = [mark for mark in test.pytestmark if mark.name == "parametrize"]
    return marker.args[1]


def test_examples_are_run_and_replayed() -> None:
    """Every command that an example names is run on the demo model, and replayed strictly."""
    assert _cases(test_examples.test_an_agent_example_runs) == test_examples.commands()
    assert _cases(test_replays.test_an_example_replays_without_a_network) == test_examples.commands()


def test_templates_are_run_on_a_real_model() -> None:
    """An example of every template is run on the local model."""
    assert _cases(test_real_tokens.test_each_template_on_a_real_model) == matrix.TEMPLATES


@pytest.mark.parametrize("template", matrix.TEMPLATES)
def test_a_template_has_an_example(template: str) -> None:
    """A command of an example runs an agent of the template: on the demo model, in a replay, and on the local one."""
    assert template in {each.template for each in matrix.examples()}
    assert matrix.local_example(template) is not None


@pytest.mark.parametrize("template", matrix.TEMPLATES)
def test_a_template_is_killed(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash test names an agent of the template."""
    monkeypatch.setenv("CRASH_WITNESS", "nobody")
    for file in (matrix.CRASH / "agents").glob("*.py"):
        # Some are there only for the tests of their own framework, which takes a while to load.
        monkeypatch.setenv(f"CRASH_{file.stem.upper()}", "1")
    if template == "custom" and LocalSandbox().why_not("python", 1) is not None:
        pytest.skip("this machine has no sandbox")
    agents = [agent for agent, of in matrix.crash_agents().items() if of == template]
    assert any(map(matrix.killed, agents)), f"no crash test names an agent of {template!r}; there are {sorted(agents)}"
