"""Secrets in what calls give and raise."""

from collections.abc import Awaitable, Callable

import pytest

from runwright.core.redact import KnownSecrets
from runwright.core.step import StepKind
from runwright.errors import AgentError, NotSent, RunwrightError, ToolFailed
from runwright.guard import Call, compose, default_layers

SECRET = "S3CRETVALUE"
guard = compose(default_layers(KnownSecrets([SECRET])))


def call(kind: StepKind = "tool") -> Call:
    """A call without a time-out."""
    return Call(kind=kind, target="x", effect="read")


def giving(result: object) -> Callable[[], Awaitable[object]]:
    """An attempt that gives this, or raises it."""

    async def attempt() -> object:
        if isinstance(result, BaseException):
            raise result
        return result

    return attempt


async def test_results_hold_no_secret() -> None:
    """A tool's JSON is cleaned; what a model gives is no text and passes."""
    assert await guard(call(), giving(b'{"url":"?key=S3CRETVALUE"}')) == b'{"url":"?key=[redacted]"}'
    response = object()
    assert await guard(call("model"), giving(response)) is response


@pytest.mark.parametrize(
    ("kind", "error", "told"),
    [
        ("tool", RuntimeError(f"401 for ?key={SECRET}"), ToolFailed("RuntimeError: 401 for ?key=[redacted]")),
        ("tool", SystemExit(SECRET), ToolFailed("SystemExit: [redacted]")),
        ("tool", NotSent(f"{SECRET} is refused"), NotSent("[redacted] is refused")),
        ("model", ValueError(SECRET), AgentError("ValueError: [redacted]")),
    ],
)
async def test_errors_hold_no_secret(kind: StepKind, error: BaseException, told: RunwrightError) -> None:
    """An error of ours stays what it is; that of others becomes one of ours, and its cause is not shown."""
    with pytest.raises(type(told)) as caught:
        await guard(call(kind), giving(error))
    assert (type(caught.value), caught.value.message, str(caught.value)) == (type(told), told.message, told.message)
    assert caught.value.__cause__ is None


async def test_errors_without_a_secret_stay() -> None:
    """What tells nothing is raised as it is."""
    error = KeyError("x")
    with pytest.raises(KeyError) as caught:
        await guard(call(), giving(error))
    assert caught.value is error
