"""The page of a run, its steps, and what can be done from there."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from runwright import Agent, Context, Guard, tool
from runwright.guard import Budget
from tests.unit.studio.conftest import Open, Site

HOSTILE = "<script>alert(1)</script>\u202egnp\x1b[31m![x](https://evil.example/?q=1) [l](javascript:alert(1))"
BROWSER_FORM = {"content-type": "application/x-www-form-urlencoded"}


@tool(effect="read")
async def look(at: str) -> str:
    """Look at something."""
    return f"{at} is {HOSTILE}"


@tool(effect="idempotent", approval=True)
async def send(to: str) -> str:
    """Send something."""
    return f"sent to {to}"


async def flow(text: str, context: Context) -> str:
    """Ask, look, remember and send."""
    await context.model(text)
    await context.lane("side").tool(look, at=text)
    await context.memory.set("note", text)
    return str(await context.tool(send, to="ann"))


async def asks(text: str, context: Context) -> object:
    """Ask a person."""
    return await context.ask(text)


async def hands_on(text: str, context: Context) -> object:
    """Have another agent answer."""
    return await context.run("support", text)


AGENTS = (
    Agent("asks", run=asks),
    Agent("flow", model="demo", run=flow, tools=[look, send]),
    Agent("support", model="demo", instructions="Be brief."),
    Agent("busy", model="demo:fail-500", guard={"retry": {"attempts": 2, "backoff": {"base_s": 0.001}}}),
)


async def _post(site: Site, path: str, **form: Any) -> str:
    """Where an action leads."""
    answer = await site.client.post(path, data=form)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def _steps(page: str) -> Sequence[str]:
    return re.findall(r'href="(/runs/run_\w+/steps/\d+)"', page)


async def test_a_run_is_told_with_its_first_steps(site: Site) -> None:
    """Without JavaScript the page shows status, input, output, and the steps as links to pages that exist."""
    run = await site.app.run("support", "Are you **there**?", group="trip", tags=("demo",), user="ann")
    page = await site.text(f"/runs/{run.id}")
    assert "<strong>there</strong>" in page
    assert 'class="status completed"' in page
    for link in ("/runs?group=trip", "/runs?user=ann", "/runs?tag=demo"):
        assert f'href="{link}"' in page
    steps = _steps(page)
    assert steps
    step = await site.text(steps[0])
    assert "Be brief." in step
    assert "This is the demo model" in step


async def test_a_step_comes_as_a_fragment(site: Site) -> None:
    """The island gets the step without a page around it; the run's page shows the step that its address names."""
    run = await site.app.run("support", "hi")
    (path,) = _steps(await site.text(f"/runs/{run.id}"))
    fragment = await site.text(path, **{"hx-request-type": "partial", "hx-target": "aside#step"})
    assert "<html" not in fragment
    assert "Be brief." in fragment
    whole = await site.text(f"/runs/{run.id}?step={path.rsplit('/', 1)[1]}")
    assert "Be brief." in whole


async def test_the_outline_holds_no_bodies(site: Site) -> None:
    """What the island draws from has columns of the same length, and nothing that was said."""
    run = await site.app.run("support", "a secret")
    answer = await site.client.get(f"/runs/{run.id}/steps.json?limit=100000")
    outline = answer.json()
    assert {len(outline[name]) for name in ("seq", "lane", "kind", "name", "status_of", "start_us", "duration_us")} == {
        1
    }
    assert "secret" not in answer.text


@pytest.mark.parametrize("path", ["/runs/run_none", "/runs/{run}/steps/none", "/runs/{run}/steps/999", "/runs/%00"])
async def test_what_is_not_there_is_said(site: Site, path: str) -> None:
    """A run or a step that does not exist is a page that says so."""
    run = await site.app.run("support", "hi")
    assert (await site.client.get(path.format(run=run.id))).status_code == 404


async def test_a_waiting_run_is_answered_on_its_page(open_site: Open) -> None:
    """The tool call that waits is shown with its arguments; a form approves it with a name, and the run goes on."""
    async with open_site(agents=AGENTS) as site:
        run = await site.app.run("flow", HOSTILE)
        page = await site.text(f"/runs/{run.id}")
        assert "has to be allowed" in page
        assert f'name="next" value="/runs/{run.id}"' in page
        form = {"/arguments": '{"to": "ann"}', "do": "approve", "by": "ada", "next": f"/runs/{run.id}"}
        approval = re.findall(r'action="(/approvals/[^"]+)"', page)[0]
        assert await _post(site, approval, **form) == f"/runs/{run.id}"
        assert (await site.app.runs.wait(run.id)).status == "completed"
        assert (await site.app.approvals.get(approval.rpartition("/")[2])).by == "ada"


