"""The client of AWS for Bedrock: loaded where that is used. It blocks, so its calls are made in threads."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any, Final

from runwright.models.providers import ProviderSettings

READ_S: Final = 600.0
"""How long its client waits for bytes. Shorter times are the guard's, which gives up on the thread."""

CONNECTIONS: Final = 100


class Closing:
    """Closes a client whose own way to do so blocks."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - the package has no types
        self._client = client

    async def aclose(self) -> None:
        """Close all connections."""
        await asyncio.to_thread(self._client.close)


class _Token:
    """Gives the key that was set, where boto3 looks for one."""

    def __init__(self, key: str) -> None:
        self._key = key

    def load_token(self, **_: object) -> object:
        """The key, as boto3 has it."""
        return import_module("botocore.tokens").FrozenAuthToken(self._key)


def client(settings: ProviderSettings) -> Any:  # noqa: ANN401 - the package has no types
    """A client that sends nothing twice. Without a key it signs with the credentials that boto3 finds.

    Raises ValueError where no region is set.
    """
    session: Any = import_module("botocore.session").Session()
    region: str | None = session.get_config_variable("region")
    if region is None:
        raise ValueError("no region is set: set AWS_DEFAULT_REGION, or a region in the profile of AWS")
    own: dict[str, object] = {}
    if settings.api_key:
        session.register_component("token_provider", _Token(settings.api_key))
        own["signature_version"] = "bearer"
    config = import_module("botocore.config").Config(
        retries={"total_max_attempts": 1}, read_timeout=READ_S, max_pool_connections=CONNECTIONS, **own
    )
    through = import_module("boto3").Session(botocore_session=session)
    return through.client("bedrock-runtime", config=config, endpoint_url=settings.base_url or None)


def errors() -> tuple[type[Exception], ...]:
    """What is raised before anything is sent: where no credentials are found, or none that can be used."""
    return (import_module("botocore.exceptions").BotoCoreError,)
