"""Which example, and which agent of the crash tests, is of which template: read from what is there."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Mapping, Sequence
from functools import cache

import msgspec

from runwright.agents.discover import discover
from runwright.agents.registry import BUILT_IN, OWN
from tests.docs.pages import ROOT
from tests.docs.test_examples import commands

TEMPLATES = tuple(each.name for each in BUILT_IN)
LOCAL = "local:smollm2-135m"
CRASH = ROOT / "tests" / "crash"


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A command that an example file names. `words` are those behind `runwright`; `model` is what its agent names."""

    template: str
    agent: str
    words: tuple[str, ...]
    model: object = None

    @property
    def live(self) -> tuple[str, ...]:
        """The words without the demo model, which stands in for one that has to be pulled."""
        text = shlex.join(self.words).replace(" --model demo", "")
        return tuple(shlex.split(text))


@cache
def examples() -> Sequence[Example]:
    """All of them."""
    asked = [tuple(shlex.split(command)[1:]) for _, command in commands()]
    folders = {words[words.index("--agents") + 1] for words in asked}
    definitions = {
        (folder, declared.name): declared.definition
        for folder in folders
        for declared in discover(ROOT / folder).agents
    }
    found: list[Example] = []
    for words in asked:
        definition = definitions[words[words.index("--agents") + 1], words[1]]
        template = definition.template.partition("@")[0]
        model = definition.config.get("model")
        found.append(Example(template=template, agent=words[1], words=words, model=model))
    return found


def local_example(template: str) -> Example | None:
    """The example of a template for the local model: one whose agent names it, else the first."""
    of_it = [each for each in examples() if each.template == template]
    return next((each for each in of_it if each.model == LOCAL), of_it[0] if of_it else None)


@cache
def crash_agents() -> Mapping[str, str]:
    """The agents that the crash tests can kill, each with its template."""
    found = (*(declared.definition for declared in discover(CRASH / "agents").agents), *OWN)
    return {each.name: each.template.partition("@")[0] for each in found}


def killed(agent: str) -> bool:
    """Whether a crash test says the name of an agent, or puts it together from its beginning."""
    files = [*CRASH.glob("test_*.py"), CRASH / "stage.py"]
    trees = (ast.parse(file.read_text(encoding="utf-8")) for file in files)
    return any(_is_named(agent, node) for tree in trees for node in ast.walk(tree))


def _is_named(agent: str, node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return node.value == agent
    first = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else None
    beginning = first.value if isinstance(first, ast.Constant) else None
    return isinstance(beginning, str) and beginning.endswith("-") and agent.startswith(beginning)
