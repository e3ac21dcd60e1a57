"""Personal data out of exported runs: consistent pseudonyms, and keys made again, so that the run still replays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, cast

import msgspec
from msgspec.structs import replace

from runwright.core.event import Data, Event, MessageCompleted, StepStarted
from runwright.core.message import AssistantMessage, Said, SystemMessage, chain_digest, digest, said_raw
from runwright.core.model import ModelRequest, ModelSettings, OutputSpec
from runwright.core.replay import Replay
from runwright.core.run import ErrorInfo
from runwright.engine.asking import Manifest
from runwright.engine.decide import model_key, tool_key
from runwright.errors import InvalidRequest
from runwright.journal.export import Bundle, RecordedRun, Told, events_of
from runwright.journal.requests import sent_messages

RULES: Final[Mapping[str, str]] = {
    "email": r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}+@[A-Za-z0-9.-]{1,253}\.[A-Za-z]{2,24}",
    "iban": r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b",
    "card": r"(?<![\w.+])(?:\d[ -]?){12,18}\d(?![\w.])",
    "phone": r"(?<![\w.])(?:\+|0)\d{1,4}(?:[ ./()-]{0,2}\d{2,5}){2,4}(?![\w.])",
    "ip": r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])",
}
"""Rules by name, as regular expressions, in the order in which they are applied."""

TEXTS: Final = ("reasoning", "reason", "detail", "difference", "message", "note", "by", "text", "arguments")
"""Fields of events that hold text, beside those that hold JSON."""

Value = object


class Redactor:
    """Replaces what rules find, the same text always by the same pseudonym, such as `<email-1>`."""

    def __init__(self, rules: Sequence[str]) -> None:
        """Rules are names of RULES, or `name=regular expression`. Raises InvalidRequest."""
        self.names: tuple[str, ...] = ()
        self._rules: list[tuple[str, re.Pattern[str]]] = []
        self._pseudonyms: dict[tuple[str, str], str] = {}
        self._counts: Counter[str] = Counter()
        order = [*RULES]
        for rule in sorted(rules, key=lambda rule: order.index(rule) if rule in RULES else len(order)):
            name, _, own = rule.partition("=")
            if not own and name not in RULES:
                raise InvalidRequest(f"There is no rule {name!r}; there are {', '.join(RULES)}, or NAME=REGEX.")
            try:
                self._rules.append((name, re.compile(own or RULES[name])))
            except re.error as error:
                raise InvalidRequest(f"The rule {name!r} is no regular expression: {error}.") from error
            self.names += (name,)

    def text(self, text: str) -> str:
        """A text without what the rules find."""
        for name, pattern in self._rules:
            text = pattern.sub(lambda found, name=name: self._pseudonym(name, found[0]), text)
        return text

    def json(self, raw: bytes) -> bytes:
        """JSON text whose strings, names among them, are without it."""
        value: object = msgspec.json.decode(raw)
        changed = self._value(value)
        return raw if changed == value else msgspec.json.encode(changed)

    def _value(self, value: Value) -> Value:
        match value:
            case str():
                return self.text(value)
            case list():
                return [self._value(each) for each in cast("list[object]", value)]
            case dict():
                pairs = cast("dict[str, object]", value).items()
                return {self.text(name): self._value(each) for name, each in pairs}
            case _:
                return value

    def _pseudonym(self, name: str, found: str) -> str:
        if (name, found) not in self._pseudonyms:
            self._counts[name] += 1
            self._pseudonyms[name, found] = f"<{name}-{self._counts[name]}>"
        return self._pseudonyms[name, found]


def redacted(bundle: Bundle, rules: Sequence[str]) -> Bundle:
    """A bundle without personal data. A run that cannot be replayed any more says why. Raises InvalidRequest."""
    redactor = Redactor(rules)
    return Bundle(runs=tuple(_run(each, redactor) for each in bundle.runs), redacted=redactor.names)


def _run(recording: RecordedRun, redactor: Redactor) -> RecordedRun:
    before = events_of(recording)
    told = [_told(each, redactor) for each in recording.events]
    after = events_of(RecordedRun(run=recording.run, events=tuple(told)))
    problems = _make_keys(before, after, told)
    run = recording.run
    free = replace(
        run,
        user=run.user and redactor.text(run.user),
        group=run.group and redactor.text(run.group),
        tags=tuple(map(redactor.text, run.tags)),
        metadata={redactor.text(name): redactor.text(value) for name, value in run.metadata.items()},
        error=run.error and replace(run.error, message=redactor.text(run.error.message)),
        tainted=(*run.tainted, *dict.fromkeys(problems)),
    )
    return RecordedRun(run=free, events=tuple(told))


def _told(told: Told, redactor: Redactor) -> Told:
    data = told.data
    changed: dict[str, object] = {}
    for field in data.__struct_fields__:
        value: object = getattr(data, field)
        if field in data.bulky:
            changed[field] = _raw(value, redactor.json)
        elif isinstance(value, Replay):
            results = {seq: msgspec.Raw(redactor.json(bytes(result))) for seq, result in value.results.items()}
            changed[field] = replace(value, results=results)
        elif isinstance(value, ErrorInfo):
            changed[field] = replace(value, message=redactor.text(value.message))
        elif field in TEXTS and isinstance(value, str):
            changed[field] = redactor.text(value)
    return replace(told, data=replace(data, **changed))


def _raw(value: object, change: Callable[[bytes], bytes]) -> object:
    if isinstance(value, tuple):
        return tuple(msgspec.Raw(change(bytes(part))) for part in cast("tuple[msgspec.Raw, ...]", value))
    return msgspec.Raw(change(bytes(cast("msgspec.Raw", value))))


def _make_keys(before: Sequence[Event], after: Sequence[Event], told: list[Told]) -> Iterable[str]:
    """Give the steps in `told` the keys of what they ask now. Tells what stands in the way of a replay."""
    old, fresh = _Keys(before), _Keys(after)
    problems: list[str] = []
    for index, (event, changed) in enumerate(zip(before, after, strict=True)):
        if not isinstance(event.data, StepStarted) or not isinstance(changed.data, StepStarted):
            continue
        if old.instructions(event.seq) != fresh.instructions(changed.seq):
            problems.append("its instructions held personal data, which was taken out")
        # Of the ways to make a key, the one that made the recorded key makes the one in its place.
        ways = zip(old.candidates(event), fresh.candidates(changed), strict=True)
        key = next((made for recorded, made in ways if recorded == event.data.key), None)
        if key is None:
            problems.append(f"the key of step {event.seq} ({event.data.name}) cannot be made again without its data")
        else:
            data: Data = replace(changed.data, key=key)
            told[index] = replace(told[index], data=data)
    return problems


class _Keys:
    """The keys that the steps of a run can have, from what they ask."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._sent = {seq: [said_raw(bytes(raw)) for raw in raws] for seq, raws in sent_messages(events).items()}
        self._steps = {event.seq: event.data for event in events if isinstance(event.data, StepStarted)}
        self._arguments: dict[str, str] = {}
        for event in events:
            if isinstance(event.data, MessageCompleted):
                message = said_raw(bytes(event.data.message)).message
                if isinstance(message, AssistantMessage):
                    self._arguments |= {call.id: call.arguments for call in message.tool_calls}

    def instructions(self, seq: int) -> Sequence[bytes]:
        """The system messages of a model step."""
        return [entry.raw for entry in self._sent.get(seq, ()) if isinstance(entry.message, SystemMessage)]

    def candidates(self, event: Event) -> Sequence[str]:
        """All keys that a step may have been given: by a loop, or by a code flow."""
        step = self._steps[event.seq]
        if step.kind != "model":
            texts = [bytes(step.request).decode(), self._arguments.get(step.call_id or "", "")]
            return [tool_key(step.name, text) for text in texts]
        sent = self._sent[event.seq]
        request = self._request(step)
        return [model_key(request, head) for head in (_loop_head(sent), chain_digest(sent))]

    def _request(self, step: StepStarted) -> ModelRequest:
        manifest = msgspec.json.decode(step.request, type=Manifest)
        first = step
        while first.base is not None:
            first = self._steps[first.base]
        tools = bytes(first.tools)
        return ModelRequest(
            model=manifest.model,
            messages=(),
            tools_raw=b"" if tools == b"null" else tools,
            tool_choice=manifest.tool_choice,
            output=msgspec.json.decode(manifest.output, type=OutputSpec | None),
            settings=msgspec.json.decode(manifest.settings, type=ModelSettings),
        )


def _loop_head(sent: Sequence[Said]) -> bytes:
    """The digest of a loop's messages: its instructions stand before the rolling digest of the conversation."""
    system = [entry for entry in sent if isinstance(entry.message, SystemMessage)]
    rest = [entry for entry in sent if not isinstance(entry.message, SystemMessage)]
    return digest(b"".join(entry.digest for entry in system) + chain_digest(rest))
