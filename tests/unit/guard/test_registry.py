"""States of targets: who shares them, and which are forgotten."""

import gc
from collections import OrderedDict

from runwright.core.policy import Retry
from runwright.guard import Registry
from runwright.guard.registry import MOST, StateOf, make_room
from runwright.guard.retry import Bucket

POLICY = Retry()


def bucket(registry: Registry, target: str) -> Bucket:
    """The bucket of a target."""
    return registry.state(Bucket, target=target, policy=POLICY, place="app")


def test_no_more_are_remembered() -> None:
    """Of more targets than are remembered the one that was used longest ago is forgotten, unless it is in use."""
    registry = Registry()
    bucket(registry, "busy").take(1)
    bucket(registry, "old")
    for nth in range(MOST):
        bucket(registry, str(nth))
    gc.collect()
    known = {target for target, _, _ in registry.all(Bucket)}
    assert len(known) == MOST
    assert "busy" in known
    assert "old" not in known


def test_what_a_layer_has_at_hand_is_everybodys() -> None:
    """A layer that has a state at hand shares it with whoever comes later, however many targets came between."""
    registry = Registry()
    layer = StateOf(registry, Bucket, policy=POLICY, place="app")
    held = layer("x")
    for nth in range(MOST):
        bucket(registry, str(nth))
    held.take(1)
    assert bucket(registry, "x") is held
    assert layer("x") is held


class Watched:
    """A state that counts how often it was looked at."""

    def __init__(self, *, is_idle: bool) -> None:
        self._is_idle = is_idle
        self.looks = 0

    @property
    def is_idle(self) -> bool:
        """Whether it may go."""
        self.looks += 1
        return self._is_idle


def test_making_room_looks_at_two() -> None:
    """However many states are in use, one more costs a look at two, and each is looked at in turn."""
    states = OrderedDict((nth, Watched(is_idle=False)) for nth in range(100))
    busy = list(states.values())
    for nth in range(100, 150):
        make_room(states, 100)
        states[nth] = Watched(is_idle=True)
    assert [each.looks for each in busy] == [1] * 100
    assert len(states) == 150
    for nth in range(150, 300):
        make_room(states, 100)
        states[nth] = Watched(is_idle=True)
    assert len(states) <= 200
    assert all(any(each is state for state in states.values()) for each in busy)
