"""The registry of models."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from aiohttp import web

from runwright.errors import ConfigError, MissingExtra
from runwright.models import WEIGHTS, DefaultModel, ModelRegistry, ProviderSettings, has_weights
from runwright.models.resolve import KNOWN_REFS
from tests.unit.models.calls import answer_of, ask
from tests.unit.models.server import FakeProvider, fake_provider, json_answer

KEYED = {"mistral": ProviderSettings(api_key="k"), "xai": ProviderSettings(api_key="k")}
NOWHERE = {"ollama": ProviderSettings(base_url="http://127.0.0.1:9/v1")}


def present() -> bool:
    """The extra is installed."""
    return True


def absent() -> bool:
    """The extra is not installed."""
    return False


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A directory with a file of the right size."""
    entry = WEIGHTS["smollm2-135m"]
    with (tmp_path / entry.filename).open("wb") as file:
        file.truncate(entry.size)
    assert has_weights(entry.name, tmp_path)
    return tmp_path


@pytest.fixture
async def ollama() -> AsyncIterator[str]:
    """The base URL of an Ollama with one model."""

    async def tags(request: web.Request) -> web.Response:
        return web.json_response({"models": [{"name": "qwen3:4b", "size": 1}]})

    app = web.Application()

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"data": []})

    app.router.add_get("/api/tags", tags)
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    """A running provider."""
    async with fake_provider() as provider:
        yield provider


def test_default_is_what_is_named() -> None:
    """A model named in the settings comes before all else."""
    models = ModelRegistry(KEYED, default="demo:slow")
    assert models.default_ref == DefaultModel(ref="demo:slow", reason="named in the settings")
    assert models.resolve(None).ref == "demo:slow"


def test_default_is_a_provider_with_a_key(weights: Path) -> None:
    """A key comes before the local model; the table's order decides between keys."""
    found = ModelRegistry(KEYED, weights=weights, has_local_engine=present).default_ref
    assert (found.ref, found.reason) == ("mistral:mistral-small-latest", "a key for mistral is set (MISTRAL_API_KEY)")


async def test_default_is_an_ollama_that_answers(ollama: str, weights: Path) -> None:
    """An Ollama is found by discover and comes before the local model."""
    providers = {"ollama": ProviderSettings(base_url=ollama)}
    models = ModelRegistry(providers, weights=weights, has_local_engine=present)
    await models.discover()
    await models.discover()
    assert models.default_ref.ref == "ollama:qwen3:4b"
    assert models.resolve("ollama:qwen3:4b").ref == "ollama:qwen3:4b"
    assert "ollama:qwen3:4b" in [entry.ref for entry in models.catalog() if entry.is_available]
    await models.close()


@pytest.mark.parametrize(
    ("default", "keys", "refs", "asked"),
    [
        (None, {}, [None], True),
        (None, {}, ["qwen3:4b"], False),
        (None, {}, ["qwen3"], True),
        (None, {}, ["demo", "mistral-large-latest", "smollm2-135m"], False),
        (None, KEYED, [None], False),
        ("demo", {}, [None], False),
        ("qwen3", {}, [None], True),
    ],
    ids=["none", "provider", "bare", "known", "key", "named", "bare-default"],
)
async def test_an_ollama_is_looked_for_where_it_matters(
    ollama: str, default: str | None, keys: Mapping[str, ProviderSettings], refs: list[str | None], *, asked: bool
) -> None:
    """A start asks an Ollama only where what the agents name may be one of its models."""
    models = ModelRegistry({**keys, "ollama": ProviderSettings(base_url=ollama)}, default=default)
    await models.look(refs)
    assert any(entry.ref == "ollama:qwen3:4b" for entry in models.catalog()) is asked
    await models.close()


async def test_default_is_local_then_demo(weights: Path, tmp_path: Path) -> None:
    """Without key and Ollama it is the local model if it can run, else demo, and the reason says why."""
    models = ModelRegistry(NOWHERE, weights=weights, has_local_engine=present)
    await models.discover()
    assert models.default_ref.ref == "local:smollm2-135m"
    await models.close()
    bare = ModelRegistry(NOWHERE, weights=tmp_path / "none", has_local_engine=present)
    await bare.discover()
    assert bare.default_ref.ref == "demo"
    assert "runwright models pull smollm2-135m" in bare.default_ref.reason
    assert "not an LLM" in bare.default_ref.reason
    without = ModelRegistry(NOWHERE, weights=weights, has_local_engine=absent)
    assert "runwright[local]" in without.default_ref.reason


