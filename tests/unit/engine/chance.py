"""Random agents: plans of loops and of code flows, and a scripted world that they are executed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Literal

import msgspec
from hypothesis import strategies as st

from runwright.core.agent import BuiltAgent, Limits
from runwright.core.context import Context
from runwright.core.message import AssistantMessage
from runwright.core.model import ModelEvent, ModelRequest
from runwright.core.step import Effect
from runwright.errors import NotSent, ProviderRejected
from runwright.testing import ScriptedModel, ScriptedTool, calls
from tests.unit.engine.harness import Number, flowing, looping

LIMIT_S = 0.03
"""Seconds after which a flow gives up what is limited."""

FOREVER = -1
"""Turns of a tool that never returns."""

EFFECTS: Mapping[str, Effect] = {"look": "read", "put": "idempotent", "pay": "once"}


class Use(msgspec.Struct, frozen=True):
    """A tool call: what is asked, after how many turns of the event loop the tool returns, and whether it fails."""

    tool: str
    asked: int = 0
    turns: int = 0
    is_failing: bool = False


class Ask(msgspec.Struct, frozen=True):
    """A model call of a flow."""

    asked: int = 0
    turns: int = 0
    is_failing: bool = False


class Deed(msgspec.Struct, frozen=True):
    """Something else that a flow does as a step."""

    name: Literal["now", "random", "uuid", "sleep", "env"]


class Tried(msgspec.Struct, frozen=True):
    """A flow tries this so often until it works, and goes on if it never does."""

    part: Part
    times: int


class Limited(msgspec.Struct, frozen=True):
    """A flow gives these up after a moment: the last of them never returns."""

    parts: tuple[Part, ...]


class Ended(msgspec.Struct, frozen=True):
    """What a flow does, and what it does after that however it ends."""

    parts: tuple[Part, ...]
    last: Use


class Side(msgspec.Struct, frozen=True):
    """Branches side by side, in lanes of their own or not."""

    branches: tuple[tuple[Part, ...], ...]
    how: Literal["gather", "all", "group", "first"]
    has_lanes: bool


Part = Use | Ask | Deed | Tried | Limited | Ended | Side


class Stop(msgspec.Struct, frozen=True):
    """The run is cancelled when the world was asked so often, and so many turns later."""

    after: int
    turns: int


class Talk(msgspec.Struct, frozen=True):
    """A loop: the tool calls of each answer, and what comes at the end of them."""

    turns: tuple[tuple[Use, ...], ...]
    end: Literal["text", "number", "no number", "refused", "broken"] = "text"
    rejections: int = 0
    stop: Stop | None = None
    tokens: int | None = None
    is_short: bool = False
    resolution: Literal["done", "fail", "retry"] = "done"


class Course(msgspec.Struct, frozen=True):
    """A code flow: what it does, one after the other."""

    parts: tuple[Part, ...]
    stop: Stop | None = None
    tokens: int | None = None
    is_short: bool = False
    resolution: Literal["done", "fail", "retry"] = "done"


class World:
    """What the agents of a plan act on. `asked` counts how often models and tools were called."""

    def __init__(self) -> None:
        self.asked = 0
        self._count = count()
        self.tools = [_Tool(name, self) for name in EFFECTS]
        self.model = ScriptedModel()

    def next(self) -> int:
        """A number that no other call gets."""
        self.asked += 1
        return next(self._count)

    def agent(self, plan: Talk | Course) -> BuiltAgent:
        """An agent that does what the plan says."""
        steps = 100
        limits = Limits(tokens=plan.tokens, steps=steps, time_s=3 * LIMIT_S if plan.is_short else None)
        if isinstance(plan, Course):
            self.model = _Model(self)
            return flowing(_Flow(plan).run, *self.tools, limits=limits)
        self.model = ScriptedModel(by=_Script(plan, self).answer)
        output = Number() if plan.end in {"number", "no number"} else None
        return looping(*self.tools, limits=limits, output=output)

    async def stopped(self, stop: Stop) -> None:
        """Return when a run is to be cancelled."""
        for _ in range(2_000):
            if self.asked >= stop.after:
                break
            await asyncio.sleep(0)
        for _ in range(stop.turns):
            await asyncio.sleep(0)


class _Tool(ScriptedTool):
    """Does what its arguments say, and never the same twice."""

    def __init__(self, name: str, world: World) -> None:
        super().__init__(name, self._give, effect=EFFECTS[name])
        self._world = world

    async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
        """Take the turns, then act."""
        number = self._world.next()
        turns = arguments["turns"]
        assert isinstance(turns, int)
        if turns == FOREVER:
            await asyncio.get_running_loop().create_future()
        for _ in range(turns):
            await asyncio.sleep(0)
        return await super().call({**arguments, "number": number}, context)

    def _give(self, arguments: Mapping[str, object]) -> object:
        if arguments["is_failing"]:
            raise NotSent("refused") if self.effect == "once" else ConnectionError(f"gone {arguments['number']}")
        return f"{self.spec.name} {arguments['asked']}: {arguments['number']}"


class _Model(ScriptedModel):
    """Answers what a flow asks: its messages are arguments like those of tools."""

    def __init__(self, world: World) -> None:
        super().__init__(by=self._answer)
        self._world = world

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Take the turns, then answer."""
        self._world.next()
        for _ in range(_asked(request)["turns"]):
            await asyncio.sleep(0)
        async for event in super().stream(request):
            yield event

    def _answer(self, request: ModelRequest) -> Any:
        if _asked(request)["is_failing"]:
            return ProviderRejected("It refuses.")
        return f"answer {self._world.next()}"


