"""What a loop does next, decided without I/O."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.agent import Closing, Limits, Loop, Opening
from runwright.core.event import OutputRejected, StepStarted, ToolRejected
from runwright.core.message import SystemMessage, UserMessage, chain_digest, said
from runwright.core.model import ModelRequest, ModelSettings, OutputSpec
from runwright.core.step import Effect, StepKey
from runwright.engine.decide import (
    Aside,
    Decision,
    Fail,
    Finish,
    Lost,
    ModelCall,
    PlannedTool,
    RejectOutput,
    Supersede,
    ToolCalls,
    Wait,
    decide,
    model_key,
    tool_key,
)
from runwright.testing import ScriptedTool, tools_raw
from tests.unit.engine.harness import Number, read_text
from tests.unit.engine.tale import Tale, wants


def _loop(**changes: Any) -> Loop:
    act = ScriptedTool("act", lambda given: None)
    fields: dict[str, Any] = {
        "model": None,
        "tools": {"act": act},
        "tools_raw": tools_raw([act]),
        "read_input": read_text,
    }
    return Loop(**(fields | changes))


def _id(planned: PlannedTool) -> str:
    return "" if planned.call is None else planned.call.id


def _next(tale: Tale, **changes: Any) -> Decision:
    return decide(tale.folded(), _loop(**changes), model="test:m")


def test_the_model_is_asked_first() -> None:
    """A fresh run asks the model, with instructions before the conversation."""
    call = _next(Tale().asked("hi"), instructions="Be brief.")
    assert isinstance(call, ModelCall)
    assert [entry.message for entry in call.request.messages] == [
        SystemMessage(content="Be brief."),
        UserMessage(content="hi"),
    ]
    assert (call.base, call.fresh, call.again) == (None, call.request.messages, None)


def _recorded(tale: Tale, **changes: Any) -> tuple[ModelCall, int]:
    """Record the model call that comes next as the gateway does; the call and its step."""
    call = _next(tale, **changes)
    assert isinstance(call, ModelCall)
    tools = msgspec.Raw(call.request.tools_raw or b"null") if call.base is None else msgspec.Raw(b"null")
    step = tale.tell(
        StepStarted(
            kind="model",
            name="test:m",
            key=call.match.key,
            nth=call.match.nth,
            base=call.base,
            messages=tuple(msgspec.Raw(entry.raw) for entry in call.fresh),
            tools=tools,
        )
    )
    return call, step


def _answered(tale: Tale, step: int, message: Any) -> None:
    whole = Tale()
    whole.model(message)
    for event in whole.events[1:]:
        tale.tell(event.data, step)


def test_later_requests_record_what_is_new() -> None:
    """A request after tool results names the step before it and records only the messages since."""
    tale = Tale().asked()
    _, first = _recorded(tale, instructions="Be brief.")
    _answered(tale, first, wants(("a", "{}")))
    tale.done(tale.tool("a"), "ok")
    call, _ = _recorded(tale, instructions="Be brief.")
    assert call.base == first
    assert len(call.fresh) == 2
    assert len(call.request.messages) == 4


@pytest.mark.parametrize("changes", [{"instructions": "Be long."}, {"tools": {}, "tools_raw": b""}])
def test_a_changed_code_records_its_whole_request(changes: dict[str, Any]) -> None:
    """After a change of instructions or tools the request is recorded whole, so that the record says what was sent."""
    tale = Tale().asked()
    _, first = _recorded(tale, instructions="Be brief.")
    _answered(tale, first, wants(("a", "{}")))
    tale.done(tale.tool("a"), "ok")
    call, _ = _recorded(tale, **({"instructions": "Be brief."} | changes))
    assert call.base is None
    assert call.fresh == call.request.messages


def test_tool_calls_are_planned_in_order() -> None:
    """Equal calls are told apart by their occurrence, counted in the order of declaration."""
    tale = Tale().asked()
    tale.model(wants(("a", '{"x":1,"y":2}'), ("b", '{"y":2,"x":1}'), ("c", "{}")))
    calls = _next(tale)
    assert isinstance(calls, ToolCalls)
    assert [(_id(planned), planned.match.nth) for planned in calls.planned] == [("a", 0), ("b", 1), ("c", 0)]
    assert calls.planned[0].match.key == calls.planned[1].match.key != calls.planned[2].match.key


def test_occurrences_go_on_over_rounds() -> None:
    """The same call in a later round is the next occurrence."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}")))
    tale.done(tale.tool("a", key=tool_key("act", "{}")))
    tale.model(wants(("a", "{}")), key="m2")
    calls = _next(tale)
    assert isinstance(calls, ToolCalls)
    assert calls.planned[0].match == StepKey("", "tool", tool_key("act", "{}"), 1)


