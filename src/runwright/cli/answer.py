"""Shows a run while it happens: the answer on stdout, everything else on stderr."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import get_args

import msgspec

from runwright.cli.access import Access
from runwright.cli.decisions import told
from runwright.cli.output import Output, short
from runwright.cli.progress import told as how_far
from runwright.core.event import (
    Event,
    GuardDecided,
    HistoryCut,
    MessageCompleted,
    MessageDelta,
    ProgressReported,
    RunCompleted,
    RunWaiting,
    StepCompleted,
    StepFailed,
    StepRestarted,
    StepStarted,
)
from runwright.core.money import IMPORTED
from runwright.core.ports import RunFilter
from runwright.core.run import TERMINAL, RunStatus
from runwright.service.approval_views import ApprovalQuery, ApprovalView
from runwright.service.views import RunView

LINE = 100
BELOW = 100
"""Runs below one that are looked at."""
NOT_OVER: Sequence[RunStatus] = tuple(each for each in get_args(RunStatus) if each not in TERMINAL)
OF_PERSON = frozenset({"approval", "input"})
"""Why runs wait that a person lets go on."""


class Answer:
    """What has been shown of a run, up to the event `seq`. `model` is the last one that answered, `provider:name`."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._text = ""
        self._shown: str | None = None
        self._aside: set[int | None] = set()
        self.model = ""
        self.seq = 0

    async def follow(self, events: AsyncIterator[Sequence[Event]]) -> None:
        """Show events until the run is over or waits."""
        async for group in events:
            for event in group:
                self.show(event)
            if any(isinstance(event.data, RunWaiting) for event in group):
                return

    def show(self, event: Event) -> None:
        """Show one event."""
        self.seq = event.seq
        match event.data:
            case MessageDelta() | MessageCompleted() as said:
                self._say(said, event.step)
            case ProgressReported() as progress:
                self._end_line()
                self._out.note(f"   {how_far(progress)}")
            case StepStarted() as step:
                self._begin(step, event.step)
            case StepFailed(error=error):
                self._end_line()
                self._out.note(f"   {error.code}: {short(error.message, LINE)}")
            case StepRestarted(cause=cause):
                self._again(cause)
            case GuardDecided() | HistoryCut() as decision:
                self._end_line()
                self._out.note(f"   {left_out(decision) if isinstance(decision, HistoryCut) else told(decision)}")
            case StepCompleted(model=model, provider=provider) if model:
                self.model = model if not provider or model.startswith(provider) else f"{provider}:{model}"
            case RunCompleted(output=output):
                self._finish(bytes(output))
            case _:
                return

    def _begin(self, step: StepStarted, number: int | None) -> None:
        if step.kind == "tool":
            self._out.note(f"-> {step.name} {short(bytes(step.request).decode(), LINE)}")
        elif step.kind == "model" and step.lane:
            # Branches speak at the same time, and none of them says the answer.
            self._aside.add(number)

    def _say(self, said: MessageDelta | MessageCompleted, step: int | None) -> None:
        if step in self._aside:
            return
        if isinstance(said, MessageCompleted):
            self._end_line()
        else:
            self._text += said.text
            self._out.text(said.text, end="")

    def _again(self, cause: str) -> None:
        self._end_line()
        self._shown = None
        # Of its own resends the guard has told already, with the reason.
        if cause not in ("retry", "fallback"):
            self._out.note(f"   again, after: {cause}")

    def _end_line(self) -> None:
        """A message is complete: later text is another message."""
        if self._text:
            self._shown, self._text = self._text, ""
            self._out.text("")

    def _finish(self, output: bytes) -> None:
        """Print the output, unless exactly that was streamed."""
        self._end_line()
        value: object = msgspec.json.decode(output)
        text = value if isinstance(value, str) else msgspec.json.format(output, indent=0).decode()
        if not _is_same(self._shown, value) and value is not None:
            self._out.text(text)


