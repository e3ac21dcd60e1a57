"""Approvals: what waits for a person, and what the person says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest

from runwright.core.agent import Approval
from runwright.core.context import Context
from runwright.core.ports import RunStore, Stored
from runwright.errors import Conflict, InvalidRequest, NotFound
from runwright.journal.read import JournalReader
from runwright.service.approval_views import ApprovalBody, ApprovalQuery
from runwright.service.approvals import Approvals
from runwright.testing import ScriptedModel, ScriptedTool
from runwright.testing import calls as calling
from tests.unit.engine.harness import Process, flowing, looping, started

pytestmark = pytest.mark.anyio


def approvals(process: Process) -> Approvals:
    """The service over a process."""
    return Approvals(process.runs, process.stores.runs, process.reader)


def raw(value: object) -> msgspec.Raw:
    """A value as JSON text."""
    return msgspec.Raw(msgspec.json.encode(value))


def paying(name: str = "pay") -> ScriptedTool:
    """A tool that a person has to allow within a day."""
    tool = ScriptedTool(name, lambda given: f"paid {given}", effect="once")
    tool.approval = Approval(expires_s=86_400)
    return tool


async def asks(context: Context, _value: object) -> object:
    """A flow that asks."""
    return await context.ask("How many?", schema={"type": "integer"})


async def test_a_call_that_waits_is_listed() -> None:
    """A call is listed with its tool, its arguments, and until when somebody has to say something."""
    model = ScriptedModel(calling(("pay", {"usd": 5})), "done")
    async with started(looping(paying()), model=model) as process:
        run = await process.run(user="ann")
        (view,) = (await approvals(process).find(ApprovalQuery())).data
        assert (view.kind, view.status, view.run_id) == ("approval", "waiting", run.id)
        assert (view.agent, view.user) == ("agent", "ann")
        assert (view.name, bytes(view.arguments), view.question) == ("pay", b'{"usd":5}', None)
        assert view.until is not None
        assert (view.until - view.since).total_seconds() == 86_400
        assert await approvals(process).get(view.id) == view


class Rows:
    """The runs of a store, and after which events somebody read on."""

    def __init__(self, runs: RunStore) -> None:
        self.runs = runs
        self.read: list[int] = []

    def events(self, run_id: str, *, after: int = 0, limit: int = 1000) -> Sequence[Stored]:
        """As the store has them."""
        self.read.append(after)
        return self.runs.events(run_id, after=after, limit=limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runs, name)


async def test_a_list_reads_what_it_shows() -> None:
    """Of a long run only its wait and the step that needs a person are read for a list."""
    model = ScriptedModel(calling(("pay", {"usd": 5})), "done")
    async with started(looping(paying()), model=model) as process:
        run = await process.run()
        rows = Rows(process.stores.runs)
        reader = JournalReader(cast("RunStore", rows), process.stores.blobs)
        (view,) = (await Approvals(process.runs, process.stores.runs, reader).find(ApprovalQuery())).data
        assert sorted(rows.read) == [view.step - 1, (await process.story(run.id))[-1].seq - 1]


async def test_a_question_is_listed() -> None:
    """A question is listed with its schema, and an answer that does not fit changes nothing."""
    async with started(flowing(asks)) as process:
        run = await process.run()
        service = approvals(process)
        (view,) = (await service.find(ApprovalQuery())).data
        assert (view.kind, view.question, bytes(view.schema)) == ("input", "How many?", b'{"type":"integer"}')
        with pytest.raises(InvalidRequest, match="integer"):
            await service.resolve(view.id, ApprovalBody(decision="answer", result=raw("many")))
        assert await service.get(view.id) == view
        said = await service.resolve(view.id, ApprovalBody(decision="answer", result=raw(3), by="ada"))
        assert (said.status, said.by) == ("answered", "ada")
        assert bytes((await process.settled(run.id, "completed")).output) == b"3"
        assert (await service.find(ApprovalQuery())).data == []


@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_a_second_time_is_a_conflict(decision: Any) -> None:
    """Whoever comes second is told what was said, by whom and when; the first one holds."""
    pay = paying()
    async with started(looping(pay), model=ScriptedModel(calling(("pay", {})), "done")) as process:
        run = await process.run()
        service = approvals(process)
        (view,) = (await service.find(ApprovalQuery())).data
        said = await service.resolve(view.id, ApprovalBody(decision=decision, by="ada", note="as agreed"))
        await process.settled(run.id, "completed")
        assert (said.by, said.note) == ("ada", "as agreed")
        assert said.resolved_at is not None
        with pytest.raises(Conflict, match=rf"was {said.status} already by ada, at {said.resolved_at:%Y-%m-%d %H:%M}"):
            await service.resolve(view.id, ApprovalBody(decision="deny", by="bob"))
        assert await service.get(view.id) == said
        assert len(pay.entered) == (1 if decision == "approve" else 0)


async def test_other_arguments_are_checked() -> None:
    """Arguments that somebody changed are those the tool gets."""
    pay = paying()
    async with started(looping(pay), model=ScriptedModel(calling(("pay", {"usd": 500})), "done")) as process:
        run = await process.run()
        service = approvals(process)
        (view,) = (await service.find(ApprovalQuery())).data
        await service.resolve(view.id, ApprovalBody(decision="approve", arguments=raw({"usd": 5})))
        await process.settled(run.id, "completed")
        assert pay.entered == [{"usd": 5}]


async def test_pages_go_through_all() -> None:
    """A page ends where it is full, also between two steps of a run, and the next one begins there."""
    model = ScriptedModel(*[calling(("pay", {}), ("send", {}))] * 3)
    async with started(looping(paying(), paying("send")), model=model) as process:
        runs = [(await process.run()).id for _ in range(3)]
        service = approvals(process)
        seen: list[tuple[str, str | None]] = []
        after = None
        while True:
            page = await service.find(ApprovalQuery(after=after, limit=1))
            seen += [(view.run_id, view.name) for view in page.data]
            after = page.next
            if not page.has_more:
                break
        assert seen == [(run, name) for run in reversed(runs) for name in ("send", "pay")]


async def test_what_nobody_needs_any_more() -> None:
    """What a cancelled run asked is withdrawn, and cannot be approved."""
    async with started(looping(paying()), model=ScriptedModel(calling(("pay", {})))) as process:
        run = await process.run()
        service = approvals(process)
        (view,) = (await service.find(ApprovalQuery())).data
        await process.runs.cancel(run.id)
        assert (await service.get(view.id)).status == "withdrawn"
        with pytest.raises(Conflict, match="is cancelled"):
            await service.resolve(view.id, ApprovalBody(decision="approve"))


@pytest.mark.parametrize("given", ["", "run_1", "run_1.", "run_1.x", "run_none.7", "run_1." + "9" * 5000])
async def test_what_is_no_id(given: str) -> None:
    """An id that nothing has is not found, whatever it looks like."""
    async with started(looping()) as process:
        with pytest.raises(NotFound, match="There is no approval"):
            await approvals(process).get(given)
