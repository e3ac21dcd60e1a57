"""Secrets in what calls give and raise."""

import pytest

from runwright.core.policy import Plan
from runwright.core.redact import KnownSecrets
from runwright.core.step import StepKind
from runwright.errors import AgentError, NotSent, RunwrightError, ToolFailed
from runwright.guard import Registry, Surroundings
from runwright.guard.chain import guard as guard_of
from tests.unit.guard.calls import Upstream, call_of

SECRET = "S3CRETVALUE"
guard = guard_of(Plan(), Surroundings(registry=Registry(), secrets=KnownSecrets([SECRET])))


async def test_results_hold_no_secret() -> None:
    """A tool's JSON is cleaned; what a model gives is no text and passes."""
    assert await guard(call_of(Upstream(b'{"url":"?key=S3CRETVALUE"}').send)) == b'{"url":"?key=[redacted]"}'
    response = object()
    assert await guard(call_of(Upstream(response).send, kind="model")) is response


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
        await guard(call_of(Upstream(error).send, kind=kind))
    assert (type(caught.value), caught.value.message, str(caught.value)) == (type(told), told.message, told.message)
    assert caught.value.__cause__ is None


async def test_errors_without_a_secret_stay() -> None:
    """What tells nothing is raised as it is."""
    error = KeyError("x")
    with pytest.raises(KeyError) as caught:
        await guard(call_of(Upstream(error).send))
    assert caught.value is error
