"""Agents whose code runs in a sandbox: what it asks for is a step, in whatever order and number it asks."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from runwright import Agent, App, tool
from runwright.app import AppOptions
from runwright.core.event import CustomEmitted
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.core.sandbox import Language
from runwright.models import ModelRegistry
from runwright.sections import SandboxSettings
from runwright.service.approval_views import ApprovalBody, ApprovalQuery
from runwright.service.runs import Handle
from runwright.service.views import RunView
from runwright.settings import Settings
from runwright.testing import assert_replays
from tests.integration.sandbox.test_dependencies import wheel
from tests.integration.sandbox.ways import KERNEL, need

CALLS: list[str] = []
GATE = asyncio.Event()


@tool(effect="read")
async def upper(text: str) -> str:
    """Text in capitals."""
    CALLS.append(text)
    return text.upper()


@tool(effect="idempotent")
async def store(text: str) -> str:
    """Keep a text."""
    CALLS.append(text)
    return f"kept {text}"


@tool(effect="read")
async def stuck(text: str) -> str:
    """Never comes to an end."""
    CALLS.append(text)
    await asyncio.Event().wait()
    return text


@tool(effect="read")
async def secret(text: str) -> str:
    """Not for code."""
    CALLS.append(f"secret {text}")
    return text


async def echo(value: Any) -> Any:
    """What it is given."""
    return value


EVERYTHING = {
    "python": """
import random

def main(city):
    context.progress("asking", fraction=0.5)
    found = [call_tool("upper", text=city), context.model(f"say {city}"), context.run("echo", {"a": city})]
    context.memory.set("seen", [city])
    found += [context.memory.get("seen"), context.memory.list(), context.memory.thread.get("none", "nothing")]
    context.sleep(0.01)
    context.emit("found", {"city": city})
    found += [context.random(), context.uuid(), context.now().isoformat(), random.random(), list({"a", "b", "c", "d"})]
    return found
""",
    "typescript": """
export async function main({ city }: { city: string }) {
  context.progress("asking", { fraction: 0.5 });
  const found: unknown[] = [await callTool("upper", { text: city }), await context.model(`say ${city}`)];
  found.push(await context.run("echo", { a: city }));
  await context.memory.set("seen", [city]);
  found.push(await context.memory.get("seen"), await context.memory.list());
  found.push(await context.memory.thread.get("none", "nothing"));
  await context.sleep(0.01);
  context.emit("found", { city });
  found.push(await context.random(), await context.uuid(), (await context.now()).toISOString(), Math.random());
  return found;
}
""",
}
ALL_KINDS = ["random", "tool", "model", "child", *["memory"] * 4, "sleep", "random", "id", "clock"]

SIDE_BY_SIDE = {
    "python": """
import asyncio

async def one(name):
    first = await call_tool("upper", text=name)
    return await call_tool("store", text=first)

async def main():
    return await asyncio.gather(*(one(name) for name in "abc"))
""",
    "javascript": """
