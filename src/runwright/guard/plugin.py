"""Guards of packages: layers by name, each made once for what a policy tells it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from runwright.core.event import GuardDecided
from runwright.core.model import ModelResponse
from runwright.core.policy import Guard, Plugin, named_plugins
from runwright.core.policy_reader import strangers
from runwright.core.values import is_json
from runwright.errors import ConfigError, GuardError, Judged
from runwright.guard.call import Call, Layer, Proceed

MOST: Final = 500
"""How many of those are kept that callers name, with figures of their own."""

Make = Callable[[Mapping[str, Any]], Layer[Any]]
"""Makes a layer from what a policy tells it."""


class Offered:
    """What policies may name: guards that packages offer, and models, of which `unknown` says why a name is none.

    With None in place of guards, plans name them and nothing is done: in a simulation.
    """

    def __init__(self, makers: Mapping[str, Make] | None, *, unknown: Callable[[str], str] = lambda _ref: "") -> None:
        self._makers = makers
        self._unknown = unknown
        self._made: dict[Plugin, PluginLayer] = {}
        self._of_runs: dict[Plugin, PluginLayer] = {}

    def layer(self, plugin: Plugin, *, is_of_run: bool = False) -> PluginLayer | None:
        """The layer that a policy names, the same one for the same figures. Raises ConfigError.

        What calls go through that settings and definitions name is kept; of what only runs name, the latest.
        """
        if self._makers is None:
            return None
        known = self._made.get(plugin) or self._of_runs.get(plugin) or self._make(plugin)
        if not is_of_run:
            self._made[plugin] = known
            self._of_runs.pop(plugin, None)
        elif plugin not in self._made:
            self._of_runs[plugin] = known
            if len(self._of_runs) > MOST:
                del self._of_runs[next(iter(self._of_runs))]
        return known

    def _make(self, plugin: Plugin) -> PluginLayer:
        assert self._makers is not None
        make = self._makers.get(plugin.name)
        if make is None:
            names = ", ".join(sorted(self._makers)) or "none is installed"
            raise ConfigError(f"there is no guard {plugin.name!r} of a package; known: {names}")
        return PluginLayer(plugin.name, make(plugin.config))

    def offer(self, makers: Mapping[str, Make]) -> None:
        """Take what packages offer now; what is made already stays."""
        self._makers = makers

    def refuse(self, guards: Mapping[str, Guard | None]) -> None:
        """Refuse what is not there, or cannot be told so. Raises ConfigError; `guards` are by their places."""
        problems = strangers(guards, self._unknown)
        for at, guard in guards.items():
            for index, plugin in enumerate(named_plugins(guard) if guard else ()):
                try:
                    # What calls go through for a definition is kept from the first of them on.
                    self.layer(plugin, is_of_run=True)
                except ConfigError as error:
                    problems.append((f"{at}/plugins/{index}", error.message))
        if problems:
            raise ConfigError("; ".join(f"{place}: {detail}" for place, detail in problems), problems=problems)


class PluginLayer:
    """A layer of others. What it refuses or answers is recorded under its name; where it fails, the call does too."""

    def __init__(self, name: str, layer: Layer[Any]) -> None:
        self._name = name
        self._layer = layer

    async def __call__(self, call: Call[Any], proceed: Proceed[Any]) -> Any:  # noqa: ANN401 - as the call has it
        """Do what the package does. Raises GuardError beside what the call raises."""
        behind: list[BaseException] = []
        sent = False

        async def go_on(changed: Call[Any]) -> Any:  # noqa: ANN401 - as the call has it
            nonlocal sent
            if changed.content is not call.content:
                raise TypeError("it changed `content`, which is to be looked at only")
            sent = True
            try:
                return await proceed(changed)
            except BaseException as error:
                behind.append(error)
                raise

        try:
            answer = await self._layer(call, go_on)
            self._check(call, answer)
        except Exception as error:
            if error in behind:
                raise
            raise self._refused(call, error) from error
        if not sent:
            call.note(self._decided(call, "answered"))
        return answer

    def _refused(self, call: Call[Any], error: Exception) -> GuardError:
        told = error.message if isinstance(error, GuardError) else f"it failed: {type(error).__name__}: {error}"
        call.note(self._decided(call, "refused", told))
        ours = error if isinstance(error, GuardError) else GuardError(f"The guard {self._name!r} refused: {told}")
        # It was asked about this target: among those that are fallen back on, the next one is asked about anew.
        ours.judged = ours.judged or Judged("fatal", is_of_target=True)
        return ours

    def _decided(self, call: Call[Any], action: str, why: str = "") -> GuardDecided:
        reason = f"{self._name}: {why}" if why else self._name
        return GuardDecided(layer="plugin", action=action, target=call.target, reason=reason)

    @staticmethod
    def _check(call: Call[Any], answer: object) -> None:
        # What is written down as the answer has to be one; a function that is guarded alone gives anything.
        is_answer = isinstance(answer, ModelResponse) if call.kind == "model" else is_json(answer)
        if call.content is not None and not is_answer:
            raise TypeError(f"it gave {answer!r} and not what `proceed` gives")
