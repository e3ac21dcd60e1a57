"""One call of the command: its global options, its output, and how it reaches runs and agents."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from runwright.cli.output import Output
from runwright.errors import NotFound

if TYPE_CHECKING:
    from runwright.agents.agent import Agent
    from runwright.cli.access import Access
    from runwright.settings import Settings

DEFAULT_AGENTS = Path("agents")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options:
    """Options that every command takes, before or after its name."""

    data: Path | None = None
    "The data directory (default: ./.runwright)."
    agents: Path | None = None
    "A folder or file with agent definitions (default: ./agents where there is one)."
    server: str | None = None
    "Talk to the server at this URL instead of opening the data directory."
    key: str | None = None
    "The API key to send to the server (better: RUNWRIGHT_API_KEY)."
    config: Path | None = None
    "A TOML file with settings (default: ./runwright.toml)."
    json: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    "Print data as JSON."
    debug: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    "Show debug lines, and tracebacks of errors."


class Call:
    """What a command is handed."""

    def __init__(self, options: Options, out: Output) -> None:
        self.options = options
        self.out = out

    def settings(self, **flags: object) -> Settings:
        """The settings, with the command's own flags by setting name (`__` for a dot).

        Raises ConfigError or InvalidRequest.
        """
        from runwright.settings import Settings

        own = {name.replace("__", "."): value for name, value in flags.items() if value is not None}
        options = self.options
        given = {
            "data": options.data,
            "agents": options.agents,
            "server": options.server,
            "api_key": options.key,
            "log.level": "debug" if options.debug else None,
        }
        return Settings.load({**given, **own}, config=options.config)

    @asynccontextmanager
    async def open(
        self, *, has_agents: bool = True, is_reading: bool = False, agents: Sequence[Agent] = ()
    ) -> AsyncGenerator[Access]:
        """Runs and agents: of the server that is named, else of the data directory.

        Without `has_agents`, broken definitions do not matter; `is_reading` is content with a directory that cannot
        be written. `agents` are the command's own, for the data directory alone.
        """
        from runwright.cli.opening import local, local_to_read, remote

        settings = self.settings()
        sources = agent_sources(settings) if has_agents else []
        if settings.server:
            opened = remote(settings)
        elif is_reading:
            opened = local_to_read(settings, sources, note=self.out.note)
        else:
            opened = local(settings, sources, agents=agents)
        try:
            async with opened as access:
                yield access
        except NotFound as error:
            # What is looked for may stand elsewhere: the data directory is that of the folder one is in.
            if settings.server or not error.message.startswith("There is no "):
                raise
            where = f"data directory {str(settings.data)!r}"
            raise NotFound(f"{error.message} Looked for in the {where}; --data names another one.") from error


Called = Annotated[Call, Parameter(parse=False)]
"""The type of a command's argument that gets its call."""


def _at_least(least: int) -> Callable[[object, float | None], None]:
    # cyclopts has such a check, but importing it takes 4 ms of every command.
    def check(_: object, value: float | None) -> None:
        # No number is at least anything.
        if value is not None and not value >= least:
            raise ValueError(f"It is at least {least}.")

    return check


Limit = Annotated[int, Parameter(validator=_at_least(1))]
"""The type of an option that says how many there are on a page."""

Seq = Annotated[int, Parameter(validator=_at_least(0))]
"""The type of an option that is the number of an event or a step."""

Usd = Annotated[float, Parameter(validator=_at_least(0))]
"""The type of an option that is an amount of money."""

Seconds = Annotated[float, Parameter(validator=_at_least(0))]
"""The type of an option that is a time in seconds."""

Texts = Annotated[tuple[str, ...], Parameter(consume_multiple=False, negative=(), show_default=False)]
"""The type of an option that may be given more than once."""

Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
"""The type of an option without a value."""


def agent_sources(settings: Settings) -> list[str]:
    """Where definitions are: the folder, file or module that is set, else `./agents` where there is one."""
    if settings.agents is not None:
        return [str(settings.agents)]
    return [str(DEFAULT_AGENTS)] if DEFAULT_AGENTS.exists() else []
