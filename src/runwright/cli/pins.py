"""`runwright runs pin` and `unpin`: runs that stay."""

from __future__ import annotations

from runwright.cli.call import Called


async def pin(run: str, /, *, call: Called) -> None:
    """Keep a run whatever its age, with what is needed to replay it.

    Args:
        run: The run's id.
        call: What every command is handed.
    """
    async with call.open(has_agents=False) as access:
        view = await access.pins.pin(run)
    call.out.show(view, f"{run} is pinned")


async def unpin(run: str, /, *, call: Called) -> None:
    """Let a run go when its time comes.

    Args:
        run: The run's id.
        call: What every command is handed.
    """
    async with call.open(has_agents=False) as access:
        view = await access.pins.unpin(run)
    call.out.show(view, f"{run} is not pinned")
