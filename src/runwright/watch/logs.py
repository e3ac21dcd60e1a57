"""Logs: JSON or console lines on stderr, JSON in a file that is rotated daily, secrets made unreadable.

Modules log through the standard library under `runwright`; `Logs` decides what becomes of it.
As a reader of the journal it writes one line per run that ends or waits and, at debug, one per event.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache, partial
from logging.handlers import TimedRotatingFileHandler
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self, TextIO, cast

import msgspec

from runwright.core.event import Event, RunWaiting, StepFailed, StepStarted
from runwright.core.redact import REDACTED, KnownSecrets
from runwright.core.run import Run
from runwright.errors import ConfigError, RunwrightError

SECRET_NAME = re.compile(
    r"(^|[_.-])(api_?key|key|secret|secrets|token|password|passwd|authorization|cookie|credentials?)$", re.IGNORECASE
)
LOGGER = "runwright"
RUNS = "runwright.runs"
FIELDS = "runwright_fields"
PLACES = 5
"""Lines of code that are told of one error, the innermost ones."""

COLORS: Final = {"debug": 32, "info": 32, "warning": 33, "error": 31, "critical": 31}
"""Green, yellow and red for levels (ECMA-48, SGR)."""

Fields = dict[str, object]
_context: ContextVar[Mapping[str, object]] = ContextVar("log_context", default=MappingProxyType({}))
# What every record has; the rest was given as `extra`. Another handler that has formatted it leaves its text there.
_OWN: Final = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "color_message"})


class Logs(AbstractContextManager["Logs"]):
    """Owns where log lines go while it is entered. `secrets` are values that never appear.

    Raises ConfigError on entry when the file cannot be opened.
    """

    def __init__(
        self,
        *,
        level: str = "info",
        is_json: bool = True,
        is_colored: bool = False,
        stream: TextIO | None = None,
        file: Path | None = None,
        keep_days: int = 14,
        secrets: Iterable[str] = (),
    ) -> None:
        self._level = logging.getLevelNamesMapping()[level.upper()]
        self._redact = Redaction(secrets)
        self._stream = stream or sys.stderr
        self._render = _json if is_json else partial(_line_of, is_colored=is_colored)
        self._file = file
        self._keep_days = keep_days
        self._handlers: list[logging.Handler] = []
        self._record = logging.makeLogRecord({})
        self._before = logging.WARNING

    def __enter__(self) -> Self:
        self._handlers = [self._handler(logging.StreamHandler(self._stream), self._render)]
        if self._file is not None:
            self._handlers.append(self._handler(_rotating(self._file, self._keep_days), _json))
        root = logging.getLogger()
        for handler in self._handlers:
            root.addHandler(handler)
        self._before = root.level
        # Libraries speak from warnings on: their own debug lines are about them, not about runs.
        root.setLevel(max(self._level, logging.WARNING))
        logging.getLogger(LOGGER).setLevel(self._level)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        root = logging.getLogger()
        for handler in self._handlers:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(self._before)
        logging.getLogger(LOGGER).setLevel(logging.NOTSET)

    def record(self, run: Run, events: Sequence[Event]) -> None:
        """Write a line for a run that ended or waits and, at debug, one for each event."""
        is_debug = self._level <= logging.DEBUG
        for event in events:
            if is_debug:
                self._line(logging.DEBUG, event.type, _event_fields(run, event))
            if event.is_terminal:
                level = logging.WARNING if run.status == "failed" else logging.INFO
                self._line(level, f"run {run.status}", _run_fields(run, event))
            elif isinstance(event.data, RunWaiting):
                extra = _run_fields(run, event) | {"reason": event.data.reason, "detail": event.data.detail}
                self._line(logging.WARNING, "run waiting", extra)

    def _line(self, level: int, event: str, fields: dict[str, object]) -> None:
        """A line about a run, straight to the handlers: the detour through a logger costs 20 us a run."""
        if level < self._level:
            return
        head = {"timestamp": _moment(time.time()), "event": event, "level": logging.getLevelName(level).lower()}
        # Built anew, a record costs 5 us; only the journal's thread comes here.
        record = self._record
        record.__dict__[FIELDS] = {**head, "logger": RUNS, **fields}
        for handler in self._handlers:
            handler.handle(record)

    def _handler(self, handler: logging.Handler, render: Callable[[Fields], str]) -> logging.Handler:
        handler.setFormatter(_Formatter(self._redact, render))
        return handler


class _Formatter(logging.Formatter):
    """Makes a line of a record: of its fields where it has some, as lines about runs do."""

    def __init__(self, redact: Redaction, render: Callable[[Fields], str]) -> None:
        super().__init__()
        self._redact = redact
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        fields: Fields | None = record.__dict__.get(FIELDS)
        return self._render(self._redact(self._fields(record) if fields is None else fields))

    def _fields(self, record: logging.LogRecord) -> Fields:
        fields: Fields = {
            "timestamp": _moment(record.created),
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            **{name: value for name, value in record.__dict__.items() if name not in _OWN},
            **_context.get(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = record.stack_info
        return fields


@contextmanager
def context(**fields: object) -> Generator[None]:
    """Put fields such as run and step on every line that is logged inside the block, in this task or thread."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def raised(what: str, error: BaseException) -> None:
    """Say where code of others raised. What it said stands in the record, where secrets are taken out.

    Source files are not read for it, so the event loop may come here.
    """
    if not isinstance(error, Exception) or isinstance(error, RunwrightError):
        return
    places: list[str] = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        is_ours = frame.f_globals.get("__name__", "").partition(".")[0] in ("runwright", "anyio")
        here = f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}"
        places = [] if is_ours else [*places, here]
    told = f" at {', '.join(places[-PLACES:])}" if places else ""
    logging.getLogger(LOGGER).warning("%s raised %s%s", what, type(error).__name__, told)


