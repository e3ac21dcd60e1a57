"""How two runs are shown side by side."""

from __future__ import annotations

import msgspec
import pytest
from inline_snapshot import snapshot
from msgspec.structs import replace

from runwright.cli.diffs import LINES, STRETCH
from runwright.cli.failures import DIFFERENT, Exit
from runwright.cli.runs import diff
from runwright.journal.diff import Change, Measure, RunDiff, RunSide, StepDiff, StepMark, StepSide
from runwright.settings import wants_color
from tests.unit.cli.fakes import FakeAccess, FakeCall, Terminal

NOTHING = Measure(input_tokens=0, output_tokens=0, nano_usd=0, duration_s=0.0)
SPENT = Measure(input_tokens=10, output_tokens=2, nano_usd=1_500_000, duration_s=1.25)
PATCH = Change(what="result", text="@@ -1,1 +1,1 @@\n-sunny\n+cloudy")


def a_step(mark: StepMark = "same", seq: int = 2, *changes: Change, lane: str = "") -> StepDiff:
    """A step whose number on the right is one higher."""
    left = StepSide(seq=seq, name="weather", status="completed", attempt=1, measure=NOTHING)
    right = replace(left, seq=seq + 1)
    one, other = None if mark == "only_right" else left, None if mark == "only_left" else right
    delta = SPENT if mark.startswith("changed") else NOTHING
    return StepDiff(mark=mark, lane=lane, kind="tool", left=one, right=other, delta=delta, changes=changes)


def a_diff(*steps: StepDiff, changes: tuple[Change, ...] = (), delta: Measure = NOTHING) -> RunDiff:
    """Two runs of these steps."""
    side = RunSide(
        run_id="run_1", agent="a", version="1.0.0", status="completed", reason=None, steps=len(steps), measure=NOTHING
    )
    right = replace(side, run_id="run_2", status="waiting", reason="approval") if changes else side
    first = next((place for place, step in enumerate(steps) if step.mark != "same"), None)
    is_same = first is None and not changes
    return RunDiff(
        left=side, right=right, is_same=is_same, delta=delta, first_divergence=first, changes=changes, steps=steps
    )


class FakeDiffs:
    """One diff; what was asked for stands in `asked`."""

    def __init__(self, found: RunDiff) -> None:
        self._found = found
        self.asked: list[tuple[str, str]] = []

    async def between(self, left: str, right: str) -> RunDiff:
        """It."""
        self.asked.append((left, right))
        return self._found


async def shown(found: RunDiff, *, full: bool = False, is_tty: bool = False) -> str:
    """What the command prints."""
    call = FakeCall(FakeAccess(diffs=FakeDiffs(found)), is_tty=is_tty)
    try:
        await diff("run_1", "run_2", full=full, call=call)
    except Exit as end:
        assert (end.code, found.is_same) == (DIFFERENT, False)
    else:
        assert found.is_same
    return call.printed


async def test_runs_that_are_the_same_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of runs that are the same there are totals and steps, and the exit code is 0."""
    monkeypatch.setenv("NO_COLOR", "1")
    assert await shown(a_diff(a_step()), is_tty=True) == snapshot(
        """\
< run_1 a 1.0.0 completed
> run_1 a 1.0.0 completed

               LEFT  RIGHT  DELTA
steps          1     1
input tokens   0     0
output tokens  0     0
usd            0     0
seconds        0.00  0.00

The runs are the same.

   LEFT  RIGHT  KIND  NAME     +TOKENS  +USD  +SECONDS  DIFFERS IN
