"""Real clients against the real command."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from langchain_openai import ChatOpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel, SecretStr

from tests.e2e.serving import Server, refused, serving

pytestmark = pytest.mark.e2e

KEY = "a-key-of-this-test"
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello there"}]
SAID = "This is the demo model, not an LLM. You said: hello there"


class City(BaseModel):
    """What is asked of `parse()`."""

    city: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests of this file, with an API key."""
    with serving(tmp_path_factory.mktemp("server"), api_key=KEY) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    """The plain OpenAI client."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def native(server: Server) -> Iterator[httpx2.Client]:
    """A client of the native API."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx2.Client(base_url=server.url, headers=headers, timeout=30) as client:
        yield client


def test_the_openai_client_asks(client: openai.OpenAI) -> None:
    """Models are listed and a completion is answered, with the run behind it."""
    assert {model.id for model in client.models.list()} == {"support", "slow", "busy", "fails", "sleepy", "talker"}
    assert client.models.retrieve("support").owned_by == "runwright"
    answer = client.chat.completions.create(model="support", messages=HELLO, temperature=0, user="u1")
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (SAID, "stop")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert answer.metadata is not None
    assert answer.metadata["run_id"].startswith("run_")


def test_the_openai_client_streams(client: openai.OpenAI) -> None:
    """A stream comes in pieces that make up the answer, with usage in the last chunk."""
    stream = client.chat.completions.create(
        model="slow", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    pieces = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(pieces) == SAID
    assert len([piece for piece in pieces if piece]) > 3
    assert chunks[-1].usage is not None


def test_the_agents_tools_stay_inside(client: openai.OpenAI, native: httpx2.Client) -> None:
    """The agent calls its tool, and the client sees the answer alone."""
    ask: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the weather in Oslo?"}]
    answer = client.chat.completions.with_raw_response.create(model="support", messages=ask)
    message = answer.parse().choices[0].message
    assert (message.tool_calls, "sunny in Oslo" in (message.content or "")) == (None, True)
    steps = native.get(f"/api/v1/runs/{answer.headers['x-run-id']}/steps").json()["data"]
    assert [step["kind"] for step in steps] == ["model", "tool", "model"]


def test_the_openai_client_parses(client: openai.OpenAI) -> None:
    """`parse()` gives an object of the caller's own type."""
    answer = client.chat.completions.parse(model="support", messages=HELLO, response_format=City)
    assert isinstance(answer.choices[0].message.parsed, City)
    with client.chat.completions.stream(model="support", messages=HELLO, response_format=City) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, City)


def test_errors_are_the_clients_own(client: openai.OpenAI) -> None:
    """Every failure is the exception that OpenAI users catch."""
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nobody", messages=HELLO)
    with pytest.raises(openai.UnprocessableEntityError, match="one answer"):
        client.chat.completions.create(model="support", messages=HELLO, n=2)
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="another").models.list()
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="busy", messages=HELLO)
    with pytest.raises(openai.APIError, match="this agent fails"):
        list(client.chat.completions.create(model="fails", messages=HELLO, stream=True))


def test_unknown_parameters_do_no_harm(client: openai.OpenAI) -> None:
    """Whatever a client sends besides is ignored and named."""
    answer = client.chat.completions.with_raw_response.create(
        model="support", messages=HELLO, logprobs=True, extra_body={"top_k": 5, "thinking": {}}
    )
    assert answer.headers["x-runwright-ignored"] == "logprobs, thinking, top_k"


async def test_the_async_client(server: Server) -> None:
    """The asynchronous client asks and streams."""
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY) as client:
        answer = await client.chat.completions.create(model="support", messages=HELLO)
        assert answer.choices[0].message.content == SAID
        stream = await client.chat.completions.create(model="support", messages=HELLO, stream=True)
        pieces = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
        assert "".join(pieces) == SAID


def test_langchain(server: Server) -> None:
    """LangChain's client asks, streams and gets structured output."""
    model: Any = ChatOpenAI(model="support", base_url=f"{server.url}/v1", api_key=SecretStr(KEY), max_retries=0)
    assert model.invoke("hello there").content == SAID
    assert "".join(chunk.content for chunk in model.stream("hello there")) == SAID
    assert isinstance(model.with_structured_output(City).invoke("hello there"), City)


def test_the_native_api(native: httpx2.Client) -> None:
    """A run over the native API, whole and as a stream."""
    run = native.post("/api/v1/agents/support/runs", json={"input": "hello there", "thread_id": "t1"}).json()
    assert (run["status"], run["output"]) == ("completed", SAID)
    body = {"input": "and again", "session_id": "t1", "mode": "stream"}
    with native.stream("POST", "/api/v1/agents/support/runs", json=body) as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    assert json.loads(lines[-1][6:])["type"] == "run.completed"
    assert len(native.get("/api/v1/threads/t1/messages").json()["data"]) == 4


def test_a_prompt_of_ten_megabytes(native: httpx2.Client) -> None:
    """A long prompt is a run like any other; one above the limit is refused before it costs anything."""
    prompt = "word " * (2 * 1024 * 1024)
    run = native.post("/api/v1/agents/slow/runs", json={"input": prompt}).json()
    assert (run["status"], len(run["input"])) == ("completed", len(prompt))
    assert native.post("/api/v1/agents/slow/runs", json={"input": prompt * 3}).status_code == 413


def test_invalid_utf8(native: httpx2.Client) -> None:
    """Bytes that are no text are refused with their place, and the server goes on."""
    answer = native.post("/api/v1/agents/support/runs", content=b'{"input": "\xff\xfe"}')
    assert (answer.status_code, answer.json()["errors"][0]["detail"]) == (
        422,
        "The body is not UTF-8: byte 11 is 0xff.",
    )
    chat = native.post("/v1/chat/completions", content=b'{"model": "support", "messages": "\xff"}')
    assert (chat.status_code, chat.json()["error"]["type"]) == (422, "invalid_request_error")
    assert native.get("/readyz").text == "ready\n"


def test_the_key_protects_everything_but_the_probes(server: Server) -> None:
    """Without the key only /livez and /readyz answer."""
    with httpx2.Client(base_url=server.url) as stranger:
        probes = [stranger.get(path).status_code for path in ("/livez", "/readyz")]
        others = [
            stranger.get(path).status_code for path in ("/health", "/metrics", "/v1/models", "/api/v1/runs", "/docs")
        ]
    assert (probes, set(others)) == ([200, 200], {401})


def test_a_bind_beyond_loopback_without_a_key_is_refused(tmp_path: Path) -> None:
    """A server that others could reach does not start without a key."""
    status, output = refused(tmp_path, host="0.0.0.0")
    assert status == 3
    assert "RUNWRIGHT_API_KEY" in output


def test_a_provider_of_ones_own(server: Server, tmp_path: Path) -> None:
    """A server of the OpenAI wire, such as another Runwright, is a provider by a name and a key of one's own."""
    (tmp_path / "runwright.toml").write_text(
        f'[providers.upstream]\nbase_url = "{server.url}/v1"\nkey_env = "UPSTREAM_KEY"\n'
    )
    (tmp_path / ".env").write_text(f"UPSTREAM_KEY={KEY}\n")
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "desk.yaml").write_text("name: desk\nmodel: upstream:slow\n")
    with serving(tmp_path) as own:
        run = httpx2.post(f"{own.url}/api/v1/agents/desk/runs", json={"input": "hello there"}).json()
    assert (run["status"], run["output"], run["cost"]["source"]) == ("completed", SAID, "unpriced")
