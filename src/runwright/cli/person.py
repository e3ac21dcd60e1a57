"""Whoever sits at the terminal: is asked there what a run needs of a person."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from textwrap import indent

import msgspec

from runwright.cli.access import Access
from runwright.cli.answer import OF_PERSON, asked_of, at_work_below
from runwright.cli.lines import Lines
from runwright.cli.output import Output
from runwright.cli.words import check_text, json_result
from runwright.core.event import NULL
from runwright.core.run import TERMINAL
from runwright.errors import Conflict, InvalidRequest
from runwright.service.approval_views import ApprovalBody, ApprovalView
from runwright.service.views import RunView

PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, *[2.0] * 15)
"""How long it is until a run is looked at again that others let go on; then nobody takes up what was answered."""
SELDOM = PAUSES_S.index(PAUSES_S[-1])
"""How far the pauses go while a run is at work."""
ALLOWED = "Call it? y: yes, n: no, e: with other arguments, empty: later > "
CHANGED = "The arguments as JSON > "
WHY = "Why not? The model reads it > "
ANSWERED = "Answer (empty: later, /deny: decline) > "
DENY = "/deny"
BY = "cli"
MARGIN = "  "
NOT_TAKEN_UP = "Nobody takes up what was answered: `runwright runs resume {run}` lets the run go on."


class Person:
    """Is asked one thing after the other, each once. What is left for later stays as it is."""

    def __init__(self, out: Output, lines: Lines) -> None:
        self._out = out
        self._lines = lines
        self._spoken: set[str] = set()

    async def lets_go_on(self, access: Access, view: RunView) -> bool:
        """Ask what a run, or one below it, needs of a person; whether it has gone on then, or still does."""
        if view.status in TERMINAL:
            return False
        looks = 0
        while view.status == "waiting":
            story = await _waiting(access, view)
            asked = [each for run in story for each in reversed(await asked_of(access, run))]
            left = [each for each in asked if each.id not in self._spoken]
            for each in left:
                if not await self._ask(access, each):
                    return False
            if not left and _is_stuck(story):
                return False
            if left or _is_at_work(story):
                looks = 0 if left else min(looks, SELDOM)
            elif looks == len(PAUSES_S):
                self._out.note(NOT_TAKEN_UP.format(run=story[-1].id))
                return False
            await asyncio.sleep(PAUSES_S[looks])
            looks += 1
            view = await access.runs.get(view.id)
        return True

    async def _ask(self, access: Access, asked: ApprovalView) -> bool:
        """Whether the person answered."""
        # No line of a text stands where those of this program do.
        self._out.note(indent(_told(asked), MARGIN, lambda _: True).removeprefix(MARGIN))
        self._lines.forget()
        while True:
            try:
                body = await (self._answer(asked) if asked.kind == "input" else self._decide())
                if body is None:
                    return False
                await access.approvals.resolve(asked.id, body)
            except InvalidRequest as error:
                self._out.error(error)
                continue
            except Conflict as error:
                # Somebody else was faster, or its time is over.
                self._out.error(error)
            self._spoken.add(asked.id)
            return True

    async def _decide(self) -> ApprovalBody | None:
        while True:
            match await self._typed(ALLOWED):
                case "y" | "yes":
                    return ApprovalBody(decision="approve", by=BY)
                case "n" | "no":
                    return ApprovalBody(decision="deny", by=BY, note=await self._typed(WHY) or "")
                case "e" | "edit":
                    changed = json_result(await self._typed(CHANGED) or "")
                    return ApprovalBody(decision="approve", arguments=changed, by=BY)
                case None | "":
                    return None
                case _:
                    continue

    async def _answer(self, asked: ApprovalView) -> ApprovalBody | None:
        text = await self._typed(ANSWERED)
        if not text:
            return None
        if text == DENY:
            return ApprovalBody(decision="deny", by=BY, note=await self._typed(WHY) or "")
        result = msgspec.Raw(msgspec.json.encode(text)) if _is_text(asked) else json_result(text)
        return ApprovalBody(decision="answer", result=result, by=BY)

    async def _typed(self, prompt: str) -> str | None:
        text = await self._lines.next(prompt)
        check_text(text or "")
        return text


def present(out: Output, lines: Lines | None = None) -> Person | None:
    """Who can be asked: somebody reads and types at a terminal, and no program reads what is printed."""
    if out.is_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    return Person(out, lines or Lines(sys.stdin.fileno()))


async def _waiting(access: Access, view: RunView) -> Sequence[RunView]:
    """A run and those below it that it waits for."""
    story = [view]
    for each in story:
        if each.reason == "child":
            story += await at_work_below(access, each)
    return story


def _is_stuck(story: Sequence[RunView]) -> bool:
    """Whether all that is waited for needs something else than a person."""
    ends = [run for run in story if run.reason != "child"]
    return bool(ends) and all(run.is_lost or (run.status == "waiting" and run.reason not in OF_PERSON) for run in ends)


def _is_at_work(story: Sequence[RunView]) -> bool:
    """Whether a run is at work that others wait for."""
    return any(run.status != "waiting" and not run.is_lost for run in story)


def _told(asked: ApprovalView) -> str:
    """What is asked, whole: somebody answers for it."""
    if asked.kind == "input":
        schema = "" if asked.schema == NULL else f" (JSON that fits {bytes(asked.schema).decode()})"
        return f"{asked.agent} asks: {asked.question}{'' if _is_text(asked) else schema}"
    return f"{asked.agent} wants to call {asked.name} {msgspec.json.format(bytes(asked.arguments), indent=2).decode()}"


def _is_text(asked: ApprovalView) -> bool:
    """Whether an answer is taken as it is typed."""
    schema: object = msgspec.json.decode(asked.schema)
    return schema is None or schema == {"type": "string"}
