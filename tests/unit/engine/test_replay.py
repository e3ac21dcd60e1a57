"""Replays: strict ones repeat a run byte for byte, and what differs is told where it differs first."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from runwright.core.agent import BuiltAgent, Limits
from runwright.core.context import Context
from runwright.core.event import ReplayDiverged, StepCompleted
from runwright.core.message import text_of
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.errors import Conflict, InvalidRequest, RateLimited, ToolFailed
from runwright.journal.tape import read_tape
from runwright.service.views import RunView
from runwright.store import open_stores
from runwright.testing import ScriptedModel, ScriptedTool, calls
from tests.unit.engine.harness import HeldTool, Process, flowing, looping, started, until

pytestmark = pytest.mark.anyio


async def replayed(process: Process, of: str, *, config: dict[str, object] | None = None, **how: Any) -> RunView:
    """A replay that is over or waits."""
    request = RunRequest(agent="", input=b"", config=config or {}, replay=Replay(of=of, **how))
    return await (await process.runs.create(request)).wait()


async def digests(process: Process, run: str) -> list[str]:
    """The hashes of the steps of a run."""
    return [step.digest for step in read_tape(await process.story(run))]


async def divergence(process: Process, run: str) -> ReplayDiverged:
    """The one divergence that a run recorded."""
    (found,) = [event.data for event in await process.story(run) if isinstance(event.data, ReplayDiverged)]
    return found


class Talk:
    """A model that calls two tools at once, then one with an effect, then answers; each result is another one."""

    def __init__(self) -> None:
        self._count = count()
        self.model = ScriptedModel(
            calls(("look", {"city": "Rome"}), ("look", {"city": "Oslo"})),
            calls(("charge", {"amount": 7})),
            "It is sunny.",
        )
        self.look = ScriptedTool("look", lambda given: f"{given['city']}: {next(self._count)}")
        self.charge = ScriptedTool("charge", lambda _: "charged", effect="once")

    def agent(self, **changes: Any) -> BuiltAgent:
        """The agent."""
        return looping(self.look, self.charge, **changes)

    @property
    def deeds(self) -> tuple[int, int, int]:
        """How often the model, the one tool and the other were called."""
        return len(self.model.requests), len(self.look.entered), len(self.charge.entered)


async def test_a_loop_is_repeated() -> None:
    """A strict replay gives the same steps and output, and neither model nor tools hear of it."""
    talk = Talk()
    async with started(talk.agent(), model=talk.model) as process:
        first = await process.run()
        deeds = talk.deeds
        again = await replayed(process, first.id)
        assert (again.status, bytes(again.output)) == ("completed", bytes(first.output)), again.error
        assert talk.deeds == deeds == (3, 2, 1)
        assert await digests(process, again.id) == await digests(process, first.id)
        assert again.replay_of == first.id
        assert (again.usage.total_tokens, first.usage.total_tokens > 0) == (0, True)


async def test_an_edit_diverges_where_it_shows_first() -> None:
    """A replay of an edited agent stops at the first step that is asked differently, and says what differs."""
    talk = Talk()
    async with started(talk.agent(), model=talk.model) as process:
        first = await process.run()
        process.agents.agents["agent"] = talk.agent(instructions="Be brief.")
        again = await replayed(process, first.id)
        assert again.status == "failed"
        assert again.error is not None
        assert again.error.code == "diverged"
        steps = await process.steps(first.id)
        found = await divergence(process, again.id)
        assert found.taped == steps[0].seq
        assert "+  Be brief." in found.difference.splitlines()
        assert talk.deeds == (3, 2, 1)


async def test_an_edited_tool_result() -> None:
    """With another result of a tool, the first request that shows it diverges; with a live model it goes on."""
    talk = Talk()
    async with started(talk.agent(), model=talk.model) as process:
        first = await process.run()
        steps = await process.steps(first.id)
        edits = {steps[1].seq: msgspec.Raw(b'"hail"')}
        strict = await replayed(process, first.id, results=edits)
        assert (await divergence(process, strict.id)).taped == steps[3].seq
        talk.model.then(
            calls(("look", {"city": "Rome"}), ("look", {"city": "Oslo"})), calls(("charge", {"amount": 9})), "Hail."
        )
        live = await replayed(process, first.id, results={**edits, steps[4].seq: msgspec.Raw(b'"no"')}, live=("model",))
        assert bytes(live.output) == b'"Hail."', live.error
        assert [text_of(entry.message) for entry in talk.model.requests[-1].messages][-1] == "no"
        assert talk.charge.entered == [{"amount": 7}]


async def test_a_code_flow_is_repeated() -> None:
    """A code flow is executed again with every answer, branch and error as recorded."""
    look = ScriptedTool("look", lambda given: f"{given['city']}: {next(numbers)}")
    numbers = count()
    broken = ScriptedTool("broken", lambda _: 1 / 0)

    async def flow(context: Context, input: object) -> object:
        async def one(city: str) -> object:
            return await context.lane(city).tool("look", city=city)

        found: list[object] = list(await asyncio.gather(one("Rome"), one("Oslo")))
        try:
            await context.tool("broken")
        except ToolFailed as error:
            found.append(str(error))
        answer = await context.model(f"Say {input}: {found}")
        return {"found": found, "answer": answer.message.content}

    model = ScriptedModel("said")
    async with started(flowing(flow, look, broken), model=model) as process:
        first = await process.run()
        assert first.status == "completed", first.error
        again = await replayed(process, first.id)
        assert bytes(again.output) == bytes(first.output), again.error
        assert sorted(await digests(process, again.id)) == sorted(await digests(process, first.id))
        assert (len(model.requests), len(look.entered), len(broken.entered)) == (1, 2, 1)


async def test_a_flow_that_asks_for_less_diverges() -> None:
    """A replay that ends without asking for a recorded step has diverged too."""
    tools = [ScriptedTool("a", lambda _: 1), ScriptedTool("b", lambda _: 2)]
    names = ["a", "b"]

    async def flow(context: Context, _: object) -> object:
        return [await context.tool(name) for name in names]

    async with started(flowing(flow, *tools)) as process:
        first = await process.run()
        names.pop()
        again = await replayed(process, first.id)
        assert again.error is not None
        assert again.error.code == "diverged"
        assert (await divergence(process, again.id)).taped == (await process.steps(first.id))[1].seq


async def test_a_flow_that_swallows_the_divergence_diverged() -> None:
    """Whatever the code makes of it, a replay that asked for what was not recorded has diverged."""
    asked = ["a"]

    async def flow(context: Context, _: object) -> object:
        try:
            return await context.tool(asked[0])
        except BaseException:  # noqa: BLE001 - this is what hostile code does
            return "swallowed"

    tools = [ScriptedTool("a", lambda _: 1), ScriptedTool("b", lambda _: 2)]
    async with started(flowing(flow, *tools)) as process:
        first = await process.run()
        asked[0] = "b"
        again = await replayed(process, first.id)
        assert again.error is not None
        assert again.error.code == "diverged"
        assert tools[1].entered == []


async def test_errors_of_models_are_repeated() -> None:
    """A run that failed at its model fails so again."""
    model = ScriptedModel(RateLimited("Too many requests."))
    async with started(looping(), model=model) as process:
        first = await process.run()
        again = await replayed(process, first.id)
        assert (again.status, again.error) == ("failed", first.error)
        assert await digests(process, again.id) == await digests(process, first.id)


async def test_a_cancelled_run_is_repeated() -> None:
    """The replay of a cancelled run is cancelled where the recorded one was, with the same reason."""
    held = HeldTool("held")
    quick = ScriptedTool("quick", lambda _: "done")
    model = ScriptedModel(calls(("held", {}), ("quick", {})), "never")
    async with started(looping(held, quick), model=model) as process:
        handle = await process.create()
        await held.is_entered.wait()
        await until(lambda: bool(quick.entered))
        await asyncio.sleep(0)
        await process.engine.cancel(handle.run_id, "enough")
        again = await replayed(process, handle.run_id)
        assert again.status == "cancelled"
        assert await digests(process, again.id) == await digests(process, handle.run_id)


async def test_a_run_that_took_too_long_is_repeated() -> None:
    """The replay of a run that ran into its time limit ends there at once."""
    held = HeldTool("held")
    model = ScriptedModel(calls(("held", {})), "never")
    async with started(looping(held, limits=Limits(time_s=0.05)), model=model) as process:
        first = await process.run()
        process.agents.agents["agent"] = looping(held, limits=Limits(time_s=60))
        again = await replayed(process, first.id)
        assert again.error is not None and first.error is not None
        assert (again.error.code, first.error.code) == ("deadline_exceeded", "deadline_exceeded")


async def test_a_fork_takes_over_what_was_before() -> None:
    """A fork repeats nothing before its step, and goes to the world from there on; effects need to be named."""
    talk = Talk()
    async with started(talk.agent(), model=talk.model) as process:
        first = await process.run()
        steps = await process.steps(first.id)
        talk.model.then("Other words.")
        fork = await replayed(process, first.id, at=steps[5].seq)
        assert (fork.status, bytes(fork.output)) == ("completed", b'"Other words."'), fork.error
        assert talk.deeds == (4, 2, 1)
        kept = [step.taped for step in (await process.steps(fork.id))]
        assert kept == [*(step.seq for step in steps[:5]), None]
        assert fork.usage.requests == 1


async def test_a_fork_at_a_tool_with_effects_takes_the_recorded_result() -> None:
    """A tool with effects is answered from the tape in a fork, unless it is named."""
    talk = Talk()
    async with started(talk.agent(), model=talk.model) as process:
        first = await process.run()
        charge = (await process.steps(first.id))[4]
        talk.model.then("Paid.", "Paid again.")
        fork = await replayed(process, first.id, at=charge.seq)
        assert (bytes(fork.output), len(talk.charge.entered)) == (b'"Paid."', 1), fork.error
        named = await replayed(process, first.id, at=charge.seq, live=("tool:charge",))
        assert (bytes(named.output), len(talk.charge.entered)) == (b'"Paid again."', 2), named.error


async def test_models_live_and_tools_taped() -> None:
    """With a live model, tools answer from the tape, and an answer to something else is marked as drifted."""
    talk = Talk()
    async with started(talk.agent(), model=talk.model) as process:
        first = await process.run()
        talk.model.then(calls(("look", {"city": "Bonn"})), "Fine.")
        live = await replayed(process, first.id, live=("model",))
        assert bytes(live.output) == b'"Fine."', live.error
        assert len(talk.look.entered) == 2
        ends = [event.data for event in await process.story(live.id) if isinstance(event.data, StepCompleted)]
        assert [end.is_drifted for end in ends] == [False, True, False]


async def test_tools_live_and_models_taped() -> None:
    """With live tools, the model answers from the tape, and tools with effects still do too."""
    talk = Talk()
    async with started(talk.agent(), model=talk.model) as process:
        first = await process.run()
        live = await replayed(process, first.id, live=("tool",))
        assert bytes(live.output) == bytes(first.output), live.error
        assert talk.deeds == (3, 4, 1)


async def test_what_cannot_be_replayed_is_refused() -> None:
    """Steps that are not there, results of models, and runs that go on are refused with the reason."""
    held = HeldTool("held")
    model = ScriptedModel(calls(("held", {})), "done")
    async with started(looping(held), model=model) as process:
        handle = await process.create(mode="background")
        await held.is_entered.wait()
        with pytest.raises(Conflict, match="when it is over"):
            await replayed(process, handle.run_id)
        held.go.set()
        first = await handle.wait()
        with pytest.raises(InvalidRequest, match="no step 999"):
            await replayed(process, first.id, at=999)
        with pytest.raises(InvalidRequest, match="model call"):
            await replayed(process, first.id, results={(await process.steps(first.id))[0].seq: msgspec.Raw(b"1")})


async def test_a_replay_goes_on_after_a_crash(tmp_path: Path) -> None:
    """A fork whose process died goes on with its recording and its own steps."""
    held = HeldTool("held")
    model = ScriptedModel(calls(("look", {})), calls(("held", {})), "done")
    look = ScriptedTool("look", lambda _: "seen")
    stores = await asyncio.to_thread(open_stores, tmp_path / "x.db")
    agent = looping(look, held)
    async with started(agent, model=model, stores=stores, boots=tmp_path) as process:
        held.go.set()
        first = await process.run()
        at = (await process.steps(first.id))[2].seq
        held.go.clear()
        held.is_entered.clear()
        model.then(calls(("held", {})), "done")
        request = RunRequest(agent="", input=b"", replay=Replay(of=first.id, at=at))
        handle = await process.runs.create(request)
        await held.is_entered.wait()
        await process.crash()
    held.go.set()
    model.then("done")
    async with started(agent, model=model, stores=stores, boots=tmp_path) as process:
        view = await process.settled(handle.run_id, "completed", "failed")
        assert bytes(view.output) == b'"done"', view.error
        assert len(look.entered) == 1
    stores.close()


async def test_deeds_are_recorded_and_repeated() -> None:
    """Clock, chance, ids, the environment, sleeps and HTTP are steps, which a replay answers without doing them."""
    asked: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        asked.append(request.headers.get("idempotency-key", ""))
        return web.json_response({"got": await request.text()})

    async def flow(context: Context, url: str) -> object:
        begun = await context.now()
        await context.sleep(0.05)
        answer = await context.http("POST", url, json={"a": 1})
        name = await context.env("HOME", "nowhere")
        return [begun, await context.random(), await context.uuid(), name, answer.status, answer.json()["got"]]

    application = web.Application()
    application.router.add_post("/", serve)
    async with TestServer(application) as server, started(flowing(flow)) as process:
        first = await process.run(str(server.make_url("/")))
        assert first.status == "completed", first.error
        assert (len(asked), bool(asked[0])) == (1, True)
        kinds = [step.kind for step in await process.steps(first.id)]
        assert kinds == ["clock", "sleep", "http", "env", "random", "id"]
        await server.close()
        again = await replayed(process, first.id)
        assert bytes(again.output) == bytes(first.output), again.error
        assert await digests(process, again.id) == await digests(process, first.id)


async def test_what_escapes_the_record_is_noticed() -> None:
    """A flow that connects or begins a process by itself cannot be replayed, and the record says why."""

    async def serve(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def flow(context: Context, url: str) -> object:
        await context.http("GET", url)
        if url.endswith("quiet"):
            return "quiet"
        async with ClientSession() as session, session.get(url) as answer:
            text = await answer.text()
        process = await asyncio.create_subprocess_exec("true")
        return [text, await process.wait()]

    application = web.Application()
    application.router.add_get("/{any}", serve)
    async with TestServer(application, host="127.0.0.1") as server, started(flowing(flow)) as process:
        quiet = await process.run(str(server.make_url("/quiet")))
        assert (quiet.status, quiet.tainted) == ("completed", ()), quiet.error
        loud = await process.run(str(server.make_url("/loud")))
        assert loud.tainted == (
            "its code opened a connection to 127.0.0.1 that was no step",
            "its code began a process that was no step",
        ), loud.error
        with pytest.raises(Conflict, match="cannot be replayed: its code opened a connection"):
            await replayed(process, loud.id)