@pytest.mark.parametrize(
    ("ref", "full"),
    [
        ("mistral-large-latest", "mistral:mistral-large-latest"),
        ("grok-4", "xai:grok-4"),
        ("mistral:x:y", "mistral:x:y"),
        ("demo", "demo"),
    ],
)
def test_bare_names(ref: str, full: str) -> None:
    """A bare name is found by its beginning."""
    models = ModelRegistry(KEYED)
    assert models.resolve(ref).ref == full
    assert models.resolve(ref) is models.resolve(ref)


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("openai:gpt-5-mini", "set OPENAI_API_KEY"),
        ("mistal:x", "Did you mean 'mistral'"),
        ("smollm-135m", "Did you mean 'smollm2-135m'"),
        ("qqq", "write it as provider:name"),
        ("mistral:", "names no model"),
        ("openai_compatible:x", "OPENAI_COMPATIBLE_BASE_URL"),
        ("local:gpt-9", "smollm2-135m"),
        ("local:smollm2-135m", "runwright models pull smollm2-135m"),
        ("demo:quick", "slow"),
    ],
)
def test_errors_say_what_to_do(ref: str, message: str) -> None:
    """A reference that cannot be used says what to do."""
    with pytest.raises(ConfigError, match=message):
        ModelRegistry(KEYED, has_local_engine=present).resolve(ref)


def test_missing_extra(weights: Path) -> None:
    """Without the engine, a local model names the extra."""
    models = ModelRegistry(weights=weights, has_local_engine=absent)
    (weights / "own.gguf").write_bytes(b"GGUF")
    for ref in ("local:smollm2-135m", f"local:{weights}/own.gguf"):
        with pytest.raises(MissingExtra, match=r"runwright\[local\]"):
            models.resolve(ref)


async def test_one_engine_per_file(weights: Path) -> None:
    """The name and the path of a file are one engine."""
    models = ModelRegistry(weights=weights, has_local_engine=present)
    await models.discover()
    path = weights / WEIGHTS["smollm2-135m"].filename
    assert models.resolve("smollm2-135m") is models.resolve(f"local:{path}")
    await models.close()


def test_invented_names_are_not_kept_for_ever(weights: Path) -> None:
    """What is kept of names that callers invent, and of files that code names and nobody loads, has a bound."""
    models = ModelRegistry(KEYED, weights=weights, has_local_engine=present)
    for template in ("mistral:invented-{}", "local:/no/such/{}.gguf"):
        first = models.resolve(template.format(0))
        assert models.resolve(template.format(0)) is first
        for number in range(KNOWN_REFS):
            models.resolve(template.format(number + 1))
        assert models.resolve(template.format(0)) is not first


async def test_provider_of_one_s_own(fake: FakeProvider) -> None:
    """A provider under a name of one's own is called at its base URL, without a key if it has none."""
    fake.handler = json_answer({"choices": [{"message": {"content": "Hi"}}]})
    models = ModelRegistry({"acme": ProviderSettings(base_url=fake.url)})
    response = await answer_of(models.resolve("acme:m"), ask("Hello?"))
    assert (response.message.content, response.provider) == ("Hi", "acme")
    assert "Authorization" not in fake.headers[0]
    await models.close()


def test_catalog_says_what_is_missing() -> None:
    """Each line says whether it can be used, and what it needs."""
    entries = {entry.ref: entry for entry in ModelRegistry(KEYED, has_local_engine=present).catalog()}
    assert entries["demo"].is_available
    assert entries["mistral:mistral-small-latest"].is_available
    assert entries["openai:gpt-5-mini"].why_not == "set OPENAI_API_KEY"
    assert entries["local:smollm2-135m"].why_not.endswith("runwright models pull smollm2-135m")


async def test_catalog_knows_who_answers_on_this_machine(ollama: str, fake: FakeProvider) -> None:
    """A provider of this machine that does not answer, or answers something else, cannot be used, and it says where."""
    elsewhere = fake.url.replace("/v1", "/elsewhere")
    there = {"vllm": ProviderSettings(base_url=ollama), "llamacpp": ProviderSettings(base_url=elsewhere)}
    models = ModelRegistry(NOWHERE | there)
    assert not [entry.ref for entry in models.catalog() if "nothing answers" in entry.why_not]
    await models.probe()
    entries = {entry.provider: entry for entry in models.catalog()}
    assert entries["vllm"].is_available
    assert [entries[name].is_available for name in ("ollama", "llamacpp")] == [False, False]
    assert entries["ollama"].why_not == "nothing answers at http://127.0.0.1:9/v1: start it, or set OLLAMA_BASE_URL"
    await models.close()


def test_key_is_not_shown() -> None:
    """Settings of a provider do not show their key."""
    assert "secret" not in repr(ProviderSettings(api_key="secret"))


def test_a_provider_whose_client_is_missing() -> None:
    """A provider on a wire of its own names its extra, and is no default while that is missing."""
    settings = {"anthropic": ProviderSettings(api_key="k"), "xai": ProviderSettings(api_key="k")}
    models = ModelRegistry(settings, has_client=lambda spec: not spec.sdk)
    with pytest.raises(MissingExtra, match=r"runwright\[anthropic\]"):
        models.resolve("claude-haiku-4-5")
    told = next(entry for entry in models.catalog() if entry.provider == "anthropic")
    assert (told.is_available, "runwright[anthropic]" in told.why_not) == (False, True)
    only = ModelRegistry({"anthropic": settings["anthropic"]}, has_client=lambda spec: not spec.sdk)
    assert only.default_ref.ref != "anthropic:claude-haiku-4-5"
    assert ModelRegistry({"anthropic": settings["anthropic"]}).default_ref.ref == "anthropic:claude-haiku-4-5"
