"""The difference of two runs: which steps belong together, where they part, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from msgspec.structs import replace

from runwright.core.event import (
    Data,
    Event,
    MessageCompleted,
    MessageDelta,
    RunCompleted,
    RunQueued,
    StepCompleted,
    StepFailed,
    StepResolved,
    StepRestarted,
    StepStarted,
)
from runwright.core.message import (
    AssistantMessage,
    FunctionCall,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
    digest,
    said,
)
from runwright.core.money import NO_COST, UNPRICED, Cost
from runwright.core.run import ErrorInfo, Run
from runwright.core.step import SUPERSEDED
from runwright.core.usage import Usage
from runwright.journal.diff import ROOM, Recorded, RunDiff, StepDiff, diff_runs

NOW = datetime(2026, 1, 2, tzinfo=UTC)
MANIFEST: dict[str, object] = {"model": "test:m", "settings": {}}


class Act(msgspec.Struct, frozen=True):
    """A step of a run that is made up: what it is asked, and what it gives."""

    kind: Literal["model", "tool"]
    asked: str
    given: str = "ok"
    name: str = "act"
    lane: str = ""


class Story:
    """A run that is made up. Requests of models repeat what was said before in their lane, as real ones do."""

    def __init__(self, run_id: str = "run_1", *, input: str = "hi") -> None:
        self.run = Run(id=run_id, agent="a", version="1.0.0", fingerprint="f", status="running", created_at=NOW)
        self.events: list[Event] = []
        self._bases: dict[str, tuple[int, bytes, Message]] = {}
        self._seen: dict[tuple[str, str], int] = {}
        self.tell(RunQueued(agent="a", version="1.0.0", input=_json(input)))

    def tell(self, data: Data, step: int | None = None) -> int:
        """Add an event, a second after the one before."""
        seq = len(self.events) + 1
        step = seq if isinstance(data, StepStarted) else step
        self.events.append(Event(self.run.id, seq, NOW + timedelta(seconds=seq), data, step))
        return seq

    def begin(self, act: Act, *messages: Message, manifest: object = MANIFEST, tools: object = None) -> int:
        """A step begins; `messages` are those of a model instead of what the act asks."""
        if act.kind == "tool":
            key = digest(f"{act.name} {act.asked}".encode()).hex()
            return self.tell(self._started(act, key, request=_json({"text": act.asked})))
        base, head, answer = self._bases.get(act.lane, (None, b"", None))
        asked = messages or (UserMessage(content=act.asked),)
        own = asked if answer is None else (answer, *asked)
        raws = tuple(msgspec.Raw(said(message).raw) for message in own)
        for raw in raws:
            head = digest(head + bytes(raw))
        key = digest(head + msgspec.json.encode((manifest, tools))).hex()
        data = self._started(act, key, request=_json(manifest))
        seq = self.tell(replace(data, base=base, messages=raws, tools=_json(tools if base is None else None)))
        self._bases[act.lane] = (seq, head, AssistantMessage(content=act.given))
        return seq

    def act(self, act: Act, *messages: Message, answer: AssistantMessage | None = None, **of: Any) -> int:
        """A step from its beginning to its end; `of` is what `begin` takes."""
        step = self.begin(act, *messages, **of)
        if act.kind == "tool":
            self.tell(StepCompleted(result=_json(act.given)), step)
            return step
        message = answer or AssistantMessage(content=act.given)
        seq, head, _ = self._bases[act.lane]
        self._bases[act.lane] = (seq, head, message)
        self.tell(MessageCompleted(message=msgspec.Raw(said(message).raw)), step)
        self.tell(StepCompleted(usage=Usage(input_tokens=len(act.asked)), finish_reason="stop"), step)
        return step

    def end(self, output: str = "done", **fields: Any) -> Recorded:
        """The run is over; `fields` are those of its row."""
        self.tell(RunCompleted(output=_json(output)))
        times = {"started_at": NOW, "ended_at": self.events[-1].ts}
        return Recorded(run=replace(self.run, **({"status": "completed"} | times | fields)), events=self.events)

    def so_far(self) -> Recorded:
        """The run while it is at work."""
        return Recorded(run=self.run, events=list(self.events))

    def _started(self, act: Act, key: str, *, request: msgspec.Raw) -> StepStarted:
        nth = self._seen.get((act.lane, key), 0)
        self._seen[act.lane, key] = nth + 1
        return StepStarted(kind=act.kind, name=act.name, key=key, lane=act.lane, nth=nth, request=request)


def _json(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def ended(*acts: Act) -> Recorded:
    """A run of these steps."""
    story = Story()
    for act in acts:
        story.act(act)
    return story.end()


def marks(diff: RunDiff) -> list[tuple[str, int | None, int | None]]:
    """The mark of every step, with its numbers."""
    return [(step.mark, step.left and step.left.seq, step.right and step.right.seq) for step in diff.steps]


def told(step: StepDiff | None) -> dict[str, str]:
    """The text diffs of a step, by what they are about."""
    assert step is not None
    return {change.what: change.text for change in step.changes}


def model(asked: str, given: str = "ok", *, lane: str = "") -> Act:
    """A model step."""
    return Act("model", asked, given, "test:m", lane)


def tool(asked: str, given: str = "ok", *, name: str = "act", lane: str = "") -> Act:
    """A tool step."""
    return Act("tool", asked, given, name, lane)


TURNS = (model("one"), tool("x", "sun"), model("two"), tool("y", "rain"), model("three"))


def test_a_changed_result_is_the_first_divergence() -> None:
    """Where requests agree and a result does not, the runs part; what follows from it is a pair of its own."""
    other = [*TURNS]
    other[1] = tool("x", "snow")
    other[2] = model("two, with snow")
    diff = diff_runs(ended(*TURNS), ended(*other))
    assert marks(diff) == snapshot(
        [
            ("same", 2, 2),
            ("changed_result", 5, 5),
            ("changed_request", 7, 7),
            ("same", 10, 10),
            ("changed_request", 12, 12),
        ]
    )
    assert (diff.is_same, diff.first_divergence) == (False, 1)
    assert told(diff.divergence) == snapshot({"result": "@@ -1,1 +1,1 @@\n-sun\n+snow"})


def test_messages_are_compared_since_the_pair_before() -> None:
    """A later request shows what is its own; what was said before stands in the pair before."""
    other = [*TURNS]
    other[2] = model("two and a half")
    diff = diff_runs(ended(*TURNS), ended(*other))
    changed = [step for step in diff.steps if step.mark == "changed_request"]
    assert [(step.since, told(step)) for step in changed] == snapshot(
        [
            (2, {"messages": "@@ -1,4 +1,4 @@\n assistant:\n   ok\n user:\n-  two\n+  two and a half"}),
            (7, {}),
        ]
    )


def test_an_extra_turn_shifts_nothing() -> None:
    """Steps between the same pairs belong together, so one more turn is not a change of all that follow."""
    other = (*TURNS[:1], tool("w"), model("also"), *TURNS[1:])
    diff = diff_runs(ended(*TURNS), ended(*other))
    assert [step.mark for step in diff.steps] == snapshot(
        ["same", "only_right", "only_right", "same", "changed_request", "same", "changed_request"]
    )
    assert told(diff.divergence) == snapshot(
        {"arguments": '@@ -1,0 +1,1 @@\n+{"text": "w"}', "result": "@@ -1,0 +1,1 @@\n+ok"}
    )


def test_a_step_without_a_partner_stands_where_it_was() -> None:
    """A step of the left run alone keeps its place, and another tool is no partner."""
    diff = diff_runs(ended(tool("x"), tool("y", name="a")), ended(tool("x"), tool("y", name="b")))
    assert marks(diff) == [("same", 2, 2), ("only_left", 4, None), ("only_right", None, 4)]
    assert diff.first_divergence == 1


def test_lanes_are_kept_apart() -> None:
    """Branches that took turns in another order are the same; a change is told in its own lane."""
    one, two = tool("x", lane="1"), tool("x", lane="2")
    diff = diff_runs(ended(one, two), ended(two, one))
    assert (diff.is_same, marks(diff)) == (True, [("same", 2, 4), ("same", 4, 2)])
    diff = diff_runs(ended(one, two), ended(replace(two, asked="z"), one))
    assert [(step.lane, step.mark) for step in diff.steps] == [("1", "same"), ("2", "changed_request")]


def test_another_model_is_a_changed_request() -> None:
    """Steps of another model are pairs, with the settings beside each other."""
    left, right = Story(), Story()
    left.act(model("hi"))
    right.act(replace(model("hi"), name="test:large"), manifest={"model": "test:large", "settings": {"seed": 7}})
    diff = diff_runs(left.end(), right.end())
    assert [step.mark for step in diff.steps] == ["changed_request"]
    assert told(diff.divergence) == snapshot(
        {
            "settings": """\
