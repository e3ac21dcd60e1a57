"""`runwright threads`: conversations, and what was said in them."""

from __future__ import annotations

import msgspec

from runwright.cli.call import Call, Called, Limit
from runwright.journal.wording import passages
from runwright.service.threads import ThreadMessages, ThreadView

COLUMNS = ("thread", "title", "user", "created", "newest run")


async def ls(*, user: str | None = None, after: str | None = None, limit: Limit = 20, call: Called) -> None:
    """List threads, newest first.

    Args:
        user: For this user only.
        after: The id after which the page begins.
        limit: How many on a page.
        call: What every command is handed.
    """
    async with call.open(has_agents=False, is_reading=True) as access:
        page = await access.threads.list(user=user, after=after, limit=limit)
    if call.out.is_json:
        call.out.json(page)
        return
    call.out.table(COLUMNS, [_row(view) for view in page.data])
    if page.has_more:
        call.out.note(f"There are more: --after {page.next}")


async def show(thread: str, /, *, call: Called) -> None:
    """Show what was said on a thread, up to its newest completed run.

    Args:
        thread: The thread.
        call: What every command is handed.
    """
    async with call.open(has_agents=False, is_reading=True) as access:
        view = await access.threads.get(thread)
        said = await access.threads.messages(thread)
    call.out.show({"thread": view, "messages": said}, lambda: _show(view, said, call))


def _row(view: ThreadView) -> tuple[object, ...]:
    return (view.id, view.title, view.user, f"{view.created_at:%Y-%m-%d %H:%M:%S}", view.head)


def _show(view: ThreadView, said: ThreadMessages, call: Call) -> None:
    out = call.out
    facts = {
        "title": view.title,
        "user": view.user,
        "metadata": msgspec.json.encode(view.metadata).decode() if view.metadata else None,
        "created": f"{view.created_at:%Y-%m-%d %H:%M:%S}",
        "newest run": view.head,
    }
    out.text("\n".join([view.id, *(f"{name}: {fact}" for name, fact in facts.items() if fact)]))
    if said.recap is not None:
        how = "dropped" if said.recap.summary is None else f"summed up by step {said.recap.step} of {said.recap.run_id}"
        out.note(f"{said.recap.left_out} messages before these are left out: {how}")
    for each in passages(said.data, {}):
        out.text(f"\n{each.heading}:\n{each.text}")
    if view.head is not None:
        out.note(f"`runwright chat AGENT --thread {view.id}` goes on.")
