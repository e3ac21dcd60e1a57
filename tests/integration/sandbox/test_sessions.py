"""What runs in a sandbox, what it gives and asks, and what is left of it."""

import asyncio
import base64
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runwright.core.sandbox import (
    MIB,
    AnswerCall,
    HostCall,
    Language,
    SandboxLimits,
    SandboxOutcome,
    SandboxSpec,
)
from runwright.errors import SandboxUnavailable, ToolFailed
from runwright.tools.sandbox.interpreters import Interpreters
from runwright.tools.sandbox.local import LocalSandbox
from tests.integration.sandbox.ways import ALL, KERNEL, PAIRS, need, opened

GREET = {
    "python": "def main(name):\n    print('working')\n    return {'hello': name}\n",
    "typescript": "export function main({ name }: { name: string }) {\n  console.log('working');\n"
    "  return { hello: name };\n}\n",
    "javascript": "export function main({ name }) {\n  console.log('working');\n  return { hello: name };\n}\n",
}
ASK = {
    "python": "def main():\n    return [call_tool('add', a=1, b=2), http.get('https://x.test/y').json()]\n",
    "typescript": "export async function main() {\n"
    "  return [await callTool('add', { a: 1, b: 2 }), (await http.get('https://x.test/y')).json()];\n}\n",
}
FAIL = {
    "python": "def main():\n    return 1 / zero()\n\ndef zero():\n    raise KeyError('no such thing')\n",
    "typescript": "export function main(): number {\n  return 1 / zero();\n}\n\n"
    "function zero(): number {\n  throw new RangeError('no such thing');\n}\n",
}
HANG = {"python": "def main():\n    while True: pass\n", "typescript": "export const main = () => { while (true); };\n"}
EXIT = {
    "python": "import os\ndef main():\n    os._exit(3)\n",
    "typescript": "export const main = () => Deno.exit(3);\n",
}
ORDINARY = SandboxLimits()
LANGUAGES = ("python", "typescript")
# A process that gets what its children leave behind.
ADOPTING = """
import asyncio, ctypes, os, sys
from runwright.core.sandbox import SandboxLimits, SandboxSpec
from runwright.tools.sandbox.local import LocalSandbox

ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)

async def main(way, language, *codes):
    sandbox, reasons = LocalSandbox(ways=(way,)), []
    for code in codes:
        spec = SandboxSpec(language=language, code=code, limits=SandboxLimits(wall_s=0.5))
        async with await sandbox.start(spec) as session:
            reasons.append((await session.run("main", {"name": "Ada"} if code == codes[0] else {})).reason)
    await sandbox.close()
    print(*reasons)

asyncio.run(main(*sys.argv[1:]))
try:
    print([os.waitpid(-1, os.WNOHANG)])
except ChildProcessError:
    print([])
"""
# Says which process the code is, on the host.
HOSTING = """
import asyncio, sys
from runwright.core.sandbox import SandboxSpec
from runwright.tools.sandbox.local import LocalSandbox

CODES = {
    "python": "def main():\\n    call_tool('ready')\\n    while True: pass\\n",
    "javascript": "export async function main() { await callTool('ready'); while (true); }",
}

async def main(way, language):
    sandbox = LocalSandbox(ways=(way,))
    async def answer(call):
        print(session._guest._pid, flush=True)
    spec = SandboxSpec(language=language, code=CODES[language], min_isolation=0)
    session = await sandbox.start(spec, answer)
    await session.run("main", {})

asyncio.run(main(*sys.argv[1:]))
"""
BOTH = [(way, language) for way, language in PAIRS if language in LANGUAGES]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of guests stand where those of other tests, which run at the same time, do not."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


async def ran(
    way: str,
    language: Language,
    code: str,
    *,
    answer: AnswerCall | None = None,
    limits: SandboxLimits = ORDINARY,
    **inputs: Any,
) -> SandboxOutcome:
    """What came of `main` in one way."""
    need(way, language)
    async with opened(way) as sandbox:
        spec = SandboxSpec(language=language, code=code, limits=limits, min_isolation=0)
        async with await sandbox.start(spec, answer) as session:
            return await session.run("main", inputs)


def given(outcome: SandboxOutcome) -> Any:
    """The result as plain data."""
    assert outcome.result is not None, outcome
    return msgspec.json.decode(outcome.result)


def processes() -> set[str]:
    """The commands of all processes below this one, dead ones too."""
    found: set[str] = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(path.parent.name)
    return found


def boxes() -> set[str]:
    """Folders of guests that are there."""
    return {path.name for path in Path(tempfile.gettempdir()).glob("runwright-box-*")}


