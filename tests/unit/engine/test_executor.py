"""What an agent's run does, seen from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from msgspec.structs import replace

from runwright.core.agent import Limits
from runwright.core.context import Context
from runwright.core.message import AssistantMessage, ToolMessage, text_of
from runwright.core.model import ModelEvent, ModelRequest, ResponseCompleted
from runwright.errors import ConfigError, ProviderUnavailable
from runwright.testing import ScriptedModel, ScriptedTool, Silence, calls
from tests.unit.engine.harness import HeldModel, HeldTool, Number, flowing, looping, started, until, watched
from tests.unit.engine.tale import wants

pytestmark = pytest.mark.anyio


async def test_a_loop_calls_its_tools_and_answers() -> None:
    """A loop asks the model, performs its tool calls, tells it the results and ends with its answer."""
    add = ScriptedTool("add", lambda given: int(str(given["a"])) + int(str(given["b"])))
    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})), "It is 3.")
    async with started(looping(add), model=model) as process:
        view = await process.run("1 + 2?")
        assert (view.status, bytes(view.output)) == ("completed", b'"It is 3."')
        assert await process.types(view.id) == [
            "run.queued",
            "run.started",
            "step.started",
            "message.completed",
            "step.completed",
            "step.started",
            "step.completed",
            "step.started",
            "message.completed",
            "step.completed",
            "run.completed",
        ]
        assert (view.usage.tool_calls, view.usage.requests, view.cost.source) == (1, 2, "free")


async def test_tools_side_by_side_answer_in_the_order_of_the_calls() -> None:
    """Calls of one message run at the same time; the model gets the results in its own order."""
    slow, quick = HeldTool("slow", "slow result"), ScriptedTool("quick", lambda given: "quick result")
    model = ScriptedModel(calls(("slow", {}), ("quick", {})), "ok")
    async with started(looping(slow, quick), model=model) as process:
        handle = await process.create()
        await slow.is_entered.wait()
        await until(lambda: bool(quick.entered))
        slow.go.set()
        await handle.wait()
    told = [entry.message for entry in model.requests[1].messages[-2:]]
    assert [message.content for message in told if isinstance(message, ToolMessage)] == ["slow result", "quick result"]


class CutModel(ScriptedModel):
    """A model whose answer is cut at a limit."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Answer, and say that it was cut."""
        async for event in super().stream(request):
            is_last = isinstance(event, ResponseCompleted)
            yield ResponseCompleted(replace(event.response, finish_reason="length")) if is_last else event


async def test_a_run_says_why_its_answer_ended() -> None:
    """The reason of the model answer that is the output stands in the run, live and stored; a flow's has none."""

    async def asks(context: Context, text: object) -> str:
        return (await context.model(str(text))).message.content or ""

    agents = looping(), flowing(asks, name="flow")
    async with started(*agents, model=CutModel("one two", "one two")) as process:
        view = await process.run()
        stored = await process.runs.get(view.id)
        assert (view.finish_reason, stored.finish_reason) == ("length", "length")
        assert (await process.run(agent="flow")).finish_reason is None


async def test_deltas_come_only_when_a_stream_is_asked_for() -> None:
    """Mode `wait` asks the model for a whole answer; `stream` shows its pieces."""
    for mode, pieces in (("wait", 0), ("stream", 3)):
        model = HeldModel("one two three")
        async with started(looping(), model=model) as process:
            handle = await process.create(mode=mode)
            events = await watched(process, handle.run_id, go=model.go)
            assert sum(event.type == "message.delta" for event in events) == pieces


async def test_an_unknown_tool_and_malformed_arguments_are_told_to_the_model() -> None:
    """A call that cannot be made is no step: the model hears why and goes on."""
    act = ScriptedTool("act", lambda given: None)
    model = ScriptedModel(wants(("a", "{"), ("b", "{}")), calls(("nothing", {})), "sorry")
    async with started(looping(act), model=model) as process:
        view = await process.run()
        assert bytes(view.output) == b'"sorry"'
        types = await process.types(view.id)
        assert types.count("tool.rejected") == 2
    assert len(act.entered) == 1


@pytest.mark.parametrize("ids", [("", ""), ("same", "same"), ("a", "")])
async def test_calls_get_ids_of_their_own(ids: tuple[str, str]) -> None:
    """Servers that leave ids out, or give one twice, do not mix results up."""
    act = ScriptedTool("act", lambda given: given["n"])
    model = ScriptedModel(wants((ids[0], '{"n":1}'), (ids[1], '{"n":2}')), "ok")
    async with started(looping(act), model=model) as process:
        await process.run()
    told = [entry.message for entry in model.requests[1].messages[-2:]]
    found = [(message.tool_call_id, message.content) for message in told if isinstance(message, ToolMessage)]
    assert [content for _, content in found] == ["1", "2"]
    assert len({call for call, _ in found}) == 2


