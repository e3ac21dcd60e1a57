"""A real server that is killed, the model it asks, and the witness of what its tools did."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, cast

import aiohttp
from aiohttp import web

from runwright.journal.shapes import referring
from runwright.store import open_stores
from runwright.store.sizes import measure

AGENTS = Path(__file__).with_name("agents")
WAIT_S = 50.0
"""How long anything may take before a test fails: starts of Python on a machine that is busy with other tests."""

TEST_S = 240
"""How long a test may take, which starts up to seven processes one after the other."""

DELTAS = {"message.delta", "reasoning.delta", "tool.args.delta"}
TERMINAL = {"run.completed", "run.failed", "run.cancelled"}
RESULTS: Mapping[str, str] = {
    "look": "tea is green",
    "reserve": "reserved tea",
    "charge": "charged 7",
    "notify": "told ann",
    "stamp": "stamped sold",
}
OUTPUT = "; ".join(RESULTS.values())
READ = {"look"}
ONCE = {"charge", "notify"}

Body = dict[str, Any]  # JSON as it comes


class Deed(NamedTuple):
    """A line of the witness."""

    tool: str
    moment: Literal["entered", "done"]
    key: str
    run: str


class Witness:
    """What tools did, told by themselves, outside the database."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def deeds(self, run: str | None = None) -> list[Deed]:
        """All lines, or those of one run."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        deeds = [Deed(**json.loads(line)) for line in lines]
        return [deed for deed in deeds if run in {None, deed.run}]

    def entered(self, run: str | None = None) -> Counter[str]:
        """How often each tool was entered."""
        return Counter(deed.tool for deed in self.deeds(run) if deed.moment == "entered")

    def done(self, run: str | None = None) -> Counter[str]:
        """How often each tool came to its end."""
        return Counter(deed.tool for deed in self.deeds(run) if deed.moment == "done")


Trap = Callable[[], Awaitable[None]]


class ScriptedProvider:
    """A model server on loopback, in this process. What it answers depends on the messages alone.

    `calls` counts requests by (words of the last user, how many answers were given since). `traps` are sprung once,
    when a request is received or half of its answer is sent; nothing more is answered then, unless `is_patient`.
    """

    SCRIPT: Sequence[tuple[str, Sequence[tuple[str, Body]]]] = (
        ("First I look around.", [("look", {"topic": "tea"})]),
        ("Now I reserve it.", [("reserve", {"item": "tea"})]),
        ("Now I pay.", [("charge", {"amount": 7})]),
        ("Now I tell, and stamp.", [("notify", {"to": "ann"}), ("stamp", {"text": "sold"})]),
    )

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, int]] = Counter()
        self.traps: dict[tuple[int, str], Trap] = {}
        self.pause_s = 0.001
        self.is_patient = False
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def started(cls) -> AsyncGenerator[Self]:
        """A provider that listens."""
        provider = cls()
        application = web.Application()
        application.router.add_post("/v1/chat/completions", provider._answer)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield provider
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked: Body = await request.json()
        messages: list[Body] = asked["messages"]
        last = max(index for index, message in enumerate(messages) if message["role"] == "user")
        words = str(messages[last]["content"])
        place = sum(message["role"] == "assistant" for message in messages[last:])
        self.calls[words, place] += 1
        await self._spring(place, "received")
        results = [str(message["content"]) for message in messages if message["role"] == "tool"]
        pieces = list(self._pieces(words, place, results[-len(RESULTS) :]))
        if not asked.get("stream"):
            return web.json_response(_whole(pieces))
        return await self._stream(request, place, pieces)

    def _pieces(self, words: str, place: int, results: Sequence[str]) -> Iterator[Body]:
        """The answer as deltas of the wire."""
        if words.startswith("say "):
            text, calls = words.removeprefix("say "), ()
        elif words.startswith("hand ") and place == 0:
            text, calls = "You do it.", [("clerk", {"input": letter}) for letter in words.split()[1:]]
        elif words.startswith("hand "):
            text, calls = "; ".join(results), ()
        elif words.startswith("cite ") and place == 0:
            text, calls = "I read it.", [("read", {"path": words.split()[1]})]
        elif words.startswith("cite "):
            text, calls = f"It says so [{words.split()[1]}:1].", ()
        elif words.startswith("plan "):
            text, calls = "Look, reserve, pay, tell, stamp.", ()
        elif place < len(self.SCRIPT):
            text, calls = self.SCRIPT[place]
        else:
            text, calls = "; ".join(results), ()
        for index, word in enumerate(text.split(" ")):
            yield {"content": word if index == 0 else f" {word}"}
        for index, (name, arguments) in enumerate(calls):
            whole = json.dumps(arguments)
            first = {"index": index, "id": f"call_{place}_{index}", "type": "function"}
            yield {"tool_calls": [{**first, "function": {"name": name, "arguments": whole[:4]}}]}
            yield {"tool_calls": [{"index": index, "function": {"arguments": whole[4:]}}]}

    async def _stream(self, request: web.Request, place: int, pieces: Sequence[Body]) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for index, piece in enumerate(pieces):
            if index == len(pieces) // 2:
                await self._spring(place, "half")
            await answer.write(_chunk({"choices": [{"index": 0, "delta": piece, "finish_reason": None}]}))
            await asyncio.sleep(self.pause_s)
        reason = "tool_calls" if "tool_calls" in pieces[-1] else "stop"
        await answer.write(_chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
        await answer.write(_chunk({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}))
        await answer.write(b"data: [DONE]\n\n")
        return answer

    async def _spring(self, place: int, moment: str) -> None:
        trap = self.traps.pop((place, moment), None)
        if trap is not None:
            await trap()
            await asyncio.sleep(0 if self.is_patient else WAIT_S)


def _chunk(body: Body) -> bytes:
    return b"data: " + json.dumps({"id": "chat_1", "model": "scripted", **body}).encode() + b"\n\n"


def _whole(pieces: Sequence[Body]) -> Body:
    text = "".join(piece.get("content", "") for piece in pieces)
    fragments = [piece["tool_calls"][0] for piece in pieces if "tool_calls" in piece]
    calls: dict[int, Body] = {}
    for fragment in fragments:
        call = calls.setdefault(fragment["index"], {**fragment, "function": {"name": "", "arguments": ""}})
        call["function"]["name"] += fragment["function"].get("name", "")
        call["function"]["arguments"] += fragment["function"]["arguments"]
    message = {"role": "assistant", "content": text, "tool_calls": list(calls.values()) or None}
    reason = "tool_calls" if calls else "stop"
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    choice = {"message": message, "finish_reason": reason}
    return {"id": "chat_1", "model": "scripted", "choices": [choice], "usage": usage}


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Ended(Exception):
    """The server's process ended before it was ready."""


