"""Agents and templates in the browser: lists, forms, and what is refused."""

import re
from html import unescape

import pytest

from runwright import Agent
from tests.unit.studio.conftest import Open, Site

MADE = {"name": "made", "model": "demo", "instructions": "Be kind.", "limits": {"time_s": None, "steps": 5}}
FORM = {"content-type": "application/x-www-form-urlencoded"}


async def made(site: Site) -> None:
    """An agent that was made over the API."""
    await site.app.agents.create(MADE)


def fields(page: str) -> dict[str, str]:
    """What a browser would post of a page's form, without its buttons."""
    inputs = re.findall(r'<input[^>]* name="([^"]+)" value="([^"]*)"', page)
    areas = re.findall(r'<textarea[^>]* name="([^"]+)"[^>]*>\n([^<]*)</textarea>', page)
    chosen = re.findall(
        r'<select[^>]* name="([^"]+)".*?(?:<option value="([^"]*)" selected|</select>)', page, re.DOTALL
    )
    return {unescape(name): unescape(value) for name, value in (*inputs, *areas, *chosen)}


async def test_agents_are_listed_with_what_is_wrong(site: Site) -> None:
    """The list names every agent, where it stands, and what will fail when its time comes."""
    await site.app.agents.create({"name": "chief", "template": "chain", "config": {"steps": [{"agent": "support"}]}})
    await made(site)
    page = await site.text("/agents")
    assert "Agent(&#39;support&#39;)" in page
    assert 'href="/agents/made"' in page
    assert "What will fail" not in page
    await site.app.agents.create({"name": "lost", "template": "chain", "config": {"steps": [{"agent": "made"}]}})
    await site.app.agents.delete("made")
    page = await site.text("/agents")
    assert "What will fail" in page
    assert "there is no agent &#39;made&#39;" in page


async def test_an_agent_is_shown_with_its_runs_and_figures(site: Site) -> None:
    """The page of an agent has its definition, its versions, and what its runs came to."""
    await site.app.run("support", "hello there")
    page = await site.text("/agents/support")
    assert "Be brief." in page
    assert "hello there" in page
    assert "change it there, or copy it" in page
    assert 'href="/agents/support/edit"' not in page
    assert (await site.client.get("/agents/nobody")).status_code == 404


async def test_who_uses_an_agent_is_shown(site: Site) -> None:
    """Users and groups by their runs, the busiest first, each with a way to these; their names are inert."""
    for user in ("eva", "<b>tom", "<b>tom", None):
        await site.app.run("support", "hello", user=user, group="a b")
    view = (await site.client.get("/agents/support.json")).json()
    users, groups = view["used"]["callers"]
    assert [(each["key"], each["calls"]) for each in users["rows"]] == [("<b>tom", 2), (None, 1), ("eva", 1)]
    assert [(each["key"], each["calls"]) for each in groups["rows"]] == [("a b", 4)]
    page = await site.text("/agents/support")
    assert 'href="/runs?agent=support&amp;user=eva"' in page
    assert "<b>tom" not in page
    assert "without a user" in page
    assert 'href="/groups/a%20b"' in await site.text("/templates/conversation")


async def test_templates_are_shown_with_what_their_agents_came_to(site: Site) -> None:
    """The list and the page of a template count the runs of its agents; those of one that was deleted are nobody's."""
    await made(site)
    await site.app.run("support", "hello")
    await site.app.run("made", "hello")
    assert "2 runs in 30 days" in await site.text("/templates")
    view = (await site.client.get("/templates/conversation.json")).json()
    assert (view["used"]["ran"]["calls"], view["used"]["called"]["calls"]) == (2, 2)
    assert [(each["name"], each["runs"]) for each in view["agents"]] == [("made", 1), ("support", 1)]
    page = await site.text("/templates/conversation")
    assert 'href="/runs?agent=made"' in page
    await site.app.agents.delete("made")
    view = (await site.client.get("/templates/conversation.json")).json()
    assert [each["name"] for each in view["agents"]] == ["support"]


