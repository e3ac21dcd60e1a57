"""Repositories at addresses, served by git's own program over HTTP on this machine."""

from __future__ import annotations

import asyncio
import base64
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from runwright.errors import Forbidden, ToolFailed, ToolTimeout
from runwright.tools.git import Repositories
from runwright.tools.git.clones import CloneLimits, Wanted
from tests.unit.tools.git.making import ENVIRONMENT, Origin

TOKEN = "t0ken"
WORD = "Basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()


class Host:
    """A host of one repository. `/private` wants a token, `/moved` leads elsewhere, `/slow` never answers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = ""
        self.asked: list[str] = []
        self.is_asked = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """What `git http-backend` says, which speaks CGI."""
        self.asked.append(f"{request.method} {request.path} {request.headers.get('authorization', '-')}")
        self.is_asked.set()
        name, _, rest = request.path.removeprefix("/").partition("/")
        if name == "slow":
            await asyncio.Event().wait()
        if name == "moved":
            raise web.HTTPFound(f"{self.url}/site/{rest}?{request.query_string}")
        if name == "private" and request.headers.get("authorization") != WORD:
            raise web.HTTPUnauthorized(headers={"www-authenticate": "Basic"})
        body = await request.read()
        done = await asyncio.to_thread(
            subprocess.run,
            ["git", "http-backend"],
            input=body,
            env={
                **ENVIRONMENT,
                "GIT_PROJECT_ROOT": str(self.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": f"/site/{rest}",
                "QUERY_STRING": request.query_string,
                "REQUEST_METHOD": request.method,
                "CONTENT_TYPE": request.headers.get("content-type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
                "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
            },
            capture_output=True,
            check=True,
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(lines.pop("Status", "200").split()[0])
        return web.Response(status=status, headers=lines, body=content)


@asynccontextmanager
async def hosting(root: Path) -> AsyncGenerator[Host]:
    """A host that listens."""
    host = Host(root)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", host.answer)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield host
    finally:
        await runner.cleanup()


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    """The repository that is hosted."""
    made = Origin(tmp_path / "root" / "site")
    made.commit("Begin", a_dot_txt="1\n")
    return made


async def _commit(repositories: Repositories, text: str, *, token: str = "", depth: int | None = None) -> str:
    place, address = await repositories.place(text, [])
    known = repositories.known(place.text, depth=depth, token=token)
    wanted = Wanted(place=place, limits=known.limits, token=token, address=address)
    return await repositories.clones.commit(wanted, None, refresh_s=0)


async def test_a_repository_is_fetched_over_http(tmp_path: Path, origin: Origin) -> None:
    """An address is read like a folder, with its history cut or whole, and progress is told."""
    last = origin.commit("More", a_dot_txt="2\n")
    async with hosting(tmp_path / "root") as host:
        repositories = Repositories(tmp_path / "copies", allow=[f"{host.url}/"])
        assert await _commit(repositories, f"{host.url}/site") == last
        assert await _commit(repositories, f"{host.url}/site", depth=1) == last
        wanted = repositories.known(f"{host.url}/site", depth=1, token="")
        reading = await repositories.reading(wanted, last, own=[])
        assert len((await reading.log()).split("\n")) == 1


async def test_a_token_opens_what_is_private(tmp_path: Path, origin: Origin) -> None:
    """The token is sent to its repository, stands in no file of the copy, and nobody is asked for a password."""
    async with hosting(tmp_path / "root") as host:
        repositories = Repositories(tmp_path / "copies", allow=[f"{host.url}/"])
        assert await _commit(repositories, f"{host.url}/private", token=TOKEN) == origin.git("rev-parse", "HEAD")
        for token in ("", "wrong"):
            with pytest.raises(ToolFailed, match="cannot be fetched: fatal: could not read Username"):
                await _commit(repositories, f"{host.url}/private", token=token)
    stored = [path.read_bytes() for path in (tmp_path / "copies").rglob("*") if path.is_file()]
    assert not [each for each in stored if TOKEN.encode() in each or WORD.encode() in each]


async def test_redirects_are_not_followed(tmp_path: Path, origin: Origin) -> None:
    """A host cannot lead elsewhere, where nobody allowed to read."""
    async with hosting(tmp_path / "root") as host:
        repositories = Repositories(tmp_path / "copies", allow=[f"{host.url}/moved"])
        with pytest.raises(ToolFailed, match="cannot be fetched"):
            await _commit(repositories, f"{host.url}/moved")
        assert [each.split()[1] for each in host.asked] == ["/moved/info/refs"]
        with pytest.raises(Forbidden, match=r"repositories\.allow"):
            await _commit(repositories, f"{host.url}/site")


async def test_this_machine_is_no_public_host(tmp_path: Path, origin: Origin) -> None:
    """Where all public hosts are allowed, this machine is reached only when it is named."""
    async with hosting(tmp_path / "root") as host:
        repositories = Repositories(tmp_path / "copies", allow=["http://", "https://"])
        with pytest.raises(ToolFailed, match="which is no public address"):
            await _commit(repositories, f"{host.url}/site")
        assert host.asked == []


async def test_a_slow_host_is_given_up(tmp_path: Path, origin: Origin) -> None:
    """A fetch ends when its caller is cancelled, and the next one is not hindered."""
    async with hosting(tmp_path / "root") as host:
        repositories = Repositories(tmp_path / "copies", allow=[host.url], time_s=CloneLimits().time_s)
        waiting = asyncio.create_task(_commit(repositories, f"{host.url}/slow"))
        await host.is_asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        quick = Repositories(tmp_path / "copies", allow=[host.url], time_s=0.2)
        with pytest.raises(ToolTimeout, match="took longer than"):
            await _commit(quick, f"{host.url}/slow")
