"""`runwright chat`: a conversation with an agent, line by line."""

from __future__ import annotations

import asyncio
import sys

import msgspec

from runwright.cli.access import RunAccess
from runwright.cli.call import Call, Called
from runwright.cli.run import perform
from runwright.core.ids import new_id
from runwright.core.run import RunRequest

PROMPT = "> "
LEAVE = frozenset({"/exit", "/quit"})


async def chat(name: str, *, thread: str | None = None, user: str | None = None, call: Called) -> None:
    """Talk with an agent. Each line is a run on one thread; an empty line is left out, /exit or Ctrl-D ends it.

    Args:
        name: The agent.
        thread: A conversation to go on with; a new one when left out.
        user: Who is talking.
        call: What every command is handed.
    """
    thread_id = thread or new_id("thr")
    call.out.note(f"thread {thread_id}; /exit or Ctrl-D ends the conversation")
    async with call.open() as access:
        while (line := await _line()) is not None:
            if line:
                request = RunRequest(
                    agent=name, input=msgspec.json.encode(line), thread_id=thread_id, mode="stream", user=user
                )
                await _turn(access.runs, request, call)


async def _turn(runs: RunAccess, request: RunRequest, call: Call) -> None:
    view = await perform(runs, request, call)
    if call.out.is_json:
        call.out.json(view)


async def _line() -> str | None:
    """The next line of the user's; None at the end."""
    if sys.stdin.isatty():
        print(PROMPT, end="", file=sys.stderr, flush=True)
    line = await asyncio.to_thread(sys.stdin.readline)
    text = line.strip()
    return None if not line or text in LEAVE else text
