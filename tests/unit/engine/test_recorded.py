"""What a run asked and what came back, read from its events."""

from __future__ import annotations

import msgspec
import pytest

from runwright.core.event import (
    Data,
    Event,
    GuardDecided,
    MessageDelta,
    StepCompleted,
    StepFailed,
    StepRestarted,
    StepStarted,
)
from runwright.core.money import Cost
from runwright.core.run import ErrorInfo, Run
from runwright.core.usage import Usage
from runwright.engine.recorded import CUT, TRANSIENT, Attempted, RecordedCall, RecordedRun, read_calls
from tests.unit.engine.recording import MODEL, SINCE, moment, run_of

MODEL_STEP = StepStarted(kind="model", name=MODEL, key="k", request=msgspec.Raw(b'{"model":"openai:m","settings":{}}'))
TOOL_STEP = StepStarted(kind="tool", name="look", key="k", effect="read", request=msgspec.Raw(b"{}"))
DOWN = "ProviderUnavailable: 503"


def read(*told: tuple[float, Data], run: Run | None = None, step: int = 1) -> RecordedRun:
    """The calls of a run with these events, numbered from 1; all are about one step."""
    events = [
        Event("run_1", seq, moment(at), data, None if isinstance(data, StepStarted) else step)
        for seq, (at, data) in enumerate(told, start=1)
    ]
    return read_calls(run or run_of("run_1", 0.0, end=100.0), events, SINCE)


def call_of(*told: tuple[float, Data]) -> RecordedCall:
    """The one call that these events tell of."""
    (call,) = read(*told).calls
    return call


def shown(call: RecordedCall) -> list[tuple[str, float, float, str]]:
    """Its attempts in short."""
    return [(each.target, each.at, round(each.took_s, 6), each.error) for each in call.attempts]


def decided(layer: str, action: str, **fields: object) -> GuardDecided:
    """A decision of the guard."""
    return GuardDecided(layer=layer, action=action, **fields)  # pyright: ignore[reportArgumentType] - fields of a test's choice


def failed(code: str, message: str = "no") -> StepFailed:
    """The end of a step that failed."""
    return StepFailed(error=ErrorInfo(code=code, message=message))


def test_a_plain_call_is_one_attempt() -> None:
    """A call without decisions was sent when its step began, and answered when it ended."""
    usage = Usage(input_tokens=3, output_tokens=2)
    end = StepCompleted(finish_reason="stop", usage=usage, cost=Cost(nano_usd=5, source="x"))
    call = call_of((1.0, MODEL_STEP), (3.0, end))
    assert shown(call) == [(MODEL, 1.0, 2.0, "")]
    assert (call.answered, call.error, call.took_s, call.usage, call.nano_usd) == (MODEL, "", 2.0, usage, 5)


def test_resends_and_a_switch_are_attempts() -> None:
    """Each attempt has its own target, time and error; waiting is no part of any."""
    call = call_of(
        (1.0, MODEL_STEP),
        (2.0, decided("retry", "resend", target=MODEL, attempt=2, wait_s=3.0, reason=DOWN)),
        (5.0, StepRestarted(attempt=2, cause="retry")),
        (6.0, decided("retry", "gave_up", target=MODEL, reason="ProviderTimeout: late; no attempt is left of 2")),
        (6.0, decided("fallback", "switched", target="openai:n", reason="ProviderTimeout: late")),
        (6.5, StepRestarted(attempt=3, cause="fallback")),
        (9.0, StepCompleted(finish_reason="stop")),
    )
    assert shown(call) == [
        (MODEL, 1.0, 1.0, "provider_unavailable"),
        (MODEL, 5.0, 1.0, "provider_timeout"),
        ("openai:n", 6.5, 2.5, ""),
    ]
    assert call.answered == "openai:n"


