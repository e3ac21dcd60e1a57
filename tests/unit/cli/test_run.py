"""`runwright run` and `chat`: what goes where while a run happens."""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence

import msgspec
import pytest

from runwright.cli.failures import Exit
from runwright.cli.lines import Lines
from runwright.cli.run import run
from runwright.cli.words import encoded
from runwright.core.event import (
    NULL,
    Data,
    Event,
    GuardDecided,
    MessageCompleted,
    MessageDelta,
    ProgressReported,
    RunCompleted,
    RunStarted,
    RunWaiting,
    StepCompleted,
    StepRestarted,
    StepStarted,
)
from runwright.core.money import Cost
from runwright.core.run import ErrorInfo
from runwright.core.usage import Usage
from runwright.errors import InvalidRequest
from runwright.service.views import RunView
from tests.unit.cli.fakes import FakeAccess, FakeCall, FakeRuns, a_run, told

DONE = MessageCompleted(message=NULL)


def output(value: object) -> RunCompleted:
    """The end of a run."""
    return RunCompleted(output=msgspec.Raw(msgspec.json.encode(value)))


async def shown(*bodies: Data, is_tty: bool = False) -> FakeCall:
    """A command that watched these events."""
    runs = FakeRuns(a_run(usage=Usage(input_tokens=5, output_tokens=2)), events=told(*bodies))
    call = FakeCall(FakeAccess(runs), is_tty=is_tty)
    await run("support", "hi", call=call)
    return call


async def test_the_answer_is_streamed_once() -> None:
    """Pieces of the message go to stdout as they come; the whole output is not printed again."""
    call = await shown(RunStarted(loop=1), MessageDelta(text="Hel"), MessageDelta(text="lo"), DONE, output("Hello"))
    assert call.printed == "Hello\n"


async def test_an_answer_without_pieces_is_printed_at_the_end() -> None:
    """A run that streams nothing prints its output: text as it is, everything else as JSON."""
    assert (await shown(output("Hello"))).printed == "Hello\n"
    assert msgspec.json.decode((await shown(output({"a": 1}))).printed) == {"a": 1}
    assert (await shown(output(None))).printed == ""


async def test_a_structured_answer_is_not_repeated() -> None:
    """JSON that was streamed with other spaces is the output all the same."""
    call = await shown(MessageDelta(text='{"a":  1}'), DONE, output({"a": 1}))
    assert call.printed == '{"a":  1}\n'


async def test_words_before_a_tool_call_end_their_line() -> None:
    """What the model says before it calls a tool stands on a line of its own; the tool is told on stderr."""
    tool = StepStarted(kind="tool", name="weather", key="k", request=msgspec.Raw(b'{"city":"Oslo"}'))
    before, after = MessageDelta(text="Let me see."), MessageDelta(text="Sunny.")
    call = await shown(before, DONE, tool, after, DONE, output("Sunny."))
    assert call.printed == "Let me see.\nSunny.\n"
    assert '-> weather {"city":"Oslo"}' in call.noted


async def test_a_step_that_begins_again_is_told() -> None:
    """After a restart the answer begins on a new line and stderr says why."""
    call = await shown(
        MessageDelta(text="Hal"), StepRestarted(attempt=2), MessageDelta(text="Hello"), DONE, output("Hello")
    )
    assert call.printed == "Hal\nHello\n"
    assert "again, after: crash" in call.noted


async def test_what_the_guard_does_is_told() -> None:
    """A resend, a wait and a switch are told on stderr in words, with how long they take."""
    call = await shown(
        GuardDecided(layer="rate", action="waited", target="openai:m", wait_s=0.5),
        GuardDecided(layer="retry", action="resend", target="openai:m", attempt=2, wait_s=1.234, reason="busy"),
        GuardDecided(layer="fallback", action="switched", target="demo", figures={"from": "openai:m"}),
        GuardDecided(layer="breaker", action="opened", target="openai:m", wait_s=5.0, reason="too many failed"),
        GuardDecided(layer="retry", action="gave_up", target="openai:m", reason="no attempt is left of 4"),
        DONE,
        output("Hello"),
    )
    assert call.printed == "Hello\n"
    assert [line.strip() for line in call.noted.splitlines()[:5]] == [
        "openai:m was waited for: 0.5 s, limited by rate",
        "openai:m is asked again in 1.2 s, attempt 2 (busy)",
        "openai:m failed, demo is asked instead",
        "breaker opened: openai:m, 5 s (too many failed)",
        "openai:m is not asked again (no attempt is left of 4)",
    ]


async def test_progress_is_told() -> None:
    """How far a run or one of its lanes is stands on stderr."""
    call = await shown(
        ProgressReported(message="draft: completed", fraction=0.5),
        ProgressReported(message="row 7", fraction=0.251, lane="load"),
        ProgressReported(message="nearly"),
        output("Done."),
    )
    assert call.printed == "Done.\n"
    assert call.noted.splitlines()[:3] == ["   50% draft: completed", "   load: 25% row 7", "   nearly"]


async def test_branches_do_not_speak_into_the_answer() -> None:
    """What models say in lanes, side by side, is not streamed: the answer is the output of the run."""
    events = told(
        StepStarted(kind="model", name="demo", key="k", lane="a"), MessageDelta(text="Hel"), DONE, output("Whole.")
    )
    runs = FakeRuns(a_run(), events=[Event(e.run_id, e.seq, e.ts, e.data, 1 if e.seq < 4 else None) for e in events])
    call = FakeCall(FakeAccess(runs))
    await run("support", "hi", call=call)
    assert call.printed == "Whole.\n"


