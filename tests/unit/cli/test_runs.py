"""`runwright runs`: lists, details, events and decisions."""

from datetime import timedelta

import msgspec
import pytest

from runwright.cli.runs import cancel, ls, pause, resolve, resume, show, tail
from runwright.core.event import (
    GuardDecided,
    MessageDelta,
    ProgressReported,
    RunCompleted,
    RunStarted,
    StepStarted,
)
from runwright.core.money import NO_COST, UNPRICED, Cost
from runwright.core.ports import RunFilter
from runwright.core.run import ErrorInfo, WaitReason
from runwright.core.step import StepKind
from runwright.core.usage import NO_USAGE
from runwright.errors import InvalidRequest, NotFound
from runwright.service.search_views import FoundRuns, Match
from runwright.service.views import StepView, cost_view
from tests.unit.cli.fakes import NOW, FakeAccess, FakeCall, FakeRuns, a_run, told


def a_step(
    seq: int,
    *,
    kind: StepKind = "tool",
    result: bytes = b'"sunny"',
    error: ErrorInfo | None = None,
    cost: Cost = NO_COST,
) -> StepView:
    """A step that ended after half a second."""
    return StepView(
        run_id="run_1",
        seq=seq,
        lane="",
        kind=kind,
        name="weather",
        key="k",
        nth=0,
        effect="read",
        status="completed" if error is None else "failed",
        attempt=1,
        result=msgspec.Raw(result),
        error=error,
        usage=NO_USAGE,
        cost=cost_view(cost),
        started_at=NOW,
        ended_at=NOW + timedelta(seconds=0.5),
    )


async def test_a_list_is_a_table() -> None:
    """Runs are listed with status and reason, and the next page is named on stderr."""
    waiting = a_run("run_2", status="waiting", reason="unknown_effect", started_at=None, ended_at=None)
    runs = FakeRuns(a_run("run_3"), waiting, a_run("run_1"))
    call = FakeCall(FakeAccess(runs))
    await ls(agent="support", status="completed", tag="t", limit=2, call=call)
    lines = call.printed.splitlines()
    assert lines[0].split("\t")[:3] == ["RUN", "AGENT", "STATUS"]
    assert lines[1].split("\t") == ["run_3", "support", "completed", "2026-01-01 00:00:00", "0.00", "0", "unpriced"]
    assert "waiting (unknown_effect)" in lines[2]
    assert "--after run_2" in call.noted
    assert (runs.filters[0].agent, runs.filters[0].status, runs.filters[0].tag) == ("support", "completed", "t")