def test_an_unknown_tool_is_refused_by_name() -> None:
    """A call of a tool that is not there is refused with the names of those that are."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}")))
    for tools, known in (({}, "none"), ({"b": _named("b"), "a": _named("a")}, "a, b")):
        calls = _next(tale, tools=tools)
        assert isinstance(calls, ToolCalls)
        assert [reason for _, reason in calls.rejected] == [f"There is no tool 'act'. Known tools: {known}."]


def _named(name: str) -> ScriptedTool:
    return ScriptedTool(name, lambda given: None)


@pytest.mark.parametrize("arguments", ["", "{", "[]", "7", '{"a":'])
def test_malformed_arguments_are_refused(arguments: str) -> None:
    """Arguments that are no JSON object are refused with the reason; the other calls go on."""
    tale = Tale().asked()
    tale.model(wants(("a", arguments), ("b", "{}")))
    calls = _next(tale)
    assert isinstance(calls, ToolCalls)
    assert [(call.id, "JSON object" in reason) for call, reason in calls.rejected] == [("a", True)]
    assert [_id(planned) for planned in calls.planned] == ["b"]


def test_answered_calls_are_not_planned_again() -> None:
    """After a crash only the calls without an answer are left."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}"), ("b", "{}"), ("c", "[]")))
    tale.done(tale.tool("b"))
    tale.tell(ToolRejected(call_id="c", name="act", reason="no"))
    calls = _next(tale)
    assert isinstance(calls, ToolCalls)
    assert [_id(planned) for planned in calls.planned] == ["a"]
    assert calls.rejected == ()


def test_an_open_model_step_is_asked_again() -> None:
    """A model call that was in flight at a crash is the same step once more."""
    tale = Tale().asked()
    first, step = _recorded(tale)
    call = _next(tale)
    assert isinstance(call, ModelCall)
    assert call.again is not None
    assert (call.again.seq, call.match, call.fresh) == (step, first.match, ())


@pytest.mark.parametrize(
    "changes",
    [
        {"instructions": "Be long."},
        {"tools": {}, "tools_raw": b""},
        {"settings": ModelSettings(temperature=0.5)},
        {"output": Number()},
    ],
)
def test_an_open_model_step_with_another_request_is_superseded(changes: dict[str, Any]) -> None:
    """A model call in flight whose request would be another one now ends, and a new step says what is sent."""
    tale = Tale().asked()
    _, step = _recorded(tale, instructions="Be brief.")
    changed = {"instructions": "Be brief."} | changes
    decision = _next(tale, **changed)
    assert isinstance(decision, Supersede)
    assert decision.step.seq == step
    tale.superseded(step)
    call = _next(tale, limits=Limits(steps=1), **changed)
    assert isinstance(call, ModelCall)
    assert call.again is None
    assert call.base == (step if "settings" in changes or "output" in changes else None)


