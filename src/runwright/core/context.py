"""What a tool or a code flow is handed: ids, secrets, progress, and the way to the world."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

import msgspec

from runwright.core.agent import Tool
from runwright.core.http import HttpResponse
from runwright.core.memory import Scope
from runwright.core.message import Message
from runwright.core.model import NO_OPTIONS, ModelOptions, ModelResponse
from runwright.core.ports import Gateway, Model, Secrets
from runwright.core.spending import check_spent
from runwright.core.step import StepKind
from runwright.errors import RunError


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for everything within one run. `state` holds what the application's lifespan yielded.

    `loop` is the version of the agent loop by which the run began.
    """

    gateway: Gateway
    secrets: Secrets
    run_id: str
    agent: str
    user: str | None = None
    state: Mapping[str, Any] = {}
    history: tuple[Message, ...] = ()
    loop: int = 0


class _Act(Protocol):
    """Performs a memory step."""

    def __call__(self, kind: StepKind, /, **arguments: object) -> Awaitable[bytes]: ...


class Memory:
    """Named blocks that outlive the run: those of the agent, and by `thread` those of the run's thread.

    A run sees them as they stood when it started, and what it wrote itself. Values are JSON; each write is a commit.
    In a tool, writes count when the tool has returned, and not at all if it raised.
    """

    __slots__ = ("_act", "_scope")

    def __init__(self, act: _Act, scope: Scope = "agent") -> None:
        self._act = act
        self._scope: Scope = scope

    @property
    def thread(self) -> Memory:
        """The memory of the run's thread: empty, and not to be written, in a run without one."""
        return Memory(self._act, "thread")

    async def get(self, name: str, default: object = None) -> Any:  # noqa: ANN401 - a block holds any JSON
        """What a block holds, or the default where there is none."""
        given = msgspec.json.decode(await self._do("get", name=name))
        return default if given is None else given

    async def set(self, name: str, value: object) -> None:
        """Replace a block by any JSON value but null. Raises ToolFailed when it is too large."""
        await self._do("set", name=name, value=value)

    async def append(self, name: str, text: str) -> None:
        """Add a line to a text: to what stands there by then, if another run writes too. Raises ToolFailed."""
        await self._do("append", name=name, value=text)

    async def delete(self, name: str) -> None:
        """Take a block away; its history stays."""
        await self._do("delete", name=name)

    async def list(self) -> Sequence[str]:
        """The names of all blocks, in order."""
        return msgspec.json.decode(await self._do("list"))

    async def _do(self, do: str, **arguments: object) -> bytes:
        return await self._act("memory", do=do, scope=self._scope, **arguments)


class Steps:
    """What is done through a context. Inside a code flow, everything that is awaited here is a recorded step."""

    __slots__ = ("_around", "lane_path")

    def __init__(self, around: Surroundings, lane_path: str) -> None:
        self._around = around
        self.lane_path = lane_path

    async def model(
        self,
        messages: str | Sequence[Message],
        *,
        model: str | Model | None = None,
        instructions: str = "",
        options: ModelOptions = NO_OPTIONS,
    ) -> ModelResponse:
        """Call a model as a recorded step. The agent's own model when none is named.

        A `Model` of one's own answers for its reference; the guard's policies for that reference hold for it.
        """
        return await self._around.gateway.model(
            messages, model=model, instructions=instructions, options=options, lane=self.lane_path
        )

    async def tool(self, tool: str | Tool, /, **arguments: object) -> Any:  # noqa: ANN401 - a tool gives any JSON
        """Call a tool as a recorded step and give its result as plain JSON data."""
        result = await self._around.gateway.tool(tool, msgspec.json.encode(arguments).decode(), lane=self.lane_path)
        return msgspec.json.decode(result)

    async def now(self) -> datetime:
        """The present time in UTC."""
        return msgspec.json.decode(await self._act("clock"), type=datetime)

    async def random(self) -> float:
        """A number from 0 up to 1."""
        return msgspec.json.decode(await self._act("random"), type=float)

    async def uuid(self) -> UUID:
        """A random UUID (version 4)."""
        return msgspec.json.decode(await self._act("id"), type=UUID)

    async def env(self, name: str, default: str | None = None) -> str | None:
        """An environment variable. Secrets are better asked for by `secret`, which records nothing."""
        found = msgspec.json.decode(await self._act("env", name=name), type=str | None)
        return default if found is None else found

    async def sleep(self, duration_s: float) -> None:
        """Wait for so many seconds. After a crash only the rest is waited for; a replay does not wait."""
        await self._act("sleep", duration_s=duration_s)

    async def http(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
        json: object = msgspec.UNSET,
        redirects: bool = True,
    ) -> HttpResponse:
        """Send a request. GET, HEAD and OPTIONS are read, PUT and DELETE idempotent, all others once.

        `json` is any JSON value, sent as the body. Redirects are followed for what is read, unless they are answers
        too. Raises ToolFailed when no answer came or it is larger than 10 MB; one with an error status is an answer.
        """
        sent = dict(headers or {})
        if json is not msgspec.UNSET:
            body = msgspec.json.encode(json)
            sent.setdefault("content-type", "application/json")
        raw = body.encode() if isinstance(body, str) else body
        # Requests that follow them are recorded as ever.
        further = {} if redirects else {"redirects": False}
        given = await self._act("http", method=method.upper(), url=url, headers=sent, body=raw, **further)
        return msgspec.json.decode(given, type=HttpResponse)

    async def run(self, agent: str, input: object = None, *, version: str | None = None) -> Any:  # noqa: ANN401 - any JSON
        """Have another agent run, as a run of its own, and give its output as plain JSON data.

        While that run waits, so does this one; when this one is cancelled, so is that. Raises ChildFailed.
        """
        asked = {"agent": agent, "input": input}
        return msgspec.json.decode(
            await self._act("child", **asked if version is None else {**asked, "version": version})
        )

    async def ask(
        self, question: str, *, schema: Mapping[str, Any] | None = None, expires_s: float | None = None
    ) -> Any:  # noqa: ANN401 - an answer is any JSON
        """Ask a person, and give the answer as plain JSON data that fits the JSON Schema. The run waits meanwhile.

        Raises Denied when there is no answer after `expires_s` seconds, or somebody declines.
        """
        asked: dict[str, object] = {"question": question}
        if schema is not None:
            asked["schema"] = schema
        if expires_s is not None:
            asked["expires_s"] = expires_s
        return msgspec.json.decode(await self._act("input", **asked))

    async def _act(self, kind: StepKind, /, **arguments: object) -> bytes:
        return await self._around.gateway.act(kind, msgspec.json.encode(arguments).decode(), lane=self.lane_path)