def _asked(request: ModelRequest) -> dict[str, Any]:
    return msgspec.json.decode(str(request.messages[-1].message.content), type=dict[str, Any])


class _Script:
    """What the model of a loop answers: the calls of its plan in order, then the end."""

    def __init__(self, plan: Talk, world: World) -> None:
        self._plan = plan
        self._world = world
        self._turns = list(plan.turns)
        self._rejections = plan.rejections

    def answer(self, _request: ModelRequest) -> AssistantMessage | str | Exception:
        number = self._world.next()
        if self._turns:
            return calls(*((use.tool, _arguments(use)) for use in self._turns.pop(0)))
        match self._plan.end:
            case "refused":
                return ProviderRejected("It refuses.")
            case "broken":
                return ValueError(f"broken {number}")
            case "number" if self._rejections <= 0:
                return str(number)
            case "number" | "no number":
                self._rejections -= 1
                return f"none {number}"
            case _:
                return f"done {number}"


def _arguments(use: Use | Ask, path: str = "") -> dict[str, object]:
    return {"asked": use.asked, "turns": use.turns, "is_failing": use.is_failing, "path": path}


class _Flow:
    """Executes a course."""

    def __init__(self, course: Course) -> None:
        self._course = course

    async def run(self, context: Context, _input: object) -> object:
        """The function of the flow: it gives what came of its parts."""
        seen: list[object] = []
        await self._all(context, self._course.parts, seen, path="")
        return seen

    async def _all(self, context: Context, parts: Sequence[Part], seen: list[object], *, path: str) -> None:
        for place, part in enumerate(parts):
            await self._do(context, part, seen, path=path and f"{path}.{place}")

    async def _do(self, context: Context, part: Part, seen: list[object], *, path: str) -> None:
        match part:
            case Use():
                seen.append(await context.tool(part.tool, **_arguments(part, path)))
            case Ask():
                asked = msgspec.json.encode(_arguments(part, path)).decode()
                seen.append((await context.model(asked)).message.content)
            case Deed():
                seen.append(await _deed(context, part))
            case Tried():
                await self._try(context, part, seen, path=path)
            case Limited():
                with suppress(TimeoutError):
                    async with asyncio.timeout(LIMIT_S):
                        await self._all(context, part.parts, seen, path=path)
            case Ended():
                try:
                    await self._all(context, part.parts, seen, path=path)
                finally:
                    await self._do(context, part.last, seen, path=path and f"{path}.last")
            case Side():
                await self._branch(context, part, seen, path=path)

    async def _try(self, context: Context, part: Tried, seen: list[object], *, path: str) -> None:
        for _ in range(part.times):
            try:
                await self._do(context, part.part, seen, path=path)
            except Exception as error:  # noqa: BLE001 - a flow may go on after anything
                seen.append(f"{type(error).__name__}: {error}")
            else:
                return

    async def _branch(self, context: Context, part: Side, seen: list[object], *, path: str) -> None:
        found: list[list[object]] = [[] for _ in part.branches]
        works = [
            self._all(
                context.lane(f"lane{place}") if part.has_lanes else context,
                parts,
                found[place],
                path=f"{path}/{place}",
            )
            for place, parts in enumerate(part.branches)
        ]
        if part.how == "group":
            async with asyncio.TaskGroup() as group:
                for work in works:
                    group.create_task(work)
        elif part.how == "first":
            seen.append(await _first([asyncio.ensure_future(work) for work in works]))
        else:
            ends = await asyncio.gather(*works, return_exceptions=part.how == "all")
            seen += [str(end) for end in ends]
        seen += [list(each) for each in found]


