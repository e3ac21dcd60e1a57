"""`runwright memory` and `runs memory`, over a store in memory and over HTTP."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from inline_snapshot import snapshot

from runwright import Agent, App, Context
from runwright.app import AppOptions
from runwright.cli import memory, runs
from runwright.cli.remote import connect
from runwright.errors import Conflict, InvalidRequest, NotFound
from runwright.models import ModelRegistry
from runwright.service.memory_views import BlockBody, RestoreBody
from runwright.settings import Settings
from tests.unit.cli.fakes import FakeAccess, FakeCall

OWNER = "agent:keeper"


async def keep(text: str, context: Context) -> str:
    """Note what was said."""
    before = await context.memory.get("said", "")
    await context.memory.append("said", text)
    return before


@pytest.fixture
async def app() -> AsyncGenerator[App]:
    """An App in memory with an agent that writes there."""
    agents = [Agent("keeper", run=keep)]
    models, options = ModelRegistry(default="demo"), AppOptions(is_in_memory=True)
    async with App(Settings(model="demo"), agents=agents, models=models, options=options) as app:
        yield app


def called(app: App, *, is_json: bool = False) -> FakeCall:
    """A call that reaches the memory of an App."""
    return FakeCall(FakeAccess(memory=app.memory), is_json=is_json)


def rows(call: FakeCall, *columns: int) -> list[list[str]]:
    """These columns of the table that was printed, without its header."""
    lines = [line.split("\t") for line in call.printed.splitlines()[1:]]
    return [[line[column] for column in columns] for line in lines]


async def test_what_was_written_is_shown(app: App) -> None:
    """Owners, blocks, commits and lines are tables that name the run that wrote."""
    one, two = [(await app.run("keeper", text)).id for text in ("one", "two")]
    call = called(app)
    await memory.ls(call=call)
    assert call.printed == "OWNER\tCOMMIT\tBLOCKS\tBYTES\nagent:keeper\t2\t1\t10\n"
    call = called(app)
    await memory.ls(OWNER, call=call)
    assert rows(call, 0, 1, 2, 3, 6) == [["said", "10", "2", two, "one two"]]
    call = called(app)
    await memory.log(OWNER, call=call)
    assert rows(call, 0, 2, 4) == [["2", two, "said"], ["1", one, "said"]]
    call = called(app)
    await memory.blame(OWNER, "said", call=call)
    assert rows(call, 0, 1, 4) == [["1", one, "one"], ["2", two, "two"]]
    call = called(app)
    await memory.show(OWNER, "said", at=two, call=call)
    assert call.printed == "one\n"
    call = called(app)
    await memory.diff(OWNER, "1", call=call)
    assert call.printed == "~ said\n@@ -1,1 +1,2 @@\n one\n+two\n"
    call = called(app)
    await runs.memory(two, call=call)
    assert rows(call, 1, 3, 4, 5) == [["read", "said", "", "one"], ["append", "said", "2", "two"]]


async def test_blocks_are_changed(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block is set from an argument or stdin, taken away, and brought back."""
    monkeypatch.setattr("sys.stdin", io.StringIO("a\nb\n"))
    call = called(app)
    await memory.set(OWNER, "note", "-", call=call)
    await memory.set(OWNER, "count", "[1]", as_json=True, expect=0, call=call)
    await memory.rm(OWNER, "note", call=call)
    await memory.restore(OWNER, 2, "note", call=call)
    await memory.log(OWNER, "note", limit=1, call=call)
    shown = call.printed.splitlines()
    assert shown[:4] == ["note has 8 bytes, commit 1", "count has 3 bytes, commit 2", "note is gone", "commit 4: note"]
    assert shown[5].endswith("as at 2: note")
    assert call.noted == "There are more: --after 4\n"
    call = called(app)
    await memory.show(OWNER, call=call)
    assert call.printed == "## count\n[1]\n## note\na\nb\n\n"


async def test_mistakes_say_what_there_is(app: App) -> None:
    """What is not there, not JSON, or not as expected is an error that says so."""
    await memory.set(OWNER, "note", "x", call=called(app))
    with pytest.raises(NotFound, match="no block 'nope'; there are: note"):
        await memory.show(OWNER, "nope", call=called(app))
    with pytest.raises(InvalidRequest, match="not JSON"):
        await memory.set(OWNER, "note", "x", as_json=True, call=called(app))
    with pytest.raises(Conflict, match="look at it again"):
        await memory.set(OWNER, "note", "y", expect=0, call=called(app))


async def test_answers_are_json_on_demand(app: App) -> None:
    """With --json, answers are what the API gives."""
    await memory.set(OWNER, "note", "x", call=called(app))
    call = called(app, is_json=True)
    await memory.ls(call=call)
    assert msgspec.json.decode(call.printed)["data"] == [{"owner": OWNER, "commit": 1, "blocks": 1, "size": 3}]
    call = called(app, is_json=True)
    await memory.rm(OWNER, "note", call=call)
    assert msgspec.json.decode(call.printed) == {"owner": OWNER, "name": "note", "deleted": True}


async def test_over_a_server() -> None:
    """The same surface over HTTP: paths with the owner quoted, questions as a query, writes as a body."""
    seen: list[tuple[str, str, Any]] = []
    commit: dict[str, object] = {
        "owner": "o",
        "number": 2,
        "parent": 1,
        "run_id": None,
        "step": None,
        "restores": 1,
        "touched": [],
    }
    block = {"owner": "o", "name": "n", "value": 1, "size": 1, "commit": 2}
    answers: dict[str, object] = {
        "blame": {"data": [{"text": "x", "commit": 1}]},
        "blocks": {"data": [block]},
        "commits": {"data": []},
        "diff": {"owner": "o", "left": "1", "right": "now", "blocks": []},
        "memory": {"run_id": "run_1", "reads": [], "writes": [], "data": []},
        "restore": commit | {"created_at": "2026-01-01T00:00:00Z"},
    }

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.method, request.raw_path, await request.json() if request.can_read_body else None))
        last = request.path.rpartition("/")[2]
        return web.Response(body=msgspec.json.encode(answers.get(last, block)), status=200)

    server = web.Application()
    server.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(server) as running, connect(str(running.make_url("/")), key=None) as remote:
        there = remote.memory
        await there.owners()
        assert bytes((await there.blocks("thread:a b", at="3")).data[0].value) == b"1"
        await there.commits("o", name="n", after=5)
        await there.diff("o", "1")
        await there.blame("o", "n", at=2)
        await there.put("o", "n", BlockBody(value=msgspec.Raw(b'"x"'), expect=1))
        await there.delete("o", "n", expect=2)
        assert (await there.restore("o", RestoreBody(commit=1))).number == 2
        await there.of_run("run_1")
    assert [(method, path.removeprefix("/api/v1"), body) for method, path, body in seen] == snapshot(
        [
            ("GET", "/memory?limit=50", None),
            ("GET", "/memory/thread:a%20b/blocks?at=3", None),
            ("GET", "/memory/o/commits?name=n&after=5&limit=50", None),
            ("GET", "/memory/o/diff?left=1", None),
            ("GET", "/memory/o/blocks/n/blame?at=2", None),
            ("PUT", "/memory/o/blocks/n", {"value": "x", "expect": 1}),
            ("DELETE", "/memory/o/blocks/n?expect=2", None),
            ("POST", "/memory/o/restore", {"commit": 1, "name": None}),
            ("GET", "/runs/run_1/memory", None),
        ]
    )