class Context(Steps):
    """The surroundings of one tool call or code flow.

    `idempotency_key` is the same for every attempt of a step; `step` is the step's number, None in a code flow, and
    `started_at` when it first began. Inside a code flow, everything that is awaited here is a recorded step, which a
    replay answers; inside a tool it is not, because the tool's result is recorded as a whole.
    """

    __slots__ = ("idempotency_key", "started_at", "step")

    def __init__(
        self,
        around: Surroundings,
        *,
        step: int | None = None,
        started_at: datetime | None = None,
        idempotency_key: str = "",
        lane_path: str = "",
    ) -> None:
        super().__init__(around, lane_path)
        self.step = step
        self.started_at = started_at
        self.idempotency_key = idempotency_key

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self._around.run_id

    @property
    def agent(self) -> str:
        """The name of the agent."""
        return self._around.agent

    @property
    def user(self) -> str | None:
        """The user that the run's caller named."""
        return self._around.user

    @property
    def state(self) -> Mapping[str, Any]:
        """What the application's lifespan yielded."""
        return self._around.state

    @property
    def history(self) -> tuple[Message, ...]:
        """What was said in the thread before the run, where an agent before it left a conversation there."""
        return self._around.history

    @property
    def loop(self) -> int:
        """The version of the agent loop by which the run began, or that which it replays: `loop` of `run.started`."""
        return self._around.loop

    @property
    def memory(self) -> Memory:
        """Named blocks that outlive the run."""
        return Memory(self._act)

    def secret(self, name: str) -> str:
        """The value of a secret. Raises ConfigError when it is not set."""
        return self._around.secrets.get(name)

    def progress(self, message: str = "", *, fraction: float | None = None) -> None:
        """Say how far the work is, or that of this lane; `fraction` from 0 to 1. Safe from any thread."""
        self._around.gateway.progress(message, fraction=fraction, step=self.step, lane=self.lane_path)

    def emit(self, name: str, value: object = None) -> None:
        """Record an event of your own. Safe from any thread. Raises TypeError when the value is no JSON."""
        self._around.gateway.emit(name, msgspec.json.encode(value), step=self.step)

    def spent(self, ref: str, **quantities: int | Decimal) -> None:
        """Say what this tool spent, as soon as it did: `context.spent("elevenlabs:eleven_v3", characters=120)`.

        Units are those of prices. It is priced at once, and counts though the tool fails later. Safe from any thread.
        Raises ValueError or TypeError for what is no quantity, and RunError outside of a tool.
        """
        used = check_spent(ref, quantities)
        if self.step is None:
            raise RunError("Only a tool says what it spent: in a code flow, do that in a tool and call it as a step.")
        self._around.gateway.spent(ref, used, step=self.step)

    @property
    def has_acted(self) -> bool:
        """Whether a step of this lane, or of one below it, was asked for that does more than read."""
        return self._around.gateway.has_acted(self.lane_path)

    def lane(self, name: str) -> Context:
        """A context for a parallel branch: steps are ordered within a lane, not across lanes."""
        if not name or "/" in name:
            raise ValueError(f"a lane needs a name without '/', not {name!r}")
        path = f"{self.lane_path}/{name}" if self.lane_path else name
        return Context(
            self._around,
            step=self.step,
            started_at=self.started_at,
            idempotency_key=self.idempotency_key,
            lane_path=path,
        )
