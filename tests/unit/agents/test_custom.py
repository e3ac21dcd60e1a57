"""What the definition of a custom agent has to say, and what is refused, with its place. Nothing is run."""

from pathlib import Path
from typing import Any

import pytest

from runwright import tool
from runwright.agents.base import Declared, Origin, Source
from runwright.agents.factory import Premises, build
from runwright.agents.host import check_url
from runwright.agents.registry import BUILT_IN, Registry
from runwright.agents.schema import read_definition
from runwright.agents.templates import Templates
from runwright.core.agent import BuiltAgent, CodeFlow
from runwright.core.sandbox import MIB, Language
from runwright.errors import ConfigError, InvalidRequest
from runwright.sections import SandboxSettings
from runwright.tools.http import HttpClient
from runwright.tools.sandbox.dependencies import Dependencies
from runwright.tools.sandbox.local import LocalSandbox
from runwright.tools.sandbox.workshop import Pinned, Workshop

CODE: dict[str, Any] = {"language": "python", "code": "def main(): return 1\n"}
SHA = "a" * 64


@tool(effect="read")
async def look(at: str) -> str:
    """Look at something."""
    return at


class Everywhere(LocalSandbox):
    """A sandbox in which everything could be run."""

    def why_not(self, language: Language, min_isolation: int) -> str | None:
        """Nothing is missing."""
        return None


def workshop(tmp_path: Path, *, sandbox: LocalSandbox | None = None) -> Workshop:
    """What code needs here."""
    pinned = Pinned(tmp_path, HttpClient())
    limits = SandboxSettings(api_memory_mb=600, api_code_timeout_s=60).api_limits
    return Workshop(sandbox or Everywhere(), Dependencies(tmp_path), pinned, api_hosts=("api.test",), api_limits=limits)


def made(
    tmp_path: Path, config: dict[str, Any], *, source: Source = "file", shop: Workshop | None = None, **more: Any
) -> BuiltAgent:
    """An agent of this configuration, from a file in the folder."""
    definition = read_definition({"name": "it", "template": "custom", "config": config, **more})
    origin = Origin(source=source, file="" if source == "api" else str(tmp_path / "agents.yaml"))
    declared = Declared(definition=definition, origin=origin)
    templates = Templates(BUILT_IN)
    return build(
        declared, templates=templates, toolbox={"look": look}, premises=Premises(workshop=shop or workshop(tmp_path))
    )


def places(tmp_path: Path, config: dict[str, Any], *, source: Source = "file", **more: Any) -> list[str]:
    """Where a configuration is wrong."""
    with pytest.raises(ConfigError) as caught:
        made(tmp_path, config, source=source, **more)
    return [place for place, _ in caught.value.problems]


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"language": "python"}, ["/config/code"]),
    ({**CODE, "url": "https://x.test/a.py", "sha256": SHA}, ["/config/code"]),
    ({**CODE, "language": "perl"}, ["/config/language"]),
    ({"language": "python", "url": "https://x.test/a.py"}, ["/config/sha256"]),
    ({"language": "python", "url": "https://x.test/a.py", "sha256": "abc"}, ["/config/sha256"]),
    ({"language": "python", "url": "file:///etc/passwd", "sha256": SHA}, ["/config/url"]),
    ({**CODE, "sha256": SHA}, ["/config/sha256"]),
    ({"language": "python", "file": "absent.py"}, ["/config/file"]),
    ({"language": "python", "code": "#" * (MIB + 1)}, ["/config/code"]),
    ({**CODE, "dependencies": ["numpy", "git+https://x.test/y"]}, ["/config/dependencies/1"]),
    ({**CODE, "agents": ["fine", "not fine"]}, ["/config/agents/1"]),
    ({**CODE, "arguments": {"type": "string"}}, ["/config/arguments/type"]),
    ({**CODE, "arguments": {"properties": 7}, "result": {"type": "text"}}, ["/config/arguments", "/config/result"]),
    ({**CODE, "tools": ["lock"]}, ["/tools/0"]),
    ({**CODE, "tools": ["look"], "approvals": ["lock"]}, ["/approvals"]),
    ({**CODE, "limits": {"code_timeout_s": 301}}, ["/limits/code_timeout_s"]),
    ({**CODE, "limits": {"memory_mb": 1}}, ["/limits/memory_mb"]),
    ({**CODE, "isolation": 4}, ["/config/isolation"]),
    ({**CODE, "entrypoint": "main"}, ["/config/entrypoint"]),
]


