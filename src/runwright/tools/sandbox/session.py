"""One run of code: the conversation with its guest, and what came of it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Final, Self

import msgspec
from anyio import to_thread

from runwright.core.sandbox import (
    AnswerCall,
    ExitReason,
    GuestError,
    HostCall,
    SandboxLimits,
    SandboxOutcome,
    SandboxSpec,
)
from runwright.errors import (
    GuardError,
    InvalidRequest,
    ModelError,
    NotFound,
    SandboxBusy,
    SandboxUnavailable,
    ToolError,
    ToolFailed,
)
from runwright.tools.sandbox.interpreters import FILES
from runwright.tools.sandbox.process import Ended, Guest
from runwright.tools.sandbox.way import Way
from runwright.tools.sandbox.wire import TOLD, Call, Done, Failed, Inlet, Line, LineTooLong, Ready, Rest, Text, Wire

START_S: Final = 20.0
"""How long a guest may take until it is ready for its job."""

CALLS_AT_ONCE: Final = 16
"""Calls of the host that one guest may have open; while there are more, nothing is read from it."""

LINGER_S: Final = 1.0
"""How long output is waited for after the end: at level 0, a child of the guest can hold it open."""

RESTS: Final = 2
"""How often code can come to rest for each of its calls: after it, and after its answer."""

CODES_OWN: Final = (ToolError, ModelError, GuardError, InvalidRequest, NotFound)
"""Errors of a call that are a matter of the code."""

LINE_BEYOND: Final = 4096
SPOILT: Final = "the code wrote to the channel between the sandbox and the host, which is not its own"


class LocalSession:
    """One guest, for one run. `backend` is the way in which it is contained, `isolation` how strong that is."""

    def __init__(
        self,
        guest: Guest,
        way: Way,
        spec: SandboxSpec,
        *,
        answer: AnswerCall | None = None,
        rests: Callable[[], None] | None = None,
        start_s: float = START_S,
    ) -> None:
        self._guest = guest
        self._way = way
        self.backend = way.name
        self.isolation = way.isolation
        self._spec = spec
        self._answer = answer or _refuse
        self._rests = rests
        self._is_used = False
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._room = spec.limits.output
        self._slots = asyncio.Semaphore(CALLS_AT_ONCE)
        self._calls: set[asyncio.Task[None]] = set()
        self._clock: Clock | None = None
        self._rests_left = 0
        self._broken: Exception | None = None
        self._start_s = start_s
        self._is_begun = True
        self._is_late = False

    async def run(
        self, entry: str, inputs: Mapping[str, object], *, timeout_s: float | None = None, seed: float | None = None
    ) -> SandboxOutcome:
        """Call a function of the code, once. Raises what a host call raised, and SandboxUnavailable without a start."""
        if self._is_used:
            raise ValueError("a session runs code once: start another one")
        self._is_used = True
        wall_s = min(self._spec.limits.wall_s, timeout_s or self._spec.limits.wall_s)
        job = self._job(entry, inputs, seed=seed)
        try:
            return await self._converse(job, wall_s)
        finally:
            # Not awaited: the guest's thread does the rest, also when this task is cancelled once more.
            self._guest.stop("killed", "the run was cancelled")
            self._guest.close()

    async def close(self) -> None:
        """End the guest and wait until nothing of it is left."""
        self._guest.stop("killed", "the session was closed")
        self._guest.close()
        await asyncio.shield(self._guest.ended)

    async def __aenter__(self) -> Self:
        """The session itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the session."""
        await self.close()

    def _job(self, entry: str, inputs: Mapping[str, object], *, seed: float | None) -> Callable[[], bytes]:
        """The first line for the guest, when it has said that it is ready: only then its folder is known."""
        guest, spec = self._guest, self._spec
        file = FILES[spec.language]
        fields = {"code": spec.code, "file": file, "entry": entry, "inputs": inputs, "seed": seed}
        fields["longest"] = spec.limits.output
        # Encoded now, so that inputs without a JSON form are the caller's mistake, and no guest has started for them.
        raw = msgspec.json.encode(fields)

        def line() -> bytes:
            assert guest.command is not None
            places = {"path": guest.command.path, "url": f"{guest.command.url}/{file}"}
            return raw[:-1] + b"," + msgspec.json.encode(places)[1:] + b"\n"

        return line

    async def _converse(self, job: Callable[[], bytes], wall_s: float) -> SandboxOutcome:
        guest = self._guest
        # A line that holds a call has its name too, so it is a little longer than what is counted.
        # Without its guest nobody waits for an answer; who waits for a free slot goes on.
        guest.ended.add_done_callback(lambda _: _cancel(self._calls))
        wire = Wire(guest, longest=self._spec.limits.output + LINE_BEYOND)
        with guest.used():
            last, ended, duration_s = await self._talk(wire, job, wall_s)
        if self._broken is not None:
            raise self._broken
        return self._outcome(last, ended, duration_s)

    async def _talk(
        self, wire: Wire, job: Callable[[], bytes], wall_s: float
    ) -> tuple[Done | Failed | None, Ended, float]:
        """Hand over the job, and do what is asked until the guest is gone."""
        guest = self._guest
        async with asyncio.TaskGroup() as tasks:
            outputs = [(wire.stderr, self._stderr), (wire.stdout, self._stdout)]
            pumps = [tasks.create_task(self._pump(reader, into)) for reader, into in outputs if reader is not None]
            if await self._is_ready(wire) and await self._is_prepared():
                last, duration_s = await self._play(wire, job(), tasks, wall_s=wall_s)
            else:
                last, duration_s = None, 0.0
            guest.stop("ok")
            ended = await asyncio.shield(guest.ended)
            await asyncio.wait(pumps, timeout=LINGER_S)
            _cancel(self._calls)
            for pump in pumps:
                pump.cancel()
        return last, ended, duration_s

    async def _is_ready(self, wire: Wire) -> bool:
        """Wait until the guest asks for its job."""
        try:
            async with asyncio.timeout(self._start_s):
                if isinstance(await self._receive(wire), Ready):
                    return True
        except TimeoutError:
            self._is_late = True
            self._guest.stop("killed", f"it took longer than {self._start_s:g} seconds to start")
        self._is_begun = False
        return False

    async def _is_prepared(self) -> bool:
        """Put the limits on the guest; without them it gets no job."""
        try:
            await to_thread.run_sync(self._guest.prepare, self._spec.code)
        except SandboxUnavailable as error:
            self._broken = error
            self._guest.stop("killed", error.message)
            return False
        return True

    async def _play(
        self, wire: Wire, job: bytes, tasks: asyncio.TaskGroup, *, wall_s: float
    ) -> tuple[Done | Failed | None, float]:
        began = time.monotonic()
        overtime = f"the code took longer than {wall_s:g} seconds"
        self._clock = clock = Clock(wall_s, lambda: self._guest.stop("timeout", overtime))
        try:
            await wire.write(job)
            last = await self._listen(wire, tasks)
            return last, time.monotonic() - began
        finally:
            clock.pause()

    async def _listen(self, wire: Wire, tasks: asyncio.TaskGroup) -> Done | Failed | None:
        """Do what the guest asks until it gives its result, or nothing more can come."""
        while True:
            message = await self._receive(wire)
            match message:
                case Done() | Failed() | None:
                    return message
                case Text():
                    self._take(self._stdout, message.text.encode(errors="replace"))
                case Rest() if self._rests_left:
                    self._rests_left -= 1
                    self._rest()
                case Call():
                    self._rests_left += RESTS
                    if self._slots.locked():
                        self._rest()
                    await self._slots.acquire()
                    if self._guest.is_over:
                        # Nobody would read the answer.
                        return None
                    task = tasks.create_task(self._serve(wire, message))
                    self._calls.add(task)
                    task.add_done_callback(self._is_answered)
                case Ready() | Rest():
                    self._guest.stop("error", SPOILT)
                    return None

    def _rest(self) -> None:
        """The code waits for answers, if there is something that it asked for."""
        if self._calls and self._clock is not None:
            self._clock.pause()
        if self._rests is not None:
            # The calls before it have tasks that begin first.
            asyncio.get_running_loop().call_soon(self._rests)

    async def _receive(self, wire: Wire) -> Line | None:
        """The next line; None when the guest has ended, or must."""
        try:
            message = await wire.read()
            if wire.taken > self._spec.limits.traffic:
                size = self._spec.limits.traffic
                self._guest.stop("output", f"the code sent more than {size:,} bytes to the host")
                return None
        except LineTooLong:
            size = self._spec.limits.output
            self._guest.stop("output", f"the code sent a line of more than {size:,} bytes to the host")
            return None
        except (msgspec.DecodeError, RecursionError):
            self._guest.stop("error", SPOILT)
            return None
        if message is None:
            # It has closed its end, which a process does shortly before it is gone.
            await asyncio.wait([self._guest.ended], timeout=LINGER_S)
            if not self._guest.ended.done():
                self._guest.stop("error", SPOILT)
        return message

    async def _serve(self, wire: Wire, call: Call) -> None:
        """Answer one call. What is no matter of the code ends the run."""
        try:
            asked = HostCall(kind=call.kind, name=call.name, arguments=call.arguments, is_told=call.id == TOLD)
            answer = await self._answer(asked)
            line = msgspec.json.encode({"id": call.id, "result": answer})
        except CODES_OWN as error:
            line = msgspec.json.encode({"id": call.id, "error": {"message": error.message, "code": error.code}})
        except Exception as error:  # noqa: BLE001 - raised again by the run, which this task is part of
            self._broken = self._broken or error
            self._guest.stop("killed", "a call of the host failed")
            return
        if call.id == TOLD:
            return
        if self._clock is not None:
            # Also where the code does not read it: then this is waiting of its own.
            self._clock.go_on()
        await wire.write(line + b"\n")

    def _is_answered(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self._slots.release()

    async def _pump(self, reader: Inlet, into: bytearray) -> None:
        """Take what the guest prints."""
        while chunk := await reader.read():
            self._take(into, chunk)

    def _take(self, into: bytearray, chunk: bytes) -> None:
        into += chunk[: self._room]
        self._room -= len(chunk)
        if self._room < 0:
            self._room = 0
            size = self._spec.limits.output
            self._guest.stop("output", f"the code printed more than {size:,} bytes")

    def _outcome(self, last: Done | Failed | None, ended: Ended, duration_s: float) -> SandboxOutcome:
        stderr = self._stderr.decode(errors="replace")
        if not self._is_begun:
            said = (self._guest.verdict.message if self._guest.verdict else "") or stderr.strip() or "it said nothing"
            kind = SandboxBusy if self._is_late else SandboxUnavailable
            raise kind(f"the sandbox {self._way.name!r} did not start: {said}")
        reason, error = self._end(last, ended, stderr)
        return SandboxOutcome(
            backend=self._way.name,
            isolation=self._way.isolation,
            reason=reason,
            result=last.result if isinstance(last, Done) and reason == "ok" else None,
            error=error,
            stdout=self._stdout.decode(errors="replace"),
            stderr=stderr,
            peak_rss=ended.peak_rss,
            duration_s=duration_s,
        )

    def _end(self, last: Done | Failed | None, ended: Ended, stderr: str) -> tuple[ExitReason, GuestError | None]:
        verdict = self._guest.verdict
        if verdict is not None and verdict.reason != "ok":
            return verdict.reason, GuestError(type=verdict.reason, message=verdict.message)
        match last:
            case Done():
                return "ok", None
            case Failed():
                return "memory" if last.is_memory else "error", last.error
            case None:
                return _own_end(self._spec.limits, ended, stderr)


def _own_end(limits: SandboxLimits, ended: Ended, stderr: str) -> tuple[ExitReason, GuestError]:
    """What became of a guest that ended by itself without a result."""
    code = os.waitstatus_to_exitcode(ended.status)
    # Bubblewrap tells the signal that ended its child as shells do.
    number = -code if code < 0 else max(0, code - 128)
    if ended.cpu_s >= limits.cpu_s:
        return "timeout", GuestError(type="timeout", message=f"the code used more than {limits.cpu_s} s of CPU")
    if "out of memory" in stderr.lower():
        message = f"the code asked for more than {limits.memory:,} bytes of memory"
        return "memory", GuestError(type="memory", message=message)
    if number:
        return "killed", GuestError(type="killed", message=f"the process ended by signal {_signal_name(number)}")
    message = f"the process ended with exit code {code} before the code gave a result"
    return "error", GuestError(type="error", message=message)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


class Clock:
    """The time that code has for itself; it can be stopped while somebody else works. `ring` is called at its end."""

    def __init__(self, wall_s: float, ring: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._left_s = wall_s
        self._ring = ring
        self._alarm: asyncio.TimerHandle | None = None
        self.go_on()

    def go_on(self) -> None:
        """Let the time pass."""
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._left_s, self._ring)

    def pause(self) -> None:
        """Let it stand still."""
        if self._alarm is not None:
            self._left_s = max(0.0, self._alarm.when() - self._loop.time())
            self._alarm.cancel()
            self._alarm = None


def _cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in list(tasks):
        task.cancel()


async def _refuse(call: HostCall) -> object:
    raise ToolFailed(f"nothing here answers the call of {call.kind} {call.name!r}")