const one = async (name) => await callTool("store", { text: await callTool("upper", { text: name }) });
export const main = () => Promise.all(["a", "b", "c"].map(one));
""",
}


def coded(name: str, code: str, language: Language = "python", **more: Any) -> Agent:
    """An agent of this code, which may call three tools and one agent."""
    fields = {name: more.pop(name) for name in ("model", "limits", "approvals") if name in more}
    config = {"language": language, "code": code, "agents": ["echo"], **more}
    return Agent(name, template="custom", tools=[upper, store, stuck], config=config, **fields)


@asynccontextmanager
async def opened(*agents: Agent, bounds: Mapping[str, Any] | None = None, **settings: Any) -> AsyncGenerator[App]:
    """An App in memory with these agents; `bounds` are those of an operator for all custom ones."""
    CALLS.clear()
    options = AppOptions(is_in_memory=True, is_offline=True)
    caps: dict[str, Any] = {"custom": {"limits": bounds}} if bounds else {}
    given = Settings(drain_s=0, sandbox=SandboxSettings(**settings), templates=caps)
    everyone = [*agents, Agent("echo", run=echo), Agent("stranger", run=echo, tools=[secret])]
    async with App(given, agents=everyone, models=ModelRegistry(default="demo"), options=options) as app:
        yield app


async def ran(code: str, language: Language = "python", *, input: object = None, **more: Any) -> RunView:
    """A run of some code."""
    need("bubblewrap", language)
    async with opened(coded("it", code, language, **more)) as app:
        return await app.run("it", {} if input is None else input)


async def replayed(app: App, view: RunView) -> RunView:
    """A strict replay of a run."""
    return await (await app.runs.create(RunRequest(agent="", input=b"", replay=Replay(of=view.id)))).wait()


async def keys(app: App, run: str) -> list[tuple[str, str, str]]:
    """The steps of a run, as they are matched."""
    return [(step.kind, step.name, step.key) for step in (await app.runs.steps(run)).data]


async def emitted(app: App, run: str) -> Mapping[str, Any]:
    """The last event of each name that a run emitted."""
    events = [event async for batch in app.runs.events(run) for event in batch]
    return {e.data.name: json.loads(bytes(e.data.value)) for e in events if isinstance(e.data, CustomEmitted)}


@pytest.mark.parametrize("language", EVERYTHING)
async def test_everything_that_code_asks_for_is_a_step(language: Language) -> None:
    """Code reaches models, tools, agents, memory, clock and chance as steps, and a strict replay gives the same."""
    need("bubblewrap", language)
    async with opened(coded("it", EVERYTHING[language], language)) as app:
        view = await app.run("it", {"city": "Oslo"})
        assert view.error is None
        given = json.loads(bytes(view.output))
        assert given[0] == "OSLO"
        assert "say Oslo" in given[1]
        assert given[2:6] == [{"a": "Oslo"}, ["Oslo"], ["seen"], "nothing"]
        assert [kind for kind, _, _ in await keys(app, view.id)] == ALL_KINDS
        told = await emitted(app, view.id)
        assert told["found"] == {"city": "Oslo"}
        assert told["sandbox.started"] == {"backend": "bubblewrap", "isolation": 3, "language": language}
        assert (told["sandbox.ended"]["reason"], told["sandbox.ended"]["isolation"]) == ("ok", 3)
        CALLS.clear()
        again = await replayed(app, view)
        assert (again.error, bytes(again.output), CALLS) == (None, bytes(view.output), [])
        assert await keys(app, again.id) == await keys(app, view.id)


@pytest.mark.parametrize("language", SIDE_BY_SIDE)
async def test_calls_side_by_side(language: Language) -> None:
    """Calls that are open at once are done at once, and replayed in the order in which they came to an end."""
    need("bubblewrap", language)
    async with opened(coded("it", SIDE_BY_SIDE[language], language)) as app:
        view = await app.run("it", {})
        assert bytes(view.output) == b'["kept A","kept B","kept C"]'
        again = await replayed(app, view)
        assert (again.error, bytes(again.output), len(CALLS)) == (None, bytes(view.output), 6)
        assert await keys(app, again.id) == await keys(app, view.id)


async def test_calls_of_threads() -> None:
    """Threads of the code may ask at once: each gets its own answer."""
    code = (
        "from concurrent.futures import ThreadPoolExecutor\ndef main():\n    with ThreadPoolExecutor(3) as threads:\n"
        "        return list(threads.map(lambda text: call_tool('upper', text=text), 'abc'))\n"
    )
    assert bytes((await ran(code)).output) == b'["A","B","C"]'


async def test_what_the_code_raises_is_told_with_its_line() -> None:
    """A run whose code raises has failed, and its error names file and line."""
    view = await ran("def main():\n    x = 1\n    raise KeyError('no')\n")
    assert view.error is not None
    assert (view.error.code, view.error.message) == ("agent_error", "The code failed: KeyError: 'no' (main.py, line 3)")


async def test_arguments_and_result_fit_their_schemas() -> None:
    """What does not fit is refused with its place: arguments before a run is made, a result when it has come."""
    schema = {"properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
    code = "def main(n):\n    return {'n': str(n) if n > 1 else n}\n"
    need("bubblewrap", "python")
    async with opened(coded("it", code, arguments=schema, result={"properties": {"n": {"type": "integer"}}})) as app:
        assert bytes((await app.run("it", {"n": 1})).output) == b'{"n":1}'
        with pytest.raises(Exception, match='/n: "x" is not of type') as caught:
            await app.run("it", {"n": "x"})
        assert getattr(caught.value, "problems", None) == (("/n", '"x" is not of type "integer"'),)
        wrong = await app.run("it", {"n": 2})
        assert wrong.error is not None
        assert (wrong.error.code, '/n: "2" is not of type' in wrong.error.message) == ("output_invalid", True)


@pytest.mark.parametrize("input", ["Ada", {"messages": [{"role": "user", "content": "Ada"}]}], ids=["text", "chat"])
async def test_text_is_the_one_argument(input: object) -> None:
    """Text, and what a chat sends, is handed over as the one argument that there is."""
    view = await ran("def main(name): return f'hello {name}'\n", input=input, arguments={"properties": {"name": {}}})
    assert bytes(view.output) == b'"hello Ada"'


async def test_an_approved_tool_lets_the_code_go_on() -> None:
    """A tool that a person has to allow makes the run wait; then the code runs again, and gets its answer."""
    need("bubblewrap", "python")
    code = "def main():\n    first = call_tool('upper', text='a')\n    return [first, call_tool('store', text='b')]\n"
    async with opened(coded("it", code, approvals=["store"])) as app:
        view = await app.run("it", {})
        assert (view.status, view.reason) == ("waiting", "approval")
        (asked,) = (await app.approvals.find(ApprovalQuery())).data
        await app.approvals.resolve(asked.id, ApprovalBody(decision="approve"))
        after = await app.runs.wait(view.id)
        assert (after.status, bytes(after.output), CALLS) == ("completed", b'["A","kept b"]', ["a", "b"])


async def test_code_is_told_of_what_fails() -> None:
    """Errors of calls are exceptions in the code, with their codes: it may go on."""
    code = """
