"""`runwright config`: what is set, where it comes from, and whether it is right."""

from __future__ import annotations

from runwright.cli.call import Called, Flag, agent_sources
from runwright.cli.policies import of_agent
from runwright.service.config import shown


def show(*, origin: Flag = False, agent: str | None = None, call: Called) -> None:
    """Print every setting, with the policies that hold for calls.

    Args:
        origin: Say where each value comes from.
        agent: Print the policies for the models and tools of this agent instead, and where each was set.
        call: What every command is handed.
    """
    if agent is not None:
        _show_policies(agent, call)
        return
    values = shown(call.settings())
    if call.out.is_json:
        call.out.json({"data": values})
    elif origin:
        rows = [(value.name, value.value, value.origin, value.variable) for value in values]
        call.out.table(("setting", "value", "origin", "variable"), rows)
    else:
        call.out.table(("setting", "value"), [(value.name, value.value) for value in values])


def _show_policies(agent: str, call: Called) -> None:
    settings = call.settings()
    held = of_agent(settings, agent, agent_sources(settings))
    if call.out.is_json:
        call.out.json({"data": held})
        return
    call.out.table(
        ("target", "policy", "value", "set by"), [(each.target, each.policy, each.value, each.place) for each in held]
    )


def check(*, call: Called) -> None:
    """Check settings, prices and definitions, and say what is wrong.

    Args:
        call: What every command is handed.
    """
    from runwright.app import open_prices
    from runwright.cli.agents import fitting

    settings = call.settings()
    open_prices(settings)
    sources = agent_sources(settings)
    names = fitting(settings, sources)
    if call.out.is_json:
        call.out.json({"ok": True, "agents": names})
        return
    call.out.text("settings: ok")
    call.out.text(f"agents: {', '.join(names) or 'none'}" + (f" (from {', '.join(sources)})" if sources else ""))
