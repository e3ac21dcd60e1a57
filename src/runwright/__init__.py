"""Runwright: an agent server whose recording is the runtime."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runwright.agents.agent import Agent
    from runwright.agents.base import BuildContext, Template
    from runwright.app import App
    from runwright.core.agent import CodeFlow, Limits, Loop
    from runwright.core.context import Context
    from runwright.core.model import ModelSettings
    from runwright.errors import (
        ConfigError,
        Conflict,
        InvalidRequest,
        ModelError,
        NotFound,
        NotSent,
        RunError,
        RunwrightError,
        ToolError,
    )
    from runwright.tools.base import tool

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "App",
    "BuildContext",
    "CodeFlow",
    "ConfigError",
    "Conflict",
    "Context",
    "InvalidRequest",
    "Limits",
    "Loop",
    "ModelError",
    "ModelSettings",
    "NotFound",
    "NotSent",
    "RunError",
    "RunwrightError",
    "Template",
    "ToolError",
    "__version__",
    "tool",
]

# Where each name stands. It is loaded on first use, so that `import runwright` costs nothing.
_HOMES = {
    "Agent": "agents.agent",
    "App": "app",
    "BuildContext": "agents.base",
    "CodeFlow": "core.agent",
    "Context": "core.context",
    "Limits": "core.agent",
    "Loop": "core.agent",
    "ModelSettings": "core.model",
    "Template": "agents.base",
    "tool": "tools.base",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOMES.get(name, 'errors')}")
    return getattr(home, name)


def __dir__() -> list[str]:
    return __all__
