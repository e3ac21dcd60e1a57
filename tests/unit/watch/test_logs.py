"""Logs: lines for runs, context, redaction, rotation."""

import io
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from runwright.core.event import (
    NULL,
    Data,
    Event,
    MessageDelta,
    RunCompleted,
    RunFailed,
    RunWaiting,
    StepFailed,
    StepStarted,
)
from runwright.core.money import Cost
from runwright.core.run import ErrorInfo, Run, RunStatus
from runwright.core.usage import Usage
from runwright.errors import ConfigError, ToolFailed
from runwright.watch.logs import REDACTED, Logs, Redaction, context, raised

START = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "hunter2-hunter2"


def a_run(status: RunStatus) -> Run:
    """A run with usage and cost."""
    return Run(
        id="run_1",
        agent="support",
        version="1",
        fingerprint="f",
        status=status,
        created_at=START,
        started_at=START,
        usage=Usage(input_tokens=5, output_tokens=2),
        cost=Cost(nano_usd=1_000_000, source="table"),
        error=ErrorInfo(code="tool_failed", message="no luck", step=4) if status == "failed" else None,
    )


def told(*bodies: Data) -> Sequence[Event]:
    """Events two seconds after the start."""
    ts = START + timedelta(seconds=2)
    return [
        Event("run_1", seq, ts, data, 1 if isinstance(data, StepFailed) else None) for seq, data in enumerate(bodies)
    ]


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    """JSON lines without their time."""
    found = [msgspec.json.decode(line, type=dict[str, object]) for line in stream.getvalue().splitlines()]
    for line in found:
        assert str(line.pop("timestamp")).endswith("Z")
    return found


def test_one_line_for_a_run_that_ends() -> None:
    """A run that ends is one line with agent, duration, tokens and cost."""
    stream = io.StringIO()
    with Logs(stream=stream) as logs:
        logs.record(a_run("completed"), told(StepStarted(kind="tool", name="x", key="k"), RunCompleted(output=NULL)))
    assert lines(stream) == snapshot(
        [
            {
                "event": "run completed",
                "level": "info",
                "logger": "runwright.runs",
                "run": "run_1",
                "agent": "support",
                "duration_s": 2.0,
                "input_tokens": 5,
                "output_tokens": 2,
                "cost_usd": "0.001",
            }
        ]
    )


def test_a_failed_run_is_a_warning_with_its_error() -> None:
    """A run that fails is a warning that says why."""
    stream = io.StringIO()
    with Logs(stream=stream) as logs:
        logs.record(a_run("failed"), told(RunFailed(error=ErrorInfo(code="tool_failed", message="no luck"))))
    [line] = lines(stream)
    assert (line["level"], line["event"], line["code"], line["error"]) == (
        "warning",
        "run failed",
        "tool_failed",
        "no luck",
    )


def test_a_waiting_run_is_a_warning_with_its_reason() -> None:
    """A run that waits is a warning that says what for."""
    stream = io.StringIO()
    with Logs(stream=stream) as logs:
        logs.record(a_run("waiting"), told(RunWaiting(reason="unknown_effect", detail="pay")))
    [line] = lines(stream)
    assert (line["level"], line["reason"], line["detail"]) == ("warning", "unknown_effect", "pay")


def test_debug_has_a_line_for_each_event() -> None:
    """At debug every event is a line with its number, without bodies."""
    stream = io.StringIO()
    error = ErrorInfo(code="tool_failed", message="no luck")
    with Logs(stream=stream, level="debug") as logs:
        logs.record(a_run("running"), told(StepStarted(kind="tool", name="pay", key="k"), StepFailed(error=error)))
        logs.record(a_run("running"), told(MessageDelta(text="private")))
    assert [(line["event"], line["seq"]) for line in lines(stream)] == [
        ("step.started", 0),
        ("step.failed", 1),
        ("message.delta", 0),
    ]
    assert "private" not in stream.getvalue()


def test_context_stands_on_every_line_inside() -> None:
    """Fields of a context are on the lines of its block, and those of an inner one beside them."""
    stream = io.StringIO()
    with Logs(stream=stream):
        with context(run="run_1", step=3):
            logging.getLogger("runwright.engine").warning("slow")
            with context(step=4):
                logging.getLogger("runwright.server").warning("slower", extra={"took_s": 2})
        logging.getLogger("runwright.engine").warning("outside")
    assert [(line["event"], line.get("run"), line.get("step"), line.get("took_s")) for line in lines(stream)] == [
        ("slow", "run_1", 3, None),
        ("slower", "run_1", 4, 2),
        ("outside", None, None, None),
    ]


