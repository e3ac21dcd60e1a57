"""Replays, forks and cohorts on the command line: what is asked for, what is shown, and the exit codes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec
import pytest
from inline_snapshot import snapshot

from runwright.cli.failures import DIFFERENT, RUN_FAILED, Exit
from runwright.cli.replays import fork
from runwright.cli.replays import replay as replay_command
from runwright.core.event import Event, ReplayDiverged
from runwright.core.money import Cost
from runwright.core.replay import Replay
from runwright.core.run import ErrorInfo, RunRequest
from runwright.errors import Conflict, InvalidRequest
from runwright.journal.diff import RunDiff
from runwright.service.replays import Outcome
from runwright.service.views import RunView
from tests.unit.cli.fakes import FakeAccess, FakeCall, FakeHandle, FakeRuns, a_run, told
from tests.unit.cli.test_diffs import PATCH, a_diff, a_step

SAME = a_diff(a_step())
CHANGED = a_diff(a_step(), a_step("changed_result", 4, PATCH))
DIVERGED = ReplayDiverged(detail="It asks for 'b'.", taped=4, difference="-a\n+b")


class Replays(FakeRuns):
    """Recorded runs, and what came of their replays, by the id of the run; the replay of run_1 is again_1."""

    def __init__(self, *views: RunView, come: dict[str, Outcome | Exception], usd: int = 0) -> None:
        super().__init__(*views)
        self._come = come
        self._nano_usd = usd * 1_000_000_000
        self.diffs = self
        self.is_held = False
        self.waits: asyncio.Queue[str] = asyncio.Queue()

    async def create(self, request: RunRequest) -> FakeHandle:
        """A replay."""
        self.created.append(request)
        assert request.replay is not None
        outcome = self._come.get(request.replay.of, "same")
        if isinstance(outcome, Exception):
            raise outcome
        view = a_replay(request.replay.of, outcome, group=request.group, nano_usd=self._nano_usd)
        self._views[view.id] = view
        return _Held(self, view.id)

    async def held(self, count: int) -> None:
        """Return when so many replays are waited for."""
        for _ in range(count):
            await self.waits.get()

    async def events(self, run_id: str, *, after: int = 0) -> AsyncGenerator[Sequence[Event]]:
        """The divergence, if it diverged."""
        outcome = self._come.get(run_id.replace("again", "run"), "same")
        events: Sequence[Event] = told(DIVERGED, run_id=run_id) if outcome == "diverged" else ()
        yield events

    async def between(self, left: str, right: str) -> RunDiff:
        """What differs."""
        return SAME if self._come.get(left, "same") == "same" else CHANGED


class _Held(FakeHandle):
    """A replay that waits while the test holds it."""

    async def wait(self) -> RunView:
        """The replay."""
        runs = self._runs
        if isinstance(runs, Replays) and runs.is_held:
            runs.waits.put_nowait(self.run_id)
            await asyncio.Event().wait()
        return await super().wait()


def a_replay(of: str, outcome: Outcome = "same", *, group: str | None = None, nano_usd: int = 0) -> RunView:
    """The replay of a run."""
    error = ErrorInfo(code="diverged", message=DIVERGED.detail) if outcome == "diverged" else None
    return a_run(
        of.replace("run", "again"),
        replay_of=of,
        group=group,
        status="failed" if error else "completed",
        error=error,
        cost=Cost(nano_usd=nano_usd, source="test"),
    )


async def run(runs: Replays, *ids: str, is_json: bool = False, expect: int = 0, **options: Any) -> FakeCall:
    """The command's call, when it ended with the exit code that is expected."""
    call = FakeCall(FakeAccess(runs, diffs=runs), is_json=is_json)
    code = 0
    try:
        await replay_command(*ids, call=call, **options)
    except Exit as end:
        code = end.code
    assert code == expect
    return call


async def test_a_replay_that_is_the_same_says_so() -> None:
    """One line, and the exit code is 0."""
    call = await run(Replays(a_run(), come={}), "run_1")
    assert call.printed == "again_1 replays run_1: same (1 steps)\n"


