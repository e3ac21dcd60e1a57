"""Definitions from YAML files and API bodies, and policies from files of their own."""

from pathlib import Path

import pytest

from runwright.agents.load import MAX_BYTES, load_body, load_file, load_guard
from runwright.agents.schema import DefinitionFields
from runwright.core.agent import Definition
from runwright.core.policy import Breaker, Guard, Retry
from runwright.errors import ConfigError, InvalidRequest


def problems(folder: Path, text: str | bytes) -> list[str]:
    """What is wrong with a file."""
    file = folder / "support.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_file(file, shown="agents/support.yaml")
    return [f"{place} {detail}" for place, detail in caught.value.problems]


def test_one(tmp_path: Path) -> None:
    """A file can hold one definition."""
    file = tmp_path / "a.yaml"
    file.write_text("name: a\ninstructions: |\n  Be brief.\n  Always.\nsettings: {temperature: 0.5}\n")
    (declared,) = load_file(file).agents
    assert declared.definition == Definition(
        name="a", config={"instructions": "Be brief.\nAlways.\n", "settings": {"temperature": 0.5}}
    )
    assert declared.origin.at("/settings/temperature") == f"{file}:5: settings.temperature"


def test_several(tmp_path: Path) -> None:
    """A file can hold a list of definitions, which may share parts by anchors."""
    file = tmp_path / "a.yml"
    file.write_text("- &first\n  name: a\n  model: demo\n- <<: *first\n  name: b\n")
    one, two = load_file(file).agents
    assert [one.definition.config, two.definition.config] == [{"model": "demo"}] * 2
    assert (two.name, two.origin.at("/name")) == ("b", f"{file}:5: [1].name")


def test_all_problems(tmp_path: Path) -> None:
    """Every problem of a file is reported at once, with line, path and what would be right."""
    text = "- name: a\n  instruction: x\n- name: b\n  tools: weather\n  version: 1.0\n  settings: 3\n- name: c\n"
    assert problems(tmp_path, text) == [
        "agents/support.yaml:2: [0].instruction there is no field 'instruction'; did you mean 'instructions'?",
        "agents/support.yaml:5: [1].version Input should be a valid string, not 1.0",
        "agents/support.yaml:4: [1].tools Input should be a valid list, not 'weather'",
        "agents/support.yaml:6: [1].settings this is an object, not 3",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", " the file is empty: write at least `name: ...`"),
        ("name: a\nname: b\n", ":2 'name' stands here twice: keep one of them"),
        ("name: !!python/name:os.system\n", ":1 the tag !!python/name:os.system is not allowed: write plain data"),
        ("name: !env KEY\n", ":1 the tag !env is not allowed: write plain data"),
        ("name: a\nconfig: !!set {b, c}\n", ":2 the tag !!set is not allowed: write plain data"),
        ("? [a]\n: b\n", ":1 a key is text"),
        (
            "hello",
            f":1 this is an object with some of the fields {', '.join(DefinitionFields.model_fields)}, not 'hello'",
        ),
        (b"name: \xff\n", ":1 this is no valid UTF-8: save the file as UTF-8"),
        (b"#" * (MAX_BYTES + 1), " the file is larger than 1,048,576 bytes: split it"),
        ("[" * 60 + "]" * 60, ":1 the file holds too much: its aliases or its nesting multiply"),
        ("[" * 9000 + "]" * 9000, " the file is nested too deeply"),
        ("name: &a [*a]\n", ":1 the file holds too much: its aliases or its nesting multiply"),
    ],
)
def test_refused(tmp_path: Path, text: str | bytes, problem: str) -> None:
    """What is no plain definition is refused, and the line is named."""
    assert problems(tmp_path, text) == [f"agents/support.yaml{problem}"]


def test_no_yaml(tmp_path: Path) -> None:
    """A file that is no YAML is reported with its line."""
    (found,) = problems(tmp_path, "name: a\n  tools: [\n")
    assert found.startswith("agents/support.yaml:2 this is no YAML: mapping values are not allowed here")
    (found,) = problems(tmp_path, b"name: \x00")
    assert found.startswith("agents/support.yaml this is no YAML: ")
    (found,) = problems(tmp_path, "name: a\n---\nname: b\n")
    assert found.startswith("agents/support.yaml:2 this is no YAML: expected a single document")


def test_aliases_that_multiply(tmp_path: Path) -> None:
    """Aliases of aliases do not take the memory of the server."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (found,) = problems(tmp_path, "\n".join(lines))
    assert found.endswith("its aliases or its nesting multiply")


def test_missing_file(tmp_path: Path) -> None:
    """A file that cannot be read is a configuration error."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_file(tmp_path / "a.yaml")


def test_body() -> None:
    """An API body has the same fields, and the pointers of its problems lead into it."""
    assert load_body(b'{"name": "a", "model": "demo"}').definition == Definition(name="a", config={"model": "demo"})
    with pytest.raises(InvalidRequest) as caught:
        load_body({"modell": "demo"})
    assert caught.value.problems == (
        ("/name", "Field required"),
        ("/modell", "there is no field 'modell'; did you mean 'model'?"),
    )


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b"[]", b"null"])
def test_bad_body(body: bytes) -> None:
    """A body that is no JSON object is an invalid request."""
    with pytest.raises(InvalidRequest):
        load_body(body)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.yaml", "retry: {attempts: 2}\nbreaker: true\nhedge: false\n"),
        ("p.toml", "breaker = true\nhedge = false\n[retry]\nattempts = 2\n"),
    ],
)
def test_policies_of_a_file(tmp_path: Path, name: str, text: str) -> None:
    """Policies are read from YAML and TOML, under the names that they have in a definition."""
    (tmp_path / name).write_text(text)
    found = load_guard(tmp_path / name)
    assert found in (
        Guard(retry=Retry(attempts=2), breaker=True, hedge=False),
        Guard(retry=Retry(attempts=2), breaker=Breaker(), hedge=False),
    )


@pytest.mark.parametrize(
    ("name", "text", "place", "detail"),
    [
        ("p.yaml", "retry:\n  attempts: none\n", "p.yaml:2: retry.attempts", "this is an integer, not 'none'"),
        ("p.yaml", "retrys: true\n", "p.yaml:1: retrys", "did you mean 'retry'?"),
        ("p.yaml", "- retry\n", "p.yaml:1", "this is a table of policies"),
        ("p.yaml", "", "p.yaml", "the file is empty: write at least `retry: true`"),
        ("p.toml", "[retry]\nattempts = 0\n", "p.toml: retry.attempts", "an integer of at least 1, not 0"),
        ("p.toml", "retry =\n", "p.toml", "this is no TOML"),
        ("p.json", "{}", "p.json", ".toml, .yaml or .yml"),
        ("gone.yaml", None, "gone.yaml", "cannot be read"),
    ],
)
def test_wrong_policies_have_a_place(tmp_path: Path, name: str, text: str | None, place: str, detail: str) -> None:
    """What is wrong with a file of policies is told with its place and what would be right."""
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_guard(tmp_path / name)
    ((where, told),) = caught.value.problems
    assert where == f"{tmp_path}/{place}"
    assert detail in told
