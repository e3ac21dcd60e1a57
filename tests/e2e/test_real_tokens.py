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

from runwright.core.ports import RunFilter
from runwright.journal.read import JournalReader
from runwright.journal.tape import read_tape
from runwright.models import has_weights
from runwright.models.local_engine import has_engine
from runwright.settings import Settings
from runwright.store import open_stores
from tests.docs import matrix
from tests.e2e.serving import Server, serving
from tests.integration.sandbox.ways import need

NAME = "smollm2-135m"
CACHE = Settings().cache_dir
FEATURES = Path(__file__).parents[2] / "examples" / "features"

WITHIN_S = 300
"""A small model on a busy machine takes its time."""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.local_model,
    pytest.mark.timeout(WITHIN_S + 20),
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


@pytest.mark.parametrize("template", matrix.TEMPLATES)
def test_each_template_on_a_real_model(template: str, tmp_path: Path) -> None:
    """An example of the template completes with the words of the local model, and of nothing that stands in for it."""
    example = matrix.local_example(template)
    assert example is not None, f"no example is of the template {template!r}"
    if template == "custom":
        need("bubblewrap", "python")
    assert _command(*example.live, data=tmp_path, model=matrix.LOCAL)["status"] == "completed"
    stores = open_stores(tmp_path / "runwright.db")
    try:
        reader = JournalReader(stores.runs, stores.blobs)
        runs = stores.runs.find(RunFilter())
        asked = [step for run in runs for step in read_tape(reader.events(run.id)) if step.match.kind == "model"]
    finally:
        stores.close()
    assert {(step.name, step.status) for step in asked} == {(matrix.LOCAL, "completed")}


def test_a_task_on_a_real_model(tmp_path: Path) -> None:
    """The example's task has its prompts answered by the local model, one of them in the shape of its schema."""
    run = _example("trip", '{"from": "Paris", "to": "Rome"}', "--as-json", data=tmp_path, model=f"local:{NAME}")
    assert (run["status"], run["output"]["failed"]) == ("completed", None)
    assert "demo model" not in run["output"]["note"]
    assert list(run["output"]["label"]) == ["city", "people"]


def test_a_schedule_on_a_real_model(tmp_path: Path) -> None:
    """A server takes up the example's schedule, and its run is answered by the local model."""
    (tmp_path / "agents").symlink_to(FEATURES)
    with serving(tmp_path, models_dir=str(CACHE)) as server:
        run = _command("schedules", "trigger", "local-digest", "--server", server.url, data=tmp_path)
    assert (run["status"], run["metadata"]["schedule"]) == ("completed", "local-digest")
    assert run["usage"]["output_tokens"] > 0
    assert "demo model" not in run["output"]


def _example(*command: str, data: Path, model: str = "demo") -> dict[str, Any]:
    """A run of an example agent."""
    return _command("run", *command, "--agents", str(FEATURES), data=data, model=model)


def _command(*command: str, data: Path, model: str = "demo") -> dict[str, Any]:
    """What a command prints as JSON."""
    environ = {**os.environ, "RUNWRIGHT_MODEL": model, "RUNWRIGHT_DATA": str(data)}
    whole = [sys.executable, "-m", "runwright", *command, "--json"]
    done = subprocess.run(
        whole, env=environ, cwd=FEATURES.parents[1], capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
