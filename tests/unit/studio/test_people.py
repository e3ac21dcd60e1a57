"""The playground and what waits for a person: told, asked and answered with plain forms."""

import re
from html import unescape

import pytest
from pydantic import BaseModel, Field

from runwright import Agent, Context, tool
from runwright.core.ports import RunFilter
from runwright.studio.pages import approvals
from tests.unit.studio.conftest import Open, Site

HTMX = {"hx-request-type": "partial", "hx-target": "div#chat"}


class Order(BaseModel):
    """What is ordered."""

    item: str
    amount: int = Field(default=1, le=10)


@tool(effect="once", approval=True)
async def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


@tool(effect="once")
async def send_mail(to: str) -> str:
    """Send a mail, and lose the connection on the way."""
    raise ConnectionError(f"lost while sending to {to}")


async def mails(text: str, context: Context) -> str:
    """An agent whose one effect has an unknown outcome."""
    return str(await context.tool("send_mail", to=text))


@tool(effect="once", approval=True)
async def note(text: str) -> str:
    """Write a text down."""
    return f"{len(text)} noted"


async def notes(text: str, context: Context) -> str:
    """An agent that writes down what it is told."""
    return str(await context.tool("note", text=text))


async def asks(text: str, context: Context) -> object:
    """An agent that asks a person."""
    return await context.ask("How many?", schema={"type": "integer", "minimum": 1})


async def orders(order: Order) -> str:
    """An agent that takes an object."""
    return f"{order.amount} of {order.item}"


TEAM = (
    Agent("support", model="demo"),
    Agent("treasurer", model="demo", tools=[pay]),
    Agent("mailer", run=mails, tools=[send_mail]),
    Agent("noter", run=notes, tools=[note]),
    Agent("asker", run=asks),
    Agent("clerk", run=orders),
)


async def said(site: Site, agent: str, thread: str = "t", **typed: str) -> str:
    """The page that a plain form of the playground leads to."""
    answer = await site.client.post(f"/playground/{agent}", data={"thread": thread, **typed})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/playground/{agent}?thread={thread}")
    return await site.text(answer.headers["location"])


async def test_a_plain_form_runs_an_agent_and_shows_its_answer(open_site: Open) -> None:
    """Without a script a message is a form, and the page after it has the answer as Markdown and a link to the run."""
    async with open_site(TEAM) as site:
        page = await said(site, "support", **{"/input": "hello **you**"})
        assert "hello **you**</p>" in page
        assert "<strong>you</strong>" in page
        (run,) = (await site.app.runs.find(RunFilter())).data
        assert f'href="/runs/{run.id}"' in page
        await said(site, "support", **{"/input": "again"})
        assert (await site.text("/playground/support?thread=t")).count("<chat-turn") == 2
        assert "Say something" in await site.text("/playground/support")


async def test_a_part_of_the_page_does_not_wait(open_site: Open) -> None:
    """A script gets the turn at once, with the address of the stream that it follows."""
    slow = Agent("slow", model="demo:slow")
    async with open_site([slow]) as site:
        sent = {"thread": "t", "/input": "words that take their time " * 500}
        await site.client.post("/playground/slow", data=sent, headers=HTMX)
        part = await site.text("/playground/slow?thread=t", **HTMX)
        assert "<html" not in part
        assert re.search(r'events="/api/v1/runs/run_[0-9a-f]+/events"', part)
        run = part.partition('name="run" value="')[2].partition('"')[0]
        await site.client.post("/playground/slow/cancel", data={"run": run})
        assert (await site.app.runs.wait(run)).status == "cancelled"
        assert (await site.client.post("/playground/other/cancel", data={"run": run})).status_code == 409


async def test_an_agent_that_takes_an_object_has_a_form(open_site: Open) -> None:
    """Fields of its schema stand in the form, and what does not fit stands at its field with what was typed."""
    async with open_site(TEAM) as site:
        wrong = await site.client.post("/playground/clerk", data={"thread": "t", "/input/amount": "99"})
        assert wrong.status_code == 422
        assert re.search(r'id="w/input/item" role="alert">Field required', wrong.text)
        assert 'value="99"' in wrong.text
        assert "2 of tea" in await said(site, "clerk", **{"/input/item": "tea", "/input/amount": "2"})
        empty = await site.client.post("/playground/support", data={"thread": "t", "/input": ""})
        assert (empty.status_code, "Write a message." in empty.text) == (422, True)


async def test_a_waiting_turn_is_answered_in_place(open_site: Open) -> None:
    """The turn of a run that waits holds the form of its approval and not the call, and leads back to the thread."""
    async with open_site(TEAM) as site:
        page = await said(site, "treasurer", **{"/input": "pay 5"})
        assert page.count("<h2><code>pay</code> needs a yes</h2>") == 1
        assert '<details class="call">' not in page
        path = re.findall(r'action="(/approvals/run_[^"]+)"', page)[0]
        back = unescape(page.partition('name="next" value="')[2].partition('"')[0])
        typed = {"do": "approve", "next": back, "by": "ada", "note": "less"}
        wrong = await site.client.post(path, data=typed | {"/arguments": '{"amount": "x"}'})
        assert wrong.status_code == 422
        assert 'id="w/arguments"' in wrong.text
        broken = await site.client.post(path, data=typed | {"/arguments": '{"amount": '})
        assert (broken.status_code, "no JSON" in broken.text) == (422, True)
        done = await site.client.post(path, data=typed | {"/arguments": '{"amount": 3}'})
        assert (done.status_code, done.headers["location"]) == (303, "/playground/treasurer?thread=t")
        page = await site.text(back)
        assert "paid 3" in page
        assert '<details class="call">' in page
        late = await site.client.post(path, data=typed | {"/arguments": '{"amount": 3}'})
        assert (late.status_code, "approved" in late.text, "by ada" in late.text) == (409, True, True)


