"""What of a conversation is left out, decided without I/O."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runwright.core.event import Event, HistoryCut, RunStarted
from runwright.core.history import History, Summary
from runwright.core.message import (
    AssistantMessage,
    FunctionCall,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
    chain_digest,
    said,
    text_of,
)
from runwright.engine.fold import Conversation, apply, start
from runwright.engine.shorten import LINE, dropped, overlong, request, summarised
from tests.unit.engine.harness import read_text
from tests.unit.engine.tale import NOW

SUMMARY = Summary(reads=100, max_tokens=20)


def _user(text: str) -> tuple[Message, ...]:
    return (UserMessage(content=text),)


def _tools(count: int, size: int = 1) -> tuple[Message, ...]:
    calls = tuple(ToolCall(id=f"c{n}", function=FunctionCall(name="act", arguments="{}")) for n in range(count))
    results = tuple(ToolMessage(tool_call_id=call.id, content="r" * size) for call in calls)
    return (AssistantMessage(tool_calls=calls), *results)


GROUPS = st.one_of(
    st.text("ab ", min_size=1, max_size=30).map(_user),
    st.text("ab ", min_size=1, max_size=30).map(lambda text: (AssistantMessage(content=text),)),
    st.builds(_tools, st.integers(1, 3), st.integers(1, 200)),
    st.just((SystemMessage(content="keep"),)),
)


def _limits(messages: int | None, tokens: int | None, pin: int, *, has_summary: bool) -> History:
    most = messages or (None if tokens else 2)
    return History(messages=most, tokens=tokens, pin=pin, summary=SUMMARY if has_summary else None)


LIMITS = st.builds(
    _limits,
    st.one_of(st.none(), st.integers(2, 12)),
    st.one_of(st.none(), st.integers(2, 300)),
    st.integers(0, 3),
    has_summary=st.booleans(),
)


def _of(*messages: Message) -> Conversation:
    return start(tuple(said(message) for message in messages))


def _more(state: Conversation, messages: Sequence[Message]) -> Conversation:
    held = (*state.messages, *(said(message) for message in messages))
    return replace(state, messages=held, head=chain_digest(held))


def _shortened(state: Conversation, history: History, text: str = "so far") -> Conversation:
    """The conversation when nothing more is left out."""
    while (found := overlong(state, history)) is not None:
        cut = dropped(state, found) if history.summary is None else summarised(state, found, history.summary, text=text)
        before = state
        state = apply(state, Event("run_1", 9, NOW, cut, 7), read_text)
        assert len(state.messages) <= len(before.messages)
        assert state.recap.messages > before.recap.messages
    return state


def _texts(state: Conversation) -> list[str]:
    return [text_of(entry.message) for entry in state.messages]


@given(st.lists(GROUPS, min_size=1, max_size=25), LIMITS)
def test_whatever_was_said_what_stays_holds_together(groups: list[tuple[Message, ...]], history: History) -> None:
    """Results stand behind their calls, instructions and pinned messages stay, and what was left out is counted."""
    state = _of()
    whole: list[Message] = []
    for group in groups:
        whole += group
        state = _shortened(_more(state, group), history)
        kept = [entry.message for entry in state.messages]
        summary = None if state.recap.at is None else _counted(kept)[state.recap.at]
        _are_whole(kept)
        said_since = [message for message in kept if message is not summary]
        assert len(said_since) + state.recap.messages == len(whole)
        assert kept[-1] == whole[-1]
        assert [each for each in kept if isinstance(each, SystemMessage)] == [
            each for each in whole if isinstance(each, SystemMessage)
        ]
        assert _counted(said_since)[: history.pin] == _counted(whole)[: history.pin]
        assert (summary is not None) == (history.summary is not None and state.recap.messages > 0)
        assert state.head == chain_digest(state.messages)
        _begins_with_a_question(kept, whole)


def _counted(messages: Sequence[Message]) -> list[Message]:
    return [each for each in messages if not isinstance(each, SystemMessage)]


def _are_whole(messages: Sequence[Message]) -> None:
    """Behind each message with calls stand all their results, and results stand nowhere else."""
    left: list[str] = []
    for message in _counted(messages):
        if isinstance(message, ToolMessage):
            assert message.tool_call_id == left.pop(0)
            continue
        assert not left
        left = [call.id for call in message.tool_calls] if isinstance(message, AssistantMessage) else []
    assert not left


def _begins_with_a_question(kept: Sequence[Message], whole: Sequence[Message]) -> None:
    first = next(iter(_counted(whole)), None)
    if isinstance(first, UserMessage):
        assert isinstance(_counted(kept)[0], UserMessage)


def test_a_conversation_within_its_limits_stays_whole() -> None:
    """Nothing is left out of what may be sent, to the message and to the token."""
    state = _of(*_user("one"), *_user("two"))
    assert overlong(state, History(messages=2)) is None
    size = sum(len(entry.raw) for entry in state.messages)
    assert overlong(state, History(tokens=-(-size // 4))) is None
    assert overlong(state, History(tokens=-(-size // 4) - 1)) is not None


def test_it_is_cut_to_half() -> None:
    """What is too long is cut to half of what may be sent, so that it is not cut at every step."""
    state = _shortened(_of(*(message for n in range(11) for message in _user(f"m{n}"))), History(messages=10))
    assert _texts(state) == ["m6", "m7", "m8", "m9", "m10"]


def test_a_long_run_keeps_its_question() -> None:
    """Where tools were called many times, the question stays and the newest results."""
    messages = [*_user("why"), *(message for _ in range(6) for message in _tools(1))]
    state = _shortened(_of(*messages), History(messages=8))
    assert _texts(state) == ["why", "", "r", "", "r"]
    assert (state.recap.messages, state.recap.first) == (8, 1)
    longer = _more(state, [message for _ in range(2) for message in _tools(1)])
    assert overlong(longer, History(messages=8)) is None


def test_a_large_question_is_not_summed_up_at_every_step() -> None:
    """A question that is larger than all that may be sent stays, and does not count once it stands apart."""
    history = History(tokens=100)
    state = _of(*_user("q" * 1000))
    cuts = 0
    for _ in range(30):
        before = state.recap.messages
        state = _shortened(_more(state, _tools(1)), history)
        cuts += state.recap.messages > before
    assert state.messages[0].message == UserMessage(content="q" * 1000)
    assert 0 < cuts <= 20


def test_a_summary_is_made_of_the_one_before_and_what_came_since() -> None:
    """The model that sums up sees the old summary and the messages since, and nothing a second time."""
    history = History(messages=4, summary=Summary())
    state = _of(*(message for n in range(5) for message in _user(f"m{n}")))
    found = overlong(state, history)
    assert found is not None
    first = request(state, found, Summary(), model="m")
    assert text_of(first.messages[1].message) == "What was said:\nUser: m0\nUser: m1\nUser: m2"
    state = _shortened(state, history, "three greetings")
    assert _texts(state)[0].splitlines()[1:] == ["<summary>", "three greetings", "</summary>"]
    assert (state.recap.at, state.recap.run, state.recap.step) == (0, "run_1", 7)
    state = _more(state, [message for n in range(5, 8) for message in _user(f"m{n}")])
    found = overlong(state, history)
    assert found is not None
    second = text_of(request(state, found, Summary(), model="m").messages[1].message)
    assert second == "The summary so far:\nthree greetings\n\nWhat was said since:\nUser: m3\nUser: m4\nUser: m5"
    assert [text for text in _texts(_shortened(state, history, "six")) if "summary" in text] == [
        "A summary of what was said before, made by a model:\n<summary>\nsix\n</summary>"
    ]


def test_much_is_summed_up_in_pieces() -> None:
    """More than one step may read takes several, and calls stand with their results between them too."""
    history = History(messages=2, summary=Summary(reads=100))
    state = _of(*(message for _ in range(9) for message in (*_user("x" * 90), *_tools(2, 90))))
    pieces = 0
    while (found := overlong(state, history)) is not None:
        assert history.summary is not None
        asked = request(state, found, history.summary, model="m")
        assert len(text_of(asked.messages[1].message)) < 1000
        cut = summarised(state, found, history.summary, text="short")
        state = apply(state, Event("run_1", 9, NOW, cut, 7), read_text)
        _are_whole([entry.message for entry in state.messages])
        pieces += 1
    assert pieces > 3
    assert state.recap.messages == 36 - len(state.messages) + 1


def test_long_texts_are_shortened_for_the_summary() -> None:
    """Of one message a summary sees the beginning, and of a model that says too much so does the next request."""
    history = History(messages=2, summary=SUMMARY)
    state = _of(*_user("x" * 9000), *_user("b"), *_user("c"))
    found = overlong(state, history)
    assert found is not None
    text = text_of(request(state, found, SUMMARY, model="m").messages[1].message)
    assert text.splitlines()[1] == f"User: {'x' * LINE} [{9000 - LINE} characters more]"
    cut = summarised(state, found, SUMMARY, text="y" * 1000)
    assert b">\\n" + b"y" * 160 + b"\\n<" in bytes(cut.summary)


def test_a_dropped_part_leaves_the_summary_before() -> None:
    """Where there is no new summary, the old one stays in its place."""
    history = History(messages=4, pin=1, summary=SUMMARY)
    state = _shortened(_of(*(message for n in range(6) for message in _user(f"m{n}"))), history, "old")
    assert _texts(state)[0] == "m0"
    state = _more(state, [message for n in range(6, 9) for message in _user(f"m{n}")])
    found = overlong(state, history)
    assert found is not None
    cut = dropped(state, found, reason="no answer")
    state = apply(state, Event("run_2", 9, NOW, cut, 7), read_text)
    assert (state.recap.at, state.recap.run, cut.reason) == (1, "run_1", "no answer")
    assert ["old" in text for text in _texts(state)] == [False, True, False, False]


def test_a_run_goes_on_from_what_was_left_out_before() -> None:
    """What the start of a run says of its history is what it cuts on from."""
    recap = _shortened(_of(*(message for n in range(6) for message in _user(f"m{n}"))), History(messages=4)).recap
    begun = Event("run_2", 2, NOW, RunStarted(loop=1, recap=recap))
    assert apply(start(), begun, read_text).recap == recap


def test_a_cut_is_read_as_it_was_stored() -> None:
    """The event survives its encoding."""
    found = overlong(_of(*_user("a"), *_user("b"), *_user("c")), History(messages=2))
    assert found is not None
    cut = dropped(_of(*_user("a"), *_user("b"), *_user("c")), found)
    assert msgspec.json.decode(msgspec.json.encode(cut), type=HistoryCut) == cut