async def _first(tasks: list[asyncio.Future[None]]) -> list[int]:
    """Wait for one of them, give the others up, and tell which were done."""
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        done = [place for place, task in enumerate(tasks) if task.done()]
    finally:
        for task in tasks:
            task.cancel()
    await tasks[done[0]]
    return done


async def _deed(context: Context, deed: Deed) -> object:
    match deed.name:
        case "now":
            return await context.now()
        case "random":
            return await context.random()
        case "uuid":
            return await context.uuid()
        case "env":
            return await context.env("HOME", "nowhere")
        case "sleep":
            return await context.sleep(0)


_uses = st.builds(
    Use,
    tool=st.sampled_from(sorted(EFFECTS)),
    asked=st.integers(0, 2),
    turns=st.integers(0, 6),
    is_failing=st.sampled_from([False, False, False, True]),
)
_asks = st.builds(
    Ask, asked=st.integers(0, 2), turns=st.integers(0, 6), is_failing=st.sampled_from([False, False, False, True])
)
_deeds = st.builds(Deed, st.sampled_from(["now", "random", "uuid", "sleep", "env"]))
_plain = st.one_of(_uses, _uses, _asks, _deeds)
_hanging = st.builds(Use, tool=st.sampled_from(["look", "put"]), asked=st.integers(3, 5), turns=st.just(FOREVER))
_stops = st.none() | st.builds(Stop, after=st.integers(0, 6), turns=st.integers(0, 12))
_rejected = st.builds(Use, tool=st.just("unknown"))


def _limited(before: Sequence[Part], last: Use) -> Limited:
    return Limited((*before, last))


def _grown(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(parts, min_size=1, max_size=3).map(tuple)
    limited = st.builds(_limited, st.lists(_uses, max_size=2), _hanging)
    return st.one_of(
        parts,
        st.builds(Tried, parts, st.integers(1, 3)),
        limited,
        st.builds(Ended, some, _uses),
        st.builds(
            Side,
            branches=st.lists(some, min_size=2, max_size=3).map(tuple),
            how=st.sampled_from(["gather", "all", "group", "first"]),
            has_lanes=st.booleans(),
        ),
    )


_resolutions = st.sampled_from(["done", "fail", "retry"])
_tokens = st.none() | st.none() | st.integers(1030, 1130)

_talks = st.builds(
    Talk,
    turns=st.lists(st.lists(_uses | _uses | _rejected, min_size=1, max_size=4).map(tuple), max_size=3).map(tuple),
    end=st.sampled_from(["text", "number", "no number", "refused", "broken"]),
    rejections=st.integers(0, 2),
    stop=_stops,
    tokens=_tokens,
    resolution=_resolutions,
)
_courses = st.builds(
    Course,
    parts=st.lists(st.recursive(_plain, _grown, max_leaves=8), min_size=1, max_size=4).map(tuple),
    stop=_stops,
    tokens=_tokens,
    resolution=_resolutions,
)


def _short(plan: Any, last: Use) -> Any:
    """The plan with a step that never returns, and a limit of time that ends it."""
    if isinstance(plan, Talk):
        return msgspec.structs.replace(plan, turns=(*plan.turns, (last,)), is_short=True)
    return msgspec.structs.replace(plan, parts=(*plan.parts, last), is_short=True)


def _identity(part: Part) -> object:
    if isinstance(part, Use):
        return part.tool, part.asked, part.turns
    return (part.asked, part.turns) if isinstance(part, Ask) else part


def _calm(part: Part) -> bool:
    return isinstance(part, Deed) or (isinstance(part, Use | Ask) and not part.is_failing)


_turns = st.lists(_uses.filter(_calm), min_size=1, max_size=3).map(tuple)
calm_talks = st.builds(Talk, turns=st.lists(_turns, min_size=1, max_size=3).map(tuple))
"""Plans of loops in which nothing fails."""

_calm_parts = st.lists(_plain.filter(_calm), min_size=1, max_size=6, unique_by=_identity).map(tuple)
calm_courses = st.builds(Course, parts=_calm_parts)
"""Plans of code flows in which nothing fails, no step is like another one, and none is beside another one."""

talks = st.one_of(_talks, _talks, _talks, st.builds(_short, _talks, _hanging))
"""Plans of loops."""

courses = st.one_of(_courses, _courses, _courses, st.builds(_short, _courses, _hanging))
"""Plans of code flows."""
