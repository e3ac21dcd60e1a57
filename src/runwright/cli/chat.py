"""`runwright chat`: a conversation with an agent, line by line."""

from __future__ import annotations

import sys

import msgspec

from runwright.cli.access import Access
from runwright.cli.call import Call, Called
from runwright.cli.lines import Lines
from runwright.cli.person import Person, present
from runwright.cli.run import perform
from runwright.core.ids import make_id
from runwright.core.run import RunRequest


async def chat(name: str, /, *, thread: str | None = None, user: str | None = None, call: Called) -> None:
    """Talk with an agent. Each line is a run on one thread; an empty line is left out, /exit or Ctrl-D ends it.

    Where a run waits for a person, the terminal asks.

    Args:
        name: The agent.
        thread: A conversation to go on with; a new one when left out.
        user: Who is talking.
        call: What every command is handed.
    """
    thread_id = thread or make_id("thr")
    call.out.note(f"thread {thread_id}; /exit or Ctrl-D ends the conversation")
    lines = Lines(sys.stdin.fileno())
    person = present(call.out, lines)
    async with call.open() as access:
        while (line := await lines.next()) is not None:
            if line:
                request = RunRequest(
                    agent=name, input=msgspec.json.encode(line), thread_id=thread_id, mode="stream", user=user
                )
                await _turn(access, request, call, person)


async def _turn(access: Access, request: RunRequest, call: Call, person: Person | None) -> None:
    view = await perform(access, request, call, person=person)
    if call.out.is_json:
        call.out.json(view)
