"""Forms of JSON Schemas: what is typed becomes data, and data becomes what was typed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.agents.base import Template
from runwright.agents.registry import BUILT_IN
from runwright.errors import InvalidRequest
from runwright.studio.forms import Field, Posted, form, is_draft, read

SCHEMA: dict[str, object] = {
    "$defs": {
        "Step": {
            "type": "object",
            "properties": {
                "agent": {"type": "string"},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
                "then": {"type": "array", "items": {"$ref": "#/$defs/Step"}},
            },
            "required": ["agent"],
        }
    },
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "What it is called."},
        "code": {"type": "string"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 9, "default": 4},
        "time_s": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": 600},
        "usd": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}], "default": None},
        "fast": {"type": "boolean", "default": False},
        "level": {"enum": [0, 1, "all"]},
        "tools": {"type": "array", "items": {"type": "string"}},
        "steps": {"type": "array", "items": {"$ref": "#/$defs/Step"}},
        "extra": {"type": "object"},
        "any": {},
    },
    "required": ["name"],
}


def field(made: Field, name: str) -> Field:
    """A field by its name."""
    found = next((each for each in every(made) if each.name == name), None)
    assert found is not None, name
    return found


def every(made: Field) -> list[Field]:
    """A field with all below it."""
    return [made, *(below for each in made.fields for below in every(each))]


def typed(made: Field) -> dict[str, list[str]]:
    """What a browser posts of a form that nobody touched."""
    pairs: dict[str, list[str]] = {}
    for each in every(made):
        if each.kind == "list":
            pairs[each.name + "#"] = [str(index) for index in range(len(each.fields))]
        elif each.kind != "group":
            pairs[each.name] = [each.value.replace("\n", "\r\n")]
    return {name: values for name, values in pairs.items() if values}


DATA: dict[str, object] = {
    "name": "é \u200b <b>",
    "code": "a\n  b\n",
    "limit": 3,
    "time_s": None,
    "usd": "0.10",
    "fast": True,
    "level": 1,
    "tools": ["a", "b"],
    "steps": [{"agent": "x", "then": [{"agent": "y", "note": "n"}]}, {"agent": "z"}],
    "extra": {"k": [1, None, "x"]},
    "any": "plain text",
    "unknown/field": {"kept": True},
}


def test_a_form_that_nobody_touched_posts_what_it_was_made_from() -> None:
    """Text, numbers, null, choices, nested lists, JSON and fields that no schema knows come back as they were."""
    made = form(SCHEMA, Posted(data=DATA))
    assert read(SCHEMA, typed(made)).data == DATA


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(alphabet=st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(value=_JSON)
def test_any_json_comes_back(value: object) -> None:
    """Whatever stands in a field that takes any JSON is posted as the same value, but for line ends that are one."""
    schema: dict[str, object] = {"type": "object", "properties": {"x": {}}}
    made = form(schema, Posted(data={"x": value}))
    back = read(schema, typed(made)).data.get("x", msgspec.UNSET)
    assert back == value


@pytest.mark.parametrize("template", BUILT_IN, ids=lambda each: each.name)
def test_every_template_has_a_form(template: type[Template]) -> None:
    """An empty form of each template posts nothing, so that all defaults hold."""
    schema = template.Config.model_json_schema()
    assert read(schema, typed(form(schema, Posted(data={})))).data == {}


def test_what_is_left_empty_is_left_out() -> None:
    """An empty field says nothing, and its default is shown in its place."""
    made = form(SCHEMA, Posted(data={}))
    assert (field(made, "/limit").value, field(made, "/limit").default) == ("", "4")
    assert field(made, "/limit").help == "(at least 1, at most 9)"
    assert field(made, "/name").is_needed
    assert read(SCHEMA, {"/name": [""], "/limit": [" "], "/fast": [""], "/any": [""]}).data == {}


@pytest.mark.parametrize("text", ["9" * 5000, "-" + "9" * 5000, "1e999", "inf", "nan"], ids=lambda text: text[:4])
def test_a_number_that_json_has_not_stays_a_text(text: str) -> None:
    """More digits than a number can have, and what is infinite or none, go to whoever checks it as they were typed."""
    assert read(SCHEMA, {"/limit": [text], "/time_s": ["1e2"]}).data == {"limit": text, "time_s": 100.0}


def test_what_cannot_be_read_stays_as_it_was_typed() -> None:
    """A number that is none goes to whoever checks it; text that is no JSON stays in its field with the reason."""
    posted = read(SCHEMA, {"/limit": ["many"], "/extra": ["{broken"]})
    assert posted.data["limit"] == "many"
    made = form(SCHEMA, posted, problems=[("/limit", "a whole number is needed")])
    assert (field(made, "/limit").value, field(made, "/limit").problems) == ("many", ("a whole number is needed",))
    assert field(made, "/extra").value == "{broken"
    assert "no JSON" in field(made, "/extra").problems[0]


def test_rows_are_added_and_removed_by_buttons() -> None:
    """A button adds a row to its list or takes one out of it, at any depth, and keeps what stands in the others."""
    pairs = typed(form(SCHEMA, Posted(data=DATA)))
    grown = {**pairs, "do": ["add:/steps/0/then"]}
    assert is_draft(grown)
    steps = read(SCHEMA, grown).data["steps"]
    assert steps == [{"agent": "x", "then": [{"agent": "y", "note": "n"}, {}]}, {"agent": "z"}]
    assert read(SCHEMA, {"/name": ["x"], "do": ["add:/tools"]}).data == {"name": "x", "tools": [""]}
    less = {**pairs, "do": ["remove:/tools/0"]}
    assert read(SCHEMA, less).data["tools"] == ["b"]
    assert len(field(form(SCHEMA, read(SCHEMA, {**pairs, "do": ["add:/tools"]})), "/tools").fields) == 3


def test_a_problem_stands_at_the_field_that_is_shown() -> None:
    """What is wrong inside a field of JSON stands at that field, and what has no field at the top."""
    problems = [("/extra/k/0", "wrong"), ("/steps/1/agent", "unknown"), ("/else", "strange")]
    made = form(SCHEMA, Posted(data=DATA), problems=problems)
    assert field(made, "/extra").problems == ("wrong",)
    assert field(made, "/steps/1/agent").problems == ("unknown",)
    assert made.problems == ("strange",)


def test_a_value_that_does_not_fit_its_schema_is_shown_as_json() -> None:
    """A list where a number belongs, or a choice that is not there any more, can be seen and changed."""
    made = form(SCHEMA, Posted(data={"limit": [1], "level": "gone", "steps": "none"}))
    assert [field(made, name).kind for name in ("/limit", "/level", "/steps")] == ["json"] * 3
    assert read(SCHEMA, typed(made)).data["level"] == "gone"


def test_a_schema_that_holds_itself_ends() -> None:
    """References in a circle make a form of a few levels, and the rest is typed as JSON."""
    schema: dict[str, object] = {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}}
    assert len(every(form(schema, Posted(data={})))) < 100


def test_a_form_posts_no_endless_depth() -> None:
    """A name of a thousand parts is refused, and does not exhaust the stack."""
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        read(SCHEMA, {"/a" * 1000: ["x"]})


def test_equal_rows_are_read_once() -> None:
    """Rows that a list names again, or that lead elsewhere, are not read: on many levels they would never end."""
    deep: dict[str, list[str]] = {"/name": ["x"]}
    place = "/steps"
    for _ in range(6):
        deep[f"{place}#"] = ["0"] * 4
        deep[f"{place}/0/agent"] = ["a"]
        place += "/0/then"
    data: object = read(SCHEMA, deep).data["steps"]
    for _ in range(5):
        assert isinstance(data, list)
        [row] = msgspec.convert(data, list[dict[str, object]])
        data = row["then"]
    assert data == [{"agent": "a"}]
    odd = {
        "/tools#": ["0", "0/1", "x", "²"],
        "/tools/0": ["a"],
        "/tools/0/1": ["b"],
        "/tools/x": ["c"],
        "/tools/²": ["d"],
    }
    assert read(SCHEMA, odd).data["tools"] == ["a"]
