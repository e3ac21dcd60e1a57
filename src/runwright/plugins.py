"""Code of others: found, imported and called so that whatever it raises becomes an error of Runwright."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Iterable
from importlib import import_module, metadata
from typing import ParamSpec, TypeVar

from runwright.errors import AgentError, ConfigError, RunwrightError

P = ParamSpec("P")
R = TypeVar("R")


def guarded(place: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call code of others. Raises ConfigError with file and line if it failed below the path `place`, else at it."""
    try:
        return function(*args, **kwargs)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        where = _where(error, place)
        problem = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{where}: {problem}", problems=((where, problem),)) from error


async def awaited(work: Awaitable[R]) -> R:
    """Await code of others. Raises AgentError for whatever it raises that is no error of Runwright."""
    try:
        return await work
    except RunwrightError:
        raise
    except (Exception, SystemExit) as error:
        raise AgentError(f"{type(error).__name__}: {error}") from error


def load_reference(reference: str, package: str = "") -> object:
    """What `package.module:attribute` names, or `.module:attribute` in a package. Raises ConfigError."""
    module_name, _, path = reference.partition(":")
    if not module_name or not path:
        raise ConfigError(f"a reference is written package.module:attribute, not {reference!r}")
    if module_name.startswith(".") and not package:
        raise ConfigError(f"only a file has others beside it: write package.module:attribute, not {reference!r}")
    found: object = guarded(reference, import_module, module_name, package or None)
    for part in path.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"{module_name!r} has no {path!r}")
        found = getattr(found, part)
    return found


def entry_points(group: str) -> Iterable[tuple[str, Callable[[], object]]]:
    """The entry points of installed packages in a group: a place for messages, and what loads the object."""
    for each in metadata.entry_points(group=group):
        yield f"entry point {each.name} ({each.value})", each.load


def _where(error: BaseException, place: str) -> str:
    """The innermost line of the caller's own code: below `place`, if that is a path."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [
        each
        for each in traceback.extract_tb(error.__traceback__)
        if not each.filename.startswith("<") and each.filename != __file__
    ]
    own = [each for each in frames if each.filename.startswith(place)]
    if not own:
        return place
    return f"{own[-1].filename}:{own[-1].lineno}"