class Redaction:
    """Makes secrets unreadable: by the name of the field, and known values wherever they stand."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known = KnownSecrets(secrets)

    def __call__(self, fields: Fields) -> Fields:
        """The fields without secrets."""
        return {key: self._clean(key, value) for key, value in fields.items()}

    def _clean(self, key: str, value: object) -> object:
        if value is not None and key and _is_secret(key):
            return REDACTED
        if isinstance(value, str):
            return self._known.text(value)
        if isinstance(value, Mapping):
            return {name: self._clean(str(name), item) for name, item in cast("Mapping[object, object]", value).items()}
        if isinstance(value, list | tuple):
            return [self._clean("", item) for item in cast("Sequence[object]", value)]
        if isinstance(value, int | float | bool) or value is None:
            return value
        return self._clean("", str(value))


@lru_cache(1024)
def _is_secret(name: str) -> bool:
    return SECRET_NAME.search(name) is not None


def _run_fields(run: Run, event: Event) -> dict[str, object]:
    start = run.started_at or run.created_at
    fields: dict[str, object] = {
        "run": run.id,
        "agent": run.agent,
        "duration_s": round((event.ts - start).total_seconds(), 3),
        "input_tokens": run.usage.input_tokens,
        "output_tokens": run.usage.output_tokens,
        "cost_usd": run.cost.usd,
    }
    if run.thread_id is not None:
        fields["thread"] = run.thread_id
    if run.error is not None:
        fields |= {"code": run.error.code, "error": run.error.message, "step": run.error.step}
    return fields


def _event_fields(run: Run, event: Event) -> dict[str, object]:
    fields: dict[str, object] = {"run": run.id, "agent": run.agent, "seq": event.seq}
    if event.step is not None:
        fields["step"] = event.step
    if isinstance(event.data, StepStarted):
        fields |= {"kind": event.data.kind, "tool_or_model": event.data.name}
    elif isinstance(event.data, StepFailed):
        fields |= {"code": event.data.error.code, "error": event.data.error.message}
    return fields


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(fields: Fields) -> str:
    return msgspec.json.encode(fields, enc_hook=repr).decode()


def _line_of(fields: Fields, *, is_colored: bool) -> str:
    """A line for people: time, level, what happened, then the fields; a traceback stands below."""
    shown = dict(fields)
    moment, level, event = (_inert(shown.pop(name)) for name in ("timestamp", "level", "event"))
    traces = [str(shown.pop(name)) for name in ("exception", "stack") if name in shown]
    below = [_inert(line) for trace in traces for line in trace.splitlines()]
    if is_colored:
        level = f"\x1b[{COLORS.get(level, 0)}m{level:<8}\x1b[0m"
    pairs = (f"{name}={_inert(value)}" for name, value in shown.items())
    return "\n".join([f"{moment} {level:<8} {event:<28} {' '.join(pairs)}", *below])


def _inert(value: object) -> str:
    """A value as text that no terminal takes for a command."""
    text = value if isinstance(value, str) else repr(value)
    return text if text.isprintable() else repr(text)


def _rotating(path: Path, keep_days: int) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return TimedRotatingFileHandler(path, when="midnight", utc=True, backupCount=keep_days, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"The log file {str(path)!r} cannot be written: {error.strerror}. Set log.file.") from error
