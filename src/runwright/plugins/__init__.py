"""Code of others: found, imported and called so that whatever it raises becomes an error of Runwright."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache, partial
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from runwright.core.ports import Reader
from runwright.errors import AgentError, ConfigError, RunwrightError

if TYPE_CHECKING:
    from runwright.guard.call import Layer
    from runwright.guard.plugin import Make

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


def entry_points(*groups: str) -> Iterable[tuple[str, str, Callable[[], object]]]:
    """The entry points of installed packages in groups: the group, a place for messages, and what loads the object."""
    for group in groups:
        for each in _points(group):
            yield group, _place(each), each.load


def _points(group: str) -> Iterable[metadata.EntryPoint]:
    offered = _offered(tuple((path, _changed_at(path)) for path in sys.path))
    return (each for each in offered if each.group == group)


def _place(point: metadata.EntryPoint) -> str:
    return f"entry point {point.name} ({point.value})"


@lru_cache(maxsize=1)
def _offered(_: tuple[tuple[str, int], ...]) -> tuple[metadata.EntryPoint, ...]:
    """Those of our groups, read again when something was put into, or taken out of, a folder of packages."""
    return tuple(each for group in GROUPS for each in metadata.entry_points(group=group))


def _changed_at(path: str) -> int:
    try:
        return os.stat(path or ".").st_mtime_ns
    except OSError:
        return 0


TEMPLATES = "runwright.templates"
TOOLS = "runwright.tools"
READERS = "runwright.readers"
GUARDS = "runwright.guards"

GROUPS = {TEMPLATES: "template", TOOLS: "tool", READERS: "reader", GUARDS: "guard"}
"""The groups of entry points where packages offer something, and what each holds."""


def readers() -> tuple[Reader, ...]:
    """What packages have read events: each entry point is called for a reader. Raises ConfigError with its name."""
    found: list[Reader] = []
    for _, place, load in entry_points(READERS):
        made: object = guarded(place, _made, load)
        if not callable(getattr(made, "record", None)):
            told = f"{made!r} is no reader of events: it has a method record(run, events)"
            raise ConfigError(f"{place}: {told}", problems=((place, told),))
        found.append(cast("Reader", made))
    return tuple(found)


def guards() -> dict[str, Make]:
    """What packages offer as guards, by the names of their entry points. Raises ConfigError with that name."""
    found: dict[str, Make] = {}
    for each in _points(GUARDS):
        place = _place(each)
        factory = guarded(place, each.load)
        if each.name in found or not callable(factory):
            told = "there is another one of this name" if each.name in found else f"{factory!r} is not callable"
            raise ConfigError(f"{place}: {told}", problems=((place, told),))
        found[each.name] = partial(_guard, place, factory)
    return found


def _guard(place: str, factory: Callable[..., object], config: Mapping[str, Any]) -> Layer[Any]:
    layer = guarded(place, partial(factory, **config))
    if not callable(layer):
        told = f"{layer!r} is no layer: it is called with a call and with what makes it"
        raise ConfigError(f"{place}: {told}", problems=((place, told),))
    return cast("Layer[Any]", layer)


def _made(load: Callable[[], object]) -> object:
    factory = load()
    if not callable(factory):
        raise TypeError(f"{factory!r} is not callable: name a class, or a function that gives a reader")
    return factory()


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