async def test_a_form_that_is_saved_untouched_changes_nothing(site: Site) -> None:
    """What the form shows is what it posts: no version is made of it, and null stays null."""
    await made(site)
    page = await site.text("/agents/made/edit")
    answer = await site.client.post("/agents/made/edit", data={**fields(page), "do": "save"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/agents/made")
    agent = await site.app.agents.get("made")
    assert (agent.version, agent.definition["limits"]) == ("1.0.0", {"time_s": None, "steps": 5})


async def test_a_change_is_the_next_version(site: Site) -> None:
    """What is saved is the next patch version, unless somebody was faster."""
    await made(site)
    typed = fields(await site.text("/agents/made/edit")) | {"/instructions": "Be\r\nbrief.", "do": "save"}
    await site.client.post("/agents/made/edit", data=typed)
    agent = await site.app.agents.get("made")
    assert (agent.version, agent.definition["instructions"]) == ("1.0.1", "Be\nbrief.")
    late = await site.client.post("/agents/made/edit", data=typed | {"/instructions": "Late."})
    assert late.status_code == 409
    assert "Somebody made version 1.0.1" in late.text
    assert "Late." in late.text
    again = await site.client.post("/agents/made/edit", data={**fields(late.text), "do": "save"})
    assert again.status_code == 303
    assert (await site.app.agents.get("made")).definition["instructions"] == "Late."


async def test_an_agent_is_made_of_what_was_typed(site: Site) -> None:
    """Rows come by a button, mistakes stand at their fields, a check stores nothing, and saving leads to the agent."""
    path = "/templates/chain/agent"
    typed = {"/name": "duo", "do": "add:/config/steps"}
    page = await site.client.post(path, data=typed)
    assert page.status_code == 200
    typed = fields(page.text) | {"/config/steps/0/agent": "suport", "do": "check"}
    wrong = await site.client.post(path, data=typed | {"/limits/time_s": "soon", "do": "save"})
    assert wrong.status_code == 422
    assert 'aria-invalid="true"' in wrong.text
    assert fields(wrong.text)["/limits/time_s"] == "soon"
    assert re.search(r'id="w/limits/time_s" role="alert">[^<]*number', wrong.text)
    checked = await site.client.post(path, data=typed | {"/config/steps/0/agent": "support"})
    assert "This definition is valid" in checked.text
    assert "duo" not in [each.name for each in (await site.app.agents.list()).data]
    saved = await site.client.post(path, data={**fields(checked.text), "do": "save"})
    assert saved.headers["location"] == "/agents/duo"
    assert (await site.app.agents.get("duo")).definition["config"] == {"steps": [{"agent": "support"}]}


async def test_an_agent_of_a_file_is_copied_and_not_changed(site: Site) -> None:
    """Agents of code and files say where they stand; their copy is a form with their definition in it."""
    for path in ("/agents/support/edit", "/agents/support/delete"):
        assert (await site.client.get(path)).status_code == 409
        assert (await site.client.post(path, content="", headers=FORM)).status_code == 409
    copy = fields(await site.text("/templates/conversation/agent?copy=support"))
    assert (copy["/name"], copy["/instructions"]) == ("support-copy", "Be brief.")


async def test_an_agent_is_deleted_after_a_question(site: Site) -> None:
    """To ask for the page deletes nothing; its form does."""
    await made(site)
    await site.text("/agents/made/delete")
    await site.text("/agents/made")
    assert (await site.client.post("/agents/made/delete")).headers["location"] == "/agents"
    assert (await site.client.get("/agents/made")).status_code == 404


async def test_definitions_are_shown_inert_and_edited_as_they_are(open_site: Open) -> None:
    """HTML and hidden characters of a definition cannot act on a page, and survive its form."""
    hostile = '</textarea><script>alert(1)</script>\u202e "quoted" \U0001f469\u200d\U0001f680'
    async with open_site([Agent("odd", model="demo", description=hostile)]) as site:
        await site.app.agents.create({**MADE, "instructions": hostile, "description": hostile})
        for path in ("/agents", "/agents/odd", "/agents/made", "/agents/made/edit"):
            page = await site.text(path)
            assert "<script>alert" not in page
            assert "&lt;script&gt;" in page
        assert "\u202e" not in await site.text("/agents/made")
        assert fields(await site.text("/agents/made/edit"))["/instructions"] == hostile


@pytest.mark.parametrize("name", ["conversation", "chain", "task", "supervisor", "custom", "repository"])
async def test_a_template_is_shown_with_its_form(site: Site, name: str) -> None:
    """Each template has a page, and a form to make an agent."""
    assert name in await site.text("/templates")
    assert "Configuration" in await site.text(f"/templates/{name}")
    assert 'name="/name"' in await site.text(f"/templates/{name}/agent")
    assert (await site.client.get(f"/templates/{name}?version=9.9.9")).status_code == 404
