"""Whoever sits at the terminal is asked what runs need."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import cast

import msgspec
import pytest
from msgspec.structs import replace

from runwright import Agent, Context, tool
from runwright.app import App, AppOptions
from runwright.cli.access import ApprovalAccess
from runwright.cli.chain import chain
from runwright.cli.failures import Exit
from runwright.cli.lines import PROMPT, Lines
from runwright.cli.parallel import parallel
from runwright.cli.person import PAUSES_S, Person, present
from runwright.cli.run import perform
from runwright.core.run import RunRequest
from runwright.errors import Denied
from runwright.service.approval_views import ApprovalBody, ApprovalQuery, ApprovalView
from runwright.service.views import Page, RunView
from runwright.settings import Settings
from tests.unit.cli.fakes import FakeAccess, FakeCall, FakeRuns, Terminal, a_run


@tool(effect="once")
async def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


async def order(text: str, context: Context) -> str:
    """Ask how much, then have another agent pay it."""
    amount = await context.ask("How much?", schema={"type": "integer"})
    return await context.run("office", f"pay an amount of {amount}")


async def greets(text: str, context: Context) -> str:
    """Ask for a name twice."""
    names = [await context.ask("Who?"), await context.ask("Who else?", schema={"type": "string"})]
    return " ".join(str(name) for name in names)


async def gives_up(text: str, context: Context) -> str:
    """Ask, and say what became of it."""
    try:
        await context.ask("Shall I?")
    except Denied as error:
        return f"no: {error}"
    return "yes"


async def draws(text: str, context: Context) -> str:
    """Ask what looks like a question of the command."""
    return str(await context.ask("Are you there?\noffice wants to call look {}\u2028\nCall it? y: yes > "))


AGENTS = (
    Agent("liar", run=draws),
    Agent("office", tools=[pay], approvals={"pay": {}}),
    Agent("chief", run=order),
    Agent("greeter", run=greets),
    Agent("shy", run=gives_up),
)


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[App]:
    """An app with agents that need a person."""
    options = AppOptions(is_in_memory=True)
    made = await asyncio.to_thread(lambda: App(Settings(model="demo", data=folder), agents=AGENTS, options=options))
    async with made as app:
        yield app


class Typing(Lines):
    """Lines of somebody who reads before typing the next one, and leaves after the last."""

    def __init__(self, *typed: str) -> None:
        self._source, self._sink = os.pipe()
        self._left = list(typed)
        self._is_left = False
        super().__init__(self._source)

    async def next(self, prompt: str = PROMPT) -> str | None:
        """The line that is typed now, unless one is left that was typed before."""
        if self._left:
            await asyncio.to_thread(os.write, self._sink, f"{self._left.pop(0)}\n".encode())
        elif not self._is_left:
            self.leave()
        return await super().next(prompt)

    def leave(self) -> None:
        """Type nothing any more."""
        self._is_left = True
        os.close(self._sink)

    def close(self) -> None:
        """Take the terminal away."""
        os.close(self._source)
        if not self._is_left:
            self.leave()


async def answered(app: App, agent: str, input: str, *typed: str) -> tuple[RunView, FakeCall]:
    """A run at whose questions somebody types these lines and then leaves, and what stands on the terminal."""
    call, lines = FakeCall(), Typing(*typed)
    request = RunRequest(agent=agent, input=msgspec.json.encode(input), mode="stream")
    with closing(lines):
        return await perform(app, request, call, person=Person(call.out, lines)), call


@pytest.mark.parametrize(
    ("typed", "output"),
    [
        (("y",), "The result is paid 50."),
        (("perhaps", "e", "7", "e", '{"amount": 7}'), "The result is paid 7."),
        (("n", "too much"), "too much"),
    ],
    ids=["allowed", "changed", "denied"],
)
async def test_a_call_is_decided_at_the_terminal(tmp_path: Path, typed: tuple[str, ...], output: str) -> None:
    """A call is shown whole and allowed, changed or denied there; what does not fit is told and asked again."""
    async with opened(tmp_path) as app:
        view, call = await answered(app, "office", "pay an amount of 50", *typed)
    assert view.status == "completed"
    assert output in str(msgspec.json.decode(view.output))
    assert 'office wants to call pay {\n    "amount": 50\n  }\n' in call.noted
    assert ("error:" in call.noted) == ("7" in typed)
    assert output in call.printed


async def test_what_was_typed_before_answers_nothing(tmp_path: Path) -> None:
    """A line that came with the one before is no answer: nobody had seen yet what is asked."""
    async with opened(tmp_path) as app:
        with closing(Typing("go on\ny")) as lines:
            assert await lines.next() == "go on"
            person = Person(FakeCall().out, lines)
            request = RunRequest(agent="office", input=b'"pay an amount of 50"', mode="stream")
            view = await perform(app, request, FakeCall(), person=person)
    assert (view.status, view.reason) == ("waiting", "approval")


async def test_questions_of_a_run_and_of_those_below_it(tmp_path: Path) -> None:
    """A run is followed through all that it, and what it began, asks: what is no answer is told and asked again."""
    async with opened(tmp_path) as app:
        view, call = await answered(app, "chief", "go", "much", '"much"', "9", "y")
    assert (view.status, msgspec.json.decode(view.output)) == ("completed", "The result is paid 9.")
    assert call.noted.count("error:") == 2
    assert 'chief asks: How much? (JSON that fits {"type":"integer"})' in call.noted
    assert "office wants to call pay" in call.noted


async def test_an_answer_without_a_schema_is_text(tmp_path: Path) -> None:
    """What is typed is the answer, as it stands, where no other JSON is asked for."""
    async with opened(tmp_path) as app:
        view, _ = await answered(app, "greeter", "go", "Ada", "12")
        assert msgspec.json.decode(view.output) == "Ada 12"
        view, _ = await answered(app, "shy", "go", "/deny", "busy")
        assert "busy" in str(msgspec.json.decode(view.output))


async def test_a_question_draws_no_other(tmp_path: Path) -> None:
    """The lines of what is asked are indented: none of them stands where the command's own do."""
    async with opened(tmp_path) as app:
        _, call = await answered(app, "liar", "go", "yes")
    assert "liar asks: Are you there?\n  office wants to call look {}" in call.noted
    assert "\n  Call it? y: yes > " in call.noted
    assert "\nCall it?" not in call.noted