async def test_approvals_list_all_that_waits(open_site: Open) -> None:
    """Calls, questions and unknown outcomes are answered by their forms, and an empty list says what comes here."""
    async with open_site(TEAM) as site:
        assert "Nothing waits for you" in await site.text("/approvals")
        runs = [await site.app.run(agent, "go") for agent in ("asker", "mailer")]
        page = await site.text("/approvals")
        assert "How many?" in page
        assert "Did <code>send_mail</code> act?" in page
        question = re.findall(r'action="(/approvals/run_[^"]+)"', page)[0]
        wrong = await site.client.post(question, data={"do": "answer", "/answer": "0"})
        assert (wrong.status_code, 'id="w/answer"' in wrong.text) == (422, True)
        assert (await site.client.post(question, data={"do": "answer", "/answer": "7"})).status_code == 303
        unknown = re.findall(r'action="(/approvals/unknown/[^"]+)"', page)[0]
        assert "It was done" in await site.text(unknown)
        assert (await site.client.post(unknown, data={"do": "done", "/result": "sent"})).status_code == 303
        assert [bytes((await site.app.runs.wait(run.id)).output) for run in runs] == [b"7", b'"sent"']
        assert (await site.client.post(unknown, data={"do": "done"})).status_code == 409
        assert "Nothing waits for you" in await site.text("/approvals")


async def test_unknown_outcomes_are_found_behind_other_waits(open_site: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that wait for something else take no place of theirs, no other step is read, and more are told of."""
    monkeypatch.setattr(approvals, "UNKNOWN", 1)
    async with open_site(TEAM) as site:
        monkeypatch.delattr(type(site.app.runs), "steps")
        for agent in ("mailer", "asker"):
            await site.app.run(agent, "go")
        page = await site.text("/approvals")
        assert page.count("Did <code>send_mail</code> act?") == 1
        assert "More outcomes are unknown" not in page
        await site.app.run("mailer", "go")
        page = await site.text("/approvals")
        assert page.count("Did <code>send_mail</code> act?") == 1
        assert "More outcomes are unknown" in page


async def test_a_turn_without_calls_reads_no_steps(open_site: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run that called no tool its steps are not read with what was said."""
    async with open_site(TEAM) as site:
        monkeypatch.delattr(type(site.app.runs), "steps")
        assert "hello" in await said(site, "support", **{"/input": "hello"})


async def test_hidden_characters_of_arguments_are_named_above_their_form(open_site: Open) -> None:
    """What is to be approved is shown with its hidden characters named; in the field they stay as they are."""
    async with open_site(TEAM) as site:
        await site.app.run("noter", "safe\u202egnp.exe")
        page = await site.text("/approvals")
        assert "safe⟨U+202E⟩gnp.exe" in unescape(page.partition("<textarea")[0])
        assert "safe\u202egnp.exe" in unescape(page.partition("<textarea")[2])


async def test_long_arguments_are_approved_as_they_are(open_site: Open) -> None:
    """Arguments that are too long for a field are shown without one, and approving them changes nothing in them."""
    async with open_site(TEAM) as site:
        run = await site.app.run("noter", "x" * 30_000)
        page = await site.text("/approvals")
        path = re.findall(r'action="(/approvals/run_[^"]+)"', page)[0]
        assert 'name="/arguments"' not in page
        assert f'href="{path}.json"' in page
        assert (await site.client.post(path, data={"do": "approve"})).status_code == 303
        assert bytes((await site.app.runs.wait(run.id)).output) == b'"30000 noted"'


async def test_a_denial_is_told_to_the_model(open_site: Open) -> None:
    """Who denies says why, whatever stands in the arguments, and the run goes on."""
    async with open_site(TEAM) as site:
        run = await site.app.run("treasurer", "pay 5")
        (asked,) = (await site.client.get("/approvals.json")).json()["waiting"]
        path = f"/approvals/{asked['approval']['id']}"
        await site.client.post(path, data={"do": "deny", "note": "too much", "/arguments": "{"})
        assert b"too much" in bytes((await site.app.runs.wait(run.id)).output)
        assert "denied" in await site.text(path)


@pytest.mark.parametrize("there", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
async def test_no_form_leads_elsewhere(open_site: Open, there: str) -> None:
    """What a form names as the next page is a page of this server, or is not followed."""
    async with open_site(TEAM) as site:
        run = await site.app.run("asker", "go")
        path = f"/approvals/{run.id}.3"
        assert 'name="next" value="/approvals"' in await site.text(f"{path}?next={there}")
        answer = await site.client.post(path, data={"do": "answer", "/answer": "7", "next": there})
        assert answer.headers["location"] == "/approvals"


async def test_what_is_said_is_inert(open_site: Open) -> None:
    """HTML of users, models and tools is text wherever a turn shows it."""
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    async with open_site(TEAM) as site:
        page = await said(site, "support", **{"/input": hostile})
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        await site.app.run("mailer", hostile)
        page = await site.text("/approvals")
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page
