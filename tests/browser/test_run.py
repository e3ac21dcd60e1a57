"""A run in the browser: its steps by keys and by mouse, live, in great number, and with hostile content."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import WAIT_MS, Site, Watched, press, reach, write
from tests.e2e.serving import AGENTS, serving

FLOWS = r'''
import asyncio

from runwright import Agent, Context, tool

HOSTILE = "<img src=x onerror=alert(1)><script>alert(1)</script>\u202egnp.exe\x1b[31m\u200b"
HOSTILE += "![p](https://evil.example/?q) [l](javascript:alert(1))"


@tool(effect="read")
async def look(at: str) -> str:
    """Look."""
    if at == "nowhere":
        raise ValueError("there is no such place")
    if at == "hostile":
        raise ValueError(HOSTILE)
    return at


async def fan(text: str, context: Context) -> str:
    async def city(name: str) -> None:
        lane = context.lane(name)
        await lane.model(f"What about {name}?")
        await lane.tool(look, at=name)

    await asyncio.gather(city("Paris"), city("Rome"))
    await context.now()
    try:
        await context.tool(look, at="nowhere")
    except Exception:
        pass
    await context.model(text)
    return "# Both\n\n- **Paris**\n- Rome"


async def many(text: str, context: Context) -> str:
    count, lanes, pause_s = (float(part) for part in text.split())

    async def side(number: int) -> None:
        lane = context.lane(f"side {number}")
        for step in range(int(count / lanes)):
            await lane.tool(look, at=f"{step}")
            if pause_s and step % 50 == 49:
                await asyncio.sleep(pause_s)

    await asyncio.gather(*(side(number) for number in range(int(lanes))))
    return "done"


async def hostile(text: str, context: Context) -> str:
    lane = context.lane(HOSTILE.replace("/", "|"))
    await lane.model(text)
    await lane.tool(look, at=HOSTILE + "x" * 5_000_000)
    await context.memory.set("note", HOSTILE)
    await context.tool(look, at="hostile")
    return HOSTILE


async def hand_on(text: str, context: Context) -> str:
    await context.model(text)
    lanes = [context.lane(name) for name in ("left", "right")]
    await asyncio.gather(*(lane.run("fan", text) for lane in lanes))
    return str(await context.run("hostile" if text == "hostile" else "again", text))


async def again(text: str, context: Context) -> str:
    return str(await context.run("fan", text))


async def rests(text: str, context: Context) -> str:
    await context.tool(look, at="before")
    await asyncio.sleep(0.8)
    await context.now()
    await context.tool(look, at="after")
    return text


GATE = asyncio.Event()


@tool(effect="read")
async def gate() -> str:
    """Wait until the gate is open."""
    await GATE.wait()
    return "through"


async def stands(text: str, context: Context) -> str:
    await context.tool(gate)
    return str(await context.tool(look, at=text))


async def crowd(text: str, context: Context) -> str:
    await asyncio.gather(*(context.lane(f"{number}").run("stands", text) for number in range(9)))
    return "all through"


async def opens(text: str) -> str:
    GATE.set()
    return text


async def asks(text: str, context: Context) -> str:
    await context.tool(look, at=text)
    return str(await context.ask(text))


standing = Agent("stands", run=stands)
crowding = Agent("crowd", run=crowd)
opening = Agent("opens", run=opens)
asking = Agent("asks", run=asks)
resting = Agent("rests", run=rests)
handing = Agent("hand-on", model="demo", run=hand_on)
passing = Agent("again", run=again)
fanning = Agent("fan", model="demo", run=fan)
counting = Agent("many", run=many, limits={"steps": 1_000_000})
shady = Agent("hostile", model="demo", run=hostile)
'''
PICTURES = os.environ.get("STUDIO_PICTURES")
"""Where the pictures of the README are to be made anew, if they are."""


@pytest.fixture(scope="module")
def flows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server under a prefix, with flows that have lanes, errors, many steps and hostile words."""
    prefix = "/tools/runwright"
    folder: Path = tmp_path_factory.mktemp("flows")
    (folder / "agents").mkdir()
    (folder / "agents" / "team.py").write_text(AGENTS)
    (folder / "agents" / "flows.py").write_text(FLOWS)
    with serving(folder, root_path=prefix) as server:
        yield Site(server.url, prefix)


