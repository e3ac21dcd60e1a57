"""Every error of Runwright.

RunwrightError
├── InvalidRequest            422  a caller's input is wrong
│   ├── IdempotencyMismatch   422  the key was used with another body
│   └── TooLarge              413  the body is larger than is read
├── Unauthorized              401
├── Forbidden                 403
├── NotFound                  404
├── MethodNotAllowed          405  the path takes other methods
├── Conflict                  409  the thing is not in a state that allows this
├── Overloaded                429  a queue is full
├── Unavailable               503  draining, or not ready yet
├── ConfigError               a definition, setting or file is wrong
│   ├── MissingExtra          an optional dependency is not installed
│   └── SandboxUnavailable    no sandbox here is strong enough for this code
│       └── SandboxBusy       503  none could be begun or tried in time
├── StorageError              503  the store cannot take or give rows
│   ├── StorageFull           507
│   ├── StorageReadOnly       503
│   ├── StorageVersion        the database belongs to another release
│   └── OwnershipLost         409  another process owns the run now
├── ModelError                502  a model call failed
│   ├── RateLimited           429
│   ├── ProviderTimeout       504
│   ├── ProviderUnavailable   502  5xx, refused or broken connection
│   ├── ProviderRejected      400  the provider refuses this request
│   │   └── ModelUnknown      400  the provider does not have the model
│   ├── ProviderAuth          401 at the provider, reported as 502
│   └── MalformedResponse     502  the answer cannot be read
├── GuardError                503 the guard did not let a call through
│   ├── BreakerOpen           503 the target has failed too often
│   ├── CallShed              429 too many calls are waiting already
│   └── BudgetExceeded        402 a budget is spent
├── ToolError                 a tool call failed
│   ├── ToolFailed            the tool raised
│   ├── ToolTimeout
│   ├── Denied                a person did not allow it, or nobody answered
│   ├── ChildFailed           a run that this one began came to no result
│   │   └── ChildEnded        it was cancelled, or had acted
│   ├── NotSent               raised by a tool: nothing left the process
│   └── OutcomeUnknown        a `once` tool may or may not have acted
└── RunError                  a run cannot go on
    ├── AgentError            the agent's own code raised
    ├── DeadlineExceeded      504
    ├── StepTimeout           504  a step of a task took too long
    ├── LimitExceeded         steps, tokens or time
    ├── OutputInvalid         the answer does not fit the output schema
    ├── Diverged              the code no longer matches the record
    └── CrashLoop             adopted again and again without progress

`code` is stable and public, `status` is the HTTP status, `retryable` says whether the
same call can succeed later. Server, CLI and guard read these; no other table exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

if TYPE_CHECKING:
    from runwright.core.model import Quota


Verdict = Literal["throttled", "transient", "fatal", "cancelled"]
"""`throttled`: too many calls. `transient`: the network, a time-out, a server's own fault, or nothing was sent.
`fatal`: the same call fails again, or nobody knows. `cancelled`: the caller gave up."""


class Judged(NamedTuple):
    """What another library's error means for the guard, for the error of ours that stands in its place."""

    verdict: Verdict
    is_of_target: bool


