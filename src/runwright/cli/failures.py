"""Exit codes, and the one place where errors are printed."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager

from runwright.cli import INTERRUPTED
from runwright.cli.output import Output
from runwright.errors import ConfigError, RunwrightError, StorageError, Unauthorized, Unavailable

OK = 0
RUN_FAILED = 1
DIFFERENT = 1
USAGE = 2
CONFIG = 3
UNREACHABLE = 4
SERVER_ERROR = 500


class Exit(Exception):
    """A command has said everything and ends with this exit code."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(code)


def exit_code(error: RunwrightError) -> int:
    """The exit code of an error."""
    if isinstance(error, Unavailable):
        return UNREACHABLE
    if isinstance(error, ConfigError | StorageError | Unauthorized):
        return CONFIG
    return USAGE if error.status < SERVER_ERROR else RUN_FAILED


@contextmanager
def reported(out: Output, *, is_debug: bool = False) -> Generator[None]:
    """Print what the block raises and end the process with its exit code."""
    try:
        yield
    except Exit as end:
        sys.exit(end.code)
    except RunwrightError as error:
        if is_debug:
            traceback.print_exc()
        out.error(error)
        if isinstance(error, Unauthorized) and not out.is_json:
            out.note("Commands send the key that stands in RUNWRIGHT_API_KEY, or after --key.")
        sys.exit(exit_code(error))
    except BrokenPipeError:
        _close_stdout()
        sys.exit(OK)
    except KeyboardInterrupt:
        out.note("interrupted")
        sys.exit(INTERRUPTED)
    except Exception as error:
        # The edge of the command: no traceback for people who did not ask for one.
        if is_debug:
            raise
        out.error(RunwrightError(f"{type(error).__name__}: {error}. --debug shows where."))
        sys.exit(RUN_FAILED)


def _close_stdout() -> None:
    """Keep the interpreter from flushing into a closed pipe at exit."""
    try:
        sys.stdout.close()
    except BrokenPipeError:
        return