@pytest.mark.parametrize(("way", "language"), PAIRS)
async def test_code_gives_its_result(way: str, language: Language) -> None:
    """A function gets its inputs and gives a result; what it prints, its memory and its time are told."""
    outcome = await ran(way, language, GREET[language], name="Ada")
    assert given(outcome) == {"hello": "Ada"}
    assert (outcome.backend, outcome.reason, outcome.error) == (way, "ok", None)
    assert outcome.stdout == "working\n"
    assert outcome.peak_rss > MIB
    assert outcome.duration_s > 0


@pytest.mark.parametrize(("way", "language"), BOTH)
async def test_the_host_answers_calls(way: str, language: Language) -> None:
    """Code asks for tools and HTTP, and each is a call that the host answers."""
    asked: list[HostCall] = []

    async def answer(call: HostCall) -> object:
        asked.append(call)
        if call.kind == "http":
            return {"status": 200, "headers": {}, "body": base64.b64encode(b'{"seen": true}').decode()}
        return call.arguments["a"] + call.arguments["b"]  # type: ignore[operator] - the code above says so

    outcome = await ran(way, language, ASK[language], answer=answer)
    assert given(outcome) == [3, {"seen": True}]
    assert asked == [
        HostCall(kind="tool", name="add", arguments={"a": 1, "b": 2}),
        HostCall(
            kind="http",
            name="GET",
            arguments={"method": "GET", "url": "https://x.test/y", "headers": {}, "body": None},
        ),
    ]


@pytest.mark.parametrize(("way", "language"), BOTH)
async def test_an_error_has_its_place(way: str, language: Language) -> None:
    """An exception comes with its type, its message, and file and line of the code; nothing of the harness."""
    outcome = await ran(way, language, FAIL[language])
    error = outcome.error
    assert outcome.reason == "error"
    assert error is not None
    assert error.type in {"KeyError", "RangeError"}
    assert "no such thing" in error.message
    assert (error.file, error.line) == (("main.py", 5) if language == "python" else ("main.ts", 6))
    assert "harness" not in error.traceback
    assert "zero" in error.traceback


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_function_that_is_not_there_is_named(language: Language) -> None:
    """Code without the entry point is told which functions it has."""
    code = "def other(): pass" if language == "python" else "export function other() {}"
    outcome = await ran("landlock", language, code)
    assert outcome.error is not None
    assert "'main'" in outcome.error.message
    assert "other" in outcome.error.message


async def test_code_that_cannot_be_read_has_a_place() -> None:
    """A syntax error names its line."""
    outcome = await ran("landlock", "python", "def main():\n    return (\n")
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.file, outcome.error.line) == ("SyntaxError", "main.py", 2)