def failure(act):
    try:
        return act()
    except CallFailed as error:
        return [error.code, str(error)]

def main():
    return [
        failure(lambda: call_tool("secret", text="x")),
        failure(lambda: call_tool("upper", wrong="x")),
        failure(lambda: context.run("stranger")),
        failure(lambda: http.get("http://127.0.0.1:9/")),
        failure(lambda: context.model([{"role": "nobody"}])),
        failure(lambda: context.sleep("long")),
        failure(lambda: context.memory.append("x", 7)),
        failure(lambda: call_tool("upper", text=10**40)),
    ]
"""
    view = await ran(code)
    assert view.error is None
    given = json.loads(bytes(view.output))
    assert [each[0] for each in given] == ["invalid_request"] * 8
    assert "no tool 'secret'; known are store, stuck, upper" in given[0][1]
    assert CALLS == []


FLOOD = "def main():\n    while True: context.{}\n"
WRITING = """
import os, sys

def say(line):
    os.write(int(sys.argv[-1]), line)

def main():
"""
CALL = b'{"type":"call","id":%d,"kind":"random","name":"","arguments":{}}\n'
REST = b'{"type":"rest"}\n'
EMPTY = b'{"type":"text","text":""}\n' * 50
DEEP = b'{"type":"done","result":' + b"[" * 900 + b"]" * 900 + b"}\n"
SPOILT = ("agent_error", "wrote to the channel")
HOSTILE: Mapping[str, tuple[str, str, str]] = {
    "calls": (FLOOD.format("random()"), "limit_exceeded", "raise limits.calls"),
    "words": (FLOOD.format("emit('x', 1)"), "limit_exceeded", "raise limits.calls"),
    "unread": (f"{WRITING}    for n in range(1, 10**9): say({CALL!r} % n)\n", "", ""),
    "large": ("def main():\n    call_tool('upper', text='x' * 3_000_000)\n", "limit_exceeded", "sent a line of more"),
    "nonsense": (f"{WRITING}    say(b'nonsense\\n')\n    context.random()\n", *SPOILT),
    "unknown": (f"{WRITING}    say({CALL!r}.replace(b'random', b'shell') % 1)\n    context.random()\n", *SPOILT),
    "nested": (f"{WRITING}    say({DEEP!r})\n", "", ""),
    "restless": (f"{WRITING}    while True: say({REST!r} * 50)\n", *SPOILT),
    "silent": (f"{WRITING}    while True: say({EMPTY!r})\n", "", ""),
    "isolation": ("def main():\n    context.emit('sandbox.started', {'isolation': 9})\n    return 1\n", "", ""),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_code_harms_its_own_run_alone(name: str) -> None:
    """Whatever code does to its channel, its run ends, the next one works, and nothing of it is left."""
    code, kind, message = HOSTILE[name]
    need("bubblewrap", "python")
    limits = {"calls": 200, "code_timeout_s": 1}
    async with opened(coded("it", code, limits=limits), coded("good", "def main(): return 1\n")) as app:
        view = await app.run("it", {})
        assert view.status in ("completed", "failed")
        if kind:
            assert view.error is not None
            assert view.error.code == kind
            assert message in view.error.message
        else:
            assert (await emitted(app, view.id)).get("sandbox.started", {"isolation": 3})["isolation"] == 3
        assert bytes((await app.run("good", {})).output) == b"1"


async def test_a_call_that_nobody_reads_the_answer_of() -> None:
    """Code that asks, and never reads, is ended by its time."""
    code = (
        'import os, sys, time\nLINE = b\'{"type":"call","id":%d,"kind":"tool","name":"upper",\'\n'
        "LINE += b'\"arguments\":{\"text\":\"' + b'x' * 9000 + b'\"}}\\n'\n"
        "def main():\n    for n in range(1, 15): os.write(int(sys.argv[-1]), LINE % n)\n    time.sleep(60)\n"
    )
    view = await ran(code, limits={"code_timeout_s": 1})
    assert view.error is not None
    assert view.error.code == "deadline_exceeded"


async def test_waiting_for_the_host_is_no_time_of_the_code() -> None:
    """Code may wait for longer than it may run."""
    view = await ran("def main():\n    context.sleep(1.2)\n    return 1\n", limits={"code_timeout_s": 1})
    assert (view.error, bytes(view.output)) == (None, b"1")


async def test_an_operator_bounds_the_sandbox_of_all_custom_agents() -> None:
    """Memory, time and calls of code are limits of the template: no agent has more, whatever it says."""
    need("bubblewrap", "python")
    much = coded("much", "def main(): return len(bytearray(200 * 2**20))\n", limits={"memory_mb": 512})
    calls = coded("calls", "def main():\n    while True: context.random()\n", limits={"calls": 1000})
    async with opened(much, calls, bounds={"memory_mb": 100, "calls": 3}) as app:
        for agent, told in (("much", "Out of memory; raise limits.memory_mb"), ("calls", "limits.calls")):
            view = await app.run(agent, {})
            assert view.error is not None
            assert (view.error.code, told in view.error.message) == ("limit_exceeded", True), view.error


async def test_cancelling_a_run_ends_its_process() -> None:
    """Nothing of the code is left when its run has been cancelled, whether it computes or waits."""
    need("bubblewrap", "python")
    codes = {"computes": "def main():\n    context.progress('go')\n    while True: pass\n"}
    codes["waits"] = "def main():\n    context.progress('go')\n    call_tool('stuck', text='x')\n"
    async with opened(*(coded(name, code) for name, code in codes.items())) as app:
        before = guests()
        for name in codes:
            run = await app.runs.create(RunRequest(agent=name, input=b"{}"))
            await progressed(run)
            assert len(guests() - before) == 1
            await app.runs.cancel(run.run_id, reason="enough")
            view = await run.wait()
            assert (view.status, guests()) == ("cancelled", before), name


async def test_two_runs_at_once() -> None:
    """Runs at the same time have processes of their own."""
    need("bubblewrap", "python")
    code = "SEEN = []\ndef main(n):\n    SEEN.append(call_tool('upper', text=n))\n    return SEEN\n"
    async with opened(coded("it", code)) as app:
        views = await asyncio.gather(*(app.run("it", {"n": name}) for name in "abc"))
        assert [bytes(view.output) for view in views] == [b'["A"]', b'["B"]', b'["C"]']


async def test_code_from_a_url_is_fetched_once(tmp_path: Path) -> None:
    """Code at a URL is taken if its hash is the one that was said, kept, and never asked for again."""
    need("bubblewrap", "python")
    code = b"def main(): return 'from afar'\n"
    asked: list[str] = []

    async def give(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(body=code if request.path == "/code.py" else b"def main(): return 'other'\n")

    runner = web.AppRunner(web_app := web.Application())
    web_app.router.add_get("/{path}", give)
    await runner.setup()
    await (site := web.TCPSite(runner, "127.0.0.1", 0)).start()
    assert site.name
    port = runner.addresses[0][1]
    config = {"language": "python", "sha256": hashlib.sha256(code).hexdigest()}
    agents = [
        Agent(name, template="custom", config={**config, "url": f"http://127.0.0.1:{port}/{name}.py"})
        for name in ("other", "code")
    ]
    try:
        async with opened(*agents, folder=tmp_path) as app:
            wrong = await app.run("other", {})
            assert wrong.error is not None
            assert "has another hash than the definition says" in wrong.error.message
            assert bytes((await app.run("code", {})).output) == b'"from afar"'
        async with opened(*agents, folder=tmp_path) as app:
            assert bytes((await app.run("code", {})).output) == b'"from afar"'
    finally:
        await runner.cleanup()
    assert asked == ["/other.py", "/code.py"]


async def test_http_goes_to_named_hosts_alone() -> None:
    """Requests go to the hosts that are named, as steps; a redirect is an answer, since it leads elsewhere."""
    need("bubblewrap", "python")

    async def away(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"location": "http://127.0.0.1:9/secret"}, body=b"elsewhere")

    runner = web.AppRunner(web_app := web.Application())
    web_app.router.add_get("/", away)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host = f"127.0.0.1:{runner.addresses[0][1]}"
    code = "def main(url):\n    answer = http.get(url)\n    return [answer.status, answer.text]\n"
    try:
        async with opened(coded("it", code, http=[host])) as app:
            view = await app.run("it", {"url": f"http://{host}/"})
            assert bytes(view.output) == b'[302,"elsewhere"]'
            for url in (
                f"http://{host}@127.0.0.1:9/",
                "http://127.0.0.1:9/",
                f"http://x\\@{host}/",
                "file:///etc/passwd",
            ):
                refused = await app.run("it", {"url": url})
                assert refused.error is not None
                assert "CallFailed" in refused.error.message
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("way", [*KERNEL, "unsafe"])
async def test_the_way_that_is_set_is_taken(way: str) -> None:
    """The settings say which ways may be taken, and the run which one was."""
    need(way, "python")
    async with opened(coded("it", "def main(): return 1\n", isolation=0), ways=way) as app:
        view = await app.run("it", {})
        assert (view.status, (await emitted(app, view.id))["sandbox.started"]["backend"]) == ("completed", way)


TINY = "import tiny\ndef main():\n    call_tool('upper', text='a')\n    return tiny.VERSION\n"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel, which is all that pip knows."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel(folder, "tiny", "1.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


async def test_packages_are_installed_once(index: Path, tmp_path: Path) -> None:
    """The first run installs what the definition names; the second one takes it from the folder, without an index."""
    need("bubblewrap", "python")
    async with opened(coded("it", TINY, dependencies=["tiny"]), folder=tmp_path / "cache") as app:
        view = await app.run("it", {})
        assert (view.error, bytes(view.output), view.tainted) == (None, b'"1.0"', ())
        (index / "tiny-1.0-py3-none-any.whl").unlink()
        assert bytes((await app.run("it", {})).output) == b'"1.0"'


async def test_a_replay_has_the_packages_of_its_recording(index: Path, tmp_path: Path) -> None:
    """The lock is a step: a replay with another cache installs it, though newer packages are there by now."""
    need("bubblewrap", "python")
    async with opened(coded("it", TINY, dependencies=["tiny"]), folder=tmp_path / "cache") as app:
        view = await app.run("it", {})
        steps = (await app.runs.steps(view.id)).data
        assert [(step.kind, step.name) for step in steps[1:]] == [("tool", "sandbox.packages"), ("tool", "upper")]
        wheel(index, "tiny", "2.0")
        shutil.rmtree(tmp_path / "cache")
        again = await replayed(app, view)
        assert (again.error, bytes(again.output)) == (None, b'"1.0"')
        assert await keys(app, again.id) == await keys(app, view.id)
        at = Replay(of=view.id, at=steps[2].seq)
        fork = await (await app.runs.create(RunRequest(agent="", input=b"", replay=at))).wait()
        assert bytes(fork.output) == b'"1.0"'
        shutil.rmtree(tmp_path / "cache")
        assert bytes((await app.run("it", {})).output) == b'"2.0"'
        wheel(index, "tiny", "1.0", filler=10)
        other = await replayed(app, view)
        assert other.error is not None
        assert "HASH" in other.error.message


def test_recordings_from_before_there_were_locks_are_replayed(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of the loop's first version asked for no lock, and neither does its replay: it resolves the packages."""
    need("bubblewrap", "python")
    monkeypatch.setenv("RUNWRIGHT_SANDBOX__FOLDER", str(index / "cache"))
    assert_replays(Path(__file__).with_name("before_locks.run"), agents=[coded("it", TINY, dependencies=["tiny"])])


