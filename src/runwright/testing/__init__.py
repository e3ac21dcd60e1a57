"""For tests of agents: scripted models and tools, a clock, and recorded runs as tests."""

from importlib import import_module
from typing import TYPE_CHECKING

from runwright.testing.fakes import (
    Answer,
    FakeClock,
    FixedModels,
    NoSecrets,
    ScriptedModel,
    ScriptedTool,
    Silence,
    calls,
    tools_raw,
)

if TYPE_CHECKING:
    from runwright.testing.replays import assert_replays

__all__ = [
    "Answer",
    "FakeClock",
    "FixedModels",
    "NoSecrets",
    "ScriptedModel",
    "ScriptedTool",
    "Silence",
    "assert_replays",
    "calls",
    "tools_raw",
]


def __getattr__(name: str) -> object:
    if name != "assert_replays":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # It needs the whole of Runwright, which tests with fakes do without.
    return import_module("runwright.testing.replays").assert_replays