class Server:
    """`runwright serve`, as a process on a data directory. Times are of the wall clock."""

    COMMAND = (str(Path(sys.executable).with_name("runwright")),)

    def __init__(self, data: Path, witness: Witness, provider: ScriptedProvider, *, log: Path) -> None:
        self._data = data
        self._witness = witness
        self._provider = provider
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""
        self.started_at = 0.0
        self.ready_at = 0.0

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.returncode is None

    def environment(self, at: str = "") -> dict[str, str]:
        """What commands on this data directory see; `at` is where the process kills itself."""
        # A process that kills itself has no coverage to save, and measures its start without it.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        told = {"CRASH_WITNESS": str(self._witness.path), "CRASH_AT": at}
        return {**kept, **told, "OPENAI_BASE_URL": self._provider.url, "OPENAI_API_KEY": "sk-test"}

    async def launch(self, *, at: str = "", settings: Mapping[str, str] | None = None) -> None:
        """Start the process and return at once."""
        self.started_at = time.time()
        self.url = ""
        command = (*self.COMMAND, "serve", str(AGENTS), "--data", str(self._data), "--port", "0", "--json")
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                env={**self.environment(at), **(settings or {})},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )

    async def ready(self, client: aiohttp.ClientSession) -> None:
        """Wait until the server takes work. Raises Ended."""
        assert self._process is not None and self._process.stdout is not None
        async with asyncio.timeout(WAIT_S):
            line = await self._process.stdout.readline()
            if not line:
                raise Ended(f"the server ended with {await self.ended()}: {self.log()}")
            self.url = json.loads(line)["url"]
            # Another process has no event to wait for.
            while not await self._is_ready(client):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        self.ready_at = time.time()

    async def _is_ready(self, client: aiohttp.ClientSession) -> bool:
        try:
            async with client.get(f"{self.url}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError as error:
            if not self.is_running:
                raise Ended("the server ended before it was ready") from error
            return False

    async def command(self, *arguments: str) -> Said:
        """Another command on the same data directory."""
        process = await asyncio.create_subprocess_exec(
            *(*self.COMMAND, *arguments, "--data", str(self._data)),
            env=self.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(WAIT_S):
            out, err = await process.communicate()
        return Said(process.returncode or 0, out.decode(), err.decode())

    def log(self) -> str:
        """The end of what the server said on stderr."""
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the process, if it still runs."""
        if self._process is not None and self.is_running:
            self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end of the process; its status."""
        assert self._process is not None
        async with asyncio.timeout(WAIT_S):
            status = await self._process.wait()
            if self._process.stdout is not None:
                await self._process.stdout.read()
        return status


class Frame(NamedTuple):
    """An event as a stream shows it."""

    seq: int
    type: str
    data: Body

    @property
    def at(self) -> float:
        """When it happened, on the wall clock."""
        return datetime.fromisoformat(self.data["ts"]).timestamp()


async def frames(answer: aiohttp.ClientResponse, errors: list[str] | None = None) -> AsyncGenerator[Frame]:
    """The events of a stream until it ends or breaks; `errors` gets the codes of frames that are no events."""
    if answer.status == 204:
        # Nothing comes after the last event that was seen.
        return
    try:
        while True:
            text = (await answer.content.readuntil(b"\n\n")).decode()
            if not text:
                return
            parts = (line.partition(": ") for line in text.splitlines())
            fields = {name: value for name, _, value in parts}
            if "id" in fields:
                yield Frame(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            elif "event" in fields and errors is not None:
                errors.append(json.loads(fields["data"])["code"])
    except (aiohttp.ClientError, asyncio.IncompleteReadError, ConnectionError):
        return


@dataclass
class Record:
    """What the database of a dead server holds, read from a copy: `orphans` are blobs that nothing refers to."""

    runs: list[Body] = field(default_factory=list[Body])
    steps: list[Body] = field(default_factory=list[Body])
    deltas: list[Body] = field(default_factory=list[Body])
    orphans: int = 0
    integrity: str = "ok"

    @classmethod
    def of(cls, data: Path, place: Path) -> Record:
        """Copy the database, with its log that is not yet checkpointed, and read the copy."""
        place.mkdir(parents=True)
        for name in ("runwright.db", "runwright.db-wal"):
            if (data / name).exists():
                shutil.copy(data / name, place)
        if not (place / "runwright.db").exists():
            return cls()
        with closing(sqlite3.connect(place / "runwright.db")) as connection:
            connection.row_factory = sqlite3.Row
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            integrity = str(connection.execute("PRAGMA integrity_check").fetchone()[0])
            if "runs" not in tables:
                return cls(integrity=integrity)
            runs = _rows(connection, "SELECT * FROM runs ORDER BY id")
            steps = _rows(connection, "SELECT * FROM steps ORDER BY run_id, seq")
            deltas = _rows(connection, "SELECT * FROM events WHERE type = 'deltas'")
        return cls(runs, steps, deltas, _orphans(place / "runwright.db"), integrity)

    def run(self, run: str) -> Body | None:
        """The row of a run."""
        return next((row for row in self.runs if row["id"] == run), None)

    def steps_of(self, run: str, *statuses: str) -> list[Body]:
        """The steps of a run, or those in these statuses."""
        return [row for row in self.steps if row["run_id"] == run and (not statuses or row["status"] in statuses)]


def _orphans(path: Path) -> int:
    with closing(open_stores(path)) as stores:
        shares = measure(stores.database, referring).blobs
    return sum(share.count for share in shares if share.name == "nothing")


def _rows(connection: sqlite3.Connection, query: str) -> list[Body]:
    return [dict(cast("sqlite3.Row", row)) for row in connection.execute(query)]
