"""Outlines of runs, and single steps read from as few events as they take."""

from collections.abc import Iterator

import pytest

from runwright.errors import NotFound
from runwright.service.outline import Outline, Outlines
from runwright.store import Stores, open_stores
from runwright.testing import ScriptedModel, ScriptedTool, calls
from tests.unit.engine.harness import HeldModel, Process, looping, started, until
from tests.unit.service.test_runs import BY_HAND, left_behind

LOOKS = [calls(("look", {"at": number})) for number in range(3)]


def _outlines(process: Process) -> Outlines:
    return Outlines(process.engine, process.stores.runs, process.reader)


def _look() -> ScriptedTool:
    return ScriptedTool("look", lambda _: "there")


def _lines(outline: Outline) -> list[tuple[str, str, str]]:
    return [(line.kind, line.name, line.status) for line in outline.lines()]


async def test_an_outline_has_every_step_in_columns() -> None:
    """Steps stand in order, with their time and tokens, and words are told once."""
    async with started(looping(_look()), model=ScriptedModel(*LOOKS, "seen")) as process:
        view = await process.run()
        outline = await _outlines(process).get(view.id, limit=100)
        steps = await process.steps(view.id)
    assert list(outline.seq) == [step.seq for step in steps]
    assert _lines(outline) == [(step.kind, step.name, step.status) for step in steps]
    assert [line.tokens for line in outline.lines()] == [step.usage.total_tokens for step in steps]
    assert outline.kinds == ["model", "tool"]
    assert (outline.next, outline.is_lost) == (None, False)
    assert all(took is not None and took >= 0 for took in outline.duration_us)


async def test_an_outline_comes_in_pages() -> None:
    """A page says where the next one begins, and together they are the whole."""
    async with started(looping(_look()), model=ScriptedModel(*LOOKS, "seen")) as process:
        view = await process.run()
        whole = await _outlines(process).get(view.id, limit=100)
        first = await _outlines(process).get(view.id, limit=4)
        rest = await _outlines(process).get(view.id, after=first.next or 0, limit=100)
        assert [*first.seq, *rest.seq] == list(whole.seq)
        with pytest.raises(NotFound):
            await _outlines(process).get("run_none", limit=1)


async def test_a_step_alone_is_as_among_all() -> None:
    """One step is read from its own events and the beginnings that it goes on from, and is the same."""
    async with started(looping(_look()), model=ScriptedModel(*LOOKS, "seen")) as process:
        view = await process.run()
        for step in await process.steps(view.id):
            assert await process.runs.step(view.id, step.seq) == step


@pytest.fixture
def stores() -> Iterator[Stores]:
    """A store in memory that several processes use, one after the other."""
    opened = open_stores(":memory:")
    yield opened
    opened.close()


async def test_a_run_whose_process_is_gone_is_lost_until_it_is_taken_up(stores: Stores) -> None:
    """While its process executes it a run is not lost; when that died it is, and not again when it went on."""
    run, _ = await left_behind(stores)
    async with started(looping(), model=ScriptedModel("one", "two"), stores=stores, options=BY_HAND) as process:
        assert (await _outlines(process).get(run, limit=1)).is_lost
        await process.runs.resume(run)
        await process.settled(run, "completed")
        outline = await _outlines(process).get(run, limit=1)
        assert (outline.is_lost, outline.resumptions) == (False, 1)


async def test_a_run_at_work_is_not_lost() -> None:
    """A step that runs has no end, and its run is told as running."""
    model = HeldModel("done")
    async with started(looping(), model=model) as process:
        handle = await process.create(mode="background")
        await model.is_entered.wait()
        await until(lambda: process.journal.depth == 0)
        outline = await _outlines(process).get(handle.run_id, limit=5)
        assert (outline.status, outline.is_lost, outline.duration_us) == ("running", False, [None])
        model.go.set()
        await process.settled(handle.run_id, "completed")
