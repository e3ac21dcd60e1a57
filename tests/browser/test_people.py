"""Talk to an agent, allow a call, change an agent and log in, as a person does."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from urllib.error import HTTPError

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Site, Watched, press, write
from tests.e2e.serving import Server, serving

KEY = "a-key-for-browsers"
AGENTS = (
    {"name": "careful", "model": "demo", "tools": ["weather"], "approvals": ["weather"]},
    {"name": "made", "model": "demo", "instructions": "Be kind."},
)
STREAMED = """() => {
  window.streamed = [];
  const note = () => document.querySelectorAll("p.stream").forEach((shown) => window.streamed.push(shown.textContent));
  new MutationObserver(note).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""
"""Notes each state of an answer that streams, however fast it goes."""
SCHEDULE = {"name": "daily", "agent": "support", "cron": "0 9 * * *", "timezone": "Asia/Tokyo", "input": "hello"}


@pytest.fixture
def people(watched: Watched) -> Watched:
    """A page of a site with agents and a schedule that were made over the API."""
    for path, body in (*(("/api/v1/agents", agent) for agent in AGENTS), ("/api/v1/schedules", SCHEDULE)):
        try:
            watched.site.post(path, body)
        except HTTPError as error:
            assert error.code == 409
    return watched


def test_pages_with_content_open_for_everybody(people: Watched) -> None:
    """Forms, a conversation and what waits hold nothing that axe calls serious."""
    people.site.run("careful", "What is the weather in Paris?")
    people.site.run("support", "What is the weather in Paris?", thread_id="trip")
    for path in (
        "/agents/support",
        "/agents/made/edit",
        "/templates/task/agent",
        "/playground/support?thread=trip",
        "/approvals",
        "/schedules/daily",
        "/threads/trip",
    ):
        page = people.open(path)
        assert page.locator("h1").count() == 1
        assert people.shut_out() == [], path


def test_an_answer_streams_and_leads_to_its_run(people: Watched) -> None:
    """With the keyboard alone: a message is sent, its answer comes word by word, and its run is opened."""
    page = people.open("/playground/slow")
    page.evaluate(STREAMED)
    page.keyboard.type("Tell **me** a story with quite a few words in it")
    page.keyboard.press("Enter")
    expect(page.locator("chat-turn .status.completed")).to_be_visible()
    streamed = page.evaluate("window.streamed")
    assert len(set(streamed)) > 1
    assert all(after.startswith(before) for before, after in pairwise(streamed))
    assert "demo model" in streamed[-1]
    expect(page.get_by_role("log").locator(".answer:not([aria-live]) strong")).to_have_text("me")
    expect(page.get_by_label("Message")).to_be_focused()
    assert re.search(r"\?thread=thr_", page.url)
    press(page.get_by_role("link", name="its run"))
    page.wait_for_url(re.compile("/runs/run_"))


def test_what_streams_is_inert(people: Watched) -> None:
    """Words, names and results that come while a turn is at work do not act on the page, and long ones are cut."""
    page = people.open("/playground/support")
    told = (
        {"type": "step.started", "seq": 1, "kind": "tool", "name": "l\u202eook", "request": {"at": "x" * 30_000}},
        {"type": "step.completed", "seq": 2, "step_id": 1, "result": "\U000e0041"},
        {"type": "message.delta", "seq": 3, "step_id": 3, "text": "a\u202eb"},
    )
    frames = "".join(f"data: {json.dumps(event)}\n\n" for event in told)
    page.route("**/told?after=0", lambda route: route.fulfill(body=frames))
    page.route("**/told?after=3", lambda route: route.fulfill(status=204))
    page.route("**/turn", lambda route: route.fulfill(body="<p></p>", content_type="text/html"))
    script = """(site) => {
      const turn = document.createElement("chat-turn");
      turn.setAttribute("events", site + "/told");
      turn.setAttribute("turn", site + "/turn");
      turn.innerHTML = "<div class=answer></div>";
      document.querySelector("main").append(turn);
    }"""
    page.evaluate(script, people.site.url)
    turn = page.locator("chat-turn").last
    expect(turn.locator(".stream")).to_have_text("a⟨U+202E⟩b")
    expect(turn.locator("summary code")).to_have_text("l⟨U+202E⟩ook")
    turn.locator("summary").click()
    expect(turn.locator("pre").first).to_contain_text("more characters")
    expect(turn.locator("pre").last).to_have_text("⟨U+E0041⟩")


def test_a_waiting_tool_is_approved_in_its_turn(people: Watched) -> None:
    """With the keyboard alone: the turn of a run that waits shows the call, other arguments are approved, and the
    answer is of those.
    """
    page = people.open("/playground/careful")
    write(page.get_by_label("Message"), "What is the weather in Paris?")
    press(page.get_by_role("button", name="Send"))
    press(page.get_by_text("Change the arguments"))
    write(page.get_by_label("arguments"), '{"city": "Oslo"}')
    write(page.get_by_label("Your name"), "ada")
    press(page.get_by_role("button", name="Approve"))
    expect(page.locator("chat-turn .answer")).to_contain_text("sunny in Oslo")
    expect(page.locator("chat-turn .status.completed").last).to_be_visible()


def test_an_answer_that_is_written_stays(people: Watched) -> None:
    """What a person writes on the page of a run that waits is not replaced when the run is answered elsewhere."""
    run = people.site.run("careful", "What is the weather in Paris?")
    page = people.open(f"/runs/{run}")
    assert people.shut_out() == []
    write(page.get_by_label("Note"), "because")
    people.site.post(f"/api/v1/runs/{run}/resolve", {"action": "approve"})
    expect(page.locator("#output")).to_contain_text("sunny in Paris")
    expect(page.get_by_label("Note")).to_have_value("because")
    page.get_by_label("Note").fill("")
    page.keyboard.press("Tab")
    expect(page.locator("#summary .status.completed")).to_be_visible()


def test_an_agent_is_changed_through_its_form(people: Watched) -> None:
    """With the keyboard alone: a row is added without losing what is typed, a check stores nothing, and the next
    version is served.
    """
    page = people.open("/agents/made/edit")
    write(page.locator("[name='/instructions']"), "Be kind\nand brief.")
    press(page.get_by_role("button", name="Add tools"))
    write(page.get_by_label("tools 1", exact=True), "weather")
    expect(page.locator("[name='/instructions']")).to_have_value("Be kind\nand brief.")
    press(page.get_by_role("button", name="Check"))
    expect(page.get_by_role("status").first).to_contain_text("This definition is valid")
    press(page.get_by_role("button", name="Save"))
    page.wait_for_url("**/agents/made")
    expect(page.locator("section[aria-labelledby=definition] pre").first).to_contain_text("and brief.")
    expect(page.get_by_role("region", name="Tools")).to_contain_text("Say the weather in a city.")


@pytest.fixture(scope="module")
def shut(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a key."""
    with serving(tmp_path_factory.mktemp("shut"), api_key=KEY) as server:
        yield server


def test_a_browser_logs_in_and_out(browser: Browser, shut: Server) -> None:
    """With the keyboard alone: the login leads back to the page, scripts do not see the session, and it ends."""
    context = browser.new_context()
    watched = Watched(context.new_page(), Site(shut.url, ""))
    page = watched.open("/agents?after=a")
    page.wait_for_url(re.compile(r"/login\?next="))
    assert watched.shut_out() == []
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/agents\?after=a$"))
    assert page.evaluate("document.cookie") == ""
    press(page.get_by_role("button", name="Log out"))
    page.wait_for_url("**/login")
    assert watched.open("/runs").url.endswith("/login?next=/runs")
    assert watched.faults == []
    context.close()


def test_the_link_that_a_server_prints_logs_in_once(browser: Browser, shut: Server) -> None:
    """The link opens a page with one button, which logs in; another browser that follows it later is refused."""
    assert shut.login is not None
    first, second = browser.new_context(), browser.new_context()
    page = first.new_page()
    page.goto(shut.login)
    expect(page.get_by_role("button", name="Log in")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(shut.url + "/")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    session = first.cookies()[0]
    assert (session.get("httpOnly"), session.get("sameSite")) == (True, "Lax")
    late = second.new_page()
    late.goto(shut.login)
    late.get_by_role("button", name="Log in").click()
    expect(late.get_by_role("alert")).to_be_visible()
    assert second.cookies() == []
    first.close()
    second.close()