async def test_an_answer_on_the_page_of_a_run_is_of_its_schema(open_site: Open) -> None:
    """A number that answers a question for a text is a text."""
    async with open_site(agents=AGENTS) as site:
        run = await site.app.run("asks", "How many?")
        question = re.findall(r'action="(/approvals/[^"]+)"', await site.text(f"/runs/{run.id}"))[0]
        await _post(site, question, **{"/answer": "42", "do": "answer"})
        ended = await site.app.runs.wait(run.id)
        assert (ended.status, bytes(ended.output)) == ("completed", b'"42"')


async def test_a_part_of_a_run_does_not_read_the_step_beside_it(site: Site) -> None:
    """The step of the address is read for the whole page, and not with the status or the output."""
    run = await site.app.run("support", "hi")
    (path,) = _steps(await site.text(f"/runs/{run.id}"))
    twin = f"/runs/{run.id}.json?step={path.rpartition('/')[2]}"
    part = {"hx-request-type": "partial", "hx-target": "div#summary"}
    assert (await site.client.get(twin)).json()["step"] is not None
    assert (await site.client.get(twin, headers=part)).json()["step"] is None


async def test_what_a_run_said_is_inert_on_every_page(open_site: Open) -> None:
    """Input, messages, arguments, results and names of lanes are text wherever they are shown."""
    async with open_site(agents=AGENTS) as site:
        run = await site.app.run("flow", HOSTILE, group="<b>g", user="<i>u", tags=("<u>t",), metadata={"<a>": "<p>"})
        page = await site.text(f"/runs/{run.id}")
        pages = [page, await site.text(f"/runs/{run.id}/replay"), await site.text(f"/runs/{run.id}/steps")]
        pages += [await site.text(path) for path in dict.fromkeys(_steps(page))]
        assert len(pages) > 5
        for each in pages:
            assert "<script>alert" not in each
            assert not re.search("<[biu]>[gut]", each)
            assert "\x1b" not in each
            assert "\u202e" not in each
            assert '<img src="https' not in each
            assert 'href="javascript' not in each


async def test_a_megabyte_is_cut_with_the_whole_behind_a_link(site: Site) -> None:
    """Of a text of five megabytes the page shows the beginning, and its twin holds all of it."""
    run = await site.app.run("support", "x" * 5_000_000)
    page = await site.text(f"/runs/{run.id}")
    assert len(page) < 100_000
    (path,) = _steps(page)
    assert len(await site.text(path)) < 150_000
    assert len((await site.client.get(f"{path}.json")).content) > 5_000_000


async def test_guard_decisions_memory_and_cost_stand_with_their_step(open_site: Open) -> None:
    """A step tells what the guard did with its call, in a word beside its name too, and what it wrote to memory."""
    async with open_site(agents=AGENTS) as site:
        busy = await site.app.run("busy", "hi")
        page = await site.text(f"/runs/{busy.id}")
        assert "2 attempts" in page
        assert "retry gave up" in page
        (path, *_) = _steps(page)
        assert "<b>retry</b>" in await site.text(path)
        outline = (await site.client.get(f"/runs/{busy.id}/steps.json")).json()
        assert outline["decisions"][outline["decided"][0]] == ["retry resend", "retry gave_up"]
        run = await site.app.run("flow", "hi")
        texts = [await site.text(path) for path in dict.fromkeys(_steps(await site.text(f"/runs/{run.id}")))]
        assert any("Memory written" in text and "agent:flow" in text for text in texts)


async def test_a_run_is_pinned_paused_and_cancelled_by_forms(open_site: Open) -> None:
    """Each action leads back to the run, which then shows what became of it."""
    async with open_site(agents=AGENTS) as site:
        run = await site.app.run("flow", "hi")
        path = f"/runs/{run.id}"
        assert await _post(site, f"{path}/pin") == path
        assert "Unpin" in await site.text(path)
        await _post(site, f"{path}/unpin")
        assert (await site.app.pins.get(run.id)).is_pinned is False
        await _post(site, f"{path}/pause")
        assert "Somebody paused it" in await site.text(path)
        await _post(site, f"{path}/resume")
        assert (await site.app.runs.wait(run.id)).reason == "approval"
        await _post(site, f"{path}/cancel")
        assert (await site.app.runs.wait(run.id)).status == "cancelled"
        over = await site.client.post(f"{path}/pause")
        assert over.status_code == 409


