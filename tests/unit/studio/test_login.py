"""The login of browsers: sessions, links, and what stays shut."""

import re
from collections.abc import AsyncIterator, Mapping

import httpx2
import pytest

from runwright.server.login import login_url
from runwright.server.sessions import LIFE_S, LINK_S, LONGEST_S, STEP_S, Sessions
from runwright.testing import FakeClock
from tests.unit.studio.conftest import Open, Site

KEY = "the-secret-key"


class Counted(FakeClock):
    """A clock that counts how long it was asked to wait, as for callers that come at once."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    async def sleep(self, duration_s: float) -> None:
        """Nothing waits."""
        self.waited.append(duration_s)


@pytest.fixture
async def shut(open_site: Open) -> AsyncIterator[Site]:
    """A server with a key, and a browser that does not have it."""
    async with open_site(api_key=KEY) as site:
        yield site


async def entered(site: Site, **headers: str) -> httpx2.Response:
    """What a browser gets that logs in with the key; its client keeps the cookie."""
    return await site.client.post("/login", data={"key": KEY, "next": "/agents"}, headers=headers)


def test_a_session_ends_by_time_and_with_its_key() -> None:
    """A cookie is good for its days, for the key that signed it alone, and not when somebody changes it."""
    clock = Counted()
    sessions = Sessions(KEY, clock=clock)
    cookie = sessions.begin()
    assert sessions.is_good(cookie)
    assert KEY not in cookie
    assert not Sessions("another key", clock=clock).is_good(cookie)
    until, _, signature = cookie.partition(".")
    for wrong in (f"{int(until) + 1}.{signature}", until, "", ".", f"{until}.", "é.é", f"{until}.{signature[:-1]}"):
        assert not sessions.is_good(wrong)
    clock.advance(LIFE_S)
    assert not sessions.is_good(cookie)


def test_a_link_is_good_once_and_for_some_minutes() -> None:
    """A token logs in once, not later than in its minutes, and no other token does."""
    clock = Counted()
    sessions = Sessions(KEY, clock=clock)
    token = sessions.link()
    assert not sessions.redeem("another")
    assert sessions.redeem(token)
    assert not sessions.redeem(token)
    late = sessions.link()
    clock.advance(LINK_S)
    assert not sessions.redeem(late)


async def test_wrong_keys_are_answered_ever_later() -> None:
    """Each wrong key waits longer than the one before, up to a bound, and not after a while without any."""
    clock = Counted()
    sessions = Sessions(KEY, clock=clock)
    for _ in range(100):
        await sessions.refuse()
    assert clock.waited[:3] == pytest.approx([STEP_S, 2 * STEP_S, 3 * STEP_S])
    assert max(clock.waited) == pytest.approx(LONGEST_S)
    clock.advance(60)
    await sessions.refuse()
    assert clock.waited[-1] == pytest.approx(STEP_S)


async def test_a_browser_is_led_to_the_login_and_back(shut: Site) -> None:
    """A page without a session leads to the login, which leads to the page that was asked for."""
    answer = await shut.client.get("/runs?agent=a&tag=b")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=/runs%3Fagent%3Da%26tag%3Db"
    page = await shut.text(answer.headers["location"])
    assert 'name="next" value="/runs?agent=a&amp;tag=b"' in page
    static = re.search(r'href="(/static/[^"]+css)"', page)
    assert static is not None
    assert (await shut.client.get(static[1])).status_code == 200


@pytest.mark.parametrize("prefix", ["", "/tools"])
async def test_an_ended_session_leads_from_a_part_and_a_form_to_the_login(open_site: Open, prefix: str) -> None:
    """Without its session a page gets the link alone for a part, and a whole page for a form; both lead back to it."""
    async with open_site(api_key=KEY, root_path=prefix) as site:
        referer = {"referer": f"http://localhost{prefix}/runs?agent=a"}
        asked = {"hx-request-type": "partial", "hx-target": "div#summary", **referer}
        part = await site.client.get("/runs/one", headers=asked)
        form = await site.client.post("/runs/one/pin", headers=referer)
        for answer in (part, form):
            assert answer.status_code == 401
            assert f'href="{prefix}/login?next=%2Fruns%3Fagent%3Da"' in answer.text
        assert ("<nav" in part.text, "<nav" in form.text) == (False, True)


async def test_an_error_in_a_part_is_no_page(site: Site) -> None:
    """What fails for a part of a page is told in its place, without the frame of a page."""
    answer = await site.client.get("/runs/none", headers={"hx-request-type": "partial", "hx-target": "div#summary"})
    assert (answer.status_code, "none" in answer.text, "<nav" in answer.text) == (404, True, False)


def test_the_login_leads_back_to_names_of_any_characters() -> None:
    """What stands in the path that was asked for is no query, fragment or escape of the address it leads back to."""
    location = login_url("/x", "/threads/a?b#c%41", b"after=1")
    assert location == "/x/login?next=/threads/a%253Fb%2523c%252541%3Fafter%3D1"


async def test_a_session_reads_and_changes(shut: Site) -> None:
    """With the cookie of a login, pages and the API are open until the browser logs out."""
    answer = await entered(shut)
    assert (answer.status_code, answer.headers["location"]) == (303, "/agents")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    assert KEY not in cookie
    assert "Log out" in await shut.text("/agents")
    assert (await shut.client.get("/api/v1/runs", headers={"accept": "*/*"})).status_code == 200
    own = {"sec-fetch-site": "same-origin"}
    assert (await shut.client.post("/agents/support/edit", headers=own)).status_code == 409
    assert (await shut.client.post("/logout")).headers["location"] == "/login"
    assert (await shut.client.get("/agents")).status_code == 303


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "http://evil.example"}]
)
async def test_a_page_of_another_site_cannot_use_a_session(shut: Site, headers: Mapping[str, str]) -> None:
    """The cookie alone changes nothing: the request has to come from a page of the server, the login too."""
    await entered(shut)
    for path in ("/agents/support/edit", "/api/v1/agents/support/runs", "/login", "/logout"):
        assert (await shut.client.post(path, headers=headers)).status_code == 403


@pytest.mark.parametrize(
    "headers", [{"x-forwarded-proto": "https"}, {"origin": "https://localhost", "sec-fetch-site": "same-origin"}]
)
async def test_behind_https_the_cookie_is_secure(shut: Site, headers: dict[str, str]) -> None:
    """A browser that came over https sends the cookie over https alone."""
    assert "Secure" in (await entered(shut, **headers)).headers["set-cookie"]


async def test_a_wrong_key_is_refused(shut: Site) -> None:
    """A key that is not the server's opens nothing, and is not shown again."""
    answer = await shut.client.post("/login", data={"key": "guessed-key", "next": "/agents"})
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert "This is not the key." in answer.text
    assert "guessed-key" not in answer.text