def left_out(cut: HistoryCut) -> str:
    """What a run leaves out of its conversation from now on."""
    how = "not summed up" if cut.reason else "summed up" if bytes(cut.summary) != b"null" else "dropped"
    told = f"{cut.recap.messages} messages of the conversation are left out by now: {how}"
    return f"{told}, {short(cut.reason, LINE)}" if cut.reason else told


def summary(view: RunView, model: str) -> str:
    """One line about a run: id, status, duration, tokens, cost, model."""
    duration = ""
    if view.started_at is not None and view.ended_at is not None:
        duration = f" in {(view.ended_at - view.started_at).total_seconds():.1f} s"
    cost = "unpriced" if view.cost.usd is None else f"${view.cost.usd}"
    cost += " (imported)" if view.cost.source == IMPORTED else ""
    tokens = f"{view.usage.input_tokens} + {view.usage.output_tokens} tokens"
    lost = " (lost)" if view.is_lost else ""
    parts = [f"{view.id} {view.status}{lost}{duration}", tokens, cost, *([f"model {model}"] if model else [])]
    return ", ".join(parts)


def waits(view: RunView, approvals: Sequence[ApprovalView] = ()) -> str:
    """What a waiting run needs, and the command that gives it; `approvals` are what it needs of a person."""
    if approvals:
        return "\n".join(["The run waits for a person:", *(f"  {needed(each)}" for each in approvals)])
    if view.reason == "unknown_effect":
        return (
            f"The run waits: it is not known whether a tool acted. `runwright runs show {view.id}` shows the step; say "
            f"what became of it with `runwright runs resolve {view.id} --done RESULT`, `--retry` or `--fail`."
        )
    if view.reason == "budget":
        return (
            "The run waits: a budget is spent. `runwright budgets ls` shows it; it goes on when "
            "`runwright budgets raise` raises it, or its window ends, where a server runs."
        )
    if view.reason == "paused":
        return f"The run is paused; `runwright runs resume {view.id}` lets it go on."
    return (
        f"The run waits: {view.reason}. `runwright runs show {view.id}` shows why; "
        f"`runwright runs resume {view.id}` goes on with the current code."
    )


async def needs_of(access: Access, view: RunView) -> str:
    """What a waiting run needs, with what it asks a person or the runs that it waits for."""
    if view.reason == "child" and (below := await at_work_below(access, view)):
        return "\n".join(["The run waits for runs that it began:", *(f"  {_child(each)}" for each in below)])
    return waits(view, await asked_of(access, view))


async def at_work_below(access: Access, view: RunView) -> Sequence[RunView]:
    """The runs that a run began and that are not over."""
    found = [
        await access.runs.find(RunFilter(parent_run_id=view.id, status=status, limit=BELOW)) for status in NOT_OVER
    ]
    return [each for page in found for each in page.data]


def _child(view: RunView) -> str:
    status = f"{view.status} ({view.reason})" if view.reason else view.status
    return f"{view.id} of {view.agent}: {status} `runwright runs show {view.id}`"


async def asked_of(access: Access, view: RunView) -> Sequence[ApprovalView]:
    """What a run that waits needs of a person."""
    if view.status != "waiting" or view.reason not in OF_PERSON:
        return ()
    return (await access.approvals.find(ApprovalQuery(run=view.id))).data


def needed(view: ApprovalView) -> str:
    """What somebody is asked, and the commands that answer."""
    command = "runwright approvals"
    if view.kind == "input":
        return f"{short(view.question or '', LINE)} `{command} answer {view.id} JSON`"
    call = f"{view.name} {short(bytes(view.arguments).decode(), LINE)}"
    return f"{call} `{command} approve {view.id}`, or `deny`"


def _is_same(shown: str | None, value: object) -> bool:
    if shown is None or shown == value:
        return shown is not None
    try:
        parsed: object = msgspec.json.decode(shown)
    except msgspec.DecodeError:
        return False
    return parsed == value and not isinstance(value, str)