async def test_packages_that_cannot_be_had_fail_the_run(index: Path, tmp_path: Path) -> None:
    """A run whose packages there are not fails and names them, and so does its replay."""
    need("bubblewrap", "python")
    async with opened(coded("it", TINY, dependencies=["nowhere"]), folder=tmp_path / "cache") as app:
        view = await app.run("it", {})
        assert view.error is not None
        assert (view.error.code, view.error.message) == ("config_invalid", "There is no package 'nowhere'.")
        assert (await replayed(app, view)).error == view.error


async def test_warm_processes_are_used_once() -> None:
    """Processes that wait for code are of one use as well, and gone when the App is closed."""
    need("bubblewrap", "python")
    before = guests()
    async with opened(coded("it", "SEEN = []\ndef main():\n    SEEN.append(1)\n    return SEEN\n"), warm=2) as app:
        assert [bytes((await app.run("it", {})).output) for _ in range(3)] == [b"[1]"] * 3
    assert guests() == before


async def progressed(run: Handle) -> None:
    """Wait until a run has told how far it is."""
    async for batch in run.events():
        if any(event.type == "progress.reported" for event in batch):
            return


def guests() -> set[int]:
    """Processes below this one that are sandboxes."""
    command = ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return {int(line.split()[0]) for line in found.stdout.splitlines() if "bwrap" in line}