async def test_a_step_names_the_run_that_it_began(open_site: Open) -> None:
    """The page of a step leads to the run that it began, and its twin has the id for the tree of steps."""
    async with open_site(agents=[*AGENTS, Agent("hands-on", run=hands_on)]) as site:
        run = await site.app.run("hands-on", "hi")
        page = await site.text(f"/runs/{run.id}")
        (path,) = _steps(page)
        child = (await site.client.get(f"{path}.json")).json()["child"]
        assert (await site.app.runs.get(child)).parent_run_id == run.id
        assert f'href="/runs/{child}"' in await site.text(path)
        assert "tokens" in page.partition("Runs that it began")[2].partition("</section>")[0]
        assert await site.text(f"/runs/{run.id}?step=1.2")


async def test_a_step_from_the_record_leads_to_it(open_site: Open) -> None:
    """A replayed step names the recorded one, and no run: none was begun."""
    async with open_site(agents=[*AGENTS, Agent("hands-on", run=hands_on)]) as site:
        run = await site.app.run("hands-on", "hi")
        (recorded,) = _steps(await site.text(f"/runs/{run.id}"))
        replay = await _post(site, f"/runs/{run.id}/replay")
        await site.app.runs.wait(replay.rpartition("/")[2])
        (path,) = _steps(await site.text(replay))
        page = await site.text(path)
        assert (await site.client.get(f"{path}.json")).json()["child"] is None
        assert "<b>Began</b>" not in page
        assert f'href="{recorded.replace("/steps/", "?step=")}"' in page


async def test_a_run_that_waits_for_a_budget_says_which(open_site: Open) -> None:
    """Its page tells account, what was spent of what, what a call wants and when the period ends; a form raises it."""
    budget = Budget(calls=1, per="day", at_limit="wait")
    async with open_site(agents=[Agent("patient", model="demo", guard=Guard(budget=budget))]) as site:
        await site.app.run("patient", "one")
        run = await site.app.run("patient", "two")
        page = await site.text(f"/runs/{run.id}")
        short = (await site.client.get(f"/runs/{run.id}.json")).json()["short"]
        account = short["wait"]["budget"]["account"]
        assert account.startswith("agent:patient day:")
        assert (short["wait"]["wants"], short["wait"]["enough"]) == (1, 2)
        assert short["command"] == f"runwright budgets raise '{account}' --calls 2"
        assert "1 of 1 calls" in page
        assert "Period ends" in page
        form = {"account": account, "calls": "2", "next": f"/runs/{run.id}"}
        answer = await site.client.post("/guard/budgets/raise", data=form)
        assert answer.headers["location"] == f"/runs/{run.id}"
        await site.client.post(f"/runs/{run.id}/resume")  # it may have gone on by itself
        assert (await site.app.runs.wait(run.id)).status == "completed"
        assert "Period ends" not in await site.text(f"/runs/{run.id}")


async def test_the_twin_of_a_step_holds_its_messages(site: Site) -> None:
    """A step's JSON twin has the conversation as it is shown."""
    run = await site.app.run("support", "hi")
    (path,) = _steps(await site.text(f"/runs/{run.id}"))
    twin = msgspec.json.decode((await site.client.get(f"{path}.json")).content)
    assert [said["role"] for said in twin["conversation"]["first"]] == ["system", "user"]
    assert twin["conversation"]["answer"]["role"] == "assistant"


async def test_fields_of_a_fork_hold_what_the_agent_has(open_site: Open) -> None:
    """Instructions stand in their field as they are: a fork that changes nothing else runs with the same ones."""
    instructions = "\nBe \u200bbrief."
    agent = Agent("quiet", model="demo", instructions=instructions)
    async with open_site(agents=[agent]) as site:
        run = await site.app.run("quiet", "a")
        page = await site.text(f"/runs/{run.id}/replay")
        definition = (await site.app.agents.get("quiet")).definition
        assert f'rows="6">\n{definition["instructions"]}</textarea>' in page
        assert f'name="instructions_before" value="{definition["instructions"]}"' in page
        assert "\u200b" in str(definition["instructions"])
