"""Settings: the only reader of environment variables and configuration files.

A value comes from, in this order: a command's flag, an environment variable, `.env`, one TOML file, the default.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Annotated, Any, Literal, TextIO, get_args, get_origin

import msgspec
from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from runwright.core.policy import GuardSettings
from runwright.core.policy_reader import read_settings
from runwright.core.trees import Tree, leaves, merge, nested
from runwright.errors import ConfigError, InvalidRequest
from runwright.sections import (
    CacheSettings,
    LogSettings,
    RedisSettings,
    RepositorySettings,
    RetentionSettings,
    SandboxSettings,
    Words,
)

FLAG = "flag"
URL = "^https?://"
URLS = "a URL begins with http:// or https://"
PREFIX = "RUNWRIGHT_"
CONFIG_FILE = "runwright.toml"
SECRET_PREFIX = "RUNWRIGHT_SECRET_"
PROVIDERS = "providers"
GUARD = "guard"
TEMPLATES = "templates"
OWN_PARTS = (f"{PREFIX}PROVIDERS__", f"{PREFIX}GUARD__", f"{PREFIX}TEMPLATES__")
BUILT_IN = ("demo", "local")
NAMED = ("secrets.", f"{PROVIDERS}.", f"{GUARD}.", f"{TEMPLATES}.")
"""Settings whose parts have names of the user's own."""

FILE_SUFFIX = "_FILE"
SERVICE_LINK = re.compile(r"SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_\d+_(TCP|UDP|SCTP)(_.*)?")


def _provider_name(name: str) -> str:
    if not re.fullmatch("[a-z][a-z0-9_-]*", name) or name in BUILT_IN:
        raise ValueError("a provider's name is lower case, as in `name:model`, and not demo or local")
    return name


def _policies(data: dict[str, Any]) -> dict[str, Any]:
    try:
        read_settings(data)
    except ConfigError as error:
        raise ValueError(error.message) from None
    return data


class ProviderEntry(BaseModel):
    """A model provider of one's own, or another address of a known one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(pattern=URL, description="Where its API begins; `/chat/completions` is added.")
    key_env: str | None = Field(
        default=None,
        description="The variable that holds its key, in the environment or `.env`. None is sent if unset.",
    )
    prices: str | None = Field(
        default=None,
        description="The provider whose list prices its calls cost, such as `openai`. If unset they are unpriced, "
        "unless you name prices of your own.",
    )


class TemplateEntry(BaseModel):
    """What holds for all agents of a template."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limits: dict[str, float | int | str] = Field(
        default={}, description="Bounds of their `limits`, by the same names: no agent and no run has more."
    )


