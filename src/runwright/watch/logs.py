"""Logs: JSON or console lines on stderr, JSON in a file that is rotated daily, secrets made unreadable.

Modules log through the standard library or structlog under `runwright`; `Logs` decides what becomes of it.
As a reader of the journal it writes one line per run that ends or waits and, at debug, one per event.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import lru_cache
from logging.handlers import TimedRotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO, cast

import msgspec
import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from runwright.core.event import Event, RunWaiting, StepFailed, StepStarted
from runwright.core.redact import REDACTED, KnownSecrets
from runwright.core.run import Run
from runwright.errors import ConfigError

SECRET_NAME = re.compile(
    r"(^|[_.-])(api_?key|key|secret|secrets|token|password|passwd|authorization|cookie|credentials?)$", re.IGNORECASE
)
LOGGER = "runwright"
RUNS = "runwright.runs"
FIELDS = "runwright_fields"


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
        self._render: Processor = _json if is_json else structlog.dev.ConsoleRenderer(colors=is_colored)
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
        structlog.configure(
            processors=[structlog.stdlib.filter_by_level, *_shared(), ProcessorFormatter.wrap_for_formatter],
            wrapper_class=structlog.stdlib.BoundLogger,
            logger_factory=structlog.stdlib.LoggerFactory(),
        )
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
        structlog.reset_defaults()

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

    def _handler(self, handler: logging.Handler, render: Processor) -> logging.Handler:
        last: list[Processor] = [ProcessorFormatter.remove_processors_meta, structlog.processors.format_exc_info]
        handler.setFormatter(_Formatter(foreign_pre_chain=_shared(), processors=[*last, self._redact, render]))
        return handler


class _Formatter(ProcessorFormatter):
    """Renders lines about runs, which are fields already, with the last processors alone."""

    def format(self, record: logging.LogRecord) -> str:
        fields: EventDict | None = record.__dict__.get(FIELDS)
        if fields is None:
            return super().format(record)
        redact, render = self.processors[-2:]
        return cast("str", render(None, "", cast("EventDict", redact(None, "", dict(fields)))))


def context(**fields: object) -> AbstractContextManager[Mapping[str, Any]]:
    """Put fields such as run and step on every line that is logged inside the block, in this task or thread."""
    return cast("AbstractContextManager[Mapping[str, Any]]", structlog.contextvars.bound_contextvars(**fields))


class Redaction:
    """Makes secrets unreadable: by the name of the field, and known values wherever they stand."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known = KnownSecrets(secrets)

    def __call__(self, _logger: object, _method: str, fields: EventDict) -> EventDict:
        """The fields without secrets: a structlog processor."""
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


def _shared() -> list[Processor]:
    """What is added to every line, whether it comes from structlog or the standard library."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _stamp,
    ]


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


def _stamp(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # Another handler that has formatted the record leaves its text there.
    fields.pop("message", None)
    record = fields.get("_record")
    moment = record.created if isinstance(record, logging.LogRecord) else datetime.now(UTC).timestamp()
    return {"timestamp": _moment(moment), **fields}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(_logger: object, _method: str, fields: EventDict) -> str:
    return msgspec.json.encode(fields, enc_hook=repr).decode()


def _rotating(path: Path, keep_days: int) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return TimedRotatingFileHandler(path, when="midnight", utc=True, backupCount=keep_days, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"The log file {str(path)!r} cannot be written: {error.strerror}. Set log.file.") from error