async def test_an_answer_is_checked_against_the_schema() -> None:
    """An answer that does not fit is asked for again; the output is the checked value."""
    async with started(looping(output=Number()), model=ScriptedModel("seven", "7")) as process:
        view = await process.run()
        assert bytes(view.output) == b"7"
        assert "output.rejected" in await process.types(view.id)


async def test_an_answer_that_never_fits_fails_the_run() -> None:
    """After the last retry the run fails with what was wrong."""
    agent = looping(output=Number(), limits=Limits(output_retries=1))
    async with started(agent, model=ScriptedModel("seven", "eight")) as process:
        view = await process.run()
        assert view.error is not None
        assert (view.status, view.error.code, view.error.message) == (
            "failed",
            "output_invalid",
            "'eight' is no number",
        )


async def test_a_failed_model_call_fails_the_run() -> None:
    """The provider's error is the run's error, and its step is recorded as failed."""
    async with started(looping(), model=ScriptedModel(by=lambda _: ProviderUnavailable("down"))) as process:
        view = await process.run()
        assert view.error is not None
        assert (view.error.code, view.error.retryable) == ("provider_unavailable", True)
        assert (await process.types(view.id))[-2:] == ["step.failed", "run.failed"]


async def test_a_model_that_breaks_fails_the_run_and_closes_its_step() -> None:
    """An error that no model should raise is the run's error; the open step ends before the run."""
    async with started(looping(), model=ScriptedModel(RuntimeError("bug"))) as process:
        view = await process.run()
        assert view.error is not None
        assert (view.error.code, view.error.message) == ("agent_error", "RuntimeError: bug")
        assert (await process.types(view.id))[-2:] == ["step.failed", "run.failed"]
        assert [step.status for step in await process.steps(view.id)] == ["failed"]


async def test_a_model_that_says_nothing_is_malformed() -> None:
    """A stream that ends without its last event is an error of the provider."""

    class Mute(ScriptedModel):
        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
            for event in ():
                yield event

    async with started(looping(), model=Mute()) as process:
        view = await process.run()
        assert view.error is not None
        assert view.error.code == "malformed_response"


async def test_a_model_that_is_not_there_fails_the_run() -> None:
    """A reference that resolves to nothing is told as a mistake in the configuration."""
    async with started(looping(model="test:other")) as process:
        view = await process.run()
        assert view.error is not None
        assert view.error.code == ConfigError.code


async def test_the_limit_of_steps_ends_a_run_that_goes_in_circles() -> None:
    """A model that calls tools for ever is stopped."""
    act = ScriptedTool("act", lambda given: None)
    model = ScriptedModel(by=lambda request: calls(("act", {})))
    async with started(looping(act, limits=Limits(steps=6)), model=model) as process:
        view = await process.run()
        assert view.error is not None
        assert view.error.code == "limit_exceeded"
        assert len(await process.steps(view.id)) == 6


async def test_an_error_that_is_no_unicode_can_be_recorded() -> None:
    """Text from outside that cannot be encoded does not stop the writer."""

    async def work(context: Context, given: object) -> object:
        context.progress("at \udc80")
        raise OSError("no such file '\udc80'")

    async with started(flowing(work)) as process:
        view = await process.run()
        assert view.error is not None
        assert (view.status, view.error.message) == ("failed", "OSError: no such file '?'")


@pytest.mark.parametrize(
    ("limits", "code"),
    [(Limits(model_timeout_s=0.02), "provider_timeout"), (Limits(time_s=0.02), "deadline_exceeded")],
)
async def test_a_silent_model_meets_its_deadline(limits: Limits, code: str) -> None:
    """The time of the call, or of the whole run, ends a call that does not answer."""
    async with started(looping(limits=limits), model=ScriptedModel(by=lambda _: Silence(60.0))) as process:
        view = await process.run()
        assert view.error is not None
        assert view.error.code == code


async def test_a_slow_tool_meets_its_deadline_and_the_model_is_told() -> None:
    """The time-out of a read tool is a result like any error."""
    slow = HeldTool("slow")
    model = ScriptedModel(calls(("slow", {})), "gave up")
    async with started(looping(slow, limits=Limits(tool_timeout_s=0.02)), model=model) as process:
        view = await process.run()
        assert bytes(view.output) == b'"gave up"'
    told = model.requests[1].messages[-1].message
    assert isinstance(told, ToolMessage)
    assert "did not answer within 0.02 s" in told.content


async def test_a_flow_meets_the_deadline_of_its_run() -> None:
    """A code flow that takes too long in its own code is stopped."""

    async def work(context: Context, given: object) -> object:
        await asyncio.sleep(60)
        return None

    async with started(flowing(work, limits=Limits(time_s=0.02))) as process:
        view = await process.run()
        assert view.error is not None
        assert view.error.code == "deadline_exceeded"


async def test_a_time_out_of_a_flow_is_its_own_error() -> None:
    """A TimeoutError that the agent's code raises is not taken for the run's deadline."""

    async def work(context: Context, given: object) -> object:
        raise TimeoutError("mine")

    async with started(flowing(work)) as process:
        view = await process.run()
        assert view.error is not None
        assert view.error.message == "TimeoutError: mine"