@@ -1,1 +1,1 @@
-{"model": "test:m", "settings": {}}
+{"model": "test:large", "settings": {"seed": 7}}\
"""
        }
    )


def test_instructions_and_tools_are_told_apart_from_messages() -> None:
    """What an agent is told, what it can call and what is said to it are three diffs."""
    left, right = Story(), Story()
    left.act(model(""), SystemMessage(content="Be brief."), UserMessage(content="hi"), tools=["a"])
    right.act(model(""), SystemMessage(content="Be kind."), UserMessage(content="ho"), tools=["a", "b"])
    assert told(diff_runs(left.end(), right.end()).divergence) == snapshot(
        {
            "tools": '@@ -1,1 +1,1 @@\n-["a"]\n+["a", "b"]',
            "instructions": "@@ -1,2 +1,2 @@\n system:\n-  Be brief.\n+  Be kind.",
            "messages": "@@ -1,2 +1,2 @@\n user:\n-  hi\n+  ho",
        }
    )


def called(story: Story, call_id: str, city: str = "Oslo") -> Story:
    """A model that calls a tool, and is told its result."""
    call = ToolCall(id=call_id, function=FunctionCall(name="weather", arguments=f'{{"city":"{city}"}}'))
    story.act(model("hi"), answer=AssistantMessage(content="Let me see.", tool_calls=(call,)))
    story.act(model(""), ToolMessage(tool_call_id=call_id, content="sunny"))
    return story


def test_ids_of_tool_calls_are_not_compared() -> None:
    """Two runs that differ in nothing but the ids that a provider made up are the same."""
    left, right = called(Story(), "call_1").end(), called(Story(), "call_x").end()
    keys = [[event.data.key for event in run.events if isinstance(event.data, StepStarted)] for run in (left, right)]
    assert keys[0] != keys[1]
    assert diff_runs(left, right).is_same


def test_tool_calls_and_results_are_readable() -> None:
    """A call is shown with its arguments, and a result under the tool that gave it."""
    diff = diff_runs(called(Story(), "call_1").end(), called(Story(), "call_1", "Rome").end())
    assert [told(step) for step in diff.steps] == snapshot(
        [
            {
                "result": """\
