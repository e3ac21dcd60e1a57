"""`runwright templates`: what agents can be made from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runwright.cli.call import Call, Called, Flag, agent_sources
from runwright.cli.failures import CONFIG, Exit

if TYPE_CHECKING:
    from runwright.cli.migrations import Local
    from runwright.service.migrations import Asking, MigrationView
    from runwright.service.views import Problem


async def ls(*, call: Called) -> None:
    """List the templates.

    Args:
        call: What every command is handed.
    """
    async with call.open(is_reading=True) as access:
        page = await access.agents.templates()
    if call.out.is_json:
        call.out.json(page)
        return
    rows = [
        (view.name, view.version, view.description.partition("\n")[0], "; ".join(view.missing) or "-")
        for view in page.data
    ]
    call.out.table(("template", "version", "description", "missing"), rows)


async def show(name: str, /, *, call: Called) -> None:
    """Show a template and its schema.

    Args:
        name: The template, by default its newest version; report@^1.2 shows the newest one that fits.
        call: What every command is handed.
    """
    async with call.open(is_reading=True) as access:
        view = await access.agents.template(name)
    if call.out.is_json:
        call.out.json(view)
        return
    call.out.text(f"{view.name} {view.version}, from {view.place}\n{view.description}\n")
    for missing in view.missing:
        call.out.text(f"missing: {missing}")
    call.out.json(view.schema)


async def check(*agents: str, since: str | None = None, call: Called) -> None:
    """Say which definitions fit their templates, which are behind, and whether steps lead on.

    The exit code is 3 where one does not fit.

    Args:
        agents: Agents to look at; all of them when none is named.
        since: The version of the template that the definitions were written for, where they do not say so.
        call: What every command is handed.
    """
    from runwright.service.migrations import Asking

    views, problems = await _views(Asking(agents=agents, since=since), call, is_writing=False)
    if call.out.is_json:
        call.out.json({"data": views})
    else:
        rows = [
            (
                view.agent,
                view.template,
                view.serving or "-",
                view.newest or "-",
                _state(view),
                view.place or view.source,
            )
            for view in views
        ]
        call.out.table(("agent", "template", "built from", "newest", "state", "where"), rows)
        for view in views:
            for problem in view.problems:
                call.out.note(_line(view, problem))
    _end(views, problems, call)


async def migrate(*agents: str, since: str | None = None, write: Flag = False, call: Called) -> None:
    """Show how definitions change that are behind their templates; --write changes files and stored definitions.

    The exit code is 3 where one does not fit and no steps lead on.

    Args:
        agents: Agents to move; all of them when none is named.
        since: The version of the template that the definitions were written for, where they do not say so.
        write: Change the definitions. Those in Python are only shown.
        call: What every command is handed.
    """
    from runwright.service.migrations import Asking

    views, problems = await _views(Asking(agents=agents, since=since), call, is_writing=write)
    shown = [view for view in views if view.state != "current"]
    if call.out.is_json:
        call.out.json({"data": shown})
    else:
        for view in shown:
            _tell(view, call, is_writing=write)
        if not any(view.can_move for view in shown):
            call.out.note("Nothing to change.")
        elif not write:
            call.out.note("Nothing is changed yet: add --write.")
    _end([view for view in shown if not view.can_move], problems, call)


def search(*words: str, index: str, call: Called) -> None:
    """List the packages of an index of plugins.

    Args:
        words: Words that stand in the name or the description of a package.
        index: The path or URL of the index.
        call: What every command is handed.
    """
    from runwright.plugins.index import read_index

    found = read_index(index).search(words)
    if call.out.is_json:
        call.out.json({"data": found})
        return
    rows = [(each.name, each.version, each.description, "yes" if each.sha256 else "no") for each in found]
    call.out.table(("package", "version", "description", "pinned"), rows)


def install(name: str, /, *, index: str, dry_run: Flag = False, call: Called) -> None:
    """Install a package of an index with what it requires: wheels, each by its hash, nothing else.

    Args:
        name: The package, as NAME or NAME==VERSION.
        index: The path or URL of the index.
        dry_run: Look at every file and its hash, and install nothing.
        call: What every command is handed.
    """
    from runwright.plugins import install as packages
    from runwright.plugins.index import read_index
    from runwright.settings import provider_settings

    found = read_index(index)
    wanted = found.plan(name)
    packages.install(found, wanted, environment=provider_settings(packages.PASSED), is_dry=dry_run)
    offered = [] if dry_run else [line for each in wanted for line in packages.offered(each)]
    verb = "would be installed" if dry_run else "installed"
    lines = [f"{verb}: {each.pin} sha256:{each.sha256}" for each in wanted] + [f"offers: {each}" for each in offered]
    call.out.show({"data": wanted, "installed": not dry_run, "offers": offered}, "\n".join(lines))
    if not dry_run:
        call.out.note("Servers that run take it up at their next start.")


async def _views(
    asking: Asking, call: Call, *, is_writing: bool
) -> tuple[Sequence[MigrationView], Sequence[tuple[str, str]]]:
    local = await asyncio.to_thread(_local, call)
    if local is not None:
        return await local.views(asking, is_writing=is_writing), local.problems
    async with call.open() as access:
        page = await (access.migrations.perform(asking) if is_writing else access.migrations.list(asking))
        return page.data, ()


def _local(call: Call) -> Local | None:
    """What stands on this machine, or None where a server is asked."""
    settings = call.settings()
    if settings.server:
        return None
    from runwright.cli.migrations import Local

    return Local(settings, agent_sources(settings))


def _line(view: MigrationView, problem: Problem) -> str:
    place = problem.pointer if view.place else f"{view.agent}: {problem.pointer}"
    return f"{place.removesuffix(': ')}: {problem.detail}"


def _state(view: MigrationView) -> str:
    if view.state == "current":
        return "current"
    return f"{view.state}, can be migrated" if view.can_move else view.state


def _tell(view: MigrationView, call: Call, *, is_writing: bool) -> None:
    steps = f" by the steps to {', '.join(view.steps)}" if view.steps else ""
    if not view.can_move:
        for problem in view.problems:
            call.out.note(_line(view, problem))
        return
    call.out.text(view.diff.rstrip("\n"))
    done = "is" if view.is_written else "would be"
    where = "in its file" if view.source == "file" else "as its next version"
    if view.source == "code":
        call.out.note(f"{view.agent} stands in Python: change it in {view.place}.")
    elif not is_writing or view.is_written:
        call.out.note(f"{view.agent} {done} moved to {view.newest} {where}{steps}.")
    else:
        call.out.note(f"{view.agent} stands in a file of the server: change it there, in {view.place}.")


def _end(views: Sequence[MigrationView], problems: Sequence[tuple[str, str]], call: Call) -> None:
    for place, detail in problems:
        call.out.note(f"{place}: {detail}")
    if problems or any(view.state == "unfit" for view in views):
        raise Exit(CONFIG)
