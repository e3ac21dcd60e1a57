"""Which model a reference names, and which one is used when none is named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec

from runwright.core.clock import SystemClock
from runwright.core.ports import Clock, Model
from runwright.errors import ConfigError, MissingExtra
from runwright.models.demo import LABEL, DemoModel
from runwright.models.local import LocalModel
from runwright.models.local_engine import has_engine
from runwright.models.openai_wire import Provider
from runwright.models.providers import PROVIDERS, ProviderSettings, ProviderSpec, has_client, provider_spec
from runwright.models.weights import WEIGHTS, has_weights, weights_path

LOCAL_DEFAULT = "smollm2-135m"
LOOK_S = 0.3
"""Seconds that a provider on this machine gets to show that it is there."""

SERVES = (200, 401, 403)
KNOWN_REFS = 256
"""References that are kept with their models: a caller may invent any number of names of one provider."""

KNOWN_FILES = 16
"""Above this number, files that were named and not loaded are forgotten."""


class DefaultModel(msgspec.Struct, frozen=True, kw_only=True):
    """The model that is used when none is named, and why."""

    ref: str
    reason: str


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the catalog. `why_not` says what a model that is not available needs.

    `base_url` is where calls go, without secrets that may stand in it, and `has_key` whether they have one.
    """

    ref: str
    provider: str
    is_available: bool
    why_not: str = ""
    base_url: str = ""
    has_key: bool = False


def names_file(ref: str | None) -> bool:
    """Whether a reference names a file on this machine, which only code, definition files and settings may do."""
    provider, _, name = (ref or "").partition(":")
    return provider == "local" and name not in WEIGHTS


