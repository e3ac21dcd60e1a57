"""Exit codes."""

import io
from collections.abc import Sequence

import msgspec
import pytest

from runwright.cli import main
from runwright.cli.call import Call, Options
from runwright.cli.failures import Exit, exit_code, reported
from runwright.cli.output import Output
from runwright.errors import (
    ConfigError,
    InvalidRequest,
    NotFound,
    RunwrightError,
    StorageReadOnly,
    StorageVersion,
    ToolFailed,
    Unauthorized,
    Unavailable,
)

CODES: Sequence[tuple[RunwrightError, int]] = [
    (ToolFailed(), 1),
    (NotFound(), 2),
    (InvalidRequest(), 2),
    (ConfigError(), 3),
    (StorageVersion(), 3),
    (StorageReadOnly(), 3),
    (Unauthorized(), 3),
    (Unavailable(), 4),
]


@pytest.mark.parametrize(("error", "code"), CODES, ids=lambda value: type(value).__name__)
def test_each_kind_of_error_has_its_exit_code(error: RunwrightError, code: int) -> None:
    """1 is a failure, 2 a wrong request, 3 a wrong setting or data directory, 4 an unreachable server."""
    assert exit_code(error) == code


def ended(error: BaseException, *, is_debug: bool = False) -> tuple[object, str]:
    """Exit code and stderr of a command that raises."""
    stderr = io.StringIO()
    with pytest.raises(SystemExit) as caught, reported(Output(stderr=stderr), is_debug=is_debug):
        raise error
    return caught.value.code, stderr.getvalue()


def test_an_error_of_ours_is_printed_without_a_traceback() -> None:
    """People see the message and what to do."""
    assert ended(ConfigError("Set the key.")) == (3, "error: Set the key.\n")


def test_a_wrong_key_is_told_how_a_command_is_given_one() -> None:
    """The server speaks of a header; people at a terminal have a flag and a variable."""
    code, told = ended(Unauthorized())
    assert (code, told.splitlines()[1]) == (
        3,
        "Commands send the key that stands in RUNWRIGHT_API_KEY, or after --key.",
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("run desk hello there", "'there' is more than this takes: put text of several words in quotes."),
        ("runs lst", 'Unknown command "lst". Did you mean "ls"? '),
    ],
)
def test_a_mistake_in_the_line_is_told(capsys: pytest.CaptureFixture[str], line: str, told: str) -> None:
    """It says what to do, ends with 2, and is JSON where that is asked for."""
    for flags in ([], ["--json"]):
        with pytest.raises(SystemExit) as caught:
            main([*line.split(), *flags])
        said = capsys.readouterr()
        message: str = msgspec.json.decode(said.err)["error"]["message"] if flags else said.err.removeprefix("error: ")
        assert (caught.value.code, said.out, message[: len(told)]) == (2, "", told)


def test_the_address_of_a_server_has_a_scheme() -> None:
    """An address without one is refused in words, not with a pattern."""
    with pytest.raises(InvalidRequest) as caught:
        Call(Options(server="localhost:8321"), Output()).settings()
    assert list(caught.value.problems) == [
        ("flag: server", "a URL begins with http:// or https://, not 'localhost:8321'"),
    ]


def test_ctrl_c_is_130() -> None:
    """An interrupted command ends with 130."""
    assert ended(KeyboardInterrupt()) == (130, "interrupted\n")


def test_a_command_that_has_said_everything_just_ends() -> None:
    """Exit carries a code and prints nothing."""
    assert ended(Exit(1)) == (1, "")


def test_a_surprise_is_one_line_that_names_debug() -> None:
    """An error that is not ours is one line; --debug raises it as it is."""
    assert ended(ZeroDivisionError("no")) == (1, "error: ZeroDivisionError: no. --debug shows where.\n")
    with pytest.raises(ZeroDivisionError), reported(Output(stderr=io.StringIO()), is_debug=True):
        raise ZeroDivisionError


def test_debug_shows_where_an_error_of_ours_was_raised(capsys: pytest.CaptureFixture[str]) -> None:
    """With --debug the traceback precedes the message."""
    assert ended(ConfigError("x"), is_debug=True)[0] == 3
    assert "Traceback" in capsys.readouterr().err
