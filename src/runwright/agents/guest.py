"""One run of code in a sandbox as part of a code flow.

The process, its pipes and its clock stand outside of the flow, which sees nothing of it but its calls. Code does the
same again where it is given the same answers in the same order, so its calls are steps as those of any flow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextvars import Context as Variables
from typing import Any, Final

import msgspec

from runwright.agents.host import OWN_EVENTS, Host, May
from runwright.core.context import Context
from runwright.core.sandbox import HostCall, SandboxOutcome, SandboxSpec
from runwright.errors import ConfigError, LimitExceeded, ToolFailed
from runwright.tools.deeds import Deed
from runwright.tools.sandbox.dependencies import TIMEOUT_S
from runwright.tools.sandbox.session import CODES_OWN
from runwright.tools.sandbox.workshop import Workshop

RESTLESS_S: Final = 0.05
"""Seconds after which a call is answered though its code still does something."""

SHOWN: Final = 32 * 1024
"""Characters of what code printed that are recorded, of each kind."""


LOCKING_SINCE: Final = 2
"""The version of the loop from which on the lock of the packages is a step."""


class Pinned(msgspec.Struct, frozen=True):
    """Code that stands at a URL."""

    url: str
    sha256: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Code and what it may do. `spec` holds the code itself, unless it is pinned; `calls` bounds those of the host."""

    spec: SandboxSpec
    entry: str
    workshop: Workshop | None = None
    may: May = May()
    pinned: Pinned | None = None
    requirements: tuple[str, ...] = ()
    calls: int = 1000


class Asked(msgspec.Struct, frozen=True, eq=False):
    """A call, and where its answer goes."""

    call: HostCall
    answer: asyncio.Future[object]


class Desk:
    """Where calls of code come in, outside of the flow, and the flow takes them."""

    def __init__(self, host: Host, *, calls: int) -> None:
        self._host = host
        self._calls = calls
        self._asked: list[Asked] = []
        self._woken = asyncio.Event()
        self.is_resting = False
        self.is_over = False

    async def answer(self, call: HostCall) -> object:
        """Pass a call on to the flow. Raises LimitExceeded."""
        self._calls -= 1
        if self._calls < 0:
            raise LimitExceeded("The code asked the host for more than it may; raise limits.calls.")
        if call.is_told:
            return await self._host.answer(call)
        loop = asyncio.get_running_loop()
        asked = Asked(call, loop.create_future())
        self._asked.append(asked)
        self.is_resting = False
        # Code with threads, or one that lies, never says that it rests.
        alarm = loop.call_later(RESTLESS_S, self._woken.set)
        try:
            return await asked.answer
        finally:
            alarm.cancel()

    def rests(self) -> None:
        """The code does nothing more before it gets an answer."""
        self.is_resting = True
        self._woken.set()

    def close(self) -> None:
        """The code has ended."""
        self.is_over = True
        self._woken.set()

    async def take(self) -> Sequence[Asked]:
        """The calls that have come in, as soon as the code rests after them; none when it has ended."""
        asked: Sequence[Asked] = ()
        while not asked and not self.is_over:
            await self._woken.wait()
            self._woken.clear()
            asked, self._asked = self._asked, []
        return () if self.is_over else asked


async def run_code(job: Job, context: Context, inputs: dict[str, object]) -> SandboxOutcome:
    """Run the code with its calls as steps. Raises ConfigError when it cannot begin, and what ends the run."""
    seed = await context.random()
    lock = await _lock(job, context) if job.requirements and context.loop >= LOCKING_SINCE else None
    desk = Desk(host := Host(context, job.may), calls=job.calls)
    open_calls: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as tasks:
        # Nothing of what it does is the flow's own doing.
        begun = _work(job, desk, context, inputs=inputs, seed=seed, lock=lock)
        work = tasks.create_task(begun, context=Variables())
        work.add_done_callback(lambda _: desk.close(), context=Variables())
        while asked := await desk.take():
            if len(asked) == 1 and desk.is_resting and not open_calls:
                # Nothing else is asked for meanwhile, which shows by there being no other task.
                await _serve(host, asked[0])
                continue
            for each in asked:
                task = tasks.create_task(_serve(host, each))
                open_calls.add(task)
                task.add_done_callback(open_calls.discard)
        for task in tuple(open_calls):
            task.cancel()
    return work.result()


async def _serve(host: Host, asked: Asked) -> None:
    try:
        result = await host.answer(asked.call)
    except CODES_OWN as error:
        if not asked.answer.done():
            asked.answer.set_exception(error)
        return
    if not asked.answer.done():
        asked.answer.set_result(result)


async def _lock(job: Job, context: Context) -> str:
    """The versions and hashes of the packages, as a step: a replay has the same. Raises ConfigError."""

    async def resolve(_arguments: Mapping[str, Any], _context: Context) -> object:
        try:
            return {"lock": await _workshop(job).dependencies.resolve(job.spec.language, job.requirements)}
        except ConfigError as error:
            raise ToolFailed(error.message) from error

    deed = Deed(f"{OWN_EVENTS}packages", resolve, timeout_s=TIMEOUT_S)
    try:
        given = await context.tool(deed, language=job.spec.language, requirements=job.requirements)
    except ToolFailed as error:
        raise ConfigError(error.message) from error
    return given["lock"]


def _workshop(job: Job) -> Workshop:
    if job.workshop is None:
        raise ConfigError("There is no sandbox in this process: open an App.")
    return job.workshop


async def _work(
    job: Job, desk: Desk, context: Context, *, inputs: dict[str, object], seed: float, lock: str | None
) -> SandboxOutcome:
    workshop = _workshop(job)
    spec = await _prepared(job, workshop, lock)
    async with await workshop.sandbox.start(spec, desk.answer, rests=desk.rests) as session:
        context.emit(
            f"{OWN_EVENTS}started",
            {"backend": session.backend, "isolation": session.isolation, "language": spec.language},
        )
        outcome = await session.run(job.entry, inputs, seed=seed)
    context.emit(f"{OWN_EVENTS}ended", _told(outcome))
    return outcome


async def _prepared(job: Job, workshop: Workshop, lock: str | None) -> SandboxSpec:
    """The code and its packages: those of the lock, or as they are resolved here for a run that recorded none."""
    spec = job.spec
    if job.pinned is not None:
        code = await workshop.pinned.code(job.pinned.url, job.pinned.sha256)
        spec = msgspec.structs.replace(spec, code=code)
    if job.requirements:
        packages, language = workshop.dependencies, spec.language
        prepared = packages.prepare(language, job.requirements) if lock is None else packages.install(language, lock)
        spec = msgspec.structs.replace(spec, dependencies=(await prepared).folder)
    return spec


def _told(outcome: SandboxOutcome) -> dict[str, object]:
    return {
        "backend": outcome.backend,
        "isolation": outcome.isolation,
        "reason": outcome.reason,
        "error": outcome.error and msgspec.to_builtins(outcome.error),
        "stdout": outcome.stdout[-SHOWN:],
        "stderr": outcome.stderr[-SHOWN:],
        "peak_rss": outcome.peak_rss,
        "duration_s": round(outcome.duration_s, 6),
    }
