"""Words of a command line: what is an input, and what is an option."""

import io
from collections.abc import Sequence

import pytest

from runwright.cli import main
from runwright.cli.call import Call
from runwright.core.run import RunRequest

Asked = list[tuple[RunRequest, Call]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What commands would run, and how they were called."""
    found: Asked = []

    async def perform(request: RunRequest, call: Call, *, is_asking: bool = True) -> None:
        found.append((request, call))

    for module in ("run", "chain", "parallel"):
        monkeypatch.setattr(f"runwright.cli.{module}.perform_alone", perform)
    return found


@pytest.mark.parametrize(
    ("words", "input"),
    [
        (["run", "echo", "--agents=evil"], b'"--agents=evil"'),
        (["run", "echo", "--agents=evil\nmore", "--data", "other"], b'"--agents=evil\\nmore"'),
        (["run", "echo", "--agents", "--data", "other"], b'"--agents"'),
        (["run", "echo", "--json"], b'"--json"'),
        (["run", "--data", "other", "echo", "--", "--agents=evil"], b'"--agents=evil"'),
        (["chain", "--data", "other", "echo", "--", "--agents=evil"], b'"--agents=evil"'),
        (["parallel", "--data", "other", "echo", "--", "--json"], b'"--json"'),
    ],
    ids=["option", "lines", "without-value", "flag", "run-dashes", "chain-dashes", "parallel-dashes"],
)
def test_an_input_is_no_option(asked: Asked, words: Sequence[str], input: bytes) -> None:
    """What stands in the place of the input, or behind `--`, is the input: it names no code, and changes no output."""
    main(words)
    [(request, call)] = asked
    assert request.input == input
    assert (call.options.agents, call.out.is_json) == (None, False)
    assert (call.options.data is not None) == ("other" in words)


def test_an_input_that_is_too_much_names_no_code(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    """A text without quotes is refused, and no option is taken from it."""
    with pytest.raises(SystemExit):
        main(["run", "echo", "--agents=evil", "more"])
    assert "'more' is more than this takes" in capsys.readouterr().err
    assert asked == []


def test_an_option_stands_where_an_input_was_left_out(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the input comes from a pipe, options with their values stand behind the name."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"hi\n")))
    main(["run", "echo", "--data", "other", "--agents=agents"])
    [(request, call)] = asked
    assert request.input == b'"hi"'
    assert (str(call.options.data), str(call.options.agents)) == ("other", "agents")
