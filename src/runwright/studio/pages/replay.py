"""Run an agent again on what was recorded: a form with what is to be different."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from runwright.agents.factory import refuse_files
from runwright.core.labels import LARGEST, number
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.errors import InvalidRequest, NotFound
from runwright.service.outline import Outline, StepLine
from runwright.service.views import AgentView, RunView
from runwright.studio.page import Action, Ask, Page
from runwright.studio.pages.run import as_json

LIVE = ("model", "tool", "http", "all")
OFFERED = 500
"""Steps that can be chosen in the form; others are named by their number."""


class ReplayPage(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is to be replayed. `at` is the step from which on it is to be live; `instructions` and `model` are
    what its agent has today, None where it has none or is not known any more.
    """

    run: RunView
    outline: Outline
    at: int | None
    instructions: str | None
    model: str | None
    tools: Sequence[str]
    live: Sequence[str] = LIVE

    def lines(self) -> list[StepLine]:
        """Steps that can be forked at."""
        return list(self.outline.lines())


async def show_replay(ask: Ask) -> ReplayPage:
    """The form. Raises NotFound."""
    run = await ask.app.runs.get(ask.name("run"))
    outline = await ask.app.outlines.get(run.id, limit=OFFERED)
    agent = await _agent(ask, run)
    definition = agent.definition if agent is not None else {}
    return ReplayPage(
        run=run,
        outline=outline,
        at=ask.number("at", 0, most=LARGEST) or None,
        instructions=_text(definition.get("instructions")),
        model=_text(definition.get("model")),
        tools=[tool.name for tool in agent.tools if tool.effect != "read"] if agent is not None else (),
    )


async def replay(ask: Ask) -> str:
    """Begin a replay or a fork. Raises InvalidRequest."""
    run_id = ask.name("run")
    form = await ask.form()
    given = {name: values[-1].replace("\r\n", "\n") for name, values in form.items()}
    config = _changes(given)
    refuse_files(config)
    request = RunRequest(
        agent="",
        input=b"" if not given.get("input", "").strip() else bytes(as_json(given["input"])),
        version=given.get("version", "").strip() or None,
        mode="background",
        config=config,
        replay=Replay(of=run_id, at=_number(given, "at"), live=tuple(form.get("live", ())), results=_results(given)),
    )
    handle = await ask.app.runs.create(request)
    await ask.app.runs.get(handle.run_id)
    return ask.url(f"/runs/{handle.run_id}")


def _changes(given: Mapping[str, str]) -> dict[str, object]:
    """The configuration that is to be different: fields that were left as they stood change nothing."""
    changed: dict[str, object] = {
        name: given[name]
        for name in ("instructions", "model")
        if given.get(name, "").strip() and given[name] != given.get(f"{name}_before", "").replace("\r\n", "\n")
    }
    more = given.get("config", "").strip()
    if not more:
        return changed
    try:
        return {**msgspec.json.decode(more.encode(), type=dict[str, object]), **changed}
    except msgspec.DecodeError as error:
        detail = f'a JSON object, such as {{"settings": {{"temperature": 0}}}}: {error}'
        raise InvalidRequest("The configuration cannot be read.", problems=[("/config", detail)]) from error


def _results(given: Mapping[str, str]) -> dict[int, msgspec.Raw]:
    """A result that is given in place of a recorded one."""
    step = _number(given, "result_step")
    if step is None:
        return {}
    return {step: as_json(given.get("result", ""))}


def _number(given: Mapping[str, str], name: str) -> int | None:
    text = given.get(name, "").strip()
    if not text:
        return None
    found = number(text)
    if found is None:
        detail = f"the number of a step, not {text[:40]!r}"
        raise InvalidRequest(f"{name!r} is {detail}.", problems=[(f"/{name}", detail)])
    return found


async def _agent(ask: Ask, run: RunView) -> AgentView | None:
    try:
        return await ask.app.agents.get(run.agent)
    except NotFound:
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


PAGES = (Page(path="/runs/{run}/replay", view=show_replay, template="replay.html", title="Replay or fork"),)
ACTIONS = (Action(path="/runs/{run}/replay", act=replay),)
