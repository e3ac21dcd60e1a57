"""What callers can ask about runs, where it does not depend on how they are executed."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from runwright.core.event import Event
from runwright.core.ports import Batch, RunFilter, RunRow
from runwright.errors import Conflict, InvalidRequest
from runwright.journal.read import JournalReader
from runwright.service.views import Resolution
from runwright.store import Stores, open_stores
from runwright.studio.filters import gist
from runwright.testing import ScriptedModel, ScriptedTool, calls
from tests.unit.engine.harness import PATIENCE_S, QUICK, HeldModel, looping, started, until


def _lost(_: object) -> object:
    raise ConnectionError("the line broke")


@pytest.mark.parametrize(
    "result",
    [{"receipt": object()}, "paid", 5, b"bytes", msgspec.Raw(b"not json"), msgspec.Raw(b'"\xff"'), msgspec.Raw()],
)
async def test_a_result_that_is_no_json_is_refused_and_not_recorded(result: Any) -> None:
    """A resolution in Python takes JSON text; with anything else the run waits on as before, and can be resolved."""
    model = ScriptedModel(calls(("pay", {"amount": 1})), "paid")
    async with started(looping(ScriptedTool("pay", _lost, effect="once")), model=model) as process:
        view = await process.run()
        before = await process.story(view.id)
        with pytest.raises(InvalidRequest, match="a result is JSON text") as caught:
            await process.runs.resolve(view.id, Resolution(action="done", result=result))
        assert caught.value.problems[0][0] == "/result"
        assert (await process.runs.get(view.id)).status == "waiting"
        assert await process.story(view.id) == before
        await process.runs.resolve(view.id, Resolution(action="done", result=msgspec.Raw(b'"receipt 1"')))
        await process.settled(view.id, "completed")


@pytest.fixture
def stores() -> Iterator[Stores]:
    """A store in memory that several processes use, one after the other."""
    opened = open_stores(":memory:")
    yield opened
    opened.close()


BY_HAND = replace(QUICK, is_recovering=False)


async def left_behind(stores: Stores) -> tuple[str, str]:
    """A run that was at work when its process died, and one that waited in its thread for that."""
    model = HeldModel("never")
    async with started(looping(), model=model, stores=stores) as process:
        first = await process.create(mode="background", thread_id="t1")
        await model.is_entered.wait()
        second = await process.create(mode="background", thread_id="t1")
        await until(lambda: process.journal.depth == 0)
        await process.crash()
    return first.run_id, second.run_id


async def test_without_recovery_only_what_is_resumed_goes_on(stores: Stores) -> None:
    """Runs of dead processes stay as they are until somebody resumes them, running and queued ones, one by one."""
    first, second = await left_behind(stores)
    async with started(
        looping(), model=ScriptedModel("one", "two", "three"), stores=stores, options=BY_HAND
    ) as process:
        assert (await process.run("another")).status == "completed"
        await asyncio.sleep(3 * BY_HAND.orphan_poll_s)
        assert [(await process.runs.get(run)).status for run in (first, second)] == ["running", "queued"]
        await process.runs.resume(first)
        await process.settled(first, "completed")
        assert (await process.runs.get(second)).status == "queued"
        await process.runs.resume(second)
        await process.settled(second, "completed")


async def test_another_process_may_say_which_run_goes_on(stores: Stores) -> None:
    """What a command says is passed on to the server, which acts on it once."""
    first, second = await left_behind(stores)
    async with started(looping(), stores=stores, options=replace(BY_HAND, is_adopting=False)) as process:
        for run in (first, second):
            assert (await process.runs.resume(run)).status in {"running", "queued"}
    async with started(
        looping(), model=ScriptedModel("one", "two", "three"), stores=stores, options=BY_HAND
    ) as process:
        for run in (first, second):
            await process.settled(run, "completed")
        async with asyncio.timeout(PATIENCE_S):
            while await asyncio.to_thread(stores.signals.pending):  # noqa: ASYNC110 - another task empties the store
                await asyncio.sleep(BY_HAND.signal_poll_s)


async def test_a_run_at_work_is_not_resumed(stores: Stores) -> None:
    """A run that a process executes, or that is over, is left to itself."""
    model = HeldModel("done")
    async with started(looping(), model=model, stores=stores) as process:
        handle = await process.create(mode="background")
        await model.is_entered.wait()
        with pytest.raises(Conflict, match="is running"):
            await process.runs.resume(handle.run_id)
        model.go.set()
        await process.settled(handle.run_id, "completed")
        with pytest.raises(Conflict, match="is completed"):
            await process.runs.resume(handle.run_id)


async def test_a_page_of_steps_reads_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events behind the end of the last step of a page are not read, and its steps are whole."""
    model = ScriptedModel(calls(("look", {"at": 1})), calls(("look", {"at": 2})), "done")
    async with started(looping(ScriptedTool("look", lambda _: "seen")), model=model) as process:
        run = await process.run()
        whole = await process.steps(run.id)
        read: list[int] = []
        events = JournalReader.events

        def seen(reader: JournalReader, run_id: str, *, after: int = 0) -> Iterator[Event]:
            for event in events(reader, run_id, after=after):
                read.append(event.seq)
                yield event

        monkeypatch.setattr(JournalReader, "events", seen)
        page = await process.runs.steps(run.id, limit=2)
    assert page.data == whole[:2]
    assert [bytes(step.result) for step in page.data][1] == b'"seen"'
    assert read[-1] <= whole[2].seq