class Settings(BaseSettings):
    """Everything that can be set. `Settings.load` reads the sources; the constructor takes values and reads nothing."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    data: Path = Field(default=Path(".runwright"), description="The data directory: the database and its locks.")
    agents: Path | None = Field(
        default=None,
        description="A folder, file or module with agent definitions. The folder `agents` where there is one.",
    )
    host: str = Field(
        default="127.0.0.1", description="The address to listen on. Beyond loopback an API key is needed."
    )
    port: int = Field(default=8321, ge=0, le=65535, description="The port to listen on; 0 takes a free one.")
    root_path: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="The path below which a proxy serves Runwright, such as `/runwright`, for the links of the studio.",
    )
    hosts: Words = Field(
        default=(),
        description="Further names that a server on loopback answers to, such as that of a proxy on the same machine.",
    )
    api_key: SecretStr | None = Field(
        default=None,
        description="The key that clients send as `Authorization: Bearer KEY`; commands with `server` send it.",
    )
    server: str | None = Field(
        default=None,
        pattern=URL,
        description="The URL of a running server that commands talk to instead of opening the data directory.",
    )
    model: str | None = Field(
        default=None,
        description="The model of agents that name none, as `provider:name`. Chosen by what is there when unset.",
    )
    models_dir: Path | None = Field(
        default=None, description="Where local weights are kept. The user's cache directory when unset."
    )
    prices: Path | None = Field(
        default=None,
        description="A TOML file with prices of your own. `prices.toml` in the data directory where there is one.",
    )
    durability: Literal["normal", "full"] = Field(
        default="normal", description="`normal` survives the death of the process, `full` the loss of power too."
    )
    concurrency: int = Field(default=64, ge=1, description="Runs at once in one process.")
    queue_limit: int = Field(
        default=1000, ge=1, description="Runs that may wait for their turn before new ones are refused."
    )
    recover: bool = Field(
        default=True,
        description="Whether a server takes up the runs of dead processes by itself. "
        "When false, `runwright runs resume RUN` takes up one: for restored backups.",
    )
    heartbeat_s: float = Field(
        default=15.0, gt=0, description="Seconds of silence after which a stream sends a comment line."
    )
    drain_s: float = Field(
        default=30.0, ge=0, description="Seconds that running work gets to finish when the server stops."
    )
    metrics: bool = Field(default=True, description="Whether `/metrics` is counted and served.")
    retention: RetentionSettings = RetentionSettings()
    cache: CacheSettings = CacheSettings()
    redis: RedisSettings = RedisSettings()
    sandbox: SandboxSettings = SandboxSettings()
    repositories: RepositorySettings = RepositorySettings()
    log: LogSettings = LogSettings()
    providers: dict[Annotated[str, AfterValidator(_provider_name)], ProviderEntry] = Field(
        default={}, description="Model providers that speak the OpenAI wire, by the name before the colon of a model."
    )
    guard: Annotated[dict[str, Any], AfterValidator(_policies)] = Field(
        default={}, description="Policies for all calls; under `models` and `tools` those of single ones, by name."
    )
    templates: dict[str, TemplateEntry] = Field(
        default={}, description="What holds for all agents of a template, by its name."
    )
    secrets: dict[str, SecretStr] = Field(
        default={}, description="Secrets for tools by name; as variables `RUNWRIGHT_SECRET_<NAME>`."
    )

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls, *_: object, **sources: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing behind the caller's back: `load` is the reader."""
        return (sources["init_settings"],)

    @classmethod
    def load(
        cls,
        flags: Mapping[str, object] = MappingProxyType({}),
        *,
        config: Path | None = None,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Settings:
        """Read all sources. `flags` are values by dotted name, where None means not given.

        `.env` and `runwright.toml` are looked for in `folder`, by default the current one. Raises ConfigError, and
        InvalidRequest for a flag whose value is wrong.
        """
        folder = folder or Path()
        dotenv = _dotenv(folder)
        layers = [
            Layer(FLAG, nested(flags)),
            _variables("environment", os.environ if environ is None else environ),
            _variables(".env", dotenv),
            _toml(config, folder),
        ]
        merged: Tree = {}
        origins: dict[str, str] = {}
        for layer in reversed(layers):
            merge(merged, layer.values)
            origins |= dict.fromkeys(leaves(layer.values), layer.name)
        return _validated(merged, origins)

    def origins(self) -> dict[str, str]:
        """Where each value comes from: flag, environment, .env, the name of the TOML file, or default."""
        names = [field.name for field in fields(self)] + [f"secrets.{name}" for name in self.secrets]
        names += [name for name in self._origins if name.startswith((f"{GUARD}.", f"{TEMPLATES}."))]
        return {name: self._origins.get(name, "default") for name in names}

    @cached_property
    def caps(self) -> dict[str, dict[str, float | int | str]]:
        """The bounds that are set for the agents of templates."""
        return {name: entry.limits for name, entry in self.templates.items() if entry.limits}

    @cached_property
    def policies(self) -> GuardSettings:
        """The policies that are set under `guard`."""
        return read_settings(self.guard)

    @cached_property
    def cache_dir(self) -> Path:
        """Where local weights are kept (XDG Base Directory Specification)."""
        return self.models_dir or _cache() / "models"

    @cached_property
    def sandbox_dir(self) -> Path:
        """Where packages for code in a sandbox, and code from URLs, are kept."""
        return self.sandbox.folder or _cache() / "sandbox"

    def get(self, name: str) -> str:
        """A secret for a tool, by a name in any case: the Secrets port. Raises ConfigError when it is not set."""
        secret = self.secrets.get(_secret_name(name))
        if secret is None:
            variable = SECRET_PREFIX + _secret_name(name).upper()
            raise ConfigError(f"The secret {name!r} is not set: set {variable} or {variable}{FILE_SUFFIX}.")
        return secret.get_secret_value()

    def secret_values(self) -> frozenset[str]:
        """The values that must never be shown or logged."""
        secrets = [*self.secrets.values(), *([self.api_key] if self.api_key else [])]
        return self.redis.secret_values | {secret.get_secret_value() for secret in secrets}


class SettingField(msgspec.Struct, frozen=True, kw_only=True):
    """One setting, for reference pages and checks. `variable` is its environment variable."""

    name: str
    variable: str
    type: str
    default: str
    description: str
    is_secret: bool = False
    is_path: bool = False


def fields(settings: Settings | None = None) -> list[SettingField]:
    """Every setting in order, nested ones by dotted name, also those of the providers that are set.

    Secrets for tools have names of their own.
    """
    own = [_describe(ProviderEntry, (PROVIDERS, name)) for name in (settings.providers if settings else ())]
    return [*_describe(Settings, ()), *chain.from_iterable(own)]


def provider_fields() -> list[SettingField]:
    """What can be said about a provider, named `NAME`."""
    return list(_describe(ProviderEntry, (PROVIDERS, "NAME")))


def wants_color(stream: TextIO) -> bool:
    """Whether a stream is a terminal whose owner has not asked for plain text (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def provider_settings(
    names: Iterable[str], environ: Mapping[str, str] | None = None, *, folder: Path | None = None
) -> dict[str, str]:
    """The values of those variables that are set in the environment or `.env`, themselves or as `NAME_FILE`."""
    found = _with_files({**_dotenv(folder or Path()), **(os.environ if environ is None else environ)}, set(names))
    return {name: found[name] for name in names if found.get(name)}


class Layer(msgspec.Struct, frozen=True):
    """What one source says, nested."""

    name: str
    values: Tree


class _VariableSource(EnvSettingsSource):
    """Reads a given mapping in place of the process environment."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._variables.items() if value}


def _dotenv(folder: Path) -> dict[str, str]:
    found = dotenv_values(path) if (path := folder / ".env").is_file() else {}
    return {name: value for name, value in found.items() if value is not None}


def _variables(origin: str, variables: Mapping[str, str]) -> Layer:
    ours = {name: value for name, value in variables.items() if name.startswith(PREFIX) and value}
    ours = {name: value for name, value in ours.items() if not _is_service_link(name, value)}
    known = {field.variable: field for field in fields()}
    secret = {name for name, field in known.items() if field.is_secret}
    ours = _with_files(ours, secret, prefix=SECRET_PREFIX)
    tools = {name: value for name, value in ours.items() if name.startswith(SECRET_PREFIX)}
    plain = {name: value for name, value in ours.items() if name not in tools}
    _refuse_unknown(origin, [name for name in plain if not name.startswith(OWN_PARTS)], known)
    values: Tree = _VariableSource(plain)()
    if tools:
        values["secrets"] = {_secret_name(name.removeprefix(SECRET_PREFIX)): value for name, value in tools.items()}
    return Layer(origin, values)


def _is_service_link(name: str, value: str) -> bool:
    # Kubernetes sets such variables in every pod beside a Service that is called runwright.
    return value.startswith(("tcp://", "udp://")) or SERVICE_LINK.fullmatch(name.removeprefix(PREFIX)) is not None


def _with_files(variables: Mapping[str, str], names: set[str], *, prefix: str | None = None) -> dict[str, str]:
    """Replace `NAME_FILE` by `NAME` with the file's text, for those names; a plain `NAME` wins."""
    found = dict(variables)
    for variable, path in variables.items():
        name = variable.removesuffix(FILE_SUFFIX)
        if name == variable or not (name in names or (prefix and name.startswith(prefix))):
            continue
        del found[variable]
        if not found.get(name):
            found[name] = _read_secret(variable, Path(path))
    return found


def _read_secret(variable: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{variable} names the file {str(path)!r}, which cannot be read.", problems=[(variable, str(error))]
        ) from error


def _toml(config: Path | None, folder: Path) -> Layer:
    path = config or folder / CONFIG_FILE
    if config is None and not path.is_file():
        return Layer(CONFIG_FILE, {})
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"The configuration file {str(path)!r} cannot be read: {error.strerror}. Name another with --config."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML.", problems=[(str(path), str(error))]) from error
    known = {field.name: field for field in fields()}
    given = [name for name in leaves(values) if not name.startswith(NAMED)]
    _refuse_unknown(path.name, given, known)
    _anchor(values, known, path.parent)
    if isinstance(secrets := values.get("secrets"), dict):
        values["secrets"] = {_secret_name(str(name)): value for name, value in secrets.items()}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - TOML holds anything
    return Layer(path.name, values)


def _anchor(values: Tree, known: Mapping[str, SettingField], folder: Path) -> None:
    """A relative path in a file is meant from the file's folder."""
    for name, value in list(leaves(values).items()):
        if name in known and known[name].is_path and isinstance(value, str):
            merge(values, nested({name: folder / Path(value).expanduser()}))


def _refuse_unknown(origin: str, given: Iterable[str], known: Mapping[str, SettingField]) -> None:
    problems = [(f"{origin}: {name}", _suggestion(name, known)) for name in sorted(given) if name not in known]
    if problems:
        raise ConfigError("There are unknown settings.", problems=problems)


def _suggestion(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"unknown; did you mean {near[0]!r}?" if near else "unknown; `runwright config show` lists all settings"


def _validated(values: Tree, origins: dict[str, str]) -> Settings:
    try:
        settings = Settings(**values)
    except ValidationError as error:
        problems = list(_problems(error, values, origins))
        # What stands in the command line is the caller's mistake, not one of the configuration.
        kind = InvalidRequest if any(place.startswith(f"{FLAG}: ") for place, _ in problems) else ConfigError
        raise kind("The settings are not valid.", problems=problems) from None
    settings._origins.update(origins)  # pyright: ignore[reportPrivateUsage] - filled by the one reader
    return settings


def _problems(error: ValidationError, values: Tree, origins: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    variables = {field.name: field.variable for field in fields()}
    for name, detail in chain(_field_problems(error, leaves(values)), _guard_problems(values)):
        origin = next((origins[each] for each in origins if f"{each}.".startswith(f"{name}.")), "default")
        label = variable(name) if name.startswith(f"{GUARD}.") else variables.get(name, name)
        yield f"{origin}: {label if origin in {'environment', '.env'} else name}", detail


def _field_problems(error: ValidationError, given: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    secret = {field.name for field in fields() if field.is_secret}
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        name = ".".join(str(part) for part in problem["loc"])
        is_shown = name in given and name not in secret and not name.startswith("secrets.")
        if name != GUARD:
            told = URLS if f"'{URL}'" in problem["msg"] else problem["msg"]
            yield name, told + (f", not {given[name]!r}" if is_shown else "")


def _guard_problems(values: Tree) -> Iterator[tuple[str, str]]:
    try:
        read_settings(values.get(GUARD, {}))
    except ConfigError as error:
        yield from ((GUARD + place.replace("/", "."), detail) for place, detail in error.problems)


def _describe(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[SettingField]:
    for key, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _describe(kind, (*path, key))
        elif get_origin(kind) is not dict:
            yield _field(info, (*path, key))


def _field(info: FieldInfo, path: tuple[str, ...]) -> SettingField:
    kinds = _kinds(info.annotation)
    default = info.default
    return SettingField(
        name=".".join(path),
        variable=variable(".".join(path)),
        type=" or ".join(_type_name(kind) for kind in kinds),
        default="" if default in (None, ()) else str(default).lower() if isinstance(default, bool) else str(default),
        description=info.description or "",
        is_secret=SecretStr in kinds,
        is_path=Path in kinds,
    )


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.replace(".", "__").upper()


def _kinds(annotation: object) -> tuple[object, ...]:
    arguments = get_args(annotation)
    if get_origin(annotation) in (Literal, tuple) or not arguments:
        return (annotation,)
    return tuple(kind for kind in arguments if kind is not NoneType)


def _type_name(kind: object) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) is tuple:
        return "list of text"
    names = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path", SecretStr: "secret"}
    return names[kind] if isinstance(kind, type) else str(kind)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "runwright"


def _secret_name(name: str) -> str:
    return name.lower().replace("-", "_")