def test_secrets_are_redacted_by_name_and_by_value() -> None:
    """A secret does not appear: not as a field, not nested, not in the text, not in a traceback."""
    stream = io.StringIO()
    logger = logging.getLogger("runwright.tools")
    with Logs(stream=stream, secrets=[SECRET]):
        headers = {"Authorization": "Bearer abc", "X-Thing": [f"has {SECRET}"]}
        logger.warning("sent %s", SECRET, extra={"api_key": "abc", "headers": headers, "input_tokens": 3})
        try:
            raise ValueError(SECRET)
        except ValueError:
            logger.exception("failed")
    assert SECRET not in stream.getvalue()
    first, second = lines(stream)
    assert first["event"] == f"sent {REDACTED}"
    assert first["headers"] == {"Authorization": REDACTED, "X-Thing": [f"has {REDACTED}"]}
    assert (first["api_key"], first["input_tokens"]) == (REDACTED, 3)
    assert f"ValueError: {REDACTED}" in str(second["exception"])


@given(st.text(), st.text(min_size=4), st.text())
def test_a_known_value_is_never_left(before: str, secret: str, after: str) -> None:
    """Whatever stands around a secret value, it is replaced."""
    cleaned = Redaction([secret])({"event": before + secret + after})
    assert REDACTED in str(cleaned["event"])


def test_code_of_others_that_raises_is_told_by_its_place(caplog: pytest.LogCaptureFixture) -> None:
    """The line names the places that the error went through, and leaves out what it said and what is no fault."""
    for error in (ValueError("s3cret"), ToolFailed("no"), SystemExit(1)):
        try:
            _raises(error)
        except BaseException as caught:  # noqa: BLE001 - SystemExit is one of them
            raised("tool 'pay'", caught)
    (record,) = caplog.records
    line = _raises.__code__.co_firstlineno + 1
    assert record.levelname == "WARNING"
    assert record.getMessage().endswith(f"{__file__}:{line} in _raises")
    assert record.getMessage().startswith("tool 'pay' raised ValueError at ")
    assert "s3cret" not in record.getMessage()


def _raises(error: BaseException) -> None:
    raise error


def test_libraries_are_heard_from_warnings_on() -> None:
    """Lines of other packages count from warnings on, even at debug."""
    stream = io.StringIO()
    with Logs(stream=stream, level="debug"):
        logging.getLogger("somelib").info("chatter")
        logging.getLogger("somelib").warning("trouble")
    assert [line["event"] for line in lines(stream)] == ["trouble"]


def test_the_console_is_for_people() -> None:
    """Console lines are text with the fields behind the event."""
    stream = io.StringIO()
    with Logs(stream=stream, is_json=False) as logs:
        logs.record(a_run("completed"), told(RunCompleted(output=NULL)))
        logging.getLogger("runwright.tools").error("odd\x1b[2J", exc_info=ValueError("why"))
    first, second, *below = stream.getvalue().splitlines()
    assert first[24:] == (
        " info     run completed                logger=runwright.runs run=run_1 agent=support "
        "duration_s=2.0 input_tokens=5 output_tokens=2 cost_usd=0.001"
    )
    assert second.split()[1:] == ["error", "'odd\\x1b[2J'", "logger=runwright.tools"]
    assert below == ["ValueError: why"]
    assert "\x1b" not in stream.getvalue()


def test_the_level_has_a_color() -> None:
    """Where the terminal takes colors, the level has one, and nothing else."""
    stream = io.StringIO()
    with Logs(stream=stream, is_json=False, is_colored=True):
        logging.getLogger("runwright").warning("odd")
    assert "\x1b[33mwarning \x1b[0m odd" in stream.getvalue()


def test_a_file_gets_json_too(tmp_path: Path) -> None:
    """With a file, each line is there as JSON, whatever the console shows; its folder is made."""
    file = tmp_path / "log" / "runwright.log"
    with Logs(stream=io.StringIO(), is_json=False, file=file) as logs:
        logs.record(a_run("completed"), told(RunCompleted(output=NULL)))
    assert msgspec.json.decode(file.read_bytes(), type=dict[str, object])["event"] == "run completed"


def test_the_file_is_rotated_daily(tmp_path: Path) -> None:
    """A file of an earlier day is moved aside, and old ones are dropped."""
    file = tmp_path / "runwright.log"
    days = [f"2026-01-0{day}" for day in range(1, 6)]
    for day in days:
        (tmp_path / f"runwright.log.{day}").write_text("old\n")
    with Logs(stream=io.StringIO(), file=file, keep_days=2) as logs:
        [handler] = [each for each in logging.getLogger().handlers if hasattr(each, "doRollover")]
        handler.doRollover()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - the rotating handler
        logs.record(a_run("completed"), told(RunCompleted(output=NULL)))
    kept = sorted(path.name for path in tmp_path.glob("runwright.log.*"))
    assert len(kept) == 2
    assert file.read_text().count("\n") == 1


def test_a_file_that_cannot_be_opened_is_a_config_error(tmp_path: Path) -> None:
    """A log file in an impossible place is refused by name."""
    (tmp_path / "x").write_text("")
    with pytest.raises(ConfigError, match=r"x/y\.log"), Logs(file=tmp_path / "x" / "y.log"):
        pass


def test_logging_is_as_before_afterwards() -> None:
    """Leaving takes the handlers away and gives the levels back."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.getLogger("runwright").level)
    with Logs(stream=io.StringIO()):
        pass
    assert (list(root.handlers), root.level, logging.getLogger("runwright").level) == before
