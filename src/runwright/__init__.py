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
    from runwright.core.policy import Budget, Guard, Retry
    from runwright.core.schedule import Schedule
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
    from runwright.guard.alone import guarded
    from runwright.tools.base import tool

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "App",
    "Budget",
    "BuildContext",
    "CodeFlow",
    "ConfigError",
    "Conflict",
    "Context",
    "Guard",
    "InvalidRequest",
    "Limits",
    "Loop",
    "ModelError",
    "ModelSettings",
    "NotFound",
    "NotSent",
    "Retry",
    "RunError",
    "RunwrightError",
    "Schedule",
    "Template",
    "ToolError",
    "__version__",
    "guarded",
    "tool",
]

# Where each name stands. It is loaded on first use, so that `import runwright` costs nothing.
_HOMES = {
    "Agent": "agents.agent",
    "App": "app",
    "Budget": "core.policy",
    "BuildContext": "agents.base",
    "CodeFlow": "core.agent",
    "Context": "core.context",
    "Guard": "core.policy",
    "Limits": "core.agent",
    "Loop": "core.agent",
    "ModelSettings": "core.model",
    "Retry": "core.policy",
    "Schedule": "core.schedule",
    "Template": "agents.base",
    "guarded": "guard.alone",
    "tool": "tools.base",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOMES.get(name, 'errors')}")
    return getattr(home, name)


def __dir__() -> list[str]:
    return __all__
