"""Home, costs, memory, guard, settings and system: what they show, what they change, and that nothing in them acts."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import urlencode

import pytest
from msgspec.structs import replace

from runwright import Agent, Budget, Context, Guard
from runwright.core.sandbox import IsolationReport
from runwright.models import ModelRegistry, ProviderSettings
from runwright.tools.sandbox.local import LocalSandbox
from tests.unit.studio.conftest import Open, Site

FORM = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
HOSTILE = "<img src=x onerror=alert(1)>\u202e"


async def remember(text: str, context: Context) -> str:
    """Write a block."""
    await context.memory.set("notes", f"first\n{text}")
    return text


async def many(text: str, context: Context) -> str:
    """Ask the model so often."""
    for number in range(int(text)):
        await context.model(f"{number}")
    return text


async def fail(text: str) -> str:
    """Fail with the text."""
    raise RuntimeError(text)


async def asks(text: str, context: Context) -> str:
    """Ask a person."""
    return str(await context.ask(text))


class Tried(LocalSandbox):
    """A sandbox whose ways were tried."""

    def __init__(self, reports: Sequence[IsolationReport]) -> None:
        super().__init__()
        self._tried_ways = reports

    async def probe(self) -> Sequence[IsolationReport]:
        """What came of it."""
        return self._tried_ways


AGENTS = (
    Agent("support", model="demo", guard=Guard(budget=Budget(calls=5, per="day"))),
    Agent("remember", run=remember),
    Agent("fail", run=fail),
    Agent("asks", run=asks),
)


async def view(site: Site, path: str) -> Any:
    """The twin of a page."""
    answer = await site.client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_home_begins_with_first_steps(site: Site) -> None:
    """Without runs the first page says how to begin, and not once there is one."""
    assert "First steps" in await site.text("/")
    await site.app.run("support", "a")
    assert "First steps" not in await site.text("/")


async def test_home_says_what_matters(open_site: Open) -> None:
    """What failed, what waits for a person, what ended in this hour, and what agents took."""
    async with open_site(AGENTS) as site:
        failed = await site.app.run("fail", "a")
        asked = await site.app.run("asks", "How many?")
        await site.app.run("support", "a")
        home = await view(site, "/index.json")
        assert [run["id"] for run in home["failed"]] == [failed.id]
        assert [each["run_id"] for each in home["approvals"]] == [asked.id]
        assert home["waiting"] == []
        assert (home["hours"][-1]["runs"], home["hours"][-1]["failed"], len(home["hours"])) == (2, 1, 24)
        assert {each["name"] for each in home["agents"]} == {"fail", "support"}
        part = await site.text("/", **{"hx-request-type": "partial", "hx-target": "live-part#now"})
        assert failed.id in part
        assert "<h1" not in part
        headers = {"hx-request-type": "partial", "hx-target": "live-part#now"}
        fetched_again = await site.client.get("/index.json", headers=headers)
        assert fetched_again.json()["agents"] == []


@pytest.mark.parametrize("path", ["/", "/runs", "/memory/agent:remember", "/memory/agent:remember?block=notes&left=0"])
async def test_hostile_words_are_inert(open_site: Open, path: str) -> None:
    """Errors, questions and blocks of memory are text wherever they are shown."""
    async with open_site(AGENTS) as site:
        for agent in ("fail", "asks", "remember"):
            await site.app.run(agent, HOSTILE)
        page = await site.text(path)
        assert "<img src=x" not in page
        assert "\u202e" not in page
        assert "&lt;img src=x" in page


async def test_costs_lead_from_sums_to_runs(site: Site) -> None:
    """Costs by agent link to its runs and models, and a span of days is drawn by the hour."""
    await site.app.run("support", "a")
    page = await site.text("/costs?by=agent&since=24h")
    assert 'href="/runs?agent=support"' in page
    assert re.search(r'data-at="\d{4}-\d\d-\d\dT\d\d"', page)
    assert re.search(r'data-at="\d{4}-\d\d-\d\d"', await site.text("/costs"))
    asked = await view(site, "/costs.json?by=model&on_model=demo:echo")
    assert asked["report"]["data"][0]["what_if"]["usd"] is not None
    assert 'href="/templates/conversation"' in await site.text("/costs?by=template")
    assert (await site.client.get("/costs?by=colour")).status_code == 422


@pytest.mark.parametrize("by", ["agent", "model", "day", "group", "user"])
async def test_costs_lead_to_the_single_calls(site: Site, by: str) -> None:
    """Each sum leads to its calls, whatever it is by and also where runs have no such label; a call to its step."""
    labelled = await site.app.run("support", "a", group="g & h", user="ada")
    plain = await site.app.run("support", "b")
    costs = await view(site, f"/costs.json?by={by}&since=24h")
    page = await site.text(f"/costs?by={by}&since=24h")
    counted: list[int] = []
    found: Any = []
    for query in costs["calls"]:
        address = f"/costs/calls?{urlencode(query)}"
        assert f'href="{escape(address)}"' in page
        found = (await view(site, address.replace("calls?", "calls.json?")))["calls"]["data"]
        counted.append(len(found))
        shown = await site.text(address)
        assert all(f'href="/runs/{each["run_id"]}?step={each["step"]}"' in shown for each in found)
    assert counted == [*(row["calls"] for row in costs["report"]["data"]), 2]
    assert {labelled.id, plain.id} == {each["run_id"] for each in found}


async def test_calls_are_turned_over(open_site: Open) -> None:
    """A long list of calls has pages in the order asked for, hostile names stay text, and a mistake is told."""
    async with open_site((Agent("many", run=many, limits={"steps": 100}), *AGENTS)) as site:
        await site.app.run("many", "60", user="<b>")
        found = await view(site, "/costs/calls.json?order=newest")
        steps = [each["step"] for each in found["calls"]["data"]]
        rest = await view(site, f"/costs/calls.json?order=newest&after={found['calls']['next']}")
        steps += [each["step"] for each in rest["calls"]["data"]]
        assert (len(steps), steps, rest["calls"]["next"]) == (60, sorted(steps, reverse=True), None)
        assert 'rel="next"' in await site.text("/costs/calls")
        page = await site.text("/costs/calls?user=%3Cb%3E&model=none")
        assert "No call of this time fits" in page
        assert "<b>" not in page
        for wrong in ("order=best", "without=agent", "since=soon", "after=%00", f"agent={'a' * 200}"):
            assert (await site.client.get(f"/costs/calls?{wrong}")).status_code == 422


async def test_memory_is_looked_at_and_restored(open_site: Open) -> None:
    """Blocks as they stood, what changed between commits, who wrote each line; an old commit can stand again."""
    async with open_site(AGENTS) as site:
        runs = [(await site.app.run("remember", text)).id for text in ("one", "two")]
        shown = await view(site, "/memory/agent:remember.json?at=1&left=1&right=2&block=notes")
        assert shown["blocks"][0]["value"] == "first\none"
        assert "+two" in shown["diff"]["blocks"][0]["text"]
        assert [(line["text"], line["run_id"]) for line in shown["lines"]] == [("first", runs[0]), ("one", runs[0])]
        form = "owner=agent:remember&commit=1&name="
        answer = await site.client.post("/memory/restore", content=form, headers=FORM)
        assert (answer.status_code, answer.headers["location"]) == (303, "/memory/agent:remember")
        now = await view(site, "/memory/agent:remember.json")
        assert (now["blocks"][0]["value"], now["commits"]["data"][0]["restores"]) == ("first\none", 1)
        assert "agent:remember" in await site.text("/memory")


async def test_the_guard_is_steered(open_site: Open) -> None:
    """A budget is raised and the cache forgotten by forms; what makes no sense is told."""
    async with open_site(AGENTS) as site:
        await site.app.run("support", "a")
        budget = (await view(site, "/guard.json"))["report"]["budgets"][0]
        form = {"account": budget["account"], "calls": "9"}
        assert (await site.client.post("/guard/budgets/raise", data=form, headers=FORM)).status_code == 303
        assert (await view(site, "/guard.json"))["report"]["budgets"][0]["limit"] == 9
        assert (await site.client.post("/guard/cache/clear", data={"of": "model"}, headers=FORM)).status_code == 303
        assert (await site.client.post("/guard/cache/clear", data={"of": "all"}, headers=FORM)).status_code == 422
        assert (await site.client.post("/guard/budgets/raise", data={"calls": "x"}, headers=FORM)).status_code == 422


async def test_settings_hide_secrets(open_site: Open) -> None:
    """A secret is on no page, and a setting is found by a part of its name."""
    async with open_site(api_key="rw-very-secret") as site:
        site.client.headers["authorization"] = "Bearer rw-very-secret"
        page = await site.text("/settings")
        assert "very-secret" not in page
        assert "heartbeat_s" in page
        assert "heartbeat_s" not in await site.text("/settings?text=api_key")


async def test_system_measures_when_asked(site: Site) -> None:
    """What takes the space is measured on request alone."""
    assert (await view(site, "/system.json"))["sizes"] is None
    assert (await view(site, "/system.json?sizes=1"))["sizes"]["database"] > 0


async def test_system_lists_models_without_secrets(site: Site) -> None:
    """Providers with their address and whether a key is set; keys and passwords of addresses are on no page."""
    acme = ProviderSettings(base_url="https://me:hunter2@acme.example/v1?token=hunter3", api_key="hunter1")
    site.app.models = ModelRegistry({"acme": acme}, default="demo")
    shown = {each["provider"]: each for each in (await view(site, "/system.json"))["models"]}
    assert (shown["acme"]["base_url"], shown["acme"]["has_key"]) == ("https://acme.example/v1", True)
    assert (shown["openai"]["is_available"], shown["openai"]["has_key"]) == (False, False)
    page = await site.text("/system")
    assert "https://acme.example/v1" in page
    assert "demo <small>default</small>" in page
    assert "hunter" not in page


async def test_system_asks_models_of_this_machine_when_asked(site: Site) -> None:
    """Whether a provider of this machine answers is looked up on request alone."""
    nowhere = ProviderSettings(base_url="http://127.0.0.1:1/v1")
    site.app.models = ModelRegistry(dict.fromkeys(("ollama", "vllm", "llamacpp"), nowhere), default="demo")
    for path, is_usable in (("/system.json", True), ("/system.json?models=1", False)):
        shown = {each["provider"]: each["is_available"] for each in (await view(site, path))["models"]}
        assert (shown["ollama"], shown["vllm"], shown["demo"]) == (is_usable, is_usable, True)


async def test_system_tries_the_sandbox_when_asked(open_site: Open) -> None:
    """Each way to contain code with its level and whether it works, and what each language gets of them."""
    async with open_site(sandbox={"ways": "docker"}) as site:
        assert (await view(site, "/system.json"))["ways"] is None
        reports = [
            IsolationReport(backend="docker", isolation=3, language="python"),
            IsolationReport(backend="docker", isolation=3, language="typescript", why_not="<b>no image</b>"),
        ]
        site.app.workshop = replace(site.app.workshop, sandbox=Tried(reports))
        shown = await view(site, "/system.json?sandbox=1")
        levels = {each["language"]: (each["isolation"], each["by"]) for each in shown["levels"]}
        assert (levels["python"], levels["typescript"]) == ((3, "namespaces"), (0, "none"))
        page = await site.text("/system?sandbox=1")
        assert "isolation level 3 <small>namespaces</small>" in page
        assert "&lt;b&gt;no image" in page


async def test_every_page_of_the_navigation_has_a_letter_of_its_own(site: Site) -> None:
    """The keys behind `g` differ, and the sheet lists them."""
    page = await site.text("/system")
    letters = re.findall(r'data-letter="(\w?)"', page)
    assert len(set(letters)) == len(letters) > 5
    assert all(f"<kbd>g</kbd> <kbd>{letter}</kbd>" in page for letter in letters)


async def test_what_failed_is_grouped(open_site: Open) -> None:
    """The same fault of an agent is one line with its runs and an example; what was said in it is inert."""
    async with open_site(AGENTS) as site:
        assert "Nothing failed in this time" in await site.text("/errors")
        await site.app.run("support", "fine")
        runs = [(await site.app.run("fail", f"{HOSTILE} order {number}")).id for number in (1, 2)]
        report = (await view(site, "/errors.json"))["report"]
        (group,) = report["data"]
        assert (group["agent"], group["count"], group["runs"]) == ("fail", 2, runs[::-1])
        page = await site.text("/errors")
        assert f'href="/runs?ids={runs[1]}%2C{runs[0]}"' in page
        assert f'href="/runs/{runs[1]}"' in page
        assert "order #" in page
        assert "order 2" in page
        assert "<img src=x" not in page
        assert "\u202e" not in page
        assert "No run fits" not in await site.text(f"/runs?ids={runs[1]}%2C{runs[0]}")
        assert "Nothing failed that fits" in await site.text("/errors?agent=support")
        assert 'href="/errors?agent=fail&amp;since=30d"' in await site.text("/agents/fail")
        assert 'href="/errors?since=24h"' in await site.text("/")
        assert (await site.client.get("/errors?since=soon")).status_code == 422
