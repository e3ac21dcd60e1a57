"""`runwright cache`: answers that are kept, and what is known of answers to similar questions."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

import msgspec

from runwright.cli.call import Call, Called, Limit
from runwright.cli.db import amount
from runwright.service.cache import CacheSpace

if TYPE_CHECKING:
    from runwright.agents.agent import Agent
    from runwright.cli.access import Access
    from runwright.core.similar import Verdict
    from runwright.service.cache import CachePlace
    from runwright.service.similar import PairView, ShadowView, TurnView

    Judging = Callable[[PairView], Awaitable[Verdict | Literal["skip", "quit"]]]

JUDGE = "similar-judge"
ASKED = "Would either answer do for the later question? y(es), n(o), s(kip), q(uit)"
INSTRUCTIONS = (
    "You get an earlier question with its answer, and a later question with its answer. Say whether somebody who asked "
    "the later question would have been served as well and as correctly by the earlier answer: same is true only if "
    "nothing in it would be wrong or missing. Other numbers, names, directions or negations make it false."
)


async def stats(*, call: Called) -> None:
    """Say what the cache holds, and what it did since its process began: ask a server for that.

    Args:
        call: What every command is handed.
    """
    async with call.open(has_agents=False, is_reading=True) as access:
        view = await access.cache.stats()
    if call.out.is_json:
        call.out.json(view)
        return
    columns = ("place", "of", "entries", "size", "limit", "evicted")
    call.out.table(columns, [row for place in view.places for row in _rows(place)])
    call.out.text("")
    saved = f"saved {view.saved_tokens:,} tokens, {view.saved_usd} USD"
    call.out.text(
        f"{view.hits:,} hits, {view.misses:,} misses, {view.joined:,} joined, {view.stores:,} stored; {saved}"
    )


async def clear(*, of: CacheSpace | None = None, call: Called) -> None:
    """Forget what is kept. A server at work keeps what it has in memory: clear it there, with --server.

    Args:
        of: Only answers of models, results of tools, or results of whole runs.
        call: What every command is handed.
    """
    async with call.open(has_agents=False) as access:
        cleared = await access.cache.clear(of)
    call.out.show(cleared, f"{cleared.entries:,} answers forgotten")


def _rows(place: CachePlace) -> list[tuple[object, ...]]:
    limit = "-" if place.limit is None else amount(place.limit)
    spaces = [(place.name, space.name, f"{space.count:,}", amount(space.bytes or 0), "", "") for space in place.spaces]
    return [*spaces, (place.name, "all", f"{place.entries:,}", amount(place.bytes), limit, f"{place.evicted:,}")]


async def shadow(*, agent: str | None = None, call: Called) -> None:
    """Say how often answers to similar questions would have been wrong, and what is missing to switch them on.

    Args:
        agent: Only this agent.
        call: What every command is handed.
    """
    from runwright.service.similar import ShadowQuery

    async with call.open(is_reading=True) as access:
        report = await access.similar.report(ShadowQuery(agent=agent))
    if call.out.is_json:
        call.out.json(report)
        return
    if not report.data:
        call.out.note("no turns yet: set cache.similar in the guard of an agent, and let it work")
    for view in report.data:
        _show_shadow(call, view)


async def judge(*, agent: str | None = None, model: str | None = None, limit: Limit = 20, call: Called) -> None:
    """Say of pairs of answers whether either would have done, one by one: y, n, s to skip, q to leave.

    Args:
        agent: Only pairs of this agent.
        model: Let this model judge, as provider:name; recorded as its judgement. Not on a server.
        limit: How many pairs.
        call: What every command is handed.
    """
    from runwright.errors import InvalidRequest
    from runwright.service.similar import PairQuery

    if model is not None and (await asyncio.to_thread(call.settings)).server:
        raise InvalidRequest("A model judges where the data is: leave --server out, or judge pairs by hand.")
    agents = [] if model is None else [_judge_agent(model)]
    async with call.open(agents=agents) as access:
        pairs = (await access.similar.pairs(PairQuery(agent=agent, limit=limit))).data
        judging = _by_hand(call) if model is None else _by_model(access)
        by = "" if model is None else f"model:{model}"
        count = 0
        for pair in pairs:
            if pair.asked.question is None or pair.like.question is None:
                continue
            verdict = await judging(pair)
            if verdict == "quit":
                break
            count += await _record(access, pair, verdict, by)
    call.out.show({"judged": count, "pairs": len(pairs)}, f"{count} of {len(pairs)} pairs judged")


async def _record(access: Access, pair: PairView, verdict: Verdict | Literal["skip"], by: str) -> int:
    from runwright.service.similar import JudgeBody

    if verdict == "skip":
        return 0
    await access.similar.judge(pair.asked.run_id, pair.asked.step, JudgeBody(verdict=verdict, by=by))
    return 1


def _by_hand(call: Call) -> Judging:
    from runwright.cli.lines import Lines

    lines = Lines(sys.stdin.fileno())
    said: dict[str, Verdict | Literal["skip"]] = {"y": "same", "n": "different", "s": "skip"}

    async def judging(pair: PairView) -> Verdict | Literal["skip", "quit"]:
        _show_pair(pair, call.out.note)
        while True:
            call.out.note(ASKED)
            line = await lines.next()
            if line is None or line.strip().lower()[:1] == "q":
                return "quit"
            verdict = said.get(line.strip().lower()[:1])
            if verdict is not None:
                return verdict

    return judging


def _by_model(access: Access) -> Judging:
    from runwright.core.run import RunRequest

    async def judging(pair: PairView) -> Verdict | Literal["skip", "quit"]:
        told = msgspec.json.encode({"earlier": _told(pair.like), "later": _told(pair.asked)}).decode()
        view = await (await access.runs.create(RunRequest(agent=JUDGE, input=msgspec.json.encode(told)))).wait()
        if view.status != "completed":
            return "skip"
        return "same" if msgspec.json.decode(bytes(view.output)) == {"same": True} else "different"

    return judging


def _judge_agent(model: str) -> Agent:
    from runwright.agents.agent import Agent

    schema = {
        "type": "object",
        "properties": {"same": {"type": "boolean"}},
        "required": ["same"],
        "additionalProperties": False,
    }
    settings = {"temperature": 0}
    return Agent(JUDGE, model=model, instructions=INSTRUCTIONS, output=schema, settings=settings)


def _told(turn: TurnView) -> dict[str, str | None]:
    return {"question": turn.question, "answer": turn.answer}


def _show_shadow(call: Call, view: ShadowView) -> None:
    out = call.out
    out.text(f"{view.agent} {view.version}, {view.model}, threshold {view.threshold:g}, {view.embedder}")
    rate = "unknown" if view.false_rate is None else f"{view.false_rate:.1%}"
    rows = [
        ("turns", f"{view.turns:,}"),
        ("would-be hits", f"{view.hits:,}"),
        ("equal answers", f"{view.equal:,}"),
        ("judged same", f"{view.same:,}"),
        ("judged different", f"{view.different:,}"),
        ("judged by a model", f"{view.judged_by_model:,}"),
        ("not judged", f"{view.unjudged:,}"),
        ("false hits", f"{rate}, with 95 % confidence at most {view.upper_bound:.1%}"),
        ("to switch on", view.missing or f"nothing: the risk of {view.risk:.1%} is met"),
    ]
    out.table(("figure", "value"), rows)
    for pair in view.samples:
        out.text("")
        _show_pair(pair, out.text)
    out.text("")


def _show_pair(pair: PairView, say: Callable[[str], None]) -> None:
    verdict = f", judged {pair.verdict}" if pair.verdict else ""
    say(f"{pair.agent}: similarity {pair.similarity:.3f}, words in common {pair.overlap:.0%}{verdict}")
    for name, turn in (("earlier", pair.like), ("later", pair.asked)):
        say(f"  {name}  {turn.run_id}#{turn.step}")
        say(f"    asked    {_line(turn.question)}")
        say(f"    answer   {_line(turn.answer)}")


def _line(text: str | None) -> str:
    return "(the record is gone)" if text is None else " ".join(text.split())