async def test_a_terminal_is_not_commanded_by_an_answer() -> None:
    """Control characters of an answer are shown as escapes on a terminal."""
    call = await shown(MessageDelta(text="\x1b[2J"), DONE, output("\x1b[2J"), is_tty=True)
    assert call.printed == "\\x1b[2J\n"


async def test_the_summary_stands_on_stderr() -> None:
    """Run id, tokens, cost and model follow on stderr."""
    done = StepCompleted(model="gpt-5-mini", provider="openai")
    call = await shown(done, output("x"))
    assert "run_1 completed in 0.0 s, 5 + 2 tokens, unpriced, model openai:gpt-5-mini" in call.noted


async def test_a_price_is_shown() -> None:
    """A priced run shows its cost in USD."""
    runs = FakeRuns(a_run(cost=Cost(nano_usd=1_500_000, source="table")), events=told(output("x")))
    call = FakeCall(FakeAccess(runs))
    await run("support", "hi", call=call)
    assert "$0.0015" in call.noted


async def test_json_is_one_run_object() -> None:
    """With --json stdout holds the run and nothing else."""
    runs = FakeRuns(a_run(output=b'"Hello"'), events=told(output("Hello")))
    call = FakeCall(FakeAccess(runs), is_json=True)
    await run("support", "hi", call=call)
    found = msgspec.json.decode(call.printed)
    assert (found["id"], found["status"], found["output"]) == ("run_1", "completed", "Hello")
    assert call.noted == ""


async def test_options_reach_the_request() -> None:
    """Thread, version, user, group, tags and model are what the run is asked for with."""
    runs = FakeRuns(a_run(), events=told(output("x")))
    options = {"thread": "thr_1", "version": "2.0.0", "user": "ann", "group": "g", "tag": ("a", "b"), "model": "demo"}
    await run("support", "hi", call=FakeCall(FakeAccess(runs)), **options)  # pyright: ignore[reportArgumentType] - options by name
    [asked] = runs.created
    assert (asked.agent, asked.input, asked.mode, asked.thread_id) == ("support", b'"hi"', "stream", "thr_1")
    assert (asked.version, asked.user, asked.group, asked.tags) == ("2.0.0", "ann", "g", ("a", "b"))
    assert asked.config == {"model": "demo"}


async def test_a_failed_run_ends_with_1() -> None:
    """A run that fails prints its error on stderr and ends with exit code 1."""
    error = ErrorInfo(code="tool_failed", message="no luck")
    call = FakeCall(FakeAccess(FakeRuns(a_run(status="failed", error=error))))
    with pytest.raises(Exit) as caught:
        await run("support", "hi", call=call)
    assert caught.value.code == 1
    assert "error: tool_failed: no luck" in call.noted


async def test_a_waiting_run_says_what_it_needs() -> None:
    """A run that waits stops the command, which names the command that helps."""
    waiting = RunWaiting(reason="unknown_effect", detail="pay")
    runs = FakeRuns(a_run(status="waiting", reason="unknown_effect", ended_at=None), events=told(waiting))
    call = FakeCall(FakeAccess(runs))
    with pytest.raises(Exit):
        await run("support", "hi", call=call)
    assert "runwright runs resolve run_1 --done RESULT" in call.noted


async def test_a_run_that_waits_for_another_names_it() -> None:
    """Who looks at a run that waits for one that it began is told which, and what that waits for."""
    parent = a_run(status="waiting", reason="child", ended_at=None)
    child = a_run("run_2", status="waiting", reason="approval", ended_at=None)
    over = a_run("run_3")
    call = FakeCall(FakeAccess(FakeRuns(parent, child, over)))
    with pytest.raises(Exit):
        await run("support", "hi", call=call)
    assert "run_2 of support: waiting (approval) `runwright runs show run_2`" in call.noted
    assert "run_3 of" not in call.noted


class EndlessRuns(FakeRuns):
    """Runs that never say anything. `is_watched` is set when somebody listens."""

    def __init__(self, *views: RunView) -> None:
        super().__init__(*views)
        self.is_watched = asyncio.Event()

    async def events(self, run_id: str, *, after: int = 0) -> AsyncGenerator[Sequence[Event]]:
        """Nothing, for ever."""
        self.is_watched.set()
        await asyncio.Event().wait()
        yield ()


async def test_an_interrupted_command_cancels_its_run() -> None:
    """Ctrl-C cancels the run before the command ends."""
    runs = EndlessRuns(a_run(status="running", ended_at=None))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(run("support", "hi", call=FakeCall(FakeAccess(runs))))
        await runs.is_watched.wait()
        task.cancel()
    assert runs.cancelled == [("run_1", "interrupted")]


def test_json_input_must_be_json() -> None:
    """--as-json passes JSON through and refuses other text; without it text is text."""
    assert encoded('{"a": 1}', is_json=True) == b'{"a": 1}'
    assert encoded('{"a": 1}', is_json=False) == b'"{\\"a\\": 1}"'
    with pytest.raises(InvalidRequest, match="--as-json"):
        encoded("{", is_json=True)


async def test_lines_come_from_a_pipe() -> None:
    """Lines are read whole, the last one without its end too, and /exit ends them."""
    source, sink = os.pipe()
    os.write(sink, b" one \n\ntwo\nthr\xff")
    lines = Lines(source)
    found = [await lines.next(), await lines.next(), await lines.next()]
    os.close(sink)
    found += [await lines.next(), await lines.next()]
    os.close(source)
    assert found == ["one", "", "two", "thr\N{REPLACEMENT CHARACTER}", None]


async def test_the_user_can_leave() -> None:
    """/exit ends the conversation."""
    source, sink = os.pipe()
    os.write(sink, b"/exit\nmore\n")
    assert await Lines(source).next() is None
    os.close(sink)
    os.close(source)