@pytest.mark.parametrize(("config", "expected"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_a_wrong_definition_is_refused_with_places(config: dict[str, Any], expected: list[str], tmp_path: Path) -> None:
    """Each thing that is wrong is named by a JSON pointer into the definition."""
    assert places(tmp_path, config) == expected


API: list[tuple[dict[str, Any], list[str]]] = [
    ({"language": "python", "file": "a.py"}, ["/config/file"]),
    ({"language": "python", "url": "http://169.254.169.254/x", "sha256": SHA}, ["/config/url"]),
    ({**CODE, "isolation": 1}, ["/config/isolation"]),
    ({**CODE, "isolation": 0}, ["/config/isolation"]),
    ({**CODE, "http": ["api.test", "localhost"]}, ["/config/http/1"]),
    ({**CODE, "http": ["*"]}, ["/config/http/0"]),
    ({**CODE, "limits": {"memory_mb": 601}}, ["/limits/memory_mb"]),
    ({**CODE, "limits": {"output_kb": 1025}}, ["/limits/output_kb"]),
    ({**CODE, "limits": {"threads": 65, "calls": 10_001}}, ["/limits/threads", "/limits/calls"]),
    ({**CODE, "limits": {"code_timeout_s": 61}}, ["/limits/code_timeout_s"]),
]


@pytest.mark.parametrize(("config", "expected"), API, ids=[str(number) for number in range(len(API))])
def test_what_the_api_may_not_say(config: dict[str, Any], expected: list[str], tmp_path: Path) -> None:
    """An agent from the API names no file, no host that is not allowed, no weaker isolation and no more memory."""
    assert places(tmp_path, config, source="api") == expected


@pytest.mark.parametrize(("source", "expected"), [("code", 1), ("file", 1), ("api", 2)])
def test_the_isolation_that_is_asked_for(source: Source, expected: int, tmp_path: Path) -> None:
    """Code from the API is run at level 2 or above, one's own at level 1 unless the definition says more."""
    asked: list[int] = []

    class Asking(Everywhere):
        def why_not(self, language: Language, min_isolation: int) -> str | None:
            asked.append(min_isolation)

    shop = workshop(tmp_path, sandbox=Asking())
    made(tmp_path, CODE, source=source, shop=shop)
    made(tmp_path, {**CODE, "isolation": 3}, source=source, shop=shop)
    assert asked == [expected, 3]


def test_an_agent_for_which_there_is_no_sandbox_is_refused(tmp_path: Path) -> None:
    """Where no way is strong enough, the definition is refused, and says what was tried and what to do."""
    shop = workshop(tmp_path, sandbox=LocalSandbox(ways=("deno",)))
    with pytest.raises(ConfigError, match="it runs JavaScript and TypeScript") as caught:
        made(tmp_path, CODE, shop=shop)
    assert [place for place, _ in caught.value.problems] == ["/config/language"]
    with pytest.raises(ConfigError, match="none of the sandboxes that are allowed is that strong"):
        made(tmp_path, {**CODE, "language": "javascript"}, source="api", shop=shop)


def test_code_of_a_file_stands_beside_the_definition(tmp_path: Path) -> None:
    """The file is looked for where the definition stands, and another text in it makes another fingerprint."""
    place = tmp_path / "code" / "a.py"
    place.parent.mkdir()
    prints: set[str] = set()
    for text in ("def main(): return 1\n", "def main(): return 2\n"):
        place.write_text(text)
        prints.add(made(tmp_path, {"language": "python", "file": "code/a.py"}).fingerprint)
    assert len(prints) == 2


def test_a_run_may_not_bring_code(tmp_path: Path) -> None:
    """A run replaces model and approvals alone: the code of an author is never that of a caller."""
    registry = Registry(workshop=workshop(tmp_path))
    definition = read_definition({"name": "it", "template": "custom", "tools": [], "config": CODE})
    registry.put(Declared(definition=definition, origin=Origin(source="file", file=str(tmp_path / "agents.yaml"))))
    flow = registry.get("it", config={"model": "demo"}).flow
    assert isinstance(flow, CodeFlow)
    assert flow.model == "demo"
    for field, value in (("code", "def main(): return 2"), ("isolation", 0), ("limits", {"memory_mb": 4096})):
        with pytest.raises(InvalidRequest) as caught:
            registry.get("it", config={field: value})
        assert [place for place, _ in caught.value.problems] == [f"/config/{field}"]


def test_without_a_sandbox_definitions_can_still_be_read(tmp_path: Path) -> None:
    """A registry that runs nothing builds the agent: its policies can be looked at."""
    registry = Registry()
    definition = read_definition({"name": "it", "template": "custom", "config": CODE})
    registry.put(Declared(definition=definition, origin=Origin(source="file", file=str(tmp_path / "agents.yaml"))))
    assert registry.get("it").name == "it"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'"text"', {"a": "text"}),
        (b"7", {"a": 7}),
        (b'{"messages": [{"role": "user", "content": "hi"}]}', {"a": "hi"}),
    ],
)
def test_input_is_read_as_arguments(data: bytes, expected: object, tmp_path: Path) -> None:
    """An object is the arguments; what is none is the one argument that the function takes."""
    flow = made(tmp_path, {**CODE, "arguments": {"properties": {"a": {}}}}).flow
    assert isinstance(flow, CodeFlow)
    assert flow.read_input(data) == expected


def test_text_for_several_arguments_is_refused(tmp_path: Path) -> None:
    """Where it is not clear which argument a text is, it is asked for."""
    flow = made(tmp_path, {**CODE, "arguments": {"properties": {"a": {}, "b": {}}}}).flow
    with pytest.raises(InvalidRequest, match="send an object with the arguments: a, b"):
        flow.read_input(b'"text"')


@pytest.mark.parametrize(
    "url",
    [
        "http://api.test@evil.test/",
        "http://evil.test\\@api.test/",
        "http://evil.test/api.test",
        "http://api.test.evil.test/",
        "//api.test/",
        "ftp://api.test/",
        "http://api.test:81/",
        "http://api.test:99999/",
        "http://[::1/",
        "http://\u0430pi.test/",
        "http://api.test\n.evil.test/",
        "",
    ],
)
def test_only_named_hosts_are_reached(url: str) -> None:
    """A URL that leads elsewhere, or that readers of URLs could take differently, is refused."""
    check_url("https://API.test/x?y=a b", ["api.test:443"])
    with pytest.raises(InvalidRequest):
        check_url(url, ["api.test:80", "api.test:443"])
