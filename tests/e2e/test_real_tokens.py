"""The OpenAI client and commands against a real language model on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from runwright.models import has_weights
from runwright.models.local_engine import has_engine
from runwright.settings import Settings
from tests.e2e.serving import Server, serving
from tests.integration.sandbox.ways import need

NAME = "smollm2-135m"
CACHE = Settings().cache_dir
FEATURES = Path(__file__).parents[2] / "examples" / "features"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.local_model,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        not (has_engine() and has_weights(NAME, CACHE)),
        reason="needs the extra `local` and `runwright models pull smollm2-135m`, which `make test` does",
    ),
]

LIMIT = 16
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello and tell me how you are."}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with the local model as the default of every agent that names none."""
    with serving(tmp_path_factory.mktemp("server"), model=f"local:{NAME}", models_dir=str(CACHE)) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    """The plain OpenAI client."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def test_real_tokens_are_answered_and_streamed(client: openai.OpenAI) -> None:
    """The model's own words come whole and in pieces, the same ones at temperature 0, counted and cut at the limit."""
    whole = client.chat.completions.create(model="talker", messages=HELLO, temperature=0, max_tokens=LIMIT)
    text = whole.choices[0].message.content or ""
    assert whole.usage is not None
    assert (whole.choices[0].finish_reason, whole.usage.completion_tokens) == ("length", LIMIT)
    assert ("demo model" in text, len(text.split()) > 1) == (False, True)
    chunks = list(
        client.chat.completions.create(
            model="talker",
            messages=HELLO,
            temperature=0,
            max_tokens=LIMIT,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    choices = [choice for chunk in chunks for choice in chunk.choices]
    pieces = [choice.delta.content for choice in choices if choice.delta.content]
    assert (len(pieces) > 1, "".join(pieces)) == (True, text)
    assert chunks[-1].usage is not None
    assert (choices[-1].finish_reason, chunks[-1].usage.completion_tokens) == ("length", LIMIT)


def test_a_supervisor_on_a_real_model(tmp_path: Path) -> None:
    """The example's supervisor answers with the local model, which is shown its agents as tools."""
    run = _example("local-desk", "Translate good morning", data=tmp_path)
    assert (run["status"], run["usage"]["output_tokens"] > 0) == ("completed", True)


def test_a_task_on_a_real_model(tmp_path: Path) -> None:
    """The example's task has its prompts answered by the local model, one of them in the shape of its schema."""
    run = _example("trip", '{"from": "Paris", "to": "Rome"}', "--as-json", data=tmp_path, model=f"local:{NAME}")
    assert (run["status"], run["output"]["failed"]) == ("completed", None)
    assert "demo model" not in run["output"]["note"]
    assert list(run["output"]["label"]) == ["city", "people"]


def test_a_repository_on_a_real_model(tmp_path: Path) -> None:
    """The example that reads this repository answers with the local model, and names the commit that it read."""
    run = _example("local-reader", "What is this?", data=tmp_path)
    assert (run["status"], run["usage"]["output_tokens"] > 0) == ("completed", True)
    assert len(run["output"]["commit"]) == 40


def test_a_schedule_on_a_real_model(tmp_path: Path) -> None:
    """A server takes up the example's schedule, and its run is answered by the local model."""
    (tmp_path / "agents").symlink_to(FEATURES)
    with serving(tmp_path, models_dir=str(CACHE)) as server:
        run = _command("schedules", "trigger", "local-digest", "--server", server.url, data=tmp_path)
    assert (run["status"], run["metadata"]["schedule"]) == ("completed", "local-digest")
    assert run["usage"]["output_tokens"] > 0
    assert "demo model" not in run["output"]


@pytest.mark.parametrize("name", ["local-desk", "local-guide"])
def test_an_agent_of_another_framework_on_a_real_model(name: str, tmp_path: Path) -> None:
    """The examples of Pydantic AI and of LangGraph answer with the local model."""
    run = _example(name, "Say hello.", data=tmp_path, agents=FEATURES.with_name("frameworks"))
    assert (run["status"], run["usage"]["output_tokens"] > 0) == ("completed", True)
    assert "demo model" not in run["output"]


def _example(*command: str, data: Path, model: str = "demo", agents: Path = FEATURES) -> dict[str, Any]:
    """A run of an example agent."""
    return _command("run", *command, "--agents", str(agents), data=data, model=model)


def _command(*command: str, data: Path, model: str = "demo") -> dict[str, Any]:
    """What a command prints as JSON."""
    environ = {**os.environ, "RUNWRIGHT_MODEL": model, "RUNWRIGHT_DATA": str(data)}
    whole = [sys.executable, "-m", "runwright", *command, "--json"]
    done = subprocess.run(
        whole, env=environ, cwd=FEATURES.parents[1], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_code_in_a_sandbox_on_a_real_model(tmp_path: Path) -> None:
    """The example's code gets what the local model says, through the host."""
    need("bubblewrap", "python")
    environ = {**os.environ, "RUNWRIGHT_MODEL": f"local:{NAME}", "RUNWRIGHT_DATA": str(tmp_path)}
    command = [sys.executable, "-m", "runwright", "run", "headlines", '{"topic": "the sea", "count": 2}']
    done = subprocess.run(
        [*command, "--as-json", "--json", "--agents", str(FEATURES.with_name("custom"))],
        env=environ,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert (run["status"], run["usage"]["output_tokens"] > 0) == ("completed", True)