@pytest.fixture
def seen(flows: Site, browser: Browser) -> Iterator[Watched]:
    """A page that must end without faults."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    watched = Watched(context.new_page(), flows)
    yield watched
    context.close()
    assert watched.faults == []


def _label(page: Page) -> str:
    """What is said of the row that the keys are at."""
    row = page.locator("[role=tree]").get_attribute("aria-activedescendant")
    return page.locator(f"#{row}").get_attribute("aria-label") or ""


def _picture(page: Page, name: str) -> None:
    if PICTURES is not None:
        page.screenshot(path=Path(PICTURES) / name, animations="disabled")


def test_the_tree_is_walked_with_keys_alone(seen: Watched) -> None:
    """Keys move, close lanes, find the error, see its step and filter, and the address keeps what is shown."""
    run = seen.site.run("fan", "Where is it nicer?")
    page = seen.open(f"/runs/{run}")
    tree = page.get_by_role("tree")
    expect(tree.get_by_role("treeitem")).to_have_count(8)
    page.keyboard.press("j")
    assert _label(page).startswith("lane Paris")
    page.keyboard.press("ArrowLeft")
    expect(tree.get_by_role("treeitem")).to_have_count(6)
    page.keyboard.press("]")
    assert _label(page).startswith("lane Rome")
    page.keyboard.press("e")
    assert "failed" in _label(page)
    expect(page.locator("#step .problem")).to_contain_text("ValueError")
    page.wait_for_url(re.compile(r"step=\d+"))
    assert seen.shut_out() == []
    _picture(page, "run.png")
    page.emulate_media(color_scheme="dark")
    assert seen.shut_out() == []
    page.keyboard.press("/")
    page.keyboard.type("Rome")
    expect(tree.get_by_role("treeitem")).to_have_count(3)
    page.wait_for_url(re.compile("q=Rome"))
    page.reload()
    expect(tree.get_by_role("treeitem")).to_have_count(3)
    expect(page.locator("#step .problem")).to_contain_text("ValueError")
    page.get_by_role("button", name="Keys").click()
    expect(page.get_by_role("dialog")).to_contain_text("next error")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.wait_for_url("**/costs")


def test_runs_below_open_as_lanes(seen: Watched) -> None:
    """A step that began a run opens it on the same line of time, and that what it began; the address keeps it."""
    run = seen.site.run("hand-on", "Where is it nicer?")
    page = seen.open(f"/runs/{run}")
    tree = page.get_by_role("tree")
    rows = tree.get_by_role("treeitem")
    expect(rows).to_have_count(6)
    tree.focus()
    page.keyboard.press("End")
    assert _label(page).startswith("child again")
    expect(tree.locator("[aria-posinset='4'][aria-setsize='4']")).to_have_attribute("aria-label", _label(page))
    page.keyboard.press("ArrowRight")
    expect(rows).to_have_count(7)
    page.keyboard.press("ArrowRight")
    assert _label(page).startswith("child fan")
    page.keyboard.press("ArrowRight")
    expect(rows).to_have_count(15)
    whole = _label(page)
    page.get_by_label("Filter steps").fill("look")
    expect(page.locator(".count")).to_contain_text("3 of")
    assert _label(page) == whole
    page.get_by_label("Filter steps").fill("")
    tree.focus()
    page.keyboard.press("e")
    assert _label(page).startswith("tool look, failed")
    expect(page.locator("#step .problem")).to_contain_text("ValueError")
    page.wait_for_url(re.compile(r"^(?=.*open=\d+\+\d+\.\d+)(?=.*step=\d+\.\d+\.\d+)"))
    assert seen.shut_out() == []
    page.reload()
    expect(rows).to_have_count(15)
    expect(page.locator("#step .problem")).to_contain_text("ValueError")
    tree.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert _label(page).startswith("child again")
    expect(rows).to_have_count(7)


def test_what_a_step_began_may_be_out_of_reach(seen: Watched) -> None:
    """A run below that cannot be fetched is said, is tried again, and stays in the address until it comes."""
    run = seen.site.run("hand-on", "Where is it nicer?")
    page = seen.open(f"/runs/{run}")
    tree = page.get_by_role("tree")
    expect(tree.get_by_role("treeitem")).to_have_count(6)
    (child,) = page.evaluate("document.querySelector('trace-waterfall').steps.seq.slice(-1)")
    page.route("**/steps/*.json", lambda route: route.fulfill(body="<p>Log in</p>"))
    seen.open(f"/runs/{run}?open={child}+{child}.2&step={child}.2")
    unreached = tree.get_by_label("(not fetched), try again")
    expect(unreached).to_have_count(1)
    page.keyboard.press("f")
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#told")).to_contain_text("could not be fetched, try again")
    expect(page.locator("[aria-busy]")).to_have_count(0)
    page.unroute("**/steps/*.json")
    page.keyboard.press("ArrowRight")
    expect(tree.get_by_role("treeitem")).to_have_count(7)
    expect(unreached).to_have_count(0)
    page.get_by_label("Filter steps").fill("again")
    page.wait_for_url(re.compile(rf"^(?=.*q=again)(?=.*open={child}\+{child}\.2)(?=.*step={child}\.2)"))


def test_runs_below_end_with_their_steps(seen: Watched) -> None:
    """However many runs below are open, each is shown to its end, in the tree and in the list; the focus and what was
    folded outlast the change, and where a button goes the focus goes to what it belonged to.
    """
    begun = seen.site.post("/api/v1/agents/crowd/runs", {"input": "here", "mode": "background"})
    page = seen.open(f"/runs/{begun['id']}")
    expect(page.locator(".count")).to_have_text("9 steps")
    seqs = page.evaluate("document.querySelector('trace-waterfall').steps.seq")
    seen.open(f"/runs/{begun['id']}?open={'+'.join(map(str, seqs))}")
    expect(page.locator(".count")).to_have_text("18 steps")
    expect(page.locator("#begun-runs .status.running")).to_have_count(9)
    press(page.locator("#output summary"))
    reach(page.get_by_role("button", name="Pause"))
    seen.site.run("opens", "")
    expect(page.locator("#summary .status.completed")).to_be_visible()
    expect(page.locator(".count")).to_have_text("27 steps")
    expect(page.locator("#begun-runs .status.completed")).to_have_count(9)
    expect(page.locator("#summary")).to_be_focused()
    expect(page.locator("#output")).to_contain_text("all through")
    expect(page.locator("#output details")).not_to_have_attribute("open", "")


def test_a_run_that_waits_stands_still(seen: Watched) -> None:
    """The bars of a run that waits for a person are the same however long one looks."""
    begun = seen.site.post("/api/v1/agents/asks/runs", {"input": "Really?", "mode": "background"})
    page = seen.page
    page.clock.install()
    seen.open(f"/runs/{begun['id']}")
    expect(page.locator("#summary .asks")).to_be_visible()
    bars = page.get_by_role("tree").locator(".bar")
    expect(bars).to_have_count(2)
    before = bars.evaluate_all("bars => bars.map(bar => bar.style.cssText)")
    page.clock.run_for(60_000)
    assert bars.evaluate_all("bars => bars.map(bar => bar.style.cssText)") == before


def test_times_and_kinds_are_chosen(seen: Watched) -> None:
    """Idle time is folded and unfolds, all kinds are shown when asked, a drag over the strip zooms, a click shows all;
    the address keeps each.
    """
    run = seen.site.run("rests", "Hello")
    page = seen.open(f"/runs/{run}")
    rows = page.get_by_role("treeitem")
    expect(rows).to_have_count(2)
    expect(page.locator(".ruler .gap")).to_contain_text("idle")
    press(page.get_by_role("button", name="Idle times"))
    expect(page.locator(".ruler .gap")).to_have_count(0)
    page.wait_for_url(re.compile("idle=shown"))
    press(page.get_by_role("button", name="All kinds"))
    expect(rows).to_have_count(3)
    page.wait_for_url(re.compile("level=full"))
    strip = page.locator(".minimap").bounding_box()
    assert strip is not None
    y = strip["y"] + strip["height"] / 2
    page.mouse.move(strip["x"] + strip["width"] * 0.5, y)
    page.mouse.down()
    page.mouse.move(strip["x"] + strip["width"] + 9, y)
    page.mouse.up()
    expect(page.locator(".count")).to_have_text("2 of 3 steps")
    page.wait_for_url(re.compile(r"zoom=\d+(~|%7E)\d+"))
    page.reload()
    expect(page.locator(".count")).to_have_text("2 of 3 steps")
    page.locator(".minimap").click()
    expect(page.locator(".count")).to_have_text("3 steps")
    page.wait_for_url(lambda url: "zoom" not in url and "idle=shown" in url)


def test_ids_are_copied_with_a_key(seen: Watched) -> None:
    """A button beside an id copies it, and says so to who sees it and to who hears it."""
    run = seen.site.run("rests", "Hello")
    page = seen.open(f"/runs/{run}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    press(page.get_by_role("button", name="copy the id of the run"))
    expect(page.locator("#told")).to_have_text("copied")
    assert page.evaluate("navigator.clipboard.readText()") == run
    expect(page.locator("#told")).to_have_text("")


def test_a_span_of_the_chart_leads_to_its_calls(seen: Watched) -> None:
    """What is dragged over stands in the address, its calls are a link away, and a call shows its step."""
    run = seen.site.run("support", "What does it cost?")
    page = seen.open("/costs?since=24h")
    box = page.locator("time-chart .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 20, steps=5)
    page.mouse.up()
    page.wait_for_url(re.compile("since=.+T.+until="))
    page.get_by_role("link", name="the calls of this time").click()
    page.wait_for_url(re.compile("/costs/calls.since=.+T.+until="))
    page.locator(f'tbody a[title="{run}"]').first.click()
    page.wait_for_url(re.compile(f"/runs/{run}.step="))
    expect(page.locator("#step")).to_contain_text("What does it cost?")


def test_twenty_thousand_steps_are_few_elements(seen: Watched) -> None:
    """A large run is drawn with at most 400 elements, sent in at most 400 kB, and its end is one key away."""
    run = seen.site.run("many", "20000 4 0")
    sizes: list[int] = []
    seen.page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    page = seen.open(f"/runs/{run}")
    tree = page.get_by_role("tree")
    expect(tree.get_by_role("treeitem")).to_have_count(4)
    assert page.evaluate("document.getElementsByTagName('*').length") <= 400
    assert sum(sizes) <= 400_000
    tree.focus()
    page.keyboard.press("j")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    expect(page.locator("[aria-posinset='5000']")).to_be_visible()
    assert page.evaluate("document.getElementsByTagName('*').length") <= 400


def test_two_thousand_live_steps_come_without_losing_one(seen: Watched) -> None:
    """Steps appear while the run is at work, and at its end all of them are there and the status has changed."""
    run = str(seen.site.post("/api/v1/agents/many/runs", {"input": "2000 1 0.1", "mode": "background"})["id"])
    page = seen.open(f"/runs/{run}")
    pin = reach(page.get_by_role("button", name="Pin"))
    expect(page.locator("#summary .status.completed")).to_be_visible(timeout=2 * WAIT_MS)
    expect(page.locator(".count")).to_have_text("2000 steps")
    expect(page.locator("#output")).to_contain_text("done")
    expect(pin).to_be_focused()


def test_hostile_words_do_nothing(seen: Watched) -> None:
    """Whatever is said in any field of a run is shown as text on every page of it, and the pages stay usable."""
    run = seen.site.run("hostile", "<script>alert(1)</script>" + "y" * 1_000_000, group="<b>g</b>", tags=["<i>t</i>"])
    page = seen.open(f"/runs/{run}")
    tree = page.get_by_role("tree")
    tree.focus()
    page.keyboard.press("j")
    for _ in range(3):
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(page.locator("#step .facts")).to_be_visible()
    page.keyboard.press("e")
    expect(page.locator("#step .problem")).to_contain_text("U+202E")
    for path in (f"/runs/{run}/steps", f"/runs/{run}/replay", f"/runs/{run}/diff", f"/runs/{run}/diff/{run}"):
        seen.open(path)
        assert page.locator("main script, main img, main b:text-is('g')").count() == 0
        assert "\u202e" not in page.inner_text("main")


def test_a_run_is_forked_with_another_prompt_and_compared(seen: Watched) -> None:
    """With the keyboard alone: from a run through the form to its fork, and from there to the diff, whose texts open
    beside the steps.
    """
    run = seen.site.run("support", "What is the weather in Paris?")
    page = seen.open(f"/runs/{run}")
    press(page.get_by_role("link", name="Replay or fork"))
    reach(page.get_by_label("From step"))
    page.keyboard.press("ArrowDown")
    write(page.get_by_label("Instructions"), "Answer like a pirate.")
    assert seen.shut_out() == []
    press(page.get_by_role("button", name="Run"))
    press(page.get_by_role("link", name="Diff with its record"))
    expect(page.locator(".unified").first).to_contain_text("Answer like a pirate.")
    press(page.get_by_role("link", name="texts").first)
    expect(page.locator("#change .plus")).to_contain_text("pirate")
    assert seen.shut_out() == []
    _picture(page, "diff.png")
    page.emulate_media(color_scheme="dark")
    assert seen.shut_out() == []


def test_without_scripts_steps_are_links(flows: Site, browser: Browser) -> None:
    """A browser without JavaScript lists the steps, and each leads to its page."""
    run = flows.run("fan", "Hello")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{flows.url}/runs/{run}")
    page.locator("trace-waterfall a").first.click()
    expect(page.locator("h1")).to_contain_text("Step")
    context.close()