@pytest.mark.parametrize("effect", ["read", "idempotent"])
def test_an_open_harmless_tool_is_called_again(effect: Any) -> None:
    """A read or idempotent tool that was in flight at a crash is the same step once more."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}")))
    step = tale.tool("a", effect=effect, key="k", nth=3)
    calls = _next(tale)
    assert isinstance(calls, ToolCalls)
    again = calls.planned[0].again
    assert again is not None
    assert (again.seq, calls.planned[0].match) == (step, StepKey("", "tool", "k", 3))


def test_an_open_once_tool_is_lost() -> None:
    """A `once` tool that was in flight at a crash may have acted: before anything else it is lost."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}"), ("b", "{}")))
    step = tale.tool("a", effect="once")
    tale.tool("b", effect="read")
    decision = _next(tale)
    assert isinstance(decision, Lost)
    assert [lost.seq for lost in decision.steps] == [step]


def test_an_unknown_step_makes_the_run_wait() -> None:
    """A step of unknown outcome makes the run wait, and the detail names it."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}")))
    step = tale.tool("a", effect="once")
    tale.failed(step, is_unknown=True)
    decision = _next(tale)
    assert decision == Wait(
        reason="unknown_effect",
        detail=f"It is not known whether 'act' (step {step}) took effect; resolve it as done, retry or fail.",
    )


def test_a_granted_step_is_called_again() -> None:
    """A `once` tool that a person allowed to run again is planned as the same step."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}")))
    step = tale.tool("a", effect="once")
    tale.failed(step, is_unknown=True)
    tale.resolved(step, "retry")
    calls = _next(tale)
    assert isinstance(calls, ToolCalls)
    assert calls.planned[0].again is not None
    assert calls.planned[0].again.seq == step


def test_a_granted_step_that_crashed_again_is_lost() -> None:
    """The grant is for one attempt: a crash inside it makes the outcome unknown again."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}")))
    step = tale.tool("a", effect="once")
    tale.failed(step, is_unknown=True)
    tale.resolved(step, "retry")
    tale.restarted(step)
    assert isinstance(_next(tale), Lost)


def test_a_step_resolved_as_failed_fails_the_run() -> None:
    """`fail` ends the run with an error that names the step."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}")))
    step = tale.tool("a", effect="once")
    tale.failed(step, is_unknown=True)
    tale.resolved(step, "fail")
    decision = _next(tale)
    assert isinstance(decision, Fail)
    assert (decision.error.code, decision.error.step) == ("outcome_unknown", step)


def test_a_failed_model_call_fails_the_run() -> None:
    """The error of the model call is the run's error."""
    tale = Tale().asked()
    tale.failed(tale.model(), "down")
    decision = _next(tale)
    assert isinstance(decision, Fail)
    assert decision.error.message == "down"


def test_a_final_text_is_the_output() -> None:
    """Without an output schema the text is the output, as JSON."""
    tale = Tale().asked()
    tale.model('say "hi"')
    assert _next(tale) == Finish(output=b'"say \\"hi\\""', finish_reason="stop")


def test_an_output_that_fits_is_the_output() -> None:
    """With an output schema the checked value is the output, and the schema is sent to the model."""
    tale = Tale().asked()
    call = _next(tale, output=Number())
    assert isinstance(call, ModelCall)
    assert call.request.output == Number.spec
    tale.model("42")
    assert _next(tale, output=Number()) == Finish(output=b"42", finish_reason="stop")


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_an_output_that_does_not_fit_is_refused_a_few_times(retries: int) -> None:
    """The model is told as often as the limit says, then the run fails."""
    tale = Tale().asked()
    limits = Limits(output_retries=retries)
    for number in range(retries):
        tale.model("seven", key=str(number))
        decision = _next(tale, output=Number(), limits=limits)
        assert decision == RejectOutput(reason="'seven' is no number")
        tale.tell(OutputRejected(reason="no"))
    tale.model("seven", key="last")
    decision = _next(tale, output=Number(), limits=limits)
    assert isinstance(decision, Fail)
    assert decision.error.code == "output_invalid"


