"""Answers of models and tools that are given again, and what names the question."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.context import Context
from runwright.core.event import GuardDecided
from runwright.core.message import (
    AssistantMessage,
    FunctionCall,
    Message,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
    chain_digest,
    said,
)
from runwright.core.model import ModelRequest, ModelSettings, OutputSpec
from runwright.core.policy import Cache, Guard
from runwright.core.run import Run
from runwright.core.step import StepKey
from runwright.core.usage import NO_USAGE
from runwright.engine.answers import asked, is_sampled, model_question, tool_question
from runwright.engine.decide import model_key
from runwright.guard import Answers, Guards, GuardSettings, Registry, Surroundings
from runwright.testing import ScriptedModel, ScriptedTool, calls
from tests.unit.engine.harness import HeldModel, Process, flowing, looping, started, until, watched

pytestmark = pytest.mark.anyio

FIXED = ModelSettings(temperature=0)
KEPT = Guard(cache=Cache())


def caching(*, app: Guard | None = None, tools: Mapping[str, Guard] | None = None) -> Guards:
    """A guard with a cache of its own."""
    around = Surroundings(registry=Registry(), answers=Answers())
    return Guards(around, GuardSettings(app=app, tools=tools or {}))


async def decisions(process: Process, run_id: str) -> list[GuardDecided]:
    """What the guard decided in a run."""
    return [event.data for event in await process.story(run_id) if isinstance(event.data, GuardDecided)]


async def test_an_equal_question_of_another_run() -> None:
    """The second run gets the answer without asking: its step used and cost nothing, and tells what was saved."""
    model = ScriptedModel("four")
    async with started(looping(settings=FIXED), model=model, guards=caching(app=KEPT)) as process:
        first, second = await process.run("2 + 2?"), await process.run("2 + 2?")
        assert (bytes(first.output), bytes(second.output)) == (b'"four"', b'"four"')
        assert len(model.requests) == 1
        assert first.usage.total_tokens > 0
        assert (second.usage, second.cost.usd) == (NO_USAGE, "0")
        assert await decisions(process, first.id) == []
        (told,) = await decisions(process, second.id)
        assert (told.layer, told.action, told.figures["saved_tokens"]) == ("cache", "hit", first.usage.total_tokens)


async def test_a_sampled_answer_is_not_shared() -> None:
    """Without temperature 0 each run asks, unless the policy says otherwise."""
    model = ScriptedModel("one", "two")
    async with started(looping(), model=model, guards=caching(app=KEPT)) as process:
        assert [bytes((await process.run()).output) for _ in range(2)] == [b'"one"', b'"two"']
    model = ScriptedModel("one")
    guards = caching(app=Guard(cache=Cache(sampled=True)))
    async with started(looping(), model=model, guards=guards) as process:
        assert [bytes((await process.run()).output) for _ in range(2)] == [b'"one"', b'"one"']


async def test_equal_questions_at_once() -> None:
    """Runs that ask the same at the same time ask once; those that joined say so and used nothing."""
    model = HeldModel("four")
    async with started(looping(settings=FIXED), model=model, guards=caching(app=KEPT)) as process:
        handles = [await process.create("2 + 2?") for _ in range(20)]
        await model.is_entered.wait()
        model.go.set()
        views = [await handle.wait() for handle in handles]
        assert {bytes(view.output) for view in views} == {b'"four"'}
        assert len(model.requests) == 1
        assert sum(view.usage.requests for view in views) == 1
        told = [told.action for view in views for told in await decisions(process, view.id)]
        assert told == ["joined"] * 19


async def test_a_run_that_asked_first_is_cancelled() -> None:
    """The call goes on for those who joined, also when it is sent again after the first run has ended."""
    model = HeldModel("four")
    async with started(looping(settings=FIXED), model=model, guards=caching(app=KEPT)) as process:
        first = await process.create("2 + 2?", mode="background")
        await model.is_entered.wait()
        others = [await process.create("2 + 2?") for _ in range(5)]
        await asyncio.sleep(0)
        await process.runs.cancel(first.run_id)
        model.go.set()
        ended = [await other.wait() for other in others]
        assert {bytes(run.output) for run in ended} == {b'"four"'}
        assert len(model.requests) == 1
        # What the call used stands in one run, and the run that was cancelled has seen none of it.
        assert sorted(run.usage.total_tokens > 0 for run in ended) == [False] * 4 + [True]
        cancelled = await process.settled(first.run_id, "cancelled")
        assert (cancelled.status, cancelled.usage) == ("cancelled", NO_USAGE)


async def test_a_stream_gets_a_kept_answer_whole() -> None:
    """A kept answer comes to a stream as one message, without pieces."""
    model = HeldModel("one two three")
    async with started(looping(settings=FIXED), model=model, guards=caching(app=KEPT)) as process:
        pieces: list[int] = []
        for _ in range(2):
            handle = await process.create(mode="stream")
            events = await watched(process, handle.run_id, go=model.go)
            pieces.append(sum(event.type == "message.delta" for event in events))
            assert bytes((await process.runs.get(handle.run_id)).output) == b'"one two three"'
        assert pieces == [3, 0]


@pytest.mark.parametrize(
    ("effect", "guards", "times"),
    [
        ("read", caching(tools={"look": KEPT}), 1),
        ("read", caching(app=KEPT), 3),
        ("idempotent", caching(tools={"look": KEPT}), 3),
        ("once", caching(tools={"look": KEPT}), 3),
    ],
    ids=["read_by_choice", "read_by_app", "idempotent", "once"],
)
async def test_results_of_tools(effect: Any, guards: Guards, times: int) -> None:
    """Only what reads is kept, where the tool itself or its agent says so; other arguments are another question."""
    look = ScriptedTool("look", lambda given: given["at"], effect=effect)
    seen: list[list[object]] = []

    async def work(context: Context, given: Any) -> object:
        found = [await context.tool("look", at=at) for at in (1, 1, 2)]
        seen.append(found)
        return found

    async with started(flowing(work, look), guards=guards) as process:
        await process.run()
        assert len(look.entered) == (2 if times == 1 else 3)
        await process.run()
        assert len(look.entered) == (2 if times == 1 else 6)
    assert seen == [[1, 1, 2]] * 2


async def test_users_do_not_share_results_of_tools() -> None:
    """A tool sees who asks, so what it gave to one user is not given to another."""
    mine = ScriptedTool("mine", lambda given: len(mine.entered))

    async def work(context: Context, given: Any) -> object:
        return await context.tool("mine")

    async with started(flowing(work, mine), guards=caching(tools={"mine": KEPT})) as process:
        got = [bytes((await process.run(user=user)).output) for user in ("ada", "bob", "ada", None)]
    assert got == [b"1", b"2", b"1", b"3"]


async def test_a_restart_of_a_call_whose_run_is_gone() -> None:
    """What is recorded of a shared call is recorded where its step is open; elsewhere it goes on silently."""
    add = ScriptedTool("add", lambda given: 3, delay_s=0.01)
    model = ScriptedModel(calls(("add", {})), "three", calls(("add", {})), "three")
    async with started(looping(add), model=model, guards=caching(tools={"add": KEPT})) as process:
        first, second = await process.create(mode="background"), await process.create(mode="background")
        await until(lambda: bool(add.entered))
        await process.runs.cancel(first.run_id)
        assert (await process.settled(second.run_id, "completed")).status == "completed"


RUN = Run(id="run_1", agent="a", version="1.0.0", fingerprint="f", status="running", created_at=datetime.now(UTC))
ASKED = ModelRequest(
    model="openai:gpt-5-mini",
    messages=(said(SystemMessage(content="Be brief.")), said(UserMessage(content="2 + 2?"))),
    tools_raw=b"[]",
    output=OutputSpec(name="sum", schema={"type": "integer"}),
    settings=FIXED,
)


def question(request: ModelRequest = ASKED, **of_run: Any) -> bytes:
    """What names a model call."""
    key = model_key(request, chain_digest(request.messages))
    return model_question(msgspec.structs.replace(RUN, **of_run), request, StepKey("", "model", key, 0))


SETTINGS: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.5,
    "max_tokens": 5,
    "seed": 1,
    "stop": ("x",),
    "frequency_penalty": 0.1,
    "presence_penalty": 0.1,
    "parallel_tool_calls": False,
    "reasoning_effort": "low",
    "extra": {"n": 1},
}


def test_what_can_change_an_answer() -> None:
    """Each part of a request that reaches the provider makes it another question."""
    system, user = ASKED.messages
    other_settings = [msgspec.structs.replace(FIXED, **{name: value}) for name, value in SETTINGS.items()]
    changes: list[dict[str, Any]] = [
        {},
        {"model": "openai:gpt-5"},
        {"messages": (said(SystemMessage(content="Be long.")), user)},
        {"messages": (user,)},
        {"messages": (system, said(UserMessage(content="2 + 3?")))},
        {"messages": (user, system)},
        {"tools_raw": b"[{}]"},
        {"tool_choice": "none"},
        {"output": None},
        {"output": OutputSpec(name="sum", schema={"type": "number"})},
        {"output": OutputSpec(name="total", schema={"type": "integer"})},
        *({"settings": settings} for settings in other_settings),
    ]
    assert len({question(msgspec.structs.replace(ASKED, **each)) for each in changes}) == len(changes)


def test_every_field_of_a_turncounts() -> None:
    """A field that a request or its settings gets one day has to be thought of here."""
    own = {"model", "messages", "tools", "tools_raw", "tool_choice", "output", "settings", "is_streamed", "connect_s"}
    assert {field.name for field in msgspec.structs.fields(ModelRequest)} == own
    assert {field.name for field in msgspec.structs.fields(ModelSettings)} == set(SETTINGS)


def test_whose_question_it_is() -> None:
    """Agents and their versions do not share answers; runs, users and streams do."""
    assert question(agent="b") != question()
    assert question(version="1.0.1") != question()
    assert question(id="run_2", user="ada") == question()
    assert question(msgspec.structs.replace(ASKED, is_streamed=True, connect_s=1.0)) == question()


def test_what_names_a_tool_call() -> None:
    """Tool, fingerprint, arguments, agent, version and user belong to the question of a tool call."""
    tool, other = ScriptedTool("t", len), ScriptedTool("u", len)
    match = StepKey("", "tool", "abc", 0)
    asked = tool_question(RUN, tool, match)
    assert tool_question(msgspec.structs.replace(RUN, id="run_2"), tool, StepKey("lane", "tool", "abc", 3)) == asked
    different = [
        tool_question(RUN, other, match),
        tool_question(RUN, tool, StepKey("", "tool", "abd", 0)),
        *(
            tool_question(msgspec.structs.replace(RUN, **of), tool, match)
            for of in ({"agent": "b"}, {"version": "2.0.0"}, {"user": "ada"})
        ),
    ]
    assert len({asked, *different}) == 6


@given(st.lists(st.text(), min_size=4, max_size=4), st.lists(st.text(), min_size=4, max_size=4))
def test_names_do_not_run_together(one: list[str], other: list[str]) -> None:
    """Different parts never make the same question, however they are written."""

    def asked(parts: list[str]) -> bytes:
        tool = ScriptedTool("t", len)
        tool.fingerprint = parts[0]
        run = msgspec.structs.replace(RUN, agent=parts[1], version=parts[2], user=parts[3] or None)
        return tool_question(run, tool, StepKey("", "tool", "k", 0))

    assert (asked(one) == asked(other)) == (one == other)


@pytest.mark.parametrize(
    ("settings", "sampled"),
    [
        (ModelSettings(), True),
        (ModelSettings(temperature=0.7), True),
        (ModelSettings(temperature=0), False),
        (ModelSettings(temperature=0, extra={"temperature": 1}), True),
        (ModelSettings(extra={"temperature": 0}), False),
    ],
    ids=["unset", "warm", "zero", "warm_in_extra", "zero_in_extra"],
)
def test_sampled(settings: ModelSettings, sampled: bool) -> None:
    """Only temperature 0 makes answers that may be shared, wherever it is said."""
    assert is_sampled(msgspec.structs.replace(ASKED, settings=settings)) is sampled


CALLED = ToolCall(id="c", function=FunctionCall(name="f", arguments="{}"))
SAYS = (SystemMessage(content="Be brief."), UserMessage(content="Of Italy?"), AssistantMessage(content="Rome."))


def asks(text: str = "Of Spain?", before: Sequence[Message] = SAYS, **changes: Any) -> ModelRequest:
    """A turn of a conversation."""
    messages = tuple(said(each) for each in (*before, UserMessage(content=text)))
    return msgspec.structs.replace(ModelRequest(model="test:a", messages=messages, settings=FIXED), **changes)


@pytest.mark.parametrize(
    ("turn", "of", "has_setting"),
    [
        (asks(model="test:b"), {}, False),
        (asks(settings=ModelSettings(temperature=0, seed=1)), {}, False),
        (asks(output=OutputSpec(name="city", schema={})), {}, False),
        (asks(before=(SystemMessage(content="Be long."), *SAYS[1:])), {}, False),
        (asks(), {"agent": "other"}, False),
        (asks(), {"version": "2.0.0"}, False),
        (asks(before=SAYS[:1]), {}, True),
        (asks(), {"user": "anna"}, True),
    ],
    ids=["model", "settings", "output", "instructions", "agent", "version", "history", "user"],
)
def test_only_the_last_message_is_compared(turn: ModelRequest, of: dict[str, Any], has_setting: bool) -> None:
    """Whatever else is different makes another scope; history and user share the evidence of their setting."""
    run = Run(id="r", agent="a", version="1.0.0", fingerprint="f", status="running", created_at=datetime.now(UTC))
    plain = asked(run, asks("Of France?"), 3)
    same = asked(msgspec.structs.replace(run, id="r2"), asks(), 5)
    other = asked(msgspec.structs.replace(run, **of), turn, 3)
    assert plain is not None
    assert same is not None
    assert other is not None
    assert (plain.scope, plain.asker, plain.text) == (same.scope, same.asker, "Of France?")
    assert other.scope != plain.scope
    assert (other.asker == plain.asker) is has_setting


@pytest.mark.parametrize(
    "turn",
    [
        asks(tools_raw=b"[]"),
        asks(before=(*SAYS, ToolMessage(tool_call_id="c", content="5"))),
        asks(
            before=(AssistantMessage(tool_calls=(ToolCall(id="c", function=FunctionCall(name="f", arguments="{}")),)),)
        ),
        ModelRequest(model="test:a", messages=(said(UserMessage(content=(TextPart(text="hi"),))),)),
        ModelRequest(model="test:a", messages=(said(SystemMessage(content="hi")),)),
    ],
    ids=["tools_offered", "tool_result", "tool_call", "parts", "no_question"],
)
def test_turns_that_are_never_compared(turn: ModelRequest) -> None:
    """Turns with tools, parts other than plain text, and turns that end in no question say nothing to compare."""
    run = Run(id="r", agent="a", version="1.0.0", fingerprint="f", status="running", created_at=datetime.now(UTC))
    assert asked(run, turn, 3) is None