async def test_an_empty_key_is_no_guess(shut: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends the form without a key is told to type it, and waits for nothing."""
    monkeypatch.delattr(Sessions, "refuse")
    answer = await shut.client.post("/login", data={"key": " ", "next": "/agents"})
    assert (answer.status_code, "Type the key." in answer.text) == (422, True)
    assert 'name="next" value="/agents"' in answer.text


async def test_a_link_logs_in_by_its_button(shut: Site) -> None:
    """To look at a link does nothing, so that whoever previews it does not use it up; a used one says so."""
    token = shut.sessions.link()
    for _ in range(2):
        assert "This link is good once." in await shut.text(f"/login?once={token}")
    assert (await shut.client.post("/login", data={"once": token})).headers["location"] == "/"
    assert (await shut.client.post("/login", data={"once": token})).status_code == 401


@pytest.mark.parametrize("there", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
async def test_a_login_leads_nowhere_else(shut: Site, there: str) -> None:
    """The page after the login is one of the server, whatever a link says."""
    answer = await shut.client.post("/login", data={"key": KEY, "next": there})
    assert answer.headers["location"] == "/"


async def test_under_a_prefix_the_login_stays_there(open_site: Open) -> None:
    """Behind a proxy with a path, the login, its cookie and the way back are below it."""
    async with open_site(api_key=KEY, root_path="/tools") as site:
        assert (await site.client.get("/runs")).headers["location"] == "/tools/login?next=/runs"
        answer = await entered(site)
        assert answer.headers["location"] == "/tools/agents"
        assert "Path=/tools" in answer.headers["set-cookie"]


async def test_other_clients_are_not_led_to_a_form(shut: Site) -> None:
    """Without the key, a client that is no browser gets the problem, and a browser that sends something an error."""
    assert (await shut.client.get("/runs", headers={"accept": "application/json"})).status_code == 401
    assert (await shut.client.post("/agents/support/edit")).status_code == 401
    assert (await shut.client.get("/api/v1/runs")).status_code == 401


async def test_without_a_key_there_is_no_login(open_site: Open) -> None:
    """A server on loopback without a key has no login and no button to leave."""
    async with open_site() as site:
        assert (await site.client.get("/login")).status_code == 404
        assert "Log out" not in await site.text("/runs")


def test_the_way_back_is_quoted() -> None:
    """What a browser asked for cannot end the parameter that it stands in."""
    assert login_url("", "/runs", b"a=1&next=//x") == "/login?next=/runs%3Fa%3D1%26next%3D//x"
