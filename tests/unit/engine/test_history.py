"""Runs whose conversation is longer than their models are sent: cut, summed up, resumed, replayed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from runwright.core.agent import BuiltAgent, Limits
from runwright.core.clock import SystemClock
from runwright.core.event import HistoryCut, RunStarted
from runwright.core.history import SUM_UP, History, Summary
from runwright.core.message import AssistantMessage, SystemMessage, ToolMessage, UserMessage, text_of
from runwright.core.model import ModelRequest
from runwright.engine.owner import Owner
from runwright.errors import ProviderRejected
from runwright.service.threads import RecapView, Threads
from runwright.store import Stores
from runwright.testing import ScriptedModel, ScriptedTool, calls
from tests.unit.engine.harness import HeldModel, Process, looping, started, until
from tests.unit.engine.test_replay import digests, replayed

pytestmark = pytest.mark.anyio

SUMMED = History(messages=4, summary=Summary(model="test:small"))


def _said(request: ModelRequest) -> list[str]:
    return [text_of(entry.message) for entry in request.messages]


def _small() -> ScriptedModel:
    """A model that sums up: it counts how often."""
    model: ScriptedModel = ScriptedModel(by=lambda _: f"summary {len(model.requests)}", ref="test:small")
    return model


def _echo() -> ScriptedModel:
    return ScriptedModel(by=lambda request: f"to {_said(request)[-1]}")


def _agent(history: History, *tools: ScriptedTool, **changes: Any) -> BuiltAgent:
    return looping(*tools, history=history, instructions="Be kind.", **changes)


async def _talk(process: Process, *lines: str) -> list[str]:
    """The runs of a thread, one for each line."""
    runs = [await process.run(line, thread_id="thr_1") for line in lines]
    assert {run.status for run in runs} == {"completed"}, runs[-1].error
    return [run.id for run in runs]


async def _cuts(process: Process, run: str) -> list[HistoryCut]:
    return [event.data for event in await process.story(run) if isinstance(event.data, HistoryCut)]


async def test_a_thread_goes_on_from_its_summary() -> None:
    """What was summed up in one run is not summed up again in the next: that sees the summary and what came since."""
    model, small = _echo(), _small()
    async with started(_agent(SUMMED), model=model, others=(small,)) as process:
        runs = await _talk(process, "a", "b", "c", "d", "e")
        assert [len(request.messages) for request in model.requests] == [2, 4, 5, 7, 5]
        asked = [_said(request) for request in small.requests]
        assert [line[0] for line in asked] == [SUM_UP, SUM_UP]
        assert asked[0][1] == "What was said:\nUser: a\nAssistant: to a"
        assert asked[1][1] == (
            "The summary so far:\nsummary 1\n\nWhat was said since:\nUser: b\nAssistant: to b\nUser: c\nAssistant: to c"
        )
        told = _said(model.requests[-1])
        assert (told[0], told[2:]) == ("Be kind.", ["d", "to d", "e"])
        assert "\nsummary 2\n" in told[1]
        views = await Threads(process.stores.threads, process.runs, SystemClock()).messages("thr_1")
        assert len(views.data) == 5
        step = next(step.seq for step in await process.steps(runs[-1]) if step.name == "test:small")
        assert views.recap == RecapView(left_out=6, summary=told[1], run_id=runs[-1], step=step)


async def test_a_later_run_knows_what_was_left_out() -> None:
    """The start of a run says which summary it goes on from, and other agents of the thread are shown it too."""
    model, small = _echo(), _small()
    other = looping(name="other")
    async with started(_agent(SUMMED), other, model=model, others=(small,)) as process:
        runs = await _talk(process, "a", "b", "c")
        view = await process.run("d", agent="other", thread_id="thr_1")
        begun = next(event.data for event in await process.story(view.id) if isinstance(event.data, RunStarted))
        assert begun.recap is not None
        assert (begun.recap.run, begun.recap.messages, begun.recap.at) == (runs[-1], 2, 0)
        assert "summary 1" in _said(model.requests[-1])[0]
        await _talk(process, "e")
        assert _said(small.requests[-1])[-1] == (
            "The summary so far:\nsummary 1\n\nWhat was said since:\nUser: b\nAssistant: to b\nUser: c\nAssistant: to c"
        )


async def test_many_results_in_one_run_are_limited() -> None:
    """A run that calls tools many times sends its question, its newest results, and no more than it may."""
    model = ScriptedModel(*[calls(("look", {"n": n})) for n in range(20)], "done")
    look = ScriptedTool("look", lambda given: f"seen {given['n']}")
    async with started(_agent(History(messages=6), look), model=model) as process:
        view = await process.run("count")
        assert view.status == "completed"
        assert max(len(request.messages) for request in model.requests) == 8
        for request in model.requests:
            _fits_together(request)
        assert [text for text in _said(model.requests[-1]) if text][:2] == ["Be kind.", "count"]
        assert sum(cut.left_out[0][1] - cut.left_out[0][0] for cut in await _cuts(process, view.id)) > 20
        again = await replayed(process, view.id)
        assert (again.status, await digests(process, again.id)) == ("completed", await digests(process, view.id))


def _fits_together(request: ModelRequest) -> None:
    messages = [entry.message for entry in request.messages]
    assert messages[:2] == [SystemMessage(content="Be kind."), UserMessage(content="count")]
    for before, message in pairwise(messages):
        if isinstance(message, ToolMessage):
            assert isinstance(before, AssistantMessage)
            assert before.tool_calls[0].id == message.tool_call_id


async def test_a_summary_is_replayed() -> None:
    """A strict replay is answered its summary from the tape, and ends with the same steps."""
    model, small = _echo(), _small()
    async with started(_agent(SUMMED), model=model, others=(small,)) as process:
        runs = await _talk(process, "a", "b", "c", "d", "e")
        asked = len(model.requests), len(small.requests)
        for run in runs:
            again = await replayed(process, run)
            assert again.status == "completed", again.error
            assert await digests(process, again.id) == await digests(process, run)
            assert await _cuts(process, again.id) or not await _cuts(process, run)
        assert (len(model.requests), len(small.requests)) == asked


async def test_a_fork_takes_the_summary_over() -> None:
    """A fork behind the summary asks the model anew, with what the recorded run had summed up."""
    model, small = _echo(), _small()
    async with started(_agent(SUMMED), model=model, others=(small,)) as process:
        runs = await _talk(process, "a", "b", "c")
        step = next(step.seq for step in await process.steps(runs[-1]) if step.name == "test:scripted")
        again = await replayed(process, runs[-1], at=step, live=("model",))
        assert again.status == "completed", again.error
        assert len(small.requests) == 1
        assert _said(model.requests[-1]) == _said(model.requests[-2])


async def test_a_failed_summary_drops_what_is_left_out() -> None:
    """Where the model that sums up fails, the run goes on without, and says so."""
    small = ScriptedModel(by=lambda _: ProviderRejected("no"), ref="test:small")
    async with started(_agent(SUMMED), model=_echo(), others=(small,)) as process:
        runs = await _talk(process, "a", "b", "c")
        (cut,) = await _cuts(process, runs[-1])
        assert (cut.reason, bytes(cut.summary), cut.recap.messages, cut.recap.at) == ("no", b"null", 2, None)
        views = await Threads(process.stores.threads, process.runs, SystemClock()).messages("thr_1")
        assert views.recap == RecapView(left_out=2)
        again = await replayed(process, runs[-1])
        assert again.status == "completed", again.error


@pytest.mark.parametrize("answer", [" ", calls(("look", {}))], ids=["blank", "calls"])
async def test_no_words_are_no_summary(answer: str | AssistantMessage) -> None:
    """A model that says nothing has not summed up."""
    small = ScriptedModel(answer, ref="test:small")
    async with started(_agent(SUMMED), model=_echo(), others=(small,)) as process:
        runs = await _talk(process, "a", "b", "c")
        (cut,) = await _cuts(process, runs[-1])
        assert cut.reason == "The model said nothing."


async def test_a_run_may_fail_with_its_summary() -> None:
    """Where nothing may be dropped, a failed summary fails the run."""
    small = ScriptedModel(by=lambda _: ProviderRejected("no"), ref="test:small")
    history = History(messages=4, summary=Summary(model="test:small", on_failure="fail"))
    async with started(_agent(history), model=_echo(), others=(small,)) as process:
        await _talk(process, "a", "b")
        view = await process.run("c", thread_id="thr_1")
        assert view.error is not None
        assert (view.status, view.error.code, view.error.message) == ("failed", ProviderRejected.code, "no")


async def test_a_summary_counts_as_a_step() -> None:
    """Summaries are within the limits of a run: of steps, and of what they use."""
    agent = _agent(SUMMED, limits=Limits(steps=1))
    async with started(agent, model=_echo(), others=(_small(),)) as process:
        await _talk(process, "a", "b")
        view = await process.run("c", thread_id="thr_1")
        assert view.error is not None
        assert (view.status, view.error.code) == ("failed", "limit_exceeded")


async def test_a_killed_summary_is_asked_for_again(stores: Stores) -> None:
    """A run that died while it was summed up goes on there, and one that died behind it sums up nothing again."""
    small = HeldModel("unheard", "summary", ref="test:small")
    agent, owner = _agent(SUMMED), Owner(None)
    async with started(agent, model=_echo(), others=(small,), stores=stores, owner=owner) as process:
        await _talk(process, "a", "b")
        handle = await process.create("c", thread_id="thr_1", mode="background")
        await small.is_entered.wait()
        await until(lambda: process.journal.depth == 0)
        await process.crash()
    small.go.set()
    model = _echo()
    async with started(agent, model=model, others=(small,), stores=stores) as process:
        view = await process.settled(handle.run_id, "completed")
        steps: Sequence[tuple[str, int]] = [(step.name, step.attempt) for step in await process.steps(view.id)]
        assert steps == [("test:small", 2), ("test:scripted", 1)]
        assert len(model.requests) == 1
        again = await replayed(process, view.id)
        assert again.status == "completed", again.error
