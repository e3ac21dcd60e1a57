"""Steps that the guard sends again, as they are recorded."""

from __future__ import annotations

from typing import Any

from runwright.core.event import GuardDecided, StepRestarted
from runwright.errors import NotSent, ProviderUnavailable
from runwright.guard import (
    Backoff,
    Fallback,
    Guard,
    Guards,
    GuardSettings,
    Hedge,
    Registry,
    Retry,
    Surroundings,
    Timeout,
)
from runwright.testing import ScriptedModel, ScriptedTool, Silence, calls
from tests.unit.engine.harness import Process, looping, started


def guards_of(guard: Guard) -> Guards:
    """What makes calls under these policies."""
    return Guards(Surroundings(registry=Registry()), GuardSettings(app=guard))


async def told(process: Process, run_id: str) -> list[str]:
    """What was decided and begun again in a run, in order."""
    found: list[str] = []
    for event in await process.story(run_id):
        data: Any = event.data
        if isinstance(data, GuardDecided):
            found.append(f"{data.layer} {data.action} {data.attempt}")
        if isinstance(data, StepRestarted):
            found.append(f"{data.cause} {data.attempt}")
    return found


async def test_a_model_call_is_sent_again() -> None:
    """The record tells each decision when it is made, and each new attempt when it begins."""
    down = ProviderUnavailable("down")
    async with started(looping(), model=ScriptedModel(down, down, "hello")) as process:
        view = await process.run()
        assert bytes(view.output) == b'"hello"'
        assert await told(process, view.id) == ["retry resend 2", "retry 2", "retry resend 3", "retry 3"]


async def test_a_once_tool_is_entered_again_when_nothing_was_sent() -> None:
    """NotSent lets even a `once` tool be called again."""
    failures = [NotSent("no line")]

    def work(_: object) -> str:
        if failures:
            raise failures.pop()
        return "paid"

    tool = ScriptedTool("pay", work, effect="once")
    async with started(looping(tool), model=ScriptedModel(calls(("pay", {})), "done")) as process:
        view = await process.run()
        assert (view.status, len(tool.entered)) == ("completed", 2)
        assert await told(process, view.id) == ["retry resend 2", "retry 2"]


async def test_another_model_is_asked() -> None:
    """The switch has its own cause, a resend to the second model another; the answer is priced as the second's."""
    first = ScriptedModel(by=lambda _: ProviderUnavailable("down"), ref="test:first")
    second = ScriptedModel(ProviderUnavailable("busy"), "hello", ref="test:second")
    retry = Retry(attempts=2, backoff=Backoff(base_s=0.001))
    guards = guards_of(Guard(retry=retry, fallback=Fallback(models=("test:second",))))
    async with started(looping(), model=first, others=(second,), guards=guards) as process:
        view = await process.run()
        assert bytes(view.output) == b'"hello"'
        assert await told(process, view.id) == [
            *("retry resend 2", "retry 2", "retry gave_up 2"),
            *("fallback switched 1", "fallback 3", "retry resend 2", "retry 4"),
        ]
        assert second.requests[0].model == "test:second"


async def test_a_doubled_call_begins_no_new_attempt() -> None:
    """The second call of two at once voids nothing; a resend of the step does."""
    guards = guards_of(Guard(retry=Retry(backoff=Backoff(base_s=0.001)), hedge=Hedge(after_s=0.01, extra=1)))
    model = ScriptedModel("first")
    async with started(looping(), model=model, guards=guards) as process:
        await process.run()
        model.then(Silence(0.05), ProviderUnavailable("busy"), ProviderUnavailable("down"), "hello")
        view = await process.run()
        assert view.status == "completed"
        assert await told(process, view.id) == ["hedge doubled 1", "retry resend 2", "retry 2"]


async def test_a_model_is_told_how_long_connecting_may_take() -> None:
    """The policy's bound goes to the client of the model."""
    model = ScriptedModel("hello", "hello")
    for timeout, expected in ((True, 10.0), (Timeout(connect_s=3), 3.0)):
        async with started(looping(), model=model, guards=guards_of(Guard(timeout=timeout))) as process:
            await process.run()
            assert model.requests[-1].connect_s == expected
