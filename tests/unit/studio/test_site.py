"""Pages, their twins, fragments, errors and files, as a browser gets them."""

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from starlette.requests import Request

from runwright.errors import RunwrightError
from runwright.service.memory_views import BlockBody
from runwright.studio.page import Ask
from runwright.studio.pages import PAGES
from runwright.studio.render import Renderer
from tests.unit.studio.conftest import Open, Site

PLAIN = [page.path for page in PAGES if "{" not in page.path]


@pytest.mark.parametrize("path", PLAIN)
async def test_every_page_has_a_twin(site: Site, path: str) -> None:
    """A page without names in its path is served, has one h1, and its view comes as JSON under the curl it shows."""
    page = await site.text(path)
    assert len(re.findall("<h1", page)) == 1
    shown = re.search(r"curl (http://localhost\S+\.json)", page)
    assert shown is not None
    twin = await site.client.get(shown[1])
    assert (twin.status_code, twin.headers["content-type"]) == (200, "application/json")


async def test_a_fragment_is_the_block_of_its_target(site: Site) -> None:
    """Htmx gets the block that is named after the element it goes into, and nothing around it."""
    fragment = await site.text("/runs", **{"hx-request-type": "partial", "hx-target": "div#list"})
    assert "No runs yet" in fragment
    assert "<html" not in fragment


async def test_pages_forbid_what_they_do_not_need(site: Site) -> None:
    """Nothing from elsewhere, no inline script, no frame around a page, and no copy in a cache."""
    headers = (await site.client.get("/runs")).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


async def test_an_error_is_a_page_for_browsers_alone(site: Site) -> None:
    """A browser gets a page with the reason; other clients get the problem, under the API browsers too."""
    page = await site.client.get("/runs?status=lost")
    assert page.status_code == 422
    assert "text/html" in page.headers["content-type"]
    assert "&#39;lost&#39;" in page.text
    other = await site.client.get("/runs?status=lost", headers={"accept": "*/*"})
    assert other.headers["content-type"] == "application/problem+json"
    api = await site.client.get("/api/v1/nothing")
    assert api.headers["content-type"] == "application/problem+json"


async def test_every_link_stays_below_the_prefix(open_site: Open) -> None:
    """Behind a proxy with a path, each address on a page begins with it, whether the proxy takes it off or not."""
    async with open_site(root_path="/tools/runwright") as site:
        page = await site.text("/runs")
        links = re.findall(r'(?:href|src|action)="([^"]+)"', page)
        assert len(links) > 5
        assert [link for link in links if not link.startswith(("/tools/runwright/", "#"))] == []
        assert await site.text("/tools/runwright/runs") == page
        assert "<h1" in await site.text("/tools/runwright")
        assert (await site.client.get("/tools/runwrightly")).status_code == 404


async def test_static_files_are_kept_for_ever_under_their_version(site: Site) -> None:
    """A static file is compressed, cacheable, and named by the page with the version of all files."""
    page = await site.text("/runs")
    found = re.search(r'href="(/static/[0-9a-f]{16}/studio\.css)"', page)
    assert found is not None
    answer = await site.client.get(found[1])
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["vary"] == "accept-encoding"
    other = await site.client.get("/static/0123456789abcdef/studio.css")
    assert (other.status_code, other.headers["cache-control"]) == (200, "no-store")
    assert (await site.client.get("/static/x/../../site.py")).status_code == 404


async def test_pages_leave_threads_to_others() -> None:
    """Of three threads two render at most, however many pages are asked for: other work finds the third."""
    gate = threading.Event()
    waited: list[bool] = []

    class Slow(RunwrightError):
        """It is shown when the gate opens."""

        @property
        def public(self) -> str:
            """The message."""
            waited.append(gate.wait(5))
            return self.message

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(3))
    renderer = await asyncio.to_thread(Renderer, [], prefix="", has_key=False)
    ask = Ask(Request({"type": "http", "path": "/", "headers": []}))
    async with asyncio.TaskGroup() as group:
        pages = [group.create_task(renderer.error(ask, Slow("slow"))) for _ in range(4)]
        group.create_task(asyncio.to_thread(gate.set))
    assert all(waited)
    assert all(b"slow" in page.result() for page in pages)


async def test_addresses_hold_names_of_any_characters(site: Site) -> None:
    """Links to the page itself, the curl of its twin and the way back from a form name what stands in their path."""
    owner, path = "thread:a b?c#d%41é\u00ad", "/memory/thread:a%20b%3Fc%23d%2541%C3%A9%C2%AD"
    await site.app.memory.put(owner, "notes", BlockBody(value=msgspec.Raw(b'"x"')))
    page = await site.text(path)
    assert f"curl &#39;http://localhost{path}.json" in page or f"curl http://localhost{path}.json" in page
    assert f'href="{path}?block=notes"' in page
    assert f'name="owner" value="{owner}"' in page
    headers = {"sec-fetch-site": "same-origin"}
    form = {"owner": owner, "commit": "1", "name": ""}
    restored = await site.client.post("/memory/restore", data=form, headers=headers)
    assert (restored.status_code, restored.headers["location"]) == (303, path)


async def test_behind_https_the_curl_says_so(site: Site) -> None:
    """The command that is copied sends the key over https where the browser came over it."""
    page = await site.text("/runs", **{"x-forwarded-proto": "https"})
    assert "https://localhost/runs.json" in page
    assert "http://localhost/runs.json" in await site.text("/runs")


NO_NUMBERS = ("²", "9" * 5000, "9" * 19, "-1", "x")


@pytest.mark.parametrize("text", NO_NUMBERS, ids=["superscript", "5000-digits", "19-digits", "negative", "letter"])
async def test_what_is_no_number_is_the_callers_mistake(site: Site, text: str) -> None:
    """A number of a path, a query or a form that none can be is told as such, and is no error of the server."""
    run = await site.app.run("support", "a")
    await site.app.memory.put("agent:support", "notes", BlockBody(value=msgspec.Raw(b'"x"')))
    own = {"sec-fetch-site": "same-origin"}
    sent = [
        (f"/runs/{run.id}/replay", {"at": text}),
        ("/memory/restore", {"owner": "agent:support", "commit": text}),
    ]
    answers = [await site.client.post(path, data=form, headers=own) for path, form in sent]
    asked = [f"/runs/{run.id}?step={text}", f"/memory/agent:support?at={text}&block=notes", f"/live?runs={text}"]
    answers += [await site.client.get(path) for path in asked]
    assert [answer.status_code for answer in answers] == [422] * 5
    for path in (f"/runs/{run.id}/steps/{text}", f"/runs/{run.id}/diff/{run.id}/steps/{text}"):
        assert (await site.client.get(path)).status_code == 404


async def test_a_page_is_asked_for_in_its_own_way(site: Site) -> None:
    """The page of a wrong method names those that there are, in a header as well."""
    answer = await site.client.delete("/costs")
    assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert "<h1" in answer.text


async def test_a_stream_has_no_head(site: Site) -> None:
    """A stream is read with GET alone: the head of one would have to go on as long as the stream."""
    run = await site.app.run("support", "a")
    for path in (f"/live?run={run.id}@0", f"/api/v1/runs/{run.id}/events"):
        answer = await site.client.head(path, headers={"accept": "*/*"})
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