@@ -1,3 +1,3 @@
 assistant:
   Let me see.
-  -> weather {"city": "Oslo"}
+  -> weather {"city": "Rome"}\
"""
            },
            {
                "messages": """\
@@ -1,5 +1,5 @@
 assistant:
   Let me see.
-  -> weather {"city": "Oslo"}
+  -> weather {"city": "Rome"}
 tool weather:
   sunny\
"""
            },
        ]
    )


def test_a_request_that_gave_way_to_another_is_no_step() -> None:
    """What a crash left behind is not compared."""
    left, right = Story(), Story()
    left.act(model("hi"))
    step = right.begin(tool("lost"))
    right.tell(StepFailed(error=ErrorInfo(code=SUPERSEDED, message="another request")), step)
    right.act(model("hi"))
    diff = diff_runs(left.end(), right.end())
    assert (diff.is_same, diff.right.steps) == (True, 1)


def test_a_step_that_began_again_is_one_step() -> None:
    """Attempts before the last one say nothing, but for their count."""
    left, right = Story(), Story()
    left.act(model("hi", "hello"))
    step = right.begin(model("hi", "hello"))
    right.tell(MessageDelta(text="hel"), step)
    right.tell(StepRestarted(attempt=2), step)
    right.tell(MessageCompleted(message=msgspec.Raw(said(AssistantMessage(content="hello")).raw)), step)
    right.tell(StepCompleted(finish_reason="stop"), step)
    diff = diff_runs(left.end(), right.end())
    [pair] = diff.steps
    assert (diff.is_same, pair.right and pair.right.attempt) == (True, 2)


def resolved(action: Literal["done", "fail"], result: str = "paid") -> Recorded:
    """A run whose step of unknown outcome somebody resolved."""
    story = Story()
    step = story.begin(tool("pay"))
    story.tell(StepFailed(error=ErrorInfo(code="outcome_unknown", message="lost"), is_unknown=True), step)
    story.tell(StepResolved(action=action), step)
    if action == "done":
        story.tell(StepCompleted(result=_json(result)), step)
    return story.end()


def test_a_resolved_step_counts_as_what_became_of_it() -> None:
    """A result that a person gave is a result; an effect that failed is an error."""
    assert diff_runs(ended(tool("pay", "paid")), resolved("done")).is_same
    diff = diff_runs(ended(tool("pay", "paid")), resolved("fail"))
    assert [step.mark for step in diff.steps] == ["changed_result"]
    assert told(diff.divergence) == snapshot({"error": "@@ -1,1 +1,1 @@\n-paid\n+outcome_unknown: lost"})


def test_runs_that_are_not_over_are_compared_as_far_as_they_went() -> None:
    """A step that is at work has no result yet, and durations wait for their end."""
    left, right = Story(), Story()
    for story in (left, right):
        story.act(tool("x"))
    assert diff_runs(left.so_far(), right.so_far()).is_same
    right.begin(tool("y"))
    diff = diff_runs(ended(tool("x"), tool("y")), right.so_far())
    assert [step.mark for step in diff.steps] == ["same", "changed_result"]
    assert diff.delta.duration_s is None


def test_what_runs_were_given_and_gave_is_compared() -> None:
    """Input, output and status count, where no step differs too."""
    left, right = Story(input="hi"), Story(input="ho")
    failed = replace(right.end(), run=replace(right.run, status="failed", error=ErrorInfo(code="x", message="no")))
    diff = diff_runs(left.end("1"), failed)
    assert (diff.is_same, diff.first_divergence) == (False, None)
    assert [change.what for change in diff.changes] == ["input", "output", "error"]
    same = ended(tool("x"))
    waiting = replace(same, run=replace(same.run, status="waiting", reason="approval"))
    assert not diff_runs(same, waiting).is_same


@pytest.mark.parametrize(
    ("left", "right", "delta"),
    [
        (Cost(nano_usd=5, source="p"), Cost(nano_usd=3, source="p"), -2),
        (NO_COST, UNPRICED, None),
        (UNPRICED, UNPRICED, None),
    ],
    ids=["priced", "priced-unpriced", "unpriced"],
)
def test_what_is_unpriced_stays_unpriced(left: Cost, right: Cost, delta: int | None) -> None:
    """Costs are subtracted in nano-USD; what has no price has no difference."""
    runs = [Story().end(cost=cost, usage=Usage(input_tokens=tokens)) for cost, tokens in ((left, 4), (right, 9))]
    diff = diff_runs(*runs)
    assert (diff.delta.nano_usd, diff.delta.input_tokens) == (delta, 5)


def test_durations_are_those_of_the_events() -> None:
    """A step lasts from its begin to its end, and a run as long as its row says."""
    slow = Story()
    step = slow.begin(tool("x"))
    for _ in range(3):
        slow.tell(MessageDelta(text=""), step)
    slow.tell(StepCompleted(result=_json("ok")), step)
    diff = diff_runs(ended(tool("x")), slow.end())
    delta = diff.steps[0].delta
    assert (delta and delta.duration_s, diff.delta.duration_s) == (3, 3)


def test_text_is_bounded() -> None:
    """A diff of huge texts says how much of them was left out; nothing is said twice."""
    long = "\n".join(f"line {n}" for n in range(50_000))
    [change] = diff_runs(ended(tool("x", long)), ended(tool("x", long.upper()))).steps[0].changes
    assert len(change.text) < 2 * ROOM
    assert change.cut + sum(len(line) for line in change.text.splitlines()[1:]) == 2 * len(long) + 2


def test_one_word_in_a_long_text_is_found() -> None:
    """Long lines are broken at the ends of sentences, so a diff shows the one that changed."""
    story = [f"Sentence number {n} says little." for n in range(50)]
    changed = [*story[:25], "This one says more.", *story[26:]]
    diff = diff_runs(ended(tool("x", " ".join(story))), ended(tool("x", " ".join(changed))))
    lines = told(diff.divergence)["result"].splitlines()
    assert [line for line in lines if line[0] in "+-"] == [f"-{story[25]}", "+This one says more."]


@pytest.mark.parametrize(
    ("left", "right"),
    [("5", 5), ("a\n", "a"), ("x. " * 100 + "y", "x. " * 100 + "\ny"), ("", None)],
    ids=["text-number", "line-end", "sentence-end", "nothing"],
)
def test_no_difference_is_shown_as_nothing(left: object, right: object) -> None:
    """Results that differ have a diff that shows it, however little it is."""
    runs: list[Recorded] = []
    for value in (left, right):
        story = Story()
        story.tell(StepCompleted(result=_json(value)), story.begin(tool("x")))
        runs.append(story.end())
    [change] = diff_runs(*runs).steps[0].changes
    assert {line[:1] for line in change.text.splitlines()} & {"+", "-"}


@pytest.mark.parametrize("raw", [b"[" * 5000 + b"]" * 5000, b'"\\ud800"'], ids=["deep", "surrogate"])
def test_what_cannot_be_read_is_shown_as_it_is(raw: bytes) -> None:
    """JSON that is too deep or no text is no reason to fail."""
    story = Story()
    story.tell(StepCompleted(result=msgspec.Raw(raw)), story.begin(tool("x")))
    assert told(diff_runs(ended(tool("x")), story.end()).divergence)["result"]


def test_a_diff_is_json() -> None:
    """A diff reads back as what it was."""
    diff = diff_runs(ended(*TURNS), ended(*TURNS[1:]))
    assert msgspec.json.decode(msgspec.json.encode(diff), type=RunDiff) == diff


words = st.sampled_from(["", "x", "y", "a longer text.\nof two lines"])
acts = st.builds(
    Act,
    kind=st.sampled_from(["model", "tool"]),
    asked=words,
    given=words,
    name=st.sampled_from(["act", "look"]),
    lane=st.sampled_from(["", "", "1", "1/2"]),
)
runs = st.lists(acts, max_size=12)


@settings(deadline=None)
@given(runs)
def test_a_run_does_not_differ_from_itself(made: Sequence[Act]) -> None:
    """The diff of a run with its like has pairs of the same alone."""
    diff = diff_runs(ended(*made), ended(*made))
    assert diff.is_same
    assert [step.mark for step in diff.steps] == ["same"] * len(made)


@settings(deadline=None)
@given(runs, runs)
def test_every_step_is_told_once(left: Sequence[Act], right: Sequence[Act]) -> None:
    """Whatever two runs did, each step of each is in the diff once, and those of the left in their order."""
    diff = diff_runs(ended(*left), ended(*right))
    numbers = [
        [side.seq for side in sides if side] for sides in zip(*((s.left, s.right) for s in diff.steps), strict=True)
    ]
    lefts, rights = numbers or [[], []]
    assert (len(lefts), lefts) == (len(left), sorted(set(lefts)))
    assert (len(rights), set(rights)) == (len(right), {*rights})


@settings(deadline=None)
@given(st.lists(acts, min_size=1, max_size=12), st.data())
def test_an_edit_is_reported_where_it_was_made(made: Sequence[Act], data: st.DataObject) -> None:
    """One edit of a run is the first divergence, whatever follows from it."""
    left = [replace(act, asked=f"{place} {act.asked}") for place, act in enumerate(made)]
    place = data.draw(st.integers(0, len(left) - 1))
    edit = data.draw(st.sampled_from(["asked", "given", "removed", "added"]))
    right = [*left]
    match edit:
        case "removed":
            del right[place]
        case "added":
            right.insert(place, replace(data.draw(acts), asked="added"))
        case _:
            right[place] = replace(left[place], **{edit: "edited"})
    found = diff_runs(ended(*left), ended(*right)).divergence
    assert found is not None
    side, run = (found.right, right) if edit == "added" else (found.left, left)
    assert side is not None
    assert side.seq == _begins(run)[place]


def _begins(run: Sequence[Act]) -> list[int]:
    return [event.seq for event in ended(*run).events if isinstance(event.data, StepStarted)]