def test_what_was_refused_was_not_sent() -> None:
    """A breaker that refuses leaves no attempt, and what is switched to then is the first."""
    switched = decided("fallback", "switched", target="openai:n", reason="BreakerOpen: rests")
    call = call_of((1.0, MODEL_STEP), (1.0, decided("breaker", "refused")), (1.0, switched), (2.0, StepCompleted()))
    assert shown(call) == [("openai:n", 1.0, 1.0, "")]
    alone = call_of((1.0, MODEL_STEP), (1.0, decided("breaker", "refused")), (1.0, failed("breaker_open")))
    assert (shown(alone), alone.error) == ([], "breaker_open")
    kept = call_of((1.0, MODEL_STEP), (1.0, decided("cache", "hit")), (1.0, StepCompleted()))
    assert (shown(kept), kept.error) == ([], "")


def test_waiting_in_line_comes_before_the_attempt() -> None:
    """A call that waited for a limit was sent when that was over."""
    waited = decided("rate", "waited", wait_s=4.0)
    call = call_of((1.0, MODEL_STEP), (5.0, waited), (6.0, StepCompleted()))
    assert shown(call) == [(MODEL, 5.0, 1.0, "")]
    assert call.took_s == 5.0


def test_of_two_that_race_one_is_cut() -> None:
    """A hedge leaves two attempts: the one that answered, and one of which the end is not known."""
    doubled, won = decided("hedge", "doubled"), decided("hedge", "won", reason="the second was first to begin")
    call = call_of((1.0, MODEL_STEP), (3.0, doubled), (4.0, won), (5.0, StepCompleted()))
    assert shown(call) == [(MODEL, 1.0, 3.0, CUT), (MODEL, 3.0, 2.0, "")]
    both = call_of((1.0, MODEL_STEP), (3.0, doubled), (4.0, failed("provider_rejected")))
    assert shown(both) == [(MODEL, 1.0, 3.0, "provider_rejected"), (MODEL, 3.0, 1.0, "provider_rejected")]


def test_what_a_provider_asked_for_is_kept() -> None:
    """The pause of a 429 is what the provider asked for, without the chance that was put on top."""
    call = call_of(
        (1.0, MODEL_STEP),
        (2.0, decided("rate", "slowed", wait_s=3.4, reason="it answered 429 with Retry-After")),
        (2.0, decided("retry", "resend", reason="RateLimited: 429")),
        (6.0, StepRestarted(attempt=2, cause="retry")),
        (7.0, StepCompleted()),
    )
    assert [(each.error, each.retry_after_s) for each in call.attempts] == [("rate_limited", 3.0), ("", None)]


def test_the_first_chunk_is_kept_where_it_is_known() -> None:
    """Deltas that are still there say when an attempt began to answer."""
    call = call_of((1.0, MODEL_STEP), (1.5, MessageDelta(text="a")), (2.0, failed("provider_unavailable")))
    assert call.attempts == (Attempted(target=MODEL, at=1.0, took_s=1.0, error="provider_unavailable", begun_s=0.5),)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("ConnectionError: gone", TRANSIENT),
        ("ReadTimeout: late", "tool_failed"),
        ("ConnectTimeout: late", "tool_failed"),
        ("NetworkError: gone", TRANSIENT),
        ("ValueError: no", "tool_failed"),
        ("UnicodeDecodeError: no", "tool_failed"),
        ("", "tool_failed"),
    ],
)
def test_what_a_tool_raised_can_pass_or_not(message: str, error: str) -> None:
    """An error of anybody's code is judged by its name, as the guard judges it."""
    call = call_of((1.0, TOOL_STEP), (2.0, failed("tool_failed", message)))
    assert [each.error for each in call.attempts] == [error]


@pytest.mark.parametrize("end", [failed("cancelled"), failed("superseded")])
def test_what_was_given_up_is_left_out(end: StepFailed) -> None:
    """A call that was cancelled has no outcome, and is counted as left out."""
    found = read((1.0, MODEL_STEP), (2.0, end))
    assert (found.calls, found.left_out) == ((), 1)


