"""`runwright approvals`: what waits for a person, and what the person says."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from runwright.cli.approvals import answer, approve, deny, ls, show
from runwright.cli.runs import show as show_run
from runwright.core.event import NULL
from runwright.errors import InvalidRequest
from runwright.service.approval_views import ApprovalBody, ApprovalQuery, ApprovalView
from runwright.service.views import Page
from tests.unit.cli.fakes import NOW, FakeAccess, FakeCall, FakeRuns, a_run

CALL = ApprovalView(
    id="run_2.6",
    status="waiting",
    kind="approval",
    run_id="run_2",
    step=6,
    agent="pays",
    name="pay",
    arguments=msgspec.Raw(b'{"usd":5}'),
    since=NOW,
    until=NOW + timedelta(hours=1),
)
QUESTION = ApprovalView(
    id="run_1.4", status="waiting", kind="input", run_id="run_1", step=4, agent="asks", question="How many?", since=NOW
)


class FakeApprovals:
    """Approvals in memory; what was said stands in `said`."""

    def __init__(self, *views: ApprovalView, is_taken: bool = True) -> None:
        self._views = views
        self._is_taken = is_taken
        self.said: list[tuple[str, ApprovalBody]] = []

    async def find(self, where: ApprovalQuery) -> Page[ApprovalView]:
        """Those of a run, or a page of all."""
        found = [view for view in self._views if where.run in {None, view.run_id}]
        shown = found[: where.limit]
        has_more = len(found) > where.limit
        return Page(data=shown, has_more=has_more, next=shown[-1].id if has_more else None)

    async def get(self, approval_id: str) -> ApprovalView:
        """One."""
        return next(view for view in self._views if view.id == approval_id)

    async def resolve(self, approval_id: str, body: ApprovalBody) -> ApprovalView:
        """Note it."""
        self.said.append((approval_id, body))
        view = await self.get(approval_id)
        return replace(view, status="approved", by=body.by) if self._is_taken else view


def calling(approvals: FakeApprovals, *, is_json: bool = False) -> FakeCall:
    """A call that reaches these approvals."""
    return FakeCall(FakeAccess(approvals=approvals), is_json=is_json)


async def test_a_list_says_what_waits() -> None:
    """Calls and questions are listed with their words; the next page is named on stderr."""
    call = calling(FakeApprovals(CALL, QUESTION, QUESTION))
    await ls(limit=2, call=call)
    assert [line.split("\t")[:3] for line in call.printed.splitlines()[1:]] == [
        ["run_2.6", "pays", 'pay {"usd":5}'],
        ["run_1.4", "asks", "How many?"],
    ]
    assert "--after run_1.4" in call.noted


@pytest.mark.parametrize(
    ("view", "command"),
    [(CALL, "runwright approvals approve run_2.6"), (QUESTION, "runwright approvals answer run_1.4 JSON")],
    ids=["call", "question"],
)
async def test_the_command_that_goes_on_is_told(view: ApprovalView, command: str) -> None:
    """What waits is shown with the command that answers, by itself and with its run."""
    call = calling(FakeApprovals(view))
    await show(view.id, call=call)
    assert call.printed.startswith(f"{view.id} waiting\n")
    assert command in call.noted
    run = a_run(view.run_id, status="waiting", reason=view.kind, ended_at=None)
    call = FakeCall(FakeAccess(FakeRuns(run), approvals=FakeApprovals(view)))
    await show_run(view.run_id, call=call)
    assert command in call.noted


async def test_what_is_said_is_passed_on() -> None:
    """Approvals, denials and answers say who and why; arguments and answers are JSON."""
    approvals = FakeApprovals(CALL, QUESTION)
    call = calling(approvals)
    await approve("run_2.6", arguments='{"usd":4}', by="ada", call=call)
    await deny("run_2.6", note="too much", call=call)
    await answer("run_1.4", "3", call=call)
    assert approvals.said == [
        ("run_2.6", ApprovalBody(decision="approve", arguments=msgspec.Raw(b'{"usd":4}'), by="ada")),
        ("run_2.6", ApprovalBody(decision="deny", by="cli", note="too much")),
        ("run_1.4", ApprovalBody(decision="answer", result=msgspec.Raw(b"3"), by="cli")),
    ]
    assert "run_2.6 approved" in call.printed
    assert call.noted == ""


async def test_what_is_heard_later_is_told_so() -> None:
    """Where no server has taken the answer up yet, that is said, and `--json` has the view as it is."""
    call = calling(FakeApprovals(CALL, is_taken=False), is_json=True)
    await approve("run_2.6", call=call)
    assert "The run goes on where a server" in call.noted
    shown: Any = msgspec.json.decode(call.printed)
    assert (shown["status"], shown["arguments"]) == ("waiting", {"usd": 5})


async def test_an_answer_is_json() -> None:
    """An answer that is no JSON is refused with what to write, and nothing is said."""
    approvals = FakeApprovals(QUESTION)
    with pytest.raises(InvalidRequest, match="Text needs quotes"):
        await answer("run_1.4", "three", call=calling(approvals))
    assert (approvals.said, QUESTION.arguments) == ([], NULL)
