"""Checks of final answers."""

import pytest
from pydantic import BaseModel

from runwright.agents.output import output_check, schema_of, unfenced
from runwright.core.agent import OutputCheck
from runwright.errors import ConfigError, OutputInvalid
from runwright.tools.result import encode


class Answer(BaseModel):
    """An answer."""

    city: str
    degrees: int


SCHEMA = schema_of(Answer)
CHECKS = [output_check(SCHEMA, Answer), output_check(SCHEMA)]


@pytest.mark.parametrize("check", CHECKS, ids=["type", "schema"])
@pytest.mark.parametrize(
    "text",
    [
        '{"city": "Bonn", "degrees": 3}',
        '```json\n{"city": "Bonn", "degrees": 3}\n```',
        'Here it is:\n```\n{"city": "Bonn",\n"degrees": 3}\n```\nAnything else?',
    ],
    ids=["bare", "fenced", "in words"],
)
def test_fits(check: OutputCheck, text: str) -> None:
    """An answer that fits is given as compact JSON, whatever Markdown stands around it."""
    assert check.check(text) == b'{"city":"Bonn","degrees":3}'


@pytest.mark.parametrize("check", CHECKS, ids=["type", "schema"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"city": "Bonn", "degrees": "warm"}', "/degrees: "),
        ('{"city": "Bonn"}', "degrees"),
        ("It is warm.", "JSON"),
        ("", "JSON"),
    ],
)
def test_does_not_fit(check: OutputCheck, text: str, words: str) -> None:
    """An answer that does not fit says where, and what to do."""
    with pytest.raises(OutputInvalid, match=words) as caught:
        check.check(text)
    assert caught.value.message.endswith("Answer with JSON that fits the schema, and nothing else.")


def test_many_problems() -> None:
    """Of many problems five are named, and the rest counted."""
    check = output_check({"type": "array", "items": {"type": "string"}})
    with pytest.raises(OutputInvalid, match="and 2 more"):
        check.check("[1, 2, 3, 4, 5, 6, 7]")


def test_fence_inside() -> None:
    """A code block inside a JSON text stays."""
    text = encode("```\nx\n```").decode()
    assert unfenced(text) == text


def test_any_type() -> None:
    """Any type that pydantic knows can be an output."""
    check = output_check(schema_of(list[int]), list[int])
    assert (check.spec.name, check.check("[1, 2]")) == ("list", b"[1,2]")


def test_names() -> None:
    """The name of an output is that of the type or the schema's title, without characters providers refuse."""
    names = [output_check(each).spec.name for each in ({"title": "My answer!"}, {})]
    assert (CHECKS[0].spec.name, names) == ("Answer", ["My_answer_", "output"])


def test_no_schema() -> None:
    """What is no JSON Schema, and a type without one, are configuration errors."""
    with pytest.raises(ConfigError, match="this is no JSON Schema"):
        output_check({"type": "objekt"})
    with pytest.raises(ConfigError, match="has no JSON Schema"):
        schema_of(type("Strange", (), {}))


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9/schema", "file:///etc/passwd"])
def test_reference(uri: str) -> None:
    """A schema that refers to elsewhere is refused; nothing is fetched or read."""
    with pytest.raises(ConfigError, match="references lead inside the schema"):
        output_check({"$ref": uri})