async def test_a_brief_list_has_no_whole_texts() -> None:
    """A brief run has no output and the beginning of a long input, as JSON; a short input is whole."""
    async with started(looping(), model=ScriptedModel("one", "two")) as process:
        long, short = await process.run('"é' * 2000), await process.run("short")
        brief = (await process.runs.find(RunFilter(), is_brief=True)).data
        whole = (await process.runs.find(RunFilter())).data
    assert [run.id for run in brief] == [short.id, long.id]
    assert [bytes(run.output) for run in brief] == [b"null", b"null"]
    assert bytes(brief[0].input) == b'"short"'
    assert msgspec.json.decode(brief[1].input) == msgspec.json.encode('"é' * 2000).decode()[1:241]
    assert [gist(run.input) for run in brief] == [gist(run.input) for run in whole]
    assert [bytes(run.output) for run in whole] == [b'"two"', b'"one"']


async def test_runs_whose_process_is_gone_are_lost_until_they_are_taken_up(stores: Stores) -> None:
    """Lists, single runs and groups say which runs at work nobody executes; those that wait, end or go on are not."""
    runs = await left_behind(stores)
    async with started(looping(), model=ScriptedModel("one", "two"), stores=stores, options=BY_HAND) as process:
        done = (await process.run("another")).id
        page = await process.runs.find(RunFilter(), is_brief=True)
        assert {view.id: view.is_lost for view in page.data} == {done: False, **dict.fromkeys(runs, True)}
        assert (await process.runs.get(runs[0])).is_lost
        await process.runs.resume(runs[0])
        await process.settled(runs[0], "completed")
        assert not (await process.runs.get(runs[0])).is_lost


async def test_a_run_that_nobody_owns_yet_is_not_lost(stores: Stores) -> None:
    """A run that was answered, and waits to be taken up, has no process that could be gone."""
    first, _ = await left_behind(stores)
    async with started(looping(), stores=stores, options=BY_HAND) as process:
        row = await asyncio.to_thread(stores.runs.get, first)
        assert row is not None
        assert await process.engine.lost([row]) == {first}
        answered = replace(row, owner=None)
        batch = Batch(run=RunRow(answered, is_first=False))
        assert await asyncio.to_thread(stores.writes.append, [batch]) == [None]
        assert await process.engine.lost([answered]) == frozenset()


async def test_a_run_that_ended_since_it_was_read_is_not_lost() -> None:
    """What a list was read from may be old: who is no longer at work here is looked at again."""
    async with started(looping(), model=ScriptedModel("one")) as process:
        view = await process.run()
        row = await asyncio.to_thread(process.stores.runs.get, view.id)
        assert row is not None
        assert await process.engine.lost([replace(row, status="running", ended_at=None)]) == frozenset()