@pytest.mark.parametrize(
    "error", [SystemExit(2), asyncio.CancelledError("mine"), StopAsyncIteration(), ValueError("x")]
)
async def test_whatever_a_flow_raises_ends_its_own_run_only(error: BaseException) -> None:
    """An agent's code may exit, or cancel itself: its run fails, and others go on."""

    async def work(context: Context, given: object) -> object:
        if given == "bad":
            raise error
        return "fine"

    async with started(flowing(work)) as process:
        views = [await process.run(given) for given in ("bad", "good")]
        assert [view.status for view in views] == ["failed", "completed"]


async def test_an_output_that_is_no_json_fails_the_run() -> None:
    """A flow must give JSON; what cannot be written is told."""

    async def work(context: Context, given: object) -> object:
        return object()

    async with started(flowing(work)) as process:
        view = await process.run()
        assert view.error is not None
        assert "cannot be written as JSON" in view.error.message


async def test_progress_and_events_come_from_any_thread() -> None:
    """A tool's own events stand in the record under its step, also from a thread; after the end they are dropped."""
    kept: list[Context] = []

    class Talking(ScriptedTool):
        async def call(self, arguments: object, context: Context) -> bytes:
            kept.append(context)
            context.progress("begun", fraction=0.0)
            await asyncio.to_thread(context.progress, "half", fraction=0.5)
            await asyncio.to_thread(context.emit, "note", {"a": 1})
            return msgspec.json.encode([context.run_id, context.agent, context.user, dict(context.state)])

    tool = Talking("talk", lambda given: None)
    async with started(looping(tool), model=ScriptedModel(calls(("talk", {})), "ok")) as process:
        view = await process.run(user="ann")
        steps = await process.steps(view.id)
        assert msgspec.json.decode(steps[1].result) == [view.id, "agent", "ann", {"greeting": "hello"}]
        told = [(event.type, event.step) for event in await process.story(view.id) if "." in event.type]
        assert [(type, step) for type, step in told if type in {"progress.reported", "custom.emitted"}] == [
            ("progress.reported", steps[1].seq),
            ("progress.reported", steps[1].seq),
            ("custom.emitted", steps[1].seq),
        ]
        before = await process.types(view.id)
        kept[0].progress("late")
        await asyncio.to_thread(kept[0].emit, "late", 1)
        assert await process.types(view.id) == before


async def test_a_tool_cannot_perform_steps() -> None:
    """A step inside a tool would be lost after a crash, so it is refused, and the model is told."""

    class Nested(ScriptedTool):
        async def call(self, arguments: object, context: Context) -> bytes:
            if arguments == {"kind": "model"}:
                await context.model("hi")
            await context.tool("nested")
            return b"null"

    nested = Nested("nested", lambda given: None)
    model = ScriptedModel(calls(("nested", {"kind": "model"}), ("nested", {"kind": "tool"})), "ok")
    async with started(looping(nested), model=model) as process:
        view = await process.run()
        assert view.status == "completed"
        assert [step.status for step in await process.steps(view.id)][1:3] == ["failed", "failed"]


async def test_an_answer_beside_calls_is_kept() -> None:
    """Text that comes with tool calls stays in the conversation."""
    act = ScriptedTool("act", lambda given: None)
    first = AssistantMessage(content="Let me see.", tool_calls=wants(("a", "{}")).tool_calls)
    model = ScriptedModel(first, "ok")
    async with started(looping(act), model=model) as process:
        await process.run()
    assert model.requests[1].messages[1].message == first


async def test_who_starts_a_stream_gets_every_piece_however_quick_the_model() -> None:
    """A run that is over before its caller looks still gives the caller its deltas; others get the message."""
    async with started(looping(), model=ScriptedModel("one two three")) as process:
        handle = await process.create(mode="stream")
        await process.settled(handle.run_id, "completed")
        own = [event.type async for group in handle.events() for event in group]
        late = [event.type for event in await watched(process, handle.run_id)]
        assert own.count("message.delta") > 1
        assert late.count("message.delta") == 0
        assert [type for type in own if type != "message.delta"] == late


async def test_a_code_flow_leaves_the_conversation_of_its_thread() -> None:
    """What a flow does in a thread is not its conversation: the next loop sees what the loop before it left."""
    model = ScriptedModel("Hello Ada.", "You are Ada.")

    async def work(context: Context, given: object) -> str:
        return "done"

    async with started(looping(name="chat"), flowing(work, name="flow"), model=model) as process:
        await process.run("I am Ada.", agent="chat", thread_id="talk")
        await process.run("x", agent="flow", thread_id="talk")
        await process.run("Who am I?", agent="chat", thread_id="talk")
    assert [text_of(entry.message) for entry in model.requests[1].messages] == ["I am Ada.", "Hello Ada.", "Who am I?"]
