"""The providers, as a table: those that speak the OpenAI wire, and those that a package of their own speaks to."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

import msgspec


class ProviderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a provider.

    `key_env` and `base_url_env` name the environment variables that settings read. `default_model` is used when
    nothing is asked for; `prefixes` are beginnings of bare model names that can only be this provider's.
    `renames` maps OpenAI's parameter names to the provider's, `drops` are parameters that it refuses. `sdk` is the
    package, of the extra by the provider's name, that speaks its wire where that is not OpenAI's; with `finds_key` it
    looks for credentials by itself where no key is set.
    """

    name: str
    base_url: str = ""
    key_env: str = ""
    base_url_env: str = ""
    default_model: str = ""
    prefixes: tuple[str, ...] = ()
    renames: Mapping[str, str] = {}
    drops: frozenset[str] = frozenset()
    is_local: bool = False
    has_json_schema: bool = True
    sdk: str = ""
    finds_key: bool = False

    @property
    def needs_key(self) -> bool:
        """Whether calls without a key cannot succeed."""
        return bool(self.key_env) and not self.is_local and not self.finds_key


def has_client(spec: ProviderSpec) -> bool:
    """Whether the packages are there that a provider's wire needs."""
    return not spec.sdk or all(map(_is_there, ("pydantic_ai", spec.sdk)))


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a user says about a provider; the empty string leaves the table's value.

    `prices` names the provider whose price list applies, where a base URL of the user's own leaves that open.
    """

    base_url: str = ""
    api_key: str = ""
    headers: Mapping[str, str] = {}
    prices: str = ""

    def __repr__(self) -> str:
        key = "***" if self.api_key else ""
        return f"ProviderSettings(base_url={self.base_url!r}, api_key={key!r})"


_TABLE = (
    ProviderSpec(
        name="openai",
        base_url="https://api.openai.com/v1",
        key_env="OPENAI_API_KEY",
        base_url_env="OPENAI_BASE_URL",
        default_model="gpt-5-mini",
        prefixes=("gpt-", "chatgpt-", "o1", "o3", "o4"),
        # Reasoning models refuse max_tokens; all of OpenAI's own models take the newer name.
        renames={"max_tokens": "max_completion_tokens"},
    ),
    ProviderSpec(
        name="mistral",
        base_url="https://api.mistral.ai/v1",
        key_env="MISTRAL_API_KEY",
        base_url_env="MISTRAL_BASE_URL",
        default_model="mistral-small-latest",
        prefixes=("mistral-", "ministral-", "magistral-", "codestral-", "devstral-", "pixtral-"),
        renames={"seed": "random_seed"},
        # Usage comes in the last chunk anyway; unknown parameters are answered with 422.
        drops=frozenset({"stream_options"}),
    ),
    ProviderSpec(
        name="groq",
        base_url="https://api.groq.com/openai/v1",
        key_env="GROQ_API_KEY",
        base_url_env="GROQ_BASE_URL",
        default_model="llama-3.3-70b-versatile",
    ),
    ProviderSpec(
        name="openrouter",
        base_url="https://openrouter.ai/api/v1",
        key_env="OPENROUTER_API_KEY",
        base_url_env="OPENROUTER_BASE_URL",
        default_model="openai/gpt-5-mini",
    ),
    ProviderSpec(
        name="deepseek",
        base_url="https://api.deepseek.com",
        key_env="DEEPSEEK_API_KEY",
        base_url_env="DEEPSEEK_BASE_URL",
        default_model="deepseek-chat",
        prefixes=("deepseek-chat", "deepseek-reasoner"),
        has_json_schema=False,
    ),
    ProviderSpec(
        name="together",
        base_url="https://api.together.xyz/v1",
        key_env="TOGETHER_API_KEY",
        base_url_env="TOGETHER_BASE_URL",
        default_model="meta-llama/Llama-3.3-70B-Instruct-Turbo",
    ),
    ProviderSpec(
        name="xai",
        base_url="https://api.x.ai/v1",
        key_env="XAI_API_KEY",
        base_url_env="XAI_BASE_URL",
        default_model="grok-4",
        prefixes=("grok-",),
    ),
    ProviderSpec(
        name="anthropic",
        base_url="https://api.anthropic.com",
        key_env="ANTHROPIC_API_KEY",
        base_url_env="ANTHROPIC_BASE_URL",
        default_model="claude-haiku-4-5",
        prefixes=("claude-",),
        sdk="anthropic",
    ),
    ProviderSpec(
        name="google",
        base_url="https://generativelanguage.googleapis.com",
        key_env="GOOGLE_API_KEY",
        base_url_env="GOOGLE_BASE_URL",
        default_model="gemini-2.5-flash",
        prefixes=("gemini-",),
        sdk="google.genai",
    ),
    ProviderSpec(
        name="cohere",
        base_url="https://api.cohere.com",
        key_env="CO_API_KEY",
        base_url_env="CO_BASE_URL",
        default_model="command-a-03-2025",
        prefixes=("command-",),
        sdk="cohere",
    ),
    ProviderSpec(
        name="bedrock",
        # Of the region that is set, unless somebody says another place.
        base_url="https://bedrock-runtime.REGION.amazonaws.com",
        key_env="AWS_BEARER_TOKEN_BEDROCK",
        base_url_env="BEDROCK_BASE_URL",
        default_model="us.anthropic.claude-haiku-4-5-20251001-v1:0",
        sdk="boto3",
        finds_key=True,
    ),
    ProviderSpec(
        name="ollama",
        base_url="http://127.0.0.1:11434/v1",
        base_url_env="OLLAMA_BASE_URL",
        key_env="OLLAMA_API_KEY",
        is_local=True,
    ),
    ProviderSpec(
        name="vllm",
        base_url="http://127.0.0.1:8000/v1",
        key_env="VLLM_API_KEY",
        base_url_env="VLLM_BASE_URL",
        is_local=True,
    ),
    ProviderSpec(
        name="llamacpp",
        base_url="http://127.0.0.1:8080/v1",
        key_env="LLAMACPP_API_KEY",
        base_url_env="LLAMACPP_BASE_URL",
        is_local=True,
    ),
    ProviderSpec(
        name="openai_compatible",
        key_env="OPENAI_COMPATIBLE_API_KEY",
        base_url_env="OPENAI_COMPATIBLE_BASE_URL",
    ),
)

PROVIDERS: Mapping[str, ProviderSpec] = {spec.name: spec for spec in _TABLE}
"""All built-in providers by name, in the order in which a default is looked for."""


def provider_spec(name: str) -> ProviderSpec:
    """The row of a provider; a name of the user's own behaves like `openai_compatible`."""
    return PROVIDERS.get(name) or ProviderSpec(name=name)