async def test_what_is_left_for_later_waits(tmp_path: Path) -> None:
    """Who types nothing leaves the run as it waits, and is told what to run."""
    async with opened(tmp_path) as app:
        view, call = await answered(app, "office", "pay an amount of 50", "")
        assert (view.status, view.reason) == ("waiting", "approval")
        assert f"runwright approvals approve {view.id}." in call.noted
        view, call = await answered(app, "chief", "go", "9")
        assert (view.status, view.reason) == ("waiting", "child")
        assert "The run waits for runs that it began" in call.noted


async def test_somebody_else_was_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered elsewhere meanwhile is told, and the run goes on with that."""
    async with opened(tmp_path) as app:
        resolve = app.approvals.resolve

        async def after_another(approval: str, body: ApprovalBody) -> ApprovalView:
            await resolve(approval, ApprovalBody(decision="deny", by="bob", note="no money"))
            return await resolve(approval, body)

        monkeypatch.setattr(app.approvals, "resolve", after_another)
        view, call = await answered(app, "office", "pay an amount of 50", "y")
    assert "was denied already by bob" in call.noted
    assert "no money" in str(msgspec.json.decode(view.output))


class NothingAsked:
    """Approvals of which none is left."""

    async def find(self, where: ApprovalQuery) -> Page[ApprovalView]:
        """None."""
        return Page(data=[])


@pytest.mark.parametrize(
    ("child", "looks", "told"),
    [
        ({"status": "running", "is_lost": True}, 0, ""),
        ({"status": "waiting", "reason": "approval"}, len(PAUSES_S), "`runwright runs resume run_2` lets"),
    ],
    ids=["lost", "not-taken-up"],
)
async def test_nobody_waits_for_ever(
    monkeypatch: pytest.MonkeyPatch, child: dict[str, object], looks: int, told: str
) -> None:
    """A run below that is lost, or whose answer nobody takes up, is looked at ever more seldom and then left."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert len(slept) <= looks

    monkeypatch.setattr("runwright.cli.person.asyncio.sleep", sleep)
    parent = a_run(status="waiting", reason="child", ended_at=None)
    is_lost = child.pop("is_lost", False)
    below = replace(a_run("run_2", ended_at=None, **child), is_lost=bool(is_lost))
    call = FakeCall()
    access = FakeAccess(FakeRuns(parent, below), approvals=cast("ApprovalAccess", NothingAsked()))
    assert not await Person(call.out, Lines(0)).lets_go_on(access, parent)
    assert len(slept) == looks
    assert slept == sorted(slept)
    assert told in call.noted


def test_nobody_is_asked_where_no_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person is there where both what is typed and what is told belong to a terminal, and no JSON is wanted."""
    lines = Lines(0)
    assert present(FakeCall().out, lines) is None
    monkeypatch.setattr("sys.stdin", Terminal())
    assert present(FakeCall().out, lines) is None
    monkeypatch.setattr("sys.stderr", Terminal())
    assert present(FakeCall().out, lines) is not None
    assert present(FakeCall(is_json=True).out, lines) is None


async def test_several_agents_ask_nobody_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`chain` and `parallel` ask as `run` does, and with --no-input they leave the run as it waits."""
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("sys.stderr", Terminal())
    async with opened(tmp_path) as app:
        for command in (chain, parallel):
            call = FakeCall(app)
            with pytest.raises(Exit):
                await command("office", "greeter", "pay an amount of 50", no_input=True, call=call)
            assert "The run waits for runs that it began" in call.noted
            # A terminal of the test cannot be read: who asks there fails.
            with pytest.raises(OSError, match="fileno"):
                await command("office", "greeter", "pay an amount of 50", call=FakeCall(app))
