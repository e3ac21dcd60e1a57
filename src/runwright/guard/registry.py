"""What the layers remember between calls: one registry a process (or an app), handed to whoever makes layers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from random import Random
from typing import Generic, Protocol, TypeAlias, TypeVar, cast
from weakref import WeakValueDictionary

from runwright.core.policy import Policy
from runwright.guard.sharing import Sharing
from runwright.guard.timeout import Watches

MOST = 10_000
"""Targets that are remembered; beyond that the least recently used ones that are idle are forgotten."""


class State(Protocol):
    """What a layer remembers of a target."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost if it were forgotten: nobody waits or holds anything."""
        ...


K = TypeVar("K")
S = TypeVar("S", bound=State)
P = TypeVar("P", bound=Policy)


_Key: TypeAlias = tuple[str, str, Policy, str]


class Registry:
    """States by target, policy and place, so that all who share a policy share its state.

    With `sharing` limits and breakers are those of several processes. A state that is forgotten while a layer still has
    it at hand is the state of its target for everybody, as long as it has.
    """

    def __init__(self, random: Random | None = None, *, sharing: Sharing | None = None) -> None:
        self.random = random or Random()
        self.sharing = sharing
        self.watches = Watches()
        self._kept: OrderedDict[_Key, State] = OrderedDict()
        self._states: WeakValueDictionary[_Key, State] = WeakValueDictionary()

    def state(self, make: Callable[[str, P], S], *, target: str, policy: P, place: str) -> S:
        """The state of a target under a policy that was set at a place; made on first use by `make(target, policy)`."""
        key = (make.__qualname__, target, policy, place)
        found = self._states.get(key)
        if found is None:
            found = self._states[key] = make(target, policy)
        if key not in self._kept:
            make_room(self._kept, MOST)
            self._kept[key] = found
        self._kept.move_to_end(key)
        return cast("S", found)

    def all(self, kind: type[S]) -> Iterator[tuple[str, str, S]]:
        """Target, place and state of every state of a kind."""
        for (_, target, _, place), state in list(self._states.items()):
            # By what it is declared to be: a look at all that a port has costs much more.
            if kind in type(state).__mro__:
                yield target, place, cast("S", state)


def make_room(states: OrderedDict[K, S], most: int) -> None:
    """Have room for one more: of the two that were used longest ago, forget those that are idle, if there are too many.

    The others go to the end, so that no state is looked at again before all were.
    """
    for _ in range(2):
        if len(states) < most:
            return
        key, state = states.popitem(last=False)
        if not state.is_idle:
            states[key] = state


class StateOf(Generic[S]):
    """The states of the targets that a layer sees. The last one is at hand: most chains have one target."""

    __slots__ = ("_find", "_last", "_target")

    def __init__(self, registry: Registry, make: Callable[[str, P], S], *, policy: P, place: str) -> None:
        self._find: Callable[[str], S] = lambda target: registry.state(make, target=target, policy=policy, place=place)
        self._target: str | None = None
        self._last: S

    def __call__(self, target: str) -> S:
        """The state of a target."""
        if target != self._target:
            self._last = self._find(target)
            self._target = target
        return self._last
