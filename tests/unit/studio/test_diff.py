"""Two runs side by side, and replays and forks made by a form."""

import re

import msgspec
import pytest

from runwright import Agent, Context, tool
from tests.unit.studio.conftest import Open, Site


@tool(effect="read")
async def look(at: str) -> str:
    """Look at something."""
    return f"{at} is there"


async def walk(text: str, context: Context) -> str:
    """Look ten times, and say something at the end."""
    for number in range(10):
        await context.tool(look, at=f"{number}")
    await context.model(text)
    return text


AGENTS = (
    Agent("support", model="demo", instructions="Be brief.", tools=[look]),
    Agent("walk", model="demo", run=walk),
)


async def _replay(site: Site, run: str, **form: str) -> str:
    """The run that a form begins."""
    answer = await site.client.post(f"/runs/{run}/replay", data=form)
    assert answer.status_code == 303, answer.text
    made = answer.headers["location"].removeprefix("/runs/")
    await site.app.runs.wait(made)
    return made


async def test_equal_runs_are_said_to_be_the_same(open_site: Open) -> None:
    """A strict replay differs in nothing, and the runs that it can be compared with name it."""
    async with open_site(agents=AGENTS) as site:
        run = await site.app.run("walk", "hi")
        made = await _replay(site, run.id)
        page = await site.text(f"/runs/{run.id}/diff/{made}")
        assert "<b>The same.</b>" in page
        assert "11 steps are the same" in page
        assert f"/runs/{made}/diff/{run.id}" in page
        assert f"/runs/{run.id}/diff/{made}" in await site.text(f"/runs/{made}")
        assert "Its replays" in await site.text(f"/runs/{run.id}/diff")
        assert "The run that it replays" in await site.text(f"/runs/{made}/diff")


async def test_what_differs_first_stands_first(open_site: Open) -> None:
    """Equal steps are folded, the first that differs is shown with its texts, and others are fetched."""
    async with open_site(agents=AGENTS) as site:
        one, other = await site.app.run("walk", "<b>left"), await site.app.run("walk", "<i>right")
        path = f"/runs/{one.id}/diff/{other.id}"
        page = await site.text(path)
        assert "What differs first" in page
        assert "-  &lt;b&gt;left" in page
        assert "10 steps are the same" in page
        assert "show equal steps" in page
        assert (await site.text(f"{path}?equal=shown")).count('<tr class="same">') == 10
        found = re.search(rf'hx-get="({path}/steps/10)"', page)
        assert found is not None
        fragment = await site.text(found[1], **{"hx-request-type": "partial", "hx-target": "aside#change"})
        assert "<html" not in fragment
        assert "+  &lt;i&gt;right" in fragment


@pytest.mark.parametrize(
    "path", ["/runs/{run}/diff/run_none", "/runs/run_none/diff", "/runs/{run}/diff/{run}/steps/99"]
)
async def test_what_cannot_be_compared_is_said(site: Site, path: str) -> None:
    """A run or a place that does not exist is a page that says so."""
    run = await site.app.run("support", "hi")
    assert (await site.client.get(path.format(run=run.id))).status_code == 404


async def test_a_fork_with_other_instructions_leads_to_its_diff(open_site: Open) -> None:
    """The form changes what was edited alone, the run is forked at its step, and the diff shows the edit."""
    async with open_site(agents=AGENTS) as site:
        run = await site.app.run("support", "hi")
        form = await site.text(f"/runs/{run.id}/replay")
        step = re.search(r'<option value="(\d+)"', form)
        assert step is not None
        made = await _replay(
            site,
            run.id,
            at=step[1],
            instructions="Be kind.",
            instructions_before="Be brief.",
            model="demo",
            model_before="demo",
        )
        view = await site.app.runs.get(made)
        assert (view.status, view.replay_of) == ("completed", run.id)
        page = await site.text(f"/runs/{run.id}/diff/{made}")
        assert "+  Be kind." in page
        assert "{&#34;instructions&#34;: &#34;Be kind.&#34;}" in page


async def test_another_result_is_given_in_place_of_the_recorded_one(open_site: Open) -> None:
    """A result that was typed answers the step, as JSON or as text."""
    async with open_site(agents=AGENTS) as site:
        run = await site.app.run("walk", "hi")
        first = (await site.app.outlines.get(run.id, limit=1)).seq[0]
        made = await _replay(site, run.id, result_step=f"{first}", result="nothing there")
        outline = await site.app.outlines.get(made, limit=1)
        assert (await site.app.runs.step(made, outline.seq[0])).result == msgspec.Raw(b'"nothing there"')


@pytest.mark.parametrize(
    ("form", "pointer"),
    [({"at": "x"}, "/at"), ({"config": "{"}, "/config"), ({"config": '{"model": "local:./x.gguf"}'}, "/config/model")],
)
async def test_a_form_that_cannot_be_meant_is_refused(open_site: Open, form: dict[str, str], pointer: str) -> None:
    """What is wrong is told with its place, and no run begins."""
    async with open_site(agents=AGENTS) as site:
        run = await site.app.run("support", "hi")
        answer = await site.client.post(f"/runs/{run.id}/replay", data=form)
        assert answer.status_code == 422
        assert pointer in answer.text