async def test_a_replay_that_changed_shows_where() -> None:
    """The first step that differs is named and shown, and where to see more; the exit code is 1."""
    call = await run(Replays(a_run(), come={"run_1": "changed"}), "run_1", expect=DIFFERENT)
    assert call.printed + call.noted == snapshot("""\
again_1 replays run_1: changed (2 steps)
First, step 4 ('weather') gave something else.
@@ -1,1 +1,1 @@
-sunny
+cloudy
Everything: runwright runs diff run_1 again_1
""")


async def test_a_replay_that_diverged_shows_the_difference() -> None:
    """What it asked for stands against what was recorded; the exit code is 1."""
    call = await run(Replays(a_run(), come={"run_1": "diverged"}), "run_1", expect=DIFFERENT)
    assert call.printed + call.noted == snapshot("""\
again_1 replays run_1: diverged (2 steps)
It asks for 'b'.
-a
+b
Everything: runwright runs diff run_1 again_1
""")


async def test_a_replay_with_something_live_is_no_test() -> None:
    """A replay with something live that changed ends with 0; one that failed ends with 1."""
    await run(Replays(a_run(), come={"run_1": "changed"}), "run_1", live=("model",))
    await run(Replays(a_run(), come={"run_1": "diverged"}), "run_1", live=("model",), expect=RUN_FAILED)


async def test_a_verdict_is_json() -> None:
    """With --json there is one object, with the verdict and the run."""
    call = await run(Replays(a_run(), come={"run_1": "diverged"}), "run_1", is_json=True, expect=DIFFERENT)
    found = msgspec.json.decode(call.printed)
    assert (found["verdict"]["verdict"], found["run"]["id"]) == ("diverged", "again_1")
    assert found["verdict"]["difference"] == DIVERGED.difference


async def test_what_is_different_is_asked_for() -> None:
    """Each option of a replay stands in the request; names with dots are nested, and values are JSON where they can."""
    runs = Replays(a_run(), come={})
    sets = ("settings.temperature=0", "settings.stop=a=b", "model=x:y", "limits.steps=3")
    await run(runs, "run_1", live=("tool", "tool:pay"), set=sets, result=("7=[1]",), input="hi", version="1.0.1")
    assert runs.created == [
        RunRequest(
            agent="",
            input=b'"hi"',
            version="1.0.1",
            mode="background",
            config={"settings": {"temperature": 0, "stop": "a=b"}, "model": "x:y", "limits": {"steps": 3}},
            replay=Replay(of="run_1", live=("tool", "tool:pay"), results={7: msgspec.Raw(b"[1]")}),
        )
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"set": ("model",)}, "name=value"),
        ({"set": ("=x",)}, "name=value"),
        ({"set": ("a..b=x",)}, "name=value"),
        ({"set": ("a=1", "a.b=2")}, "'a.b=2'"),
        ({"set": ("a=\udcff",)}, "UTF-8"),
        ({"result": ("7",)}, "STEP=JSON"),
        ({"result": ("x=1",)}, "STEP=JSON"),
        ({"result": ("7=hail",)}, "'7=\"hail\"'"),
        ({"result": ("7=\udcff",)}, "UTF-8"),
    ],
    ids=str,
)
async def test_mistakes_are_named(options: dict[str, Any], words: str) -> None:
    """What cannot be read as a change or a result is refused with an example, and nothing is begun."""
    runs = Replays(a_run(), come={})
    with pytest.raises(InvalidRequest) as error:
        await run(runs, "run_1", **options)
    assert words in error.value.message
    assert runs.created == []


@pytest.mark.parametrize(
    "options", [{}, {"last": 3}, {"agent": "a", "at": 3}, {"agent": "a", "result": ("1=1",)}], ids=str
)
async def test_many_need_an_agent(options: dict[str, Any]) -> None:
    """Without a run there has to be an agent, and nothing that is about one run."""
    with pytest.raises(InvalidRequest, match="--agent"):
        await run(Replays(come={}), **options)


async def test_a_fork_ends_as_its_run() -> None:
    """A fork says what it is of; it is 1 only if the run did not end well."""
    ends: list[tuple[Outcome, int]] = [("changed", 0), ("diverged", RUN_FAILED)]
    for outcome, expected in ends:
        runs = Replays(a_run(), come={"run_1": outcome})
        call, code = FakeCall(FakeAccess(runs, diffs=runs)), 0
        try:
            await fork("run_1", at=4, set=("model=x",), call=call)
        except Exit as end:
            code = end.code
        assert (code, runs.created[0].replay) == (expected, Replay(of="run_1", at=4))