@pytest.mark.parametrize(("steps", "is_over"), [(1, True), (2, True), (3, False)])
def test_the_limit_of_steps_counts_models_and_tools(steps: int, is_over: bool) -> None:
    """A run that would take one step too many fails before it takes it."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}"), ("b", "{}")))
    decision = _next(tale, limits=Limits(steps=steps))
    assert isinstance(decision, Fail if is_over else ToolCalls)
    if isinstance(decision, Fail):
        assert decision.error.code == "limit_exceeded"


def test_steps_that_began_are_not_counted_twice() -> None:
    """A step that goes on after a crash is within the limit that it was within before."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}"), ("b", "{}")))
    tale.tool("a")
    assert isinstance(_next(tale, limits=Limits(steps=3)), ToolCalls)
    other = Tale().asked()
    _recorded(other)
    assert isinstance(_next(other, limits=Limits(steps=1)), ModelCall)
    assert isinstance(_next(Tale().asked(), limits=Limits(steps=0)), Fail)


@pytest.mark.parametrize(("tokens", "is_over"), [(9, True), (10, True), (11, False), (None, False)])
def test_the_limit_of_tokens_stops_the_next_model_call(tokens: int | None, is_over: bool) -> None:
    """A run that used its tokens does not ask again; an answer that is there still counts."""
    tale = Tale().asked()
    tale.model(wants(("a", "{}")), tokens=10)
    tale.done(tale.tool("a"))
    assert isinstance(_next(tale, limits=Limits(tokens=tokens)), Fail if is_over else ModelCall)
    tale.model("bye", key="m2")
    assert isinstance(_next(tale, limits=Limits(tokens=tokens)), Finish)


REQUEST = ModelRequest(model="test:m", messages=(said(UserMessage(content="hi")),), tools_raw=b"[]")


def _key(request: ModelRequest) -> str:
    return model_key(request, chain_digest(request.messages))


def test_streaming_does_not_change_the_key() -> None:
    """A streamed request and a plain one are the same step."""
    assert _key(REQUEST) == _key(msgspec.structs.replace(REQUEST, is_streamed=True))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "test:other"},
        {"messages": (said(UserMessage(content="ho")),)},
        {"messages": (said(UserMessage(content="hi")), said(UserMessage(content="hi")))},
        {"tools_raw": b"[1]"},
        {"tool_choice": "none"},
        {"output": OutputSpec(name="n", schema={"type": "integer"})},
        {"settings": ModelSettings(temperature=0.0)},
        {"settings": ModelSettings(extra={"k": 1})},
    ],
    ids=str,
)
def test_everything_else_changes_the_key(changes: dict[str, Any]) -> None:
    """Whatever can change the answer changes the key."""
    assert _key(msgspec.structs.replace(REQUEST, **changes)) != _key(REQUEST)


TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, JSON, min_size=2, max_size=5))
def test_the_key_of_a_tool_call_is_of_its_meaning(arguments: dict[str, Any]) -> None:
    """Space and the order of keys do not matter; the name does."""
    turned = dict(reversed(arguments.items()))
    spaced = msgspec.json.format(msgspec.json.encode(turned), indent=2).decode()
    plain = msgspec.json.encode(arguments).decode()
    assert tool_key("act", plain) == tool_key("act", spaced)
    assert tool_key("act", plain) != tool_key("other", plain)


def test_text_that_is_no_json_stands_for_itself() -> None:
    """Arguments that cannot be read have a key all the same."""
    assert tool_key("act", "{") != tool_key("act", "{{")


def _framed(effect: Effect = "read") -> dict[str, Any]:
    """A loop that opens something before the first call of the model, and closes it after the last."""
    opens, closes = ScriptedTool("open", lambda given: None, effect=effect), ScriptedTool("close", lambda given: None)
    return {
        "opening": Opening(
            tool=opens,
            ask=lambda raw: {"input": msgspec.json.decode(raw)},
            tell=lambda result: f"It is {result.decode()}.",
            bind=lambda result: {"place": msgspec.json.decode(result), "other": 1},
        ),
        "closing": Closing(tool=closes, ask=lambda answer: {"answer": answer}),
    }


