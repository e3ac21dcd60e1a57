"""Code of others, run in a process of its own: what is asked, what came of it, and who can do it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

import msgspec

Language = Literal["python", "javascript", "typescript"]
ExitReason = Literal["ok", "error", "timeout", "memory", "output", "killed"]
CallKind = Literal[
    "tool", "http", "model", "run", "ask", "sleep", "now", "random", "uuid", "memory", "progress", "emit"
]

MIB = 1024 * 1024
LONGEST_S = 300.0
"""The longest that code may run."""


class SandboxLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What code may use. Sizes are bytes, durations seconds.

    `wall_s` leaves out the time in which the code does nothing but wait for the host. `memory` is all of a Python
    process, and what JavaScript takes beyond an idle engine. `output` bounds stdout and stderr together, and every
    single line that code sends to the host: a result, the arguments of a call; `traffic` all of these lines.
    """

    wall_s: float = 30.0
    cpu_s: int = 60
    memory: int = 512 * MIB
    output: int = MIB
    traffic: int = 64 * MIB
    file_size: int = 64 * MIB
    files: int = 64
    threads: int = 32

    def __post_init__(self) -> None:
        """Refuse limits that no code can run under, or that bound nothing."""
        for name, least, most in (
            ("wall_s", 0.1, LONGEST_S),
            ("cpu_s", 1, LONGEST_S),
            ("memory", 64 * MIB, 64 * 1024 * MIB),
            ("output", 1024, 64 * MIB),
            ("traffic", 1024, 1024 * MIB),
            ("file_size", 0, 1024 * MIB),
            ("files", 16, 4096),
            ("threads", 1, 4096),
        ):
            value: float = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name} is between {least} and {most}, not {value!r}")


class SandboxSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Code and what it may use. `dependencies` is a folder that it sees read-only and can import from.

    Where nothing reaches `min_isolation`, the code is not run: 3 and 2 are the kernel's (2 without namespaces), 1 is
    the JavaScript engine's alone, 0 is none.
    """

    language: Language
    code: str
    dependencies: Path | None = None
    limits: SandboxLimits = SandboxLimits()
    min_isolation: int = 2


class HostCall(msgspec.Struct, frozen=True, kw_only=True):
    """What code asks of the host: a tool by its name, an HTTP request with the fields of `HttpRequest`, and the rest
    of what a code flow has its context for. `is_told` is what the code only says: it waits for no answer.
    """

    kind: CallKind
    name: str
    arguments: dict[str, object]
    is_told: bool = False


class GuestError(msgspec.Struct, frozen=True, kw_only=True):
    """Why code gave no result. `file` and `line` are the place in the code itself, where there is one."""

    type: str
    message: str
    traceback: str = ""
    file: str | None = None
    line: int | None = None


class SandboxOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one run of code. `result` is JSON and stands only beside `ok`, `error` beside all else.

    `peak_rss` is the most memory that was resident, in bytes; 0 where it cannot be known.
    """

    backend: str
    isolation: int
    reason: ExitReason
    result: msgspec.Raw | None = None
    error: GuestError | None = None
    stdout: str = ""
    stderr: str = ""
    peak_rss: int = 0
    duration_s: float = 0.0


class IsolationReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one way to run a language works here. `why_not` says what was tried and what it said.

    It is not certain where the trial came to no end: then nobody knows, and the next one may tell.
    """

    backend: str
    isolation: int
    language: Language
    why_not: str | None = None
    is_certain: bool = True

    @property
    def is_usable(self) -> bool:
        """Whether it works."""
        return self.why_not is None


LEVELS: Mapping[int, str] = {
    4: "a machine of its own",
    3: "namespaces",
    2: "the kernel",
    1: "the engine alone",
    0: "none",
}
"""What stops code at each isolation."""


def level(reports: Iterable[IsolationReport], language: Language) -> int:
    """The isolation that code in a language gets."""
    return max((each.isolation for each in reports if each.is_usable and each.language == language), default=0)


AnswerCall = Callable[[HostCall], Awaitable[object]]
"""Answers what code asks for with JSON data. Errors of tools, models and guards, and what the code got wrong itself,
become exceptions in the code; others end the run.
"""


class SandboxSession(Protocol):
    """One process that runs code once."""

    @property
    def backend(self) -> str:
        """The way in which it is contained."""
        ...

    @property
    def isolation(self) -> int:
        """How strong that is."""
        ...

    async def run(
        self, entry: str, inputs: Mapping[str, object], *, timeout_s: float | None = None, seed: float | None = None
    ) -> SandboxOutcome:
        """Call a function of the code, in Python with the inputs as keywords, else with one object.

        The time limit is that of the spec or this one, whichever is shorter. `seed` is that of the language's own
        random numbers. Raises what a host call raised.
        """
        ...

    async def close(self) -> None:
        """End the process, whatever it does."""
        ...

    async def __aenter__(self) -> Self:
        """The session itself."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the session."""
        ...


class Sandbox(Protocol):
    """Runs code of others at the highest isolation that works here."""

    async def probe(self) -> Sequence[IsolationReport]:
        """Every way to run code, best first, each tried by running something in it."""
        ...

    def look(self) -> None:
        """Look for what it needs, so that `why_not` need not, and remove what killed processes left. Blocks."""
        ...

    def why_not(self, language: Language, min_isolation: int) -> str | None:
        """Why code in a language cannot be run, as far as that is known without trying something now."""
        ...

    async def start(
        self, spec: SandboxSpec, answer: AnswerCall | None = None, *, rests: Callable[[], None] | None = None
    ) -> SandboxSession:
        """Begin a process for the code; `answer` is asked for what the code wants of the host.

        `rests` is called when the code, after all that it asked for so far, does nothing more without an answer.

        Raises SandboxUnavailable when nothing here reaches the isolation that is asked for, SandboxBusy while it is
        not known whether the strongest way works.
        """
        ...

    async def close(self) -> None:
        """End every process."""
        ...
