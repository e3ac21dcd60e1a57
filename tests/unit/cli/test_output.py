"""Output: streams, JSON, tables, and text that cannot command a terminal."""

import io

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from runwright.cli.output import Output, inert
from runwright.core.unseen import UNSEEN
from runwright.errors import ConfigError
from tests.unit.cli.fakes import Terminal


def test_a_terminal_gets_no_control_characters() -> None:
    """What a model says cannot move the cursor or change colours on a terminal; tabs and line feeds stay."""
    stdout = Terminal()
    Output(stdout=stdout).text("a\x1b[31mb\x9b1m\tc\nd\r\x00", end="")
    assert stdout.getvalue() == "a\\x1b[31mb\\x9b1m\tc\nd\\r\\x00"


def test_a_terminal_shows_what_nobody_sees() -> None:
    """Characters that turn text, hide or break lines are escapes on a terminal, as they have names in the studio."""
    stdout = Terminal()
    Output(stdout=stdout).text("pay\u202e05\u2066\u200b\u2028\U000e0041 grüße 👋", end="")
    assert stdout.getvalue() == "pay\\u202e05\\u2066\\u200b\\u2028\\U000e0041 grüße 👋"


def test_a_pipe_gets_every_byte() -> None:
    """Data for another program is not changed."""
    stdout = io.StringIO()
    Output(stdout=stdout).text("a\x1b[31mb", end="")
    assert stdout.getvalue() == "a\x1b[31mb"


@given(st.text())
def test_inert_text_holds_no_control_character(text: str) -> None:
    """Whatever comes in, nothing comes out that nobody sees."""
    assert UNSEEN.search(inert(text)) is None


def test_json_is_one_line_for_programs_and_indented_for_people() -> None:
    """On a terminal JSON is indented, elsewhere it is one line; control characters are escaped in both."""
    pipe, terminal = io.StringIO(), Terminal()
    value = {"a": [1, "\x9b"]}
    Output(stdout=pipe).json(value)
    Output(stdout=terminal).json(value)
    assert pipe.getvalue().count("\n") == 1
    assert msgspec.json.decode(pipe.getvalue()) == value
    assert terminal.getvalue().count("\n") > 1
    assert "\x9b" not in terminal.getvalue()


def test_a_table_is_aligned_for_people_and_tabbed_for_programs() -> None:
    """Columns are aligned on a terminal and separated by tabs elsewhere; a cell stays on its line."""
    rows = [("a", 1, None), ("longer\nname", 22, "x")]
    pipe, terminal = io.StringIO(), Terminal()
    Output(stdout=pipe).table(("name", "n", "note"), rows)
    Output(stdout=terminal).table(("name", "n", "note"), rows)
    assert pipe.getvalue() == "NAME\tN\tNOTE\na\t1\t\nlonger name\t22\tx\n"
    assert terminal.getvalue() == "NAME         N   NOTE\na            1\nlonger name  22  x\n"


def test_notes_go_to_stderr() -> None:
    """Remarks never mix with data."""
    stdout, stderr = io.StringIO(), io.StringIO()
    Output(stdout=stdout, stderr=stderr).note("working")
    assert (stdout.getvalue(), stderr.getvalue()) == ("", "working\n")


def test_an_error_says_what_is_wrong_where() -> None:
    """An error is its message and a line for each problem, none of them twice."""
    stderr = io.StringIO()
    error = ConfigError("It is wrong.\na: known", problems=[("a", "known"), ("b", "more"), ("", "most")])
    Output(stderr=stderr).error(error)
    assert stderr.getvalue() == "error: It is wrong.\na: known\n  b: more\n  most\n"


def test_an_error_is_json_on_demand() -> None:
    """With --json an error is one JSON object on stderr."""
    stderr = io.StringIO()
    Output(is_json=True, stderr=stderr).error(ConfigError("It is wrong.", problems=[("a", "b")]))
    assert msgspec.json.decode(stderr.getvalue()) == {
        "error": {"code": "config_invalid", "message": "It is wrong.", "problems": [{"place": "a", "detail": "b"}]}
    }