class RunwrightError(Exception):
    """Something went wrong inside Runwright."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    judged: Judged | None = None

    def __init__(self, message: str | None = None, *, retry_after_s: float | None = None) -> None:
        self.message = message or (type(self).__doc__ or self.code).strip()
        self.retry_after_s = retry_after_s
        super().__init__(self.message)

    @property
    def public(self) -> str:
        """The message as other machines may see it: without paths of this one."""
        return self.message


class InvalidRequest(RunwrightError):
    """The request is not valid.

    `problems` are (pointer, detail) pairs: an RFC 6901 pointer into the body, and what would be right.
    """

    code = "invalid_request"
    status = 422

    def __init__(self, message: str | None = None, *, problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class IdempotencyMismatch(InvalidRequest):
    """This Idempotency-Key was used with another body; send a new key or the same body."""

    code = "idempotency_mismatch"


class TooLarge(InvalidRequest):
    """The body of the request is larger than the server reads."""

    code = "too_large"
    status = 413


class Unauthorized(RunwrightError):
    """An API key is needed: send it as `Authorization: Bearer KEY`."""

    code = "unauthorized"
    status = 401


class Forbidden(RunwrightError):
    """This is not allowed here."""

    code = "forbidden"
    status = 403


class NotFound(RunwrightError):
    """There is no such thing."""

    code = "not_found"
    status = 404


class MethodNotAllowed(RunwrightError):
    """This path takes other methods.

    `allowed` names them.
    """

    code = "method_not_allowed"
    status = 405

    def __init__(self, message: str | None = None, *, allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.allowed = tuple(allowed)


class Conflict(RunwrightError):
    """The present state does not allow this."""

    code = "conflict"
    status = 409


class Overloaded(RunwrightError):
    """Too much is waiting already; try again later."""

    code = "overloaded"
    status = 429
    retryable = True


class Unavailable(RunwrightError):
    """The server is not taking work now; try again later."""

    code = "unavailable"
    status = 503
    retryable = True


class ConfigError(RunwrightError):
    """A definition or setting is wrong.

    `problems` are (place, detail) pairs; a place is `file: path.inside.it`.
    """

    code = "config_invalid"
    status = 422

    def __init__(self, message: str | None = None, *, problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class MissingExtra(ConfigError):
    """An optional dependency is not installed; the message names the extra."""

    code = "missing_extra"


class SandboxUnavailable(ConfigError):
    """No sandbox on this machine reaches the isolation that is asked for: see `runwright doctor sandbox`."""

    code = "sandbox_unavailable"


class SandboxBusy(SandboxUnavailable):
    """A sandbox could not be begun or tried in time; it can be later."""

    code = "sandbox_busy"
    status = 503
    retryable = True


class StorageError(RunwrightError):
    """The store cannot take or give rows now."""

    code = "storage_error"
    status = 503
    retryable = True

    def __init__(
        self, message: str | None = None, *, place: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{place}: {message}" if place else message, retry_after_s=retry_after_s)
        self.place = place

    @property
    def public(self) -> str:
        """The message without the place of the database, with which it begins."""
        return self.message.removeprefix(f"{self.place}: ")


class StorageFull(StorageError):
    """The disk of the data directory is full: free space; waiting runs go on by themselves."""

    code = "storage_full"
    status = 507


class StorageReadOnly(StorageError):
    """The data directory cannot be written: check its owner and mode, or name another with --data."""

    code = "storage_read_only"
    retryable = False


class StorageVersion(StorageError):
    """The database was written by a newer release: upgrade Runwright, or use another data directory."""

    code = "storage_version"
    retryable = False


class OwnershipLost(StorageError):
    """Another process owns this run now; this one must stop working on it."""

    code = "ownership_lost"
    status = 409
    retryable = False


class ModelError(RunwrightError):
    """A model call failed. `quota` is what the provider said of its limits, if it did.

    `is_unused` says that it used nothing for certain: it was refused, or never sent.
    """

    code = "model_error"
    status = 502
    quota: Quota | None = None
    is_unused: bool = False


class RateLimited(ModelError):
    """The provider limits the rate of calls."""

    code = "rate_limited"
    status = 429
    retryable = True
    is_unused = True


class ProviderTimeout(ModelError):
    """The provider did not answer in time."""

    code = "provider_timeout"
    status = 504
    retryable = True


class ProviderUnavailable(ModelError):
    """The provider cannot be reached or answers with a server error."""

    code = "provider_unavailable"
    retryable = True


class ProviderRejected(ModelError):
    """The provider refuses this request."""

    code = "provider_rejected"
    status = 400
    is_unused = True


class ModelUnknown(ProviderRejected):
    """The provider does not have this model."""

    code = "model_unknown"


class ProviderAuth(ModelError):
    """The provider refuses the key: check the environment variable that holds it."""

    code = "provider_auth"
    is_unused = True


class MalformedResponse(ModelError):
    """The provider's answer cannot be read."""

    code = "malformed_response"
    retryable = True


class GuardError(RunwrightError):
    """The guard did not let this call through."""

    code = "guard_refused"
    status = 503


class BreakerOpen(GuardError):
    """This target has failed too often and rests; try again later."""

    code = "breaker_open"
    retryable = True


class CallShed(GuardError):
    """Too many calls wait for this target already; try again later."""

    code = "call_shed"
    status = 429
    retryable = True


class BudgetExceeded(GuardError):
    """A budget is spent: raise it, or wait until its window ends.

    `is_waiting` says that the run waits for that and does not fail.
    """

    code = "budget_exceeded"
    status = 402

    def __init__(
        self, message: str | None = None, *, is_waiting: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.is_waiting = is_waiting


class ToolError(RunwrightError):
    """A tool call failed."""

    code = "tool_error"


class ToolFailed(ToolError):
    """The tool raised an exception."""

    code = "tool_failed"


class ToolTimeout(ToolError):
    """The tool did not finish in time."""

    code = "tool_timeout"
    retryable = True


class Denied(ToolError):
    """A person did not allow a tool call, or nobody answered in time."""

    code = "denied"


class ChildFailed(ToolError):
    """A run that was begun by another one failed or was cancelled."""

    code = "child_failed"


class ChildEnded(ChildFailed):
    """A run that was begun by another one was cancelled, or failed after it had acted: another one might act twice."""

    code = "child_ended"


class NotSent(ToolError):
    """Raise this in a tool to say that nothing has left the process, so the call may be sent again."""

    code = "not_sent"
    retryable = True


class OutcomeUnknown(ToolError):
    """A tool with effect `once` was entered and its outcome is not known; a person resolves it."""

    code = "outcome_unknown"
    status = 409


class RunError(RunwrightError):
    """The run cannot go on."""

    code = "run_error"


class AgentError(RunError):
    """The agent's own code raised an exception."""

    code = "agent_error"


class DeadlineExceeded(RunError):
    """The time of this run or step is over."""

    code = "deadline_exceeded"
    status = 504


class StepTimeout(RunError):
    """A step of a task took longer than its `timeout_s`."""

    code = "step_timeout"
    status = 504
    retryable = True


class LimitExceeded(RunError):
    """A limit of the agent is reached."""

    code = "limit_exceeded"


class OutputInvalid(RunError):
    """The answer does not fit the output schema, after all retries."""

    code = "output_invalid"


class Diverged(RunError):
    """The agent's code asks for another step than the record holds."""

    code = "diverged"
    status = 409


class CrashLoop(RunError):
    """The run was taken up three times without finishing a step."""

    code = "crash_loop"


def error_classes() -> dict[str, type[RunwrightError]]:
    """Every class of the tree by its code; a class without a code of its own goes by its parent."""
    return {cls.code: cls for cls in reversed(list(_tree(RunwrightError)))}


def revive(code: str, message: str) -> RunwrightError:
    """The error that was recorded with this code; RunwrightError itself for a code that no class has."""
    return error_classes().get(code, RunwrightError)(message)


def _tree(cls: type[RunwrightError]) -> Iterator[type[RunwrightError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _tree(child)
