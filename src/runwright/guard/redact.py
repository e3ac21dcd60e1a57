"""Secrets are taken out of what an attempt gives or raises, before anybody keeps or records it or makes a key of it."""

from __future__ import annotations

from typing import TypeVar

from runwright.core.redact import KnownSecrets
from runwright.errors import AgentError, RunwrightError, ToolFailed
from runwright.guard.call import Call, Proceed
from runwright.guard.verdict import stand_in

T = TypeVar("T")


class Redaction:
    """The layer that knows the secrets. A tool's result is JSON text as bytes."""

    def __init__(self, secrets: KnownSecrets) -> None:
        self._secrets = secrets

    async def __call__(self, call: Call[T], proceed: Proceed[T]) -> T:
        """Make the attempt. An error of somebody else that tells a secret becomes one of ours that does not."""
        try:
            result = await proceed(call)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - raised again, or what stands in its place
            told = self._told(error, call)
        else:
            return self._secrets.json(result) if isinstance(result, bytes) else result
        raise told

    def _told(self, error: Exception | SystemExit, call: Call[T]) -> Exception | SystemExit:
        if self._is_telling(_before(error)):
            # A traceback would show it.
            error.__cause__ = error.__context__ = None
        if isinstance(error, RunwrightError):
            error.message = self._secrets.text(error.message)
            error.args = (error.message,)
            return error
        said = f"{type(error).__name__}: {error}"
        told = self._secrets.text(said)
        if told == said:
            return error
        return stand_in(ToolFailed(told) if call.kind == "tool" else AgentError(told), error)

    def _is_telling(self, error: BaseException | None) -> bool:
        seen: set[int] = set()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            said = str(error)
            if self._secrets.text(said) != said:
                return True
            error = _before(error)
        return False


def _before(error: BaseException) -> BaseException | None:
    """What a traceback shows before an error."""
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)