def test_what_began_again_in_another_process_is_left_out() -> None:
    """A call that a crash cut in two has no duration."""
    found = read((1.0, MODEL_STEP), (90.0, StepRestarted(attempt=2, cause="crash")), (91.0, StepCompleted()))
    assert (found.calls, found.left_out) == ((), 1)


def test_a_replayed_answer_is_no_call() -> None:
    """What a tape answered was not sent."""
    found = read((1.0, MODEL_STEP), (1.0, StepCompleted(taped=4)))
    assert (found.calls, found.left_out) == ((), 1)


def test_calls_follow_those_of_their_own_lane() -> None:
    """A call comes after those of its lane, and of lanes above and below, but not of those beside."""
    told = [
        ("", 1.0, 2.0),
        ("a", 2.5, 5.0),
        ("b", 2.5, 3.0),
        ("b", 3.5, 4.0),
        ("a", 5.5, 6.0),
        ("", 7.0, 8.0),
    ]
    events: list[Event] = []
    for place, (lane, at, end) in enumerate(told):
        begun = msgspec.structs.replace(TOOL_STEP, lane=lane, nth=place)
        events += [
            Event("r", 2 * place + 1, moment(at), begun),
            Event("r", 2 * place + 2, moment(end), StepCompleted(), 2 * place + 1),
        ]
    events.sort(key=lambda event: (event.ts, event.seq))
    run = read_calls(run_of("r", 0.0, end=9.0), events, SINCE)
    lanes = sorted(told, key=lambda each: each[1])
    assert [lane for lane, _, _ in lanes] == ["", "a", "b", "b", "a", ""]
    assert [(call.follows, call.gap_s) for call in run.calls] == [
        ((), 1.0),
        ((0,), 0.5),
        ((0,), 0.5),
        ((2,), 0.5),
        ((1,), 0.5),
        ((3, 4), 1.0),
    ]
    assert (run.took_s, run.tail_s) == (9.0, 1.0)


def test_the_call_that_ended_its_run_is_known() -> None:
    """A run failed by a call if it ended with the error of that."""
    row = run_of("run_1", 0.0, status="failed", end=3.0)
    error = ErrorInfo(code="provider_unavailable", message="503 from there")
    run = msgspec.structs.replace(row, error=error)
    (fatal,) = read((1.0, MODEL_STEP), (2.0, StepFailed(error=error)), run=run).calls
    assert fatal.is_fatal
    (other,) = read((1.0, MODEL_STEP), (2.0, failed("provider_timeout", "late")), run=run).calls
    assert not other.is_fatal


def test_a_conversation_grows() -> None:
    """What a model call is expected to use covers what earlier calls had sent, from the steps that it goes on from."""
    said = msgspec.Raw(b'{"role":"user","content":"' + b"x" * 400 + b'"}')
    first = msgspec.structs.replace(MODEL_STEP, messages=(said,))
    second = msgspec.structs.replace(MODEL_STEP, base=1, messages=(said,), nth=1)
    events = [
        Event("r", 1, moment(1), first),
        Event("r", 2, moment(2), StepCompleted(), 1),
        Event("r", 3, moment(3), second),
        Event("r", 4, moment(4), StepCompleted(), 3),
    ]
    one, two = read_calls(run_of("r", 0.0, end=5.0), events, SINCE).calls
    assert two.asks.input_tokens == 2 * one.asks.input_tokens > 200
    assert two.asks.output_tokens == one.asks.output_tokens == 1024


def test_calls_of_no_duration_keep_their_order() -> None:
    """What took no time at all comes before what began at that moment, and is waited for."""
    events: list[Event] = []
    for nth in range(3):
        begun = msgspec.structs.replace(TOOL_STEP, nth=nth)
        seq = len(events) + 1
        events += [Event("r", seq, moment(1), begun), Event("r", seq + 1, moment(1), StepCompleted(), seq)]
    run = read_calls(run_of("r", 0.0, end=1.0), events, SINCE)
    assert [(call.follows, call.gap_s) for call in run.calls] == [((), 1.0), ((0,), 0.0), ((1,), 0.0)]