class _Bound(ScriptedTool):
    """A tool that takes an argument from the opening."""

    bound = frozenset({"place"})


def _opened(**changes: Any) -> Tale:
    """A run whose opening gave 7."""
    tale = Tale().asked("hi")
    tale.done(_begun(tale, **changes), 7)
    return tale


def _begun(tale: Tale, **changes: Any) -> int:
    """Record the loop's own call that comes next as the gateway does."""
    planned = _aside(tale, **changes)
    return tale.tell(
        StepStarted(
            kind="tool",
            name=planned.tool.spec.name,
            key=planned.match.key,
            nth=planned.match.nth,
            effect=planned.tool.effect,
            request=msgspec.Raw(msgspec.json.encode(planned.arguments)),
        )
    )


def _aside(tale: Tale, **changes: Any) -> PlannedTool:
    decision = _next(tale, **(_framed() | changes))
    assert isinstance(decision, Aside)
    return decision.planned


def test_a_loop_opens_before_it_asks() -> None:
    """The opening is given the run's input; what it gave is told with the instructions, in the key of no message."""
    planned = _aside(Tale().asked("hi"))
    assert (planned.tool.spec.name, planned.arguments, planned.call) == ("open", {"input": "hi"}, None)
    call = _next(_opened(), instructions="Be brief.", **_framed())
    assert isinstance(call, ModelCall)
    assert call.request.messages[0].message == SystemMessage(content="Be brief.\n\nIt is 7.")


def test_tools_are_bound_to_what_was_opened() -> None:
    """A tool gets those arguments that it names, in place of the model's, and they are part of its key."""
    act = _Bound("act", lambda given: None)
    tale = _opened()
    tale.model(wants(("c1", '{"x":1,"place":8}')))
    decision = _next(tale, tools={"act": act}, **_framed())
    assert isinstance(decision, ToolCalls)
    (planned,) = decision.planned
    assert planned.arguments == {"x": 1, "place": 7}
    assert planned.match.key == tool_key("act", '{"place":7,"x":1}')


def test_what_was_opened_in_vain_fails_the_run() -> None:
    """An opening that fails ends the run with its error; one in flight begins again, unless it may have acted."""
    tale = Tale().asked()
    step = _begun(tale)
    again = _aside(tale)
    assert again.again is not None
    assert again.again.seq == step
    tale.failed(step, "no such place")
    decision = _next(tale, **_framed())
    assert isinstance(decision, Fail)
    assert decision.error.message == "no such place"
    once = _framed("once")
    tale = Tale().asked()
    _begun(tale, **once)
    assert isinstance(_next(tale, **once), Lost)
    assert isinstance(_next(Tale().asked(), limits=Limits(steps=0), **_framed()), Fail)


def test_a_loop_closes_after_the_answer() -> None:
    """The closing is given the answer, and its result is the output; if it fails, the model is told why."""
    tale = _opened()
    tale.model("It greets.")
    planned = _aside(tale)
    assert (planned.tool.spec.name, planned.arguments) == ("close", {"answer": "It greets."})
    tale.done(_begun(tale), {"a": 1})
    decision = _next(tale, **_framed())
    assert isinstance(decision, Finish)
    assert decision.output == b'{"a":1}'
    tale = _opened()
    tale.model("It greets.")
    tale.failed(_begun(tale), "cite it")
    decision = _next(tale, **_framed())
    assert isinstance(decision, RejectOutput)
    assert decision.reason == "cite it"
    assert isinstance(_next(tale, limits=Limits(output_retries=0), **_framed()), Fail)
    tale.tell(OutputRejected(reason=decision.reason))
    assert isinstance(_next(tale, **_framed()), ModelCall)
