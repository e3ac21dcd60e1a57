"""Secrets in what calls give and raise."""

from email import message_from_string
from traceback import format_exception
from urllib.error import HTTPError

import pytest

from runwright.core.policy import Plan, Retry
from runwright.core.redact import KnownSecrets
from runwright.core.step import StepKind
from runwright.errors import AgentError, NotSent, RunwrightError, ToolFailed
from runwright.guard import Registry, Surroundings
from runwright.guard.chain import guard as guard_of
from runwright.guard.verdict import asked_s, is_of_target, verdict
from runwright.guard.virtual import run_virtual
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


def untold(error: BaseException, kind: StepKind = "tool") -> BaseException:
    """What comes out where a call raises this."""

    async def main() -> BaseException:
        with pytest.raises(Exception) as caught:
            await guard(call_of(Upstream(error).send, kind=kind))
        return caught.value

    return run_virtual(main())


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError(SECRET),
        HTTPError("http://x", 429, SECRET, message_from_string("Retry-After: 7\n\n"), None),
        HTTPError("http://x", 503, SECRET, message_from_string(""), None),
        HTTPError("http://x", 401, SECRET, message_from_string(""), None),
        ValueError(SECRET),
    ],
    ids=["network", "throttled", "server", "denied", "fatal"],
)
def test_what_an_error_means_stays(error: Exception) -> None:
    """An error of ours in place of another one is sent again, waited for and counted as that one would be."""
    hidden = untold(error)
    assert isinstance(hidden, ToolFailed)
    assert SECRET not in str(hidden)
    assert (verdict(hidden), asked_s(hidden), is_of_target(hidden)) == (
        verdict(error),
        asked_s(error),
        is_of_target(error),
    )


def test_a_secret_does_not_end_a_call() -> None:
    """A connection that breaks is made again, whether or not its error tells a secret."""
    around = Surroundings(registry=Registry(), secrets=KnownSecrets([SECRET]))
    upstream = Upstream(ConnectionError(SECRET), ConnectionError(SECRET), b'"well"')
    retrying = guard_of(Plan(retry=Retry()), around)

    async def main() -> object:
        return await retrying(call_of(upstream.send))

    assert run_virtual(main()) == b'"well"'
    assert len(upstream.calls) == 3


@pytest.mark.parametrize("error", [NotSent("refused"), KeyError("x")], ids=["ours", "other"])
def test_no_cause_tells_a_secret(error: Exception) -> None:
    """What an error came from is cut off where it tells a secret, however far back, and stays where it does not."""
    cause = ValueError("of another")
    cause.__context__ = OSError(SECRET)
    error.__cause__ = cause
    shown = "".join(format_exception(untold(error)))
    assert SECRET not in shown
    assert type(error).__name__ in shown
    error.__cause__ = ValueError("plain")
    assert untold(error).__cause__ is error.__cause__ is not None