class Place(Protocol):
    """Where calls of one provider's models go."""

    def model(self, name: str) -> Model:
        """A model of this provider."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


def _place(spec: ProviderSpec, settings: ProviderSettings) -> Place:
    if not spec.sdk:
        return Provider(spec, settings)
    # Loaded on first use: it takes a second, and an extra.
    through: Callable[[ProviderSpec, ProviderSettings], Place] = import_module(
        "runwright.models.pydantic_ai.model"
    ).PydanticAIProvider
    return through(spec, settings)


class _OllamaModel(msgspec.Struct):
    name: str


class _OllamaTags(msgspec.Struct):
    models: list[_OllamaModel] = []


class ModelRegistry:
    """The Models port. Owns one client per provider and one engine per GGUF file; close it when done.

    `providers` holds what the user says about them, a provider of one's own by a name of its own. `default` is the
    reference that None stands for; without one, the order is: a provider with a key, a loopback Ollama that answers,
    the local model, demo.
    """

    def __init__(
        self,
        providers: Mapping[str, ProviderSettings] | None = None,
        *,
        weights: Path | None = None,
        default: str | None = None,
        clock: Clock | None = None,
        has_local_engine: Callable[[], bool] = has_engine,
        has_client: Callable[[ProviderSpec], bool] = has_client,
    ) -> None:
        self._settings = dict(providers or {})
        self._weights = weights
        self._named_default = default
        self._clock = clock or SystemClock()
        self._has_engine = has_local_engine
        self._has_client = has_client
        self._providers: dict[str, Place] = {}
        self._named = lru_cache(KNOWN_REFS)(self._make)
        self._locals: dict[Path, LocalModel] = {}
        self._ollama: tuple[str, ...] | None = None
        self._found: frozenset[str] | None = None
        self._silent: frozenset[str] = frozenset()

    async def look(self, refs: Iterable[str | None]) -> None:
        """Look for weights, and for an Ollama if what one of these references means depends on it.

        Call it at start, so that later calls on the event loop need no look at the disk.
        """
        named = list(refs)
        if any(map(self._needs_ollama, named)):
            await self.discover()
        else:
            self._found = await asyncio.to_thread(_weights_in, self._weights)
        await asyncio.to_thread(self._load, named)

    def _load(self, refs: Iterable[str | None]) -> None:
        """Load what speaks to providers on wires of their own, which takes a second."""
        for ref in refs:
            # What is wrong is told when the model is used.
            with suppress(ConfigError):
                full = self.ref(ref)
                name = full.partition(":")[0]
                if provider_spec(name).sdk:
                    self._provider(name, full)

    async def discover(self) -> None:
        """Look for weights, and once ask a loopback Ollama for its models. Takes 0.3 s at the most, never fails."""
        self._found = await asyncio.to_thread(_weights_in, self._weights)
        if self._ollama is not None:
            return
        self._ollama = ()
        url = f"{_base_url('ollama', self._settings).removesuffix('/v1')}/api/tags"
        timeout = aiohttp.ClientTimeout(total=LOOK_S)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as client, client.get(url) as answer:
                tags = msgspec.json.decode(await answer.read(), type=_OllamaTags)
        except (aiohttp.ClientError, OSError, msgspec.DecodeError):
            return
        self._ollama = tuple(model.name for model in tags.models)

    async def probe(self) -> None:
        """Ask the providers of this machine whether they are there, for `catalog`. Takes 0.3 s at most, never fails."""
        names = [spec.name for spec in PROVIDERS.values() if spec.is_local]
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LOOK_S)) as client:
            answers = await asyncio.gather(*(_answers(client, _base_url(name, self._settings)) for name in names))
        self._silent = frozenset(name for name, is_there in zip(names, answers, strict=True) if not is_there)

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all providers, which nobody else may be shown."""
        return frozenset(settings.api_key for settings in self._settings.values() if settings.api_key)

    @property
    def default_ref(self) -> DefaultModel:
        """The model that None stands for, and why."""
        told = _told_default(self._named_default, self._settings, self._has_client)
        if told is not None:
            return told
        if self._ollama:
            return DefaultModel(ref=f"ollama:{self._ollama[0]}", reason="an Ollama answers on this machine")
        missing = self._local_problem(LOCAL_DEFAULT)
        if not missing:
            return DefaultModel(ref=f"local:{LOCAL_DEFAULT}", reason="no key is set, and the local model is there")
        return DefaultModel(ref="demo", reason=f"{LABEL}: no key is set, no Ollama answers, and {missing}")

    def _needs_ollama(self, ref: str | None) -> bool:
        if ref is None:
            told = _told_default(self._named_default, self._settings, self._has_client)
            return told is None or self._needs_ollama(told.ref)
        return ":" not in ref and ref != "demo" and _known(ref) is None

    def ref(self, ref: str | None) -> str:
        """The full reference of a model, or of the default one for None. Needs no key. Raises ConfigError."""
        named = self.default_ref.ref if ref is None else ref
        provider, separator, _ = named.partition(":")
        if provider == "demo":
            return self._named(named).ref
        return named if separator else self._full_ref(named)

    def unknown(self, ref: str) -> str:
        """Why a reference can name no model, whatever keys are set: its provider is not known. Else nothing.

        A bare name may be that of an Ollama.
        """
        provider, separator, _ = ref.partition(":")
        names = _names(self._settings)
        if not separator or provider in names:
            return ""
        near = get_close_matches(provider, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return f"there is no provider {provider!r}.{hint} There are: {', '.join(names)}"

    def resolve(self, ref: str | None) -> Model:
        """The model of a reference, or the default one for None. Raises ConfigError that says what to do."""
        return self._named(self.default_ref.ref if ref is None else ref)

    def catalog(self) -> Sequence[ModelEntry]:
        """What can be called: one line per provider, each known weights file and each model of an Ollama."""
        entries = [ModelEntry(ref="demo", provider="demo", is_available=True)]
        for name in WEIGHTS:
            problem = self._local_problem(name)
            entries.append(ModelEntry(ref=f"local:{name}", provider="local", is_available=not problem, why_not=problem))
        for tag in self._ollama or ():
            entries.append(self._entry("ollama", tag))
        for name in dict.fromkeys([*PROVIDERS, *self._settings]):
            if name != "ollama" or not self._ollama:
                entries.append(self._entry(name))
        return entries

    async def close(self) -> None:
        """Close all connections and free local models."""
        providers, self._providers = self._providers, {}
        engines, self._locals = self._locals, {}
        self._named.cache_clear()
        for provider in providers.values():
            await provider.close()
        for engine in engines.values():
            await engine.close()

    def _make(self, ref: str) -> Model:
        provider, separator, name = ref.partition(":")
        if provider == "demo":
            return DemoModel(name, clock=self._clock)
        if not separator:
            return self.resolve(self._full_ref(ref))
        if not name:
            raise ConfigError(f"{ref!r} names no model: write it as {provider}:NAME")
        if provider == "local":
            return self._make_local(name)
        return self._provider(provider, ref).model(name)

    def _full_ref(self, name: str) -> str:
        """The reference of a bare name. Raises ConfigError with the nearest references."""
        known = _known(name)
        if known is not None:
            return known
        if name in (self._ollama or ()):
            return f"ollama:{name}"
        hint = _hint(name, self._settings)
        raise ConfigError(
            f"the model {name!r} is not known; write it as provider:name, for example ollama:{name}{hint}"
        )

    def _provider(self, name: str, ref: str) -> Place:
        found = self._providers.get(name)
        if found is not None:
            return found
        if unknown := self.unknown(ref):
            raise ConfigError(f"{ref!r}: {unknown}")
        problem = self._provider_problem(name)
        spec = provider_spec(name)
        if problem:
            kind = ConfigError if self._has_client(spec) else MissingExtra
            raise kind(f"{ref!r} cannot be used: {problem}")
        made = _place(spec, self._settings.get(name) or ProviderSettings())
        self._providers[name] = made
        return made

    def _entry(self, name: str, model: str = "") -> ModelEntry:
        spec, problem = provider_spec(name), self._provider_problem(name)
        url = _public(_base_url(name, self._settings))
        if not problem and not model and name in self._silent:
            problem = f"nothing answers at {url}: start it, or set {spec.base_url_env}"
        return ModelEntry(
            ref=f"{name}:{model or spec.default_model or 'NAME'}",
            provider=name,
            is_available=not problem,
            why_not=problem,
            base_url=url,
            has_key=bool(name in self._settings and self._settings[name].api_key),
        )

    def _provider_problem(self, name: str) -> str:
        spec = provider_spec(name)
        settings = self._settings.get(name) or ProviderSettings()
        if not (settings.base_url or spec.base_url):
            return f"set its base URL{f' ({spec.base_url_env})' if spec.base_url_env else ''}"
        if not self._has_client(spec):
            return f"its client is not installed: pip install 'runwright[{spec.name}]'"
        # Behind a base URL of one's own there may be no key to give.
        if spec.needs_key and spec.base_url and not (settings.api_key or settings.base_url):
            return f"set {spec.key_env}"
        return ""

    def _make_local(self, name: str) -> LocalModel:
        path = Path(name).expanduser()
        if name in WEIGHTS:
            problem = self._local_problem(name)
            if problem:
                kind = ConfigError if self._has_engine() else MissingExtra
                raise kind(f"'local:{name}' cannot be used: {problem}")
            assert self._weights is not None  # a missing directory is a problem above
            path = weights_path(name, self._weights)
        elif path.suffix != ".gguf":
            raise ConfigError(
                f"there is no local model {name!r}; there are: {', '.join(WEIGHTS)}, or a path to a .gguf"
            )
        elif not self._has_engine():
            raise MissingExtra("local models need an extra: pip install 'runwright[local]'")
        path = path.absolute()
        if path not in self._locals:
            if len(self._locals) >= KNOWN_FILES:
                self._locals = {known: model for known, model in self._locals.items() if model.is_loaded}
            is_tiny = WEIGHTS[name].is_tiny if name in WEIGHTS else None
            self._locals[path] = LocalModel(name, path, is_tiny=is_tiny)
        return self._locals[path]

    def _local_problem(self, name: str) -> str:
        if not self._has_engine():
            return "the local engine is not installed: pip install 'runwright[local]'"
        if self._found is None:
            self._found = _weights_in(self._weights)
        if name not in self._found:
            return f"its weights are missing: runwright models pull {name}"
        return ""


def _names(settings: Mapping[str, ProviderSettings]) -> list[str]:
    """All providers."""
    return ["demo", "local", *PROVIDERS, *(name for name in settings if name not in PROVIDERS)]


def _hint(name: str, settings: Mapping[str, ProviderSettings]) -> str:
    known = ["demo", *WEIGHTS, *(spec.default_model for spec in PROVIDERS.values()), *_names(settings)]
    near = get_close_matches(name, [one for one in known if one], n=1)
    return f". Did you mean {near[0]!r}?" if near else ""


def _told_default(
    named: str | None, settings: Mapping[str, ProviderSettings], has_client: Callable[[ProviderSpec], bool]
) -> DefaultModel | None:
    """The default model as far as the user says which: by name, or by a key."""
    if named:
        return DefaultModel(ref=named, reason="named in the settings")
    for spec in PROVIDERS.values():
        has_key = spec.name in settings and bool(settings[spec.name].api_key)
        if spec.default_model and has_key and has_client(spec):
            ref = f"{spec.name}:{spec.default_model}"
            return DefaultModel(ref=ref, reason=f"a key for {spec.name} is set ({spec.key_env})")
    return None


def _known(name: str) -> str | None:
    """The reference of a bare name that can be told by itself."""
    if name in WEIGHTS:
        return f"local:{name}"
    return next((f"{spec.name}:{name}" for spec in PROVIDERS.values() if name.startswith(spec.prefixes)), None)


def _weights_in(directory: Path | None) -> frozenset[str]:
    """The names of the weights that are there."""
    return frozenset(name for name in WEIGHTS if directory is not None and has_weights(name, directory))


def _base_url(name: str, settings: Mapping[str, ProviderSettings]) -> str:
    own = settings.get(name) or ProviderSettings()
    return (own.base_url or provider_spec(name).base_url).rstrip("/")


def _public(url: str) -> str:
    """A URL without what may be secret in it: names and passwords, and what follows the path."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return ""


async def _answers(client: aiohttp.ClientSession, base_url: str) -> bool:
    """Whether something at a base URL speaks the OpenAI wire, as far as can be told without a key."""
    try:
        async with client.get(f"{base_url}/models", allow_redirects=False) as answer:
            return answer.status in SERVES
    except (aiohttp.ClientError, OSError):
        return False