@pytest.mark.parametrize("way", [*KERNEL, "unsafe"])
async def test_async_python_asks_for_several_things_at_once(way: str) -> None:
    """In an async function calls are awaited, and run side by side: the host sees all before it answers one."""
    code = (
        "import asyncio\nasync def main():\n    return await asyncio.gather(*(call_tool('t', n=n) for n in range(5)))\n"
    )
    barrier = asyncio.Barrier(5)

    async def answer(call: HostCall) -> object:
        await barrier.wait()
        return call.arguments["n"]

    assert given(await ran(way, "python", code, answer=answer)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_failed_call_is_an_exception_in_the_code(language: Language) -> None:
    """A tool that fails raises CallFailed with the error's code, which code can catch."""
    code = {
        "python": "def main():\n    try:\n        call_tool('t')\n    except CallFailed as error:\n"
        "        return [str(error), error.code]\n",
        "typescript": "export async function main() {\n  try { await callTool('t'); } catch (error) "
        "{ return [error.message, error.code]; }\n}\n",
    }

    async def answer(call: HostCall) -> object:
        raise ToolFailed(f"{call.name} is broken")

    outcome = await ran("landlock", language, code[language], answer=answer)
    assert given(outcome) == ["t is broken", "tool_failed"]


async def test_other_errors_of_a_call_end_the_run() -> None:
    """What is no matter of the code is raised where the run was asked for, and the guest is gone."""

    async def answer(call: HostCall) -> object:
        raise LookupError(call.name)

    before = processes()
    with pytest.raises(LookupError, match="t"):
        await ran("landlock", "python", "def main():\n    call_tool('t')\n", answer=answer)
    assert processes() <= before


@pytest.mark.parametrize(("way", "language"), BOTH)
async def test_the_time_limit_ends_code(way: str, language: Language) -> None:
    """Code that does not end is ended, and no process and no folder of it is left."""
    before = processes(), boxes()
    outcome = await ran(way, language, HANG[language], limits=SandboxLimits(wall_s=0.3))
    assert outcome.reason == "timeout"
    assert outcome.error is not None
    assert outcome.error.message == "the code took longer than 0.3 seconds"
    assert processes() <= before[0]
    assert boxes() <= before[1]


@pytest.mark.parametrize(("way", "language"), BOTH)
async def test_code_that_ends_its_process_gave_no_result(way: str, language: Language) -> None:
    """A process that ends by itself is an error that says how."""
    outcome = await ran(way, language, EXIT[language])
    assert outcome.reason == "error"
    assert outcome.error is not None
    assert "exit code 3" in outcome.error.message


async def test_code_that_uses_up_its_cpu_time_is_ended() -> None:
    """The limit of CPU time counts as a time-out."""
    limits = SandboxLimits(wall_s=20, cpu_s=1)
    outcome = await ran("bubblewrap", "python", HANG["python"], limits=limits)
    assert outcome.reason == "timeout"
    assert outcome.error is not None
    assert "CPU" in outcome.error.message


@pytest.mark.parametrize("language", LANGUAGES)
async def test_nobody_answers_unless_somebody_is_named(language: Language) -> None:
    """Without a handler every call fails."""
    code = {"python": "def main(): call_tool('t')", "typescript": "export const main = () => callTool('t');"}
    outcome = await ran("landlock", language, code[language])
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("CallFailed", "nothing here answers the call of tool 't'")


@pytest.mark.parametrize(("way", "language"), BOTH)
async def test_a_cancelled_run_leaves_nothing(way: str, language: Language) -> None:
    """Wherever a run is cancelled, its process is reaped and its folder gone once the sandbox is closed."""
    need(way, language)
    before = processes(), boxes()
    for turns in (0, 1, 2, 3, 5, 8, 13, 40, 200):
        await _cancelled(way, language, turns=turns)
        assert processes() <= before[0]
        assert boxes() <= before[1]


async def _cancelled(way: str, language: Language, *, turns: int) -> None:
    """Cancel a run after so many turns of the loop."""
    async with opened(way) as sandbox:
        session = await sandbox.start(SandboxSpec(language=language, code=HANG[language], min_isolation=0))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(session.run("main", {}))
            for _ in range(turns):
                await asyncio.sleep(0)
            running.cancel()


async def test_a_run_is_cancelled_while_the_host_answers() -> None:
    """A cancelled run cancels the calls that it waits for."""
    need("landlock", "python")
    asked, ended = asyncio.Event(), asyncio.Event()

    async def answer(call: HostCall) -> object:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with opened("landlock") as sandbox:
        spec = SandboxSpec(language="python", code="def main(): call_tool('t')")
        session = await sandbox.start(spec, answer)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(session.run("main", {}))
            await asked.wait()
            running.cancel()
    assert ended.is_set()


async def test_code_that_ends_lets_its_calls_go() -> None:
    """The end of its process does not wait for a host call, however many are open."""
    code = (
        "import asyncio, os\nasync def main():\n    asyncio.get_running_loop().call_later(0.3, os._exit, 3)\n"
        "    await asyncio.gather(*(call_tool('t') for _ in range(40)))\n"
    )

    async def answer(call: HostCall) -> object:
        await asyncio.Event().wait()

    outcome = await ran("landlock", "python", code, answer=answer, limits=SandboxLimits(wall_s=20))
    assert outcome.reason == "error"
    assert outcome.error
    assert "exit code 3" in outcome.error.message


async def test_a_session_runs_once() -> None:
    """A process is never used again."""
    need("landlock", "python")
    async with opened("landlock") as sandbox:
        session = await sandbox.start(SandboxSpec(language="python", code="def main(): return 1"))
        await session.run("main", {})
        with pytest.raises(ValueError, match="once"):
            await session.run("main", {})


@pytest.mark.parametrize("language", LANGUAGES)
async def test_warm_guests_are_used_once(language: Language) -> None:
    """With warm guests every run still has a process of its own, and nothing of one run is seen by the next."""
    need("landlock", language)
    code = {
        "python": "import os, builtins\ndef main():\n    seen = hasattr(builtins, 'left')\n"
        "    builtins.left = 1\n    return [os.getpid(), seen]\n",
        "typescript": "export function main() {\n  const seen = 'left' in globalThis;\n"
        "  Object.assign(globalThis, { left: 1 });\n  return [Deno.pid, seen];\n}\n",
    }
    before = processes(), boxes()
    async with opened("landlock", warm=2) as sandbox:
        results: list[list[object]] = []
        for _ in range(4):
            async with await sandbox.start(SandboxSpec(language=language, code=code[language])) as session:
                results.append(given(await session.run("main", {})))
    assert len({pid for pid, _ in results}) == 4
    assert [seen for _, seen in results] == [False] * 4
    assert processes() <= before[0]
    assert boxes() <= before[1]


async def test_a_warm_guest_that_died_is_replaced() -> None:
    """A run does not fail because a process that waited for it is gone."""
    need("landlock", "python")
    before = processes()
    async with opened("landlock", warm=1) as sandbox:
        spec = SandboxSpec(language="python", code="def main(): return 1")
        async with await sandbox.start(spec) as session:
            await session.run("main", {})
        for pid in processes() - before:
            os.kill(int(pid), 9)
        await _until_gone(before)
        async with await sandbox.start(spec) as session:
            assert given(await session.run("main", {})) == 1


async def _until_gone(before: set[str]) -> None:
    """Wait until every later process has been reaped, and the loop was told."""
    for _ in range(100_000):
        if processes() <= before:
            break
        await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.mark.parametrize(("way", "language"), [pair for pair in BOTH if pair[0] in KERNEL])
def test_nothing_is_left_to_the_first_process(way: str, language: Language) -> None:
    """However runs end, every process of theirs is reaped by its parent: in a container nobody else would do it."""
    need(way, language)
    done = subprocess.run(
        [sys.executable, "-c", ADOPTING, way, language, GREET[language], HANG[language]],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.stdout == "ok timeout\n[]\n", done.stderr


@pytest.mark.parametrize(("way", "language"), [pair for pair in PAIRS if pair[1] != "typescript"])
def test_code_does_not_outlive_its_host(way: str, language: Language) -> None:
    """When Runwright itself is killed, the code that it runs ends with it."""
    need(way, language)
    host = subprocess.Popen([sys.executable, "-c", HOSTING, way, language], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    with host, open(f"/proc/{host.stdout.readline().strip()}/stat") as guest:
        assert "(" in guest.read()
        host.kill()
        host.wait()
        # A file of a process that is gone cannot be read.
        for _ in range(100_000):
            guest.seek(0)
            try:
                state = guest.read().rpartition(")")[2].split()[0]
            except ProcessLookupError:
                return
            if state in "ZX":
                return
    pytest.fail("the guest goes on")


async def test_an_interpreter_that_is_not_there_is_told() -> None:
    """A way whose interpreter cannot be started is not taken, and the reason is the system's."""
    sandbox = LocalSandbox(ways=("unsafe",), interpreters=Interpreters(python=Path("/nowhere/python3")))
    with pytest.raises(SandboxUnavailable, match="No such file or directory: '/nowhere/python3'"):
        await sandbox.start(SandboxSpec(language="python", code="", min_isolation=0))


async def test_code_is_not_run_below_the_isolation_it_needs() -> None:
    """Where nothing is strong enough the code is refused, with what was tried."""
    sandbox = LocalSandbox(ways=("deno", "unsafe"))
    with pytest.raises(SandboxUnavailable, match="isolation level 2"):
        await sandbox.start(SandboxSpec(language="typescript", code=""))
    with pytest.raises(SandboxUnavailable, match="isolation level 4: none of the sandboxes"):
        await LocalSandbox().start(SandboxSpec(language="python", code="", min_isolation=4))
    with pytest.raises(SandboxUnavailable, match="it runs JavaScript and TypeScript"):
        await LocalSandbox(ways=("deno",)).start(SandboxSpec(language="python", code="", min_isolation=1))


async def test_without_isolation_only_by_name() -> None:
    """A plain process is never chosen unless it is among the ways that are named."""
    need("landlock", "python")
    assert "unsafe" not in {report.backend for report in await LocalSandbox().probe()}
    with pytest.raises(ValueError, match="no sandbox"):
        LocalSandbox(ways=("chroot",))


async def test_the_strongest_way_that_works_is_taken() -> None:
    """Of all ways the one with the highest isolation that passes its probe runs the code."""
    need("bubblewrap", "python")
    sandbox = LocalSandbox(ways=ALL)
    try:
        async with await sandbox.start(SandboxSpec(language="python", code="def main(): return 1")) as session:
            assert (await session.run("main", {})).backend == "bubblewrap"
    finally:
        await sandbox.close()


async def test_inputs_without_a_json_form_start_nothing() -> None:
    """Inputs that cannot be sent are the caller's mistake."""
    need("landlock", "python")
    with pytest.raises(TypeError):
        await ran("landlock", "python", "def main(x): pass", x=object())


@pytest.mark.parametrize(
    ("limits", "named"),
    [({"wall_s": 301}, "wall_s"), ({"memory": 1}, "memory"), ({"threads": 0}, "threads"), ({"output": 0}, "output")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, float], named: str) -> None:
    """A limit out of its range is told with its name."""
    with pytest.raises(ValueError, match=named):
        msgspec.convert(limits, SandboxLimits)
    with pytest.raises(ValueError, match=named):
        SandboxLimits(**limits)  # type: ignore[arg-type] - as a definition would give them