class FakeSearches:
    """A search that looked at some runs and found one."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, RunFilter]] = []

    async def find(self, text: str, where: RunFilter) -> FoundRuns:
        """One run, and more to look at."""
        self.asked.append((text, where))
        match = Match(place="output", before="a\x1b[31m ", found="Berlin", after="\nis")
        return FoundRuns(
            data=[a_run()],
            has_more=True,
            next="run_0",
            matches={"run_1": match},
            looked_at=7,
            back_to=NOW,
            names=("thread_id",),
        )


async def test_a_search_says_where_the_text_stands_and_how_to_go_on() -> None:
    """Each run has the place of the text; how far back that is, what else lists it and the next call are notes."""
    searches = FakeSearches()
    call = FakeCall(FakeAccess(searches=searches))
    await ls(search="berlin", agent="support", limit=3, call=call)
    assert [(text, where.agent, where.limit) for text, where in searches.asked] == [("berlin", "support", 3)]
    lines = [line.split("\t") for line in call.printed.splitlines()]
    assert (lines[0][-1], lines[1][0], lines[1][-1]) == ("FOUND", "run_1", "output: a\x1b[31m Berlin is")
    assert "7 runs looked at, back to 2026-01-01 00:00:00. Look further back: --after run_0" in call.noted
    assert "--thread " in call.noted
    call = FakeCall(FakeAccess(searches=searches), is_json=True)
    await ls(search="berlin", call=call)
    assert msgspec.json.decode(call.printed)["matches"]["run_1"]["found"] == "Berlin"


async def test_a_list_is_a_page_as_json() -> None:
    """With --json the page is printed as the API gives it."""
    call = FakeCall(FakeAccess(FakeRuns(a_run())), is_json=True)
    await ls(call=call)
    page = msgspec.json.decode(call.printed)
    assert ([run["id"] for run in page["data"]], page["has_more"]) == (["run_1"], False)


async def test_a_run_is_shown_with_steps_and_output() -> None:
    """Facts, steps and output of a run are text; a model step shows what the model said or calls."""
    said = b'{"message":{"role":"assistant","content":"Sunny."},"reasoning":null}'
    wish = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    calls = msgspec.json.encode({"message": {"role": "assistant", "tool_calls": [wish]}})
    failed = a_step(3, error=ErrorInfo(code="tool_failed", message="no luck"))
    priced = a_step(1, kind="model", result=calls, cost=Cost(nano_usd=12_500, source="list"))
    steps = [priced, a_step(2), failed, a_step(4, kind="model", result=said, cost=UNPRICED)]
    call = FakeCall(FakeAccess(FakeRuns(a_run(input=b'"hi"', output=b'"Sunny."', user="ann"), steps=steps)))
    await show("run_1", call=call)
    for text in (
        "agent: support 1.0.0",
        "user: ann",
        "input: hi",
        "calls weather {}",
        '"sunny"',
        "no luck",
        "\nSunny.\n",
    ):
        assert text in call.printed
    rows = [line.split("\t") for line in call.printed.splitlines() if "\t" in line]
    assert [row[6:8] for row in rows] == [["TOKENS", "USD"], ["0", "0.0000125"], ["", ""], ["", ""], ["0", "unpriced"]]


async def test_a_run_that_goes_on_is_shown_with_its_progress() -> None:
    """What it said last of all of it; of its lanes and its tools there are events enough."""
    said = [ProgressReported(message="one", fraction=0.5), ProgressReported(message="row", fraction=0.9, lane="two")]
    view = a_run(status="running", ended_at=None, last_seq=2)
    call = FakeCall(FakeAccess(FakeRuns(view, events=told(*said))))
    await show("run_1", call=call)
    assert call.noted == "progress: 50% one\n"
    call = FakeCall(FakeAccess(FakeRuns(view, events=told(*said))), is_json=True)
    await show("run_1", call=call)
    assert msgspec.json.decode(call.printed)["progress"]["fraction"] == 0.5


async def test_what_the_guard_did_with_a_step_is_shown_in_words() -> None:
    """Under the steps stand the decisions of each one, in the words that `runs tail` has for them."""
    again = GuardDecided(layer="retry", action="resend", target="weather", attempt=2, wait_s=0.5, reason="503")
    hit = GuardDecided(layer="cache", action="hit", target="weather")
    steps = [msgspec.structs.replace(a_step(1), decisions=(again,)), a_step(2)]
    steps.append(msgspec.structs.replace(a_step(3), decisions=(hit,)))
    call = FakeCall(FakeAccess(FakeRuns(a_run(), steps=steps)))
    await show("run_1", call=call)
    lines = call.printed.splitlines()
    first = lines.index("step 1: weather is asked again in 0.5 s, attempt 2 (503)")
    assert lines[first + 1] == "step 3: weather was answered from the cache"


async def test_a_run_whose_process_is_gone_is_told_as_lost() -> None:
    """The list and the run say so, and what goes on with it."""
    lost = msgspec.structs.replace(a_run(status="running", ended_at=None), is_lost=True)
    call = FakeCall(FakeAccess(FakeRuns(lost)))
    await ls(call=call)
    assert "running (lost)" in call.printed
    await show("run_1", call=call)
    assert "run_1 running (lost)" in call.printed
    assert "Its process is gone." in call.noted


async def test_a_run_is_one_object_as_json() -> None:
    """With --json the run has its steps inside."""
    call = FakeCall(FakeAccess(FakeRuns(a_run(), steps=[a_step(1)])), is_json=True)
    await show("run_1", call=call)
    found = msgspec.json.decode(call.printed)
    assert (found["id"], [step["seq"] for step in found["steps"]]) == ("run_1", [1])


async def test_an_unknown_run_is_not_found() -> None:
    """A run that is not there is an error that names it."""
    with pytest.raises(NotFound, match="run_9"):
        await show("run_9", call=FakeCall())


EVENTS = told(
    RunStarted(loop=1),
    StepStarted(kind="tool", name="weather", key="k"),
    MessageDelta(text="x"),
    RunCompleted(output=msgspec.Raw(b'"done"')),
)


async def test_events_are_lines() -> None:
    """Each event is a line with number and type; pieces of messages only on demand."""
    call = FakeCall(FakeAccess(FakeRuns(a_run(), events=EVENTS)))
    await tail("run_1", call=call)
    assert [line.split()[2] for line in call.printed.splitlines()] == ["run.started", "step.started", "run.completed"]
    call = FakeCall(FakeAccess(FakeRuns(a_run(), events=EVENTS)))
    await tail("run_1", after=2, deltas=True, call=call)
    assert [line.split()[2] for line in call.printed.splitlines()] == ["message.delta", "run.completed"]


async def test_events_are_json_lines() -> None:
    """With --json each line is one event."""
    call = FakeCall(FakeAccess(FakeRuns(a_run(), events=EVENTS)), is_json=True)
    await tail("run_1", call=call)
    found = [msgspec.json.decode(line) for line in call.printed.splitlines()]
    assert [(event["seq"], event["type"]) for event in found] == [
        (1, "run.started"),
        (2, "step.started"),
        (4, "run.completed"),
    ]
    assert found[-1]["data"]["output"] == "done"


async def test_cancelling_tells_why() -> None:
    """The reason goes along, and the run as it is now is printed."""
    runs = FakeRuns(a_run(status="cancelled"))
    call = FakeCall(FakeAccess(runs))
    await cancel("run_1", reason="enough", call=call)
    assert runs.cancelled == [("run_1", "enough")]
    assert "run_1 cancelled" in call.printed


async def test_a_cancellation_that_another_process_carries_out_is_noted() -> None:
    """A run that a server executes is still running when the command ends, which says what comes."""
    call = FakeCall(FakeAccess(FakeRuns(a_run(status="running"))))
    await cancel("run_1", call=call)
    assert "cancels it in a moment" in call.noted


@pytest.mark.parametrize(("reason", "note"), [("paused", "lets it go on"), (None, "has come to its end")])
async def test_a_run_is_paused(reason: WaitReason | None, note: str) -> None:
    """The run as it is now is printed, with what comes next: it may be at a step."""
    status = "running" if reason is None else "waiting"
    runs = FakeRuns(a_run(status=status, reason=reason, ended_at=None))
    call = FakeCall(FakeAccess(runs))
    await pause("run_1", reason="lunch", call=call)
    assert (runs.paused, status in call.printed, note in call.noted) == ([("run_1", "lunch")], True, True)


async def test_a_run_is_resumed() -> None:
    """The run as it is now is printed; one that is not over yet is left to the server."""
    runs = FakeRuns(a_run(status="running", ended_at=None))
    call = FakeCall(FakeAccess(runs))
    await resume("run_1", call=call)
    assert (runs.resumed, call.printed[:13]) == (["run_1"], "run_1 running")
    assert "goes on with the run" in call.noted


async def test_a_step_is_resolved_as_done() -> None:
    """--done takes a JSON result; the resolution names who and which step."""
    runs = FakeRuns(a_run(status="waiting", reason="unknown_effect"))
    call = FakeCall(FakeAccess(runs))
    await resolve("run_1", done='{"paid": true}', step=8, note="seen at the bank", call=call)
    [asked] = runs.resolved
    assert (asked.action, asked.step, bytes(asked.result)) == ("done", 8, b'{"paid": true}')
    assert (asked.by, asked.note) == ("cli", "seen at the bank")
    assert "goes on" in call.noted


@pytest.mark.parametrize("action", ["retry", "fail"])
async def test_a_step_is_retried_or_failed(action: str) -> None:
    """--retry and --fail are the other two decisions."""
    runs = FakeRuns(a_run())
    await resolve("run_1", retry=action == "retry", fail=action == "fail", call=FakeCall(FakeAccess(runs)))
    assert [asked.action for asked in runs.resolved] == [action]


async def test_one_decision_is_needed() -> None:
    """None, or more than one, is refused."""
    with pytest.raises(InvalidRequest, match="Choose one"):
        await resolve("run_1", call=FakeCall())
    with pytest.raises(InvalidRequest, match="Choose one"):
        await resolve("run_1", retry=True, fail=True, call=FakeCall())


async def test_a_result_that_is_no_json_is_refused_with_the_right_form() -> None:
    """Text without quotes is refused, and the message shows it with quotes."""
    with pytest.raises(InvalidRequest, match="'\"paid\"'"):
        await resolve("run_1", done="paid", call=FakeCall())
