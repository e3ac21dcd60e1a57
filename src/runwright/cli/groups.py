"""`runwright groups`: runs that belong together, as one story."""

from __future__ import annotations

from runwright.cli.call import Called, Seq
from runwright.service.groups import GroupView


async def show(group: str, /, *, steps: Seq = 0, call: Called) -> None:
    """Show the runs that carry a label, and what they took together.

    Args:
        group: The label, as given with --group.
        steps: Show so many steps of all runs too, in the order of time.
        call: What every command is handed.
    """
    async with call.open(has_agents=False, is_reading=True) as access:
        view = await access.groups.get(group, steps=steps)
    call.out.show(view, lambda: _show(view, call))


def _show(view: GroupView, call: Called) -> None:
    out = call.out
    rows = [
        (
            member.run_id,
            member.agent,
            member.status,
            f"{member.created_at:%Y-%m-%d %H:%M:%S}",
            member.usage.total_tokens,
            member.cost.usd or "unpriced",
        )
        for member in view.members
    ]
    rows.append((f"{view.runs} runs", "", "", "", view.usage.total_tokens, view.cost.usd or "unpriced"))
    out.table(("run", "agent", "status", "created", "tokens", "usd"), rows)
    if view.steps:
        out.text("")
        told = [
            (f"{step.started_at:%H:%M:%S.%f}", step.run_id, step.seq, step.kind, step.name, step.status)
            for step in view.steps
        ]
        out.table(("time", "run", "step", "kind", "name", "status"), told)
    if view.has_more:
        out.note("There is more: --steps shows more steps; of very large groups only the newest runs are shown.")