=  2     3      tool  weather
"""
    )


async def test_the_first_divergence_is_shown_with_its_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was given stands first, then where the runs part, every step, and what came of it."""
    monkeypatch.setenv("NO_COLOR", "1")
    changes = (replace(PATCH, what="input"), replace(PATCH, what="output", cut=17))
    steps = (
        a_step(),
        a_step("changed_result", 4, PATCH),
        a_step("changed_request", 6),
        a_step("only_left", 8),
        a_step("only_right", 9, lane="1"),
    )
    assert await shown(a_diff(*steps, changes=changes, delta=SPENT), is_tty=True) == snapshot("""\
< run_1 a 1.0.0 completed
> run_2 a 1.0.0 waiting (approval)

               LEFT  RIGHT  DELTA
steps          5     5
input tokens   0     0      +10
output tokens  0     0      +2
usd            0     0      +0.0015
seconds        0.00  0.00   +1.25

input:
-sunny
+cloudy

first divergence: step 4 (5 on the right), tool weather: result
result:
-sunny
+cloudy

   LEFT  RIGHT  KIND  NAME       +TOKENS  +USD     +SECONDS  DIFFERS IN
=  2     3      tool  weather
~  4     5      tool  weather    +12      +0.0015  +1.25     result
~  6     7      tool  weather    +12      +0.0015  +1.25     earlier messages
<  8            tool  weather
>        10     tool  1/weather

output:
-sunny
+cloudy
(17 characters more)
""")


async def test_everything_is_shown_when_it_is_asked_for() -> None:
    """--full has the texts of every step, and no stretch of steps is shortened."""
    steps = (
        *(a_step(seq=2 * n) for n in range(STRETCH)),
        a_step("changed_result", 20, PATCH),
        a_step("only_left", 30, PATCH),
    )
    short, full = await shown(a_diff(*steps)), await shown(a_diff(*steps), full=True)
    assert (short.count("-sunny"), full.count("-sunny")) == (1, 2)
    assert f"=\t0-6\t1-7\t\t{STRETCH} steps" in short
    assert full.count("=\t") == STRETCH
    assert "step 30 of the left run alone, tool weather" in full


async def test_long_texts_are_cut() -> None:
    """A long diff shows its beginning and says how to see the rest; --full says what is left out of the diff itself."""
    long = Change(what="result", text="\n".join(f"-{n}" for n in range(LINES + 5)), cut=9)
    found = a_diff(a_step("changed_result", 2, long))
    assert "(5 lines more: --full shows them)" in await shown(found)
    full = await shown(found, full=True)
    assert f"-{LINES + 4}\n(9 characters more)" in full


async def test_what_is_not_priced_or_over_is_said() -> None:
    """No price is no zero, and what is at work has no duration."""
    open_ended = Measure(input_tokens=0, output_tokens=0, nano_usd=None, duration_s=None)
    printed = await shown(a_diff(a_step(), delta=open_ended))
    assert "usd\t0\t0\tunpriced\nseconds\t0.00\t0.00\t\n" in printed


async def test_a_terminal_gets_colors_and_no_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of a diff have colors of ours; escapes of a tool's own are shown as text."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert wants_color(Terminal())
    found = a_diff(a_step("changed_result", 2, replace(PATCH, text="-\x1b[2J\n same\n+x")))
    assert "\x1b[31m-\\x1b[2J\x1b[0m\n same\n\x1b[32m+x\x1b[0m\n" in await shown(found, is_tty=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in await shown(found, is_tty=True)


async def test_json_is_the_whole_diff() -> None:
    """--json prints what the API answers, and the exit code says whether the runs differ."""
    found = a_diff(a_step("changed_result", 2, PATCH))
    call = FakeCall(FakeAccess(diffs=FakeDiffs(found)), is_json=True)
    with pytest.raises(Exit):
        await diff("run_1", "run_2", call=call)
    assert msgspec.json.decode(call.printed, type=RunDiff) == found


async def test_the_runs_are_asked_for_in_their_order() -> None:
    """The first run that is named is the left one."""
    diffs = FakeDiffs(a_diff())
    await diff("run_a", "run_b", call=FakeCall(FakeAccess(diffs=diffs)))
    assert diffs.asked == [("run_a", "run_b")]
