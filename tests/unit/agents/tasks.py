"""Tasks in few lines, for tests: built without a file, with time-outs that end within a test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import json

from runwright import Agent
from runwright.agents.factory import build
from runwright.agents.steps import StepFields
from runwright.agents.task import Task, TaskFields
from runwright.agents.templates import Templates
from runwright.core.agent import BuiltAgent, Tool
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.journal.tape import read_tape
from runwright.service.views import RunView
from tests.unit.engine.harness import Process


class _QuickStep(StepFields):
    timeout_s: float | None = None


class _QuickFields(TaskFields):
    steps: tuple[_QuickStep, ...]  # pyright: ignore[reportIncompatibleVariableOverride] - frozen, so read alone


class _QuickTask(Task):
    Config = _QuickFields


def tasking(steps: Iterable[Mapping[str, Any]], *tools: Tool, name: str = "agent", **config: Any) -> BuiltAgent:
    """A task as a built agent; further arguments are fields of its configuration. Time-outs may be short."""
    agent = Agent(name, template="task", config={"steps": list(steps), **config})
    return build(agent.declare(), templates=Templates([_QuickTask]), toolbox={tool.spec.name: tool for tool in tools})


def output(view: RunView) -> Any:
    """The output of a run that is complete."""
    assert view.status == "completed", view.error
    return json.decode(view.output)


async def repeated(process: Process, view: RunView) -> RunView:
    """A strict replay of a run, which has steps of the same hashes and the same end."""
    request = RunRequest(agent="", input=b"", replay=Replay(of=view.id))
    again = await (await process.runs.create(request)).wait()
    assert (again.status, bytes(again.output)) == (view.status, bytes(view.output)), again.error
    assert await digests(process, again) == await digests(process, view)
    return again


async def digests(process: Process, view: RunView) -> list[str]:
    """The hashes of the steps of a run."""
    return [step.digest for step in read_tape(await process.story(view.id))]
