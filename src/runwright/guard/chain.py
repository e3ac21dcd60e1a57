"""The guard: a list of layers around one call, outermost first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from runwright.core.redact import KnownSecrets
from runwright.core.step import Effect, StepKind
from runwright.guard.deadline import deadline
from runwright.guard.redact import Redaction

T = TypeVar("T")
Attempt = Callable[[], Awaitable[T]]


class Call(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the layers know about a call.

    `target` is a model reference or a tool's name. `deadline` is the run's, as seconds of the loop's clock;
    `timeout_s` bounds this call. None means no bound.
    """

    kind: StepKind
    target: str
    effect: Effect
    deadline: float | None = None
    timeout_s: float | None = None


Layer = Callable[[Call, Attempt[T]], Awaitable[T]]
Guard = Callable[[Call, Attempt[T]], Awaitable[T]]


def default_layers(secrets: KnownSecrets | None = None) -> Sequence[Layer[object]]:
    """The layers of every call, outermost first."""
    return (Redaction(secrets), deadline) if secrets else (deadline,)


def compose(layers: Sequence[Layer[T]]) -> Guard[T]:
    """One guard from layers, outermost first."""
    if len(layers) == 1:
        return layers[0]

    def guard(call: Call, attempt: Attempt[T]) -> Awaitable[T]:
        for layer in reversed(layers):
            attempt = _bind(layer, call, attempt)
        return attempt()

    return guard


def _bind(layer: Layer[T], call: Call, attempt: Attempt[T]) -> Attempt[T]:
    return lambda: layer(call, attempt)
