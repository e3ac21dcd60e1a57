"""Secrets are taken out of what an attempt gives or raises, before anybody keeps or records it or makes a key of it."""

from __future__ import annotations

from typing import TypeVar

from runwright.core.redact import KnownSecrets
from runwright.errors import AgentError, RunwrightError, ToolFailed
from runwright.guard.call import Call, Proceed

T = TypeVar("T")


class Redaction:
    """The layer that knows the secrets. A tool's result is JSON text as bytes."""

    def __init__(self, secrets: KnownSecrets) -> None:
        self._secrets = secrets

    async def __call__(self, call: Call[T], proceed: Proceed[T]) -> T:
        """Make the attempt. An error of somebody else that tells a secret becomes one of ours that does not."""
        try:
            result = await proceed(call)
        except RunwrightError as error:
            error.message = self._secrets.text(error.message)
            error.args = (error.message,)
            raise
        except (Exception, SystemExit) as error:
            said = f"{type(error).__name__}: {error}"
            told = self._secrets.text(said)
            if told == said:
                raise
            kind = ToolFailed if call.kind == "tool" else AgentError
            # The cause would still tell it, wherever a traceback is shown.
            raise kind(told) from None
        return self._secrets.json(result) if isinstance(result, bytes) else result