async def test_an_interrupted_replay_is_cancelled() -> None:
    """A replay that is interrupted is cancelled, so that it goes on nowhere."""
    runs = Replays(a_run(), come={})
    runs.is_held = True
    task = asyncio.ensure_future(run(runs, "run_1"))
    await runs.held(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runs.cancelled == [("again_1", "interrupted")]


def cohort(*ids: str, usd: int = 0, **come: Outcome | Exception) -> Replays:
    """Runs that are over, one that is not, and a replay, which is no run of its own."""
    others = (a_run("run_live", status="running", ended_at=None), a_replay("run_8"))
    return Replays(*(a_run(each) for each in ids), *others, come=dict(come), usd=usd)


async def test_a_cohort_is_one_table() -> None:
    """Every run that is over is replayed, one line each, and one that differs makes the exit code 1."""
    runs = cohort("run_1", "run_2", "run_3", "run_4", run_2="changed", run_3="diverged", run_4=Conflict("Tainted."))
    call = await run(runs, agent="support", group="g", parallel=1, expect=DIFFERENT)
    assert call.printed + call.noted == snapshot("""\
RUN	REPLAY	VERDICT	+TOKENS	+USD	+SECONDS	WHAT DIFFERS FIRST
run_1	again_1	same			+0.00	
run_2	again_2	changed			+0.00	First, step 4 ('weather') gave something else.
run_3	again_3	diverged			+0.00	It asks for 'b'.
run_4		refused				Tainted.
g: 1 changed, 1 diverged, 1 same; the replays cost $0
""")
    assert {request.group for request in runs.created} == {"g"}


async def test_a_cohort_that_is_the_same_ends_with_0() -> None:
    """Where every run is the same, the exit code is 0, and so many runs are taken as were asked for."""
    runs = cohort("run_1", "run_2", "run_3")
    call = await run(runs, agent="support", last=2, is_json=True)
    found = msgspec.json.decode(call.printed)
    assert (found["counts"], found["left"], found["failed"]) == ({"same": 2}, 0, {})
    assert [request.replay.of for request in runs.created if request.replay] == ["run_1", "run_2"]


async def test_a_cohort_goes_on() -> None:
    """A group that was begun is gone on with: what it replayed is not replayed again, but stands in the table."""
    runs = cohort("run_1", "run_2")
    await run(runs, agent="support", last=1, group="g")
    call = await run(runs, agent="support", last=2, group="g", is_json=True)
    assert [request.replay.of for request in runs.created if request.replay] == ["run_1", "run_2"]
    assert msgspec.json.decode(call.printed)["counts"] == {"same": 2}
    assert "1 of 2 runs were replayed before in g" in call.noted


async def test_a_cohort_stops_at_its_budget() -> None:
    """No replay begins when the others have cost so much; the exit code says so, and a line how to go on."""
    runs = cohort("run_1", "run_2", "run_3", usd=1)
    call = await run(runs, agent="support", live=("model",), parallel=1, max_usd=2.0, group="g", expect=DIFFERENT)
    assert len(runs.created) == 2
    assert call.noted.splitlines() == [
        "g: 2 same; the replays cost $2",
        "Stopped at --max-usd 2.0: 1 of 3 runs are left. Go on with a higher --max-usd and --group g",
    ]
    call = await run(runs, agent="support", live=("model",), max_usd=4.0, group="g", is_json=True)
    assert msgspec.json.decode(call.printed)["left"] == 0


async def test_an_interrupted_cohort_says_how_to_go_on() -> None:
    """The replays at work are cancelled, and the group to go on with is named."""
    runs = cohort("run_1", "run_2", "run_3")
    runs.is_held = True
    call = FakeCall(FakeAccess(runs, diffs=runs))
    task = asyncio.ensure_future(replay_command(agent="support", parallel=2, call=call))
    await runs.held(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert {run for run, _ in runs.cancelled} == {"again_1", "again_2"}
    assert f"--group {runs.created[0].group}" in call.noted


async def test_an_agent_without_runs() -> None:
    """Where nothing could be replayed, that is said."""
    with pytest.raises(InvalidRequest, match="no runs that are over"):
        await run(cohort(), agent="support")
