"""`runwright runs replay` and `fork`: run agents again on what was recorded."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from runwright.cli.access import Access
from runwright.cli.answer import waits
from runwright.cli.call import Call, Called, Limit, Seq, Texts, Usd
from runwright.cli.cohorts import Cohort, replay_cohort
from runwright.cli.failures import DIFFERENT, RUN_FAILED, Exit
from runwright.cli.verdicts import replayed
from runwright.cli.words import check_text, encoded, json_result
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.errors import InvalidRequest
from runwright.service.replays import Verdict
from runwright.service.views import RunView


async def replay(
    run: str | None = None,
    /,
    *,
    live: Texts = (),
    at: Seq | None = None,
    set: Texts = (),
    input: str | None = None,
    result: Texts = (),
    version: str | None = None,
    agent: str | None = None,
    last: Limit | None = None,
    group: str | None = None,
    parallel: Limit = 4,
    max_usd: Usd | None = None,
    call: Called,
) -> None:
    """Run an agent again, with every answer of models and tools as it was recorded, and say whether it is the same.

    Nothing goes to the world unless --live names it. The exit code is 0 when the replay is the same as the recorded
    run, 1 when it differs. With --agent and --last, many runs are replayed and compared in one table; the exit code is
    0 when all were replayed and are the same.

    Args:
        run: The id of the recorded run.
        live: What goes to the world: model, tool, http, all, or tool:NAME, which tools with effects need.
        at: Take all before this step over as it is; from it on everything but effects is live.
        set: A change of the agent's configuration, as name=value, for example instructions="Be brief." or
            settings.temperature=0.
        input: Another input, as text.
        result: Another result for a recorded step, as STEP=JSON.
        version: A version of the agent other than the current one.
        agent: Replay the runs of this agent.
        last: So many of its newest runs that are over (default: 20).
        group: A label for the replays; give it again to go on with a cohort that was interrupted or stopped.
        parallel: Replays at a time.
        max_usd: Begin no further replay when those of the group have cost so much.
        call: What every command is handed.
    """
    request = _request(set=set, input=input, version=version, group=group)
    how = Replay(of=run or "", at=at, live=live, results=dict(_result(each) for each in result))
    if run is None:
        if agent is None or at is not None or result:
            raise InvalidRequest("Name a run, or --agent with --last for many; --at and --result are about one run.")
        cohort = Cohort(agent=agent, last=last or 20, parallel=parallel, max_usd=max_usd)
        await replay_cohort(cohort, msgspec.structs.replace(request, replay=how), call=call)
        return
    async with call.open() as access:
        verdict, view = await perform(access, msgspec.structs.replace(request, replay=how), call)
    if how.is_strict and verdict.verdict != "same":
        raise Exit(DIFFERENT)
    if view.status != "completed" and not how.is_strict:
        raise Exit(RUN_FAILED)


async def fork(
    run: str,
    /,
    *,
    at: Seq,
    live: Texts = (),
    set: Texts = (),
    input: str | None = None,
    result: Texts = (),
    version: str | None = None,
    group: str | None = None,
    call: Called,
) -> None:
    """Take a run over up to a step, and go on from there live, with something changed.

    Tools with effects are called again only where --live names them; else they answer as recorded.

    Args:
        run: The id of the recorded run.
        at: The number of the step to fork at.
        live: A tool with effects that may be called again, as tool:NAME.
        set: A change of the agent's configuration, as name=value.
        input: Another input, as text.
        result: Another result for a recorded step, as STEP=JSON.
        version: A version of the agent other than the current one.
        group: A label that ties runs together.
        call: What every command is handed.
    """
    how = Replay(of=run, at=at, live=live, results=dict(_result(each) for each in result))
    request = _request(set=set, input=input, version=version, group=group)
    async with call.open() as access:
        _, view = await perform(access, msgspec.structs.replace(request, replay=how), call)
    if view.status != "completed":
        raise Exit(RUN_FAILED)


async def perform(access: Access, request: RunRequest, call: Call) -> tuple[Verdict, RunView]:
    """Replay one run and tell what came of it. Cancels the replay when it is interrupted."""
    verdict, view = await replayed(access, request)
    if call.out.is_json:
        call.out.json({"verdict": verdict, "run": view})
        return verdict, view
    out = call.out
    out.text(f"{view.id} replays {verdict.replay_of}: {verdict.verdict} ({verdict.steps} steps)")
    if verdict.detail:
        out.text(verdict.detail)
    out.patch(verdict.difference.splitlines())
    if view.error is not None and verdict.verdict != "diverged" and view.error.message not in verdict.detail:
        out.note(f"error: {view.error.code}: {view.error.message}")
    if view.status == "waiting":
        out.note(waits(view))
    if verdict.verdict != "same":
        out.note(f"Everything: runwright runs diff {verdict.replay_of} {view.id}")
    return verdict, view


def _request(*, set: tuple[str, ...], input: str | None, version: str | None, group: str | None) -> RunRequest:
    config: dict[str, Any] = {}
    for each in set:
        check_text(each)
        name, separator, value = each.partition("=")
        path = name.split(".")
        if not separator or not all(path) or not _put(config, path, _value(value)):
            raise InvalidRequest(f"A change is name=value, or name.part=value, not {each!r}.")
    given = b"" if input is None else encoded(input, is_json=False)
    return RunRequest(agent="", input=given, version=version, group=group, config=config, mode="background")


def _put(config: dict[str, Any], path: list[str], value: object) -> bool:
    """Put a value where the path leads; False when something else stands in the way."""
    name, *rest = path
    if not rest:
        config[name] = value
        return True
    inside = config.setdefault(name, {})
    # Keys that come from the command line are text.
    return isinstance(inside, dict) and _put(cast("dict[str, Any]", inside), rest, value)


def _value(text: str) -> object:
    """JSON where it is some, else the text."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _result(text: str) -> tuple[int, msgspec.Raw]:
    check_text(text)
    step, separator, value = text.partition("=")
    if not separator or not step.isdecimal():
        raise InvalidRequest(f"A result is STEP=JSON, not {text!r}.")
    return int(step), json_result(value, before=f"{step}=")
