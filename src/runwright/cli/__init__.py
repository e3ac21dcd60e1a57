"""The command line: parse, call, print."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["INTERRUPTED", "command", "main"]

INTERRUPTED = 130
"""The exit code after Ctrl-C."""


def command() -> None:
    """Run the command of this process, and end the process whatever its tools still do.

    A plain tool that was given up, by Ctrl-C or because its time was over, is at work in a thread, which cannot be
    stopped: the interpreter would wait for it.
    """
    ended = SystemExit(0)
    try:
        main()
    except SystemExit as end:
        ended = end
    if any(not each.daemon for each in threading.enumerate() if each is not threading.main_thread()):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(ended.code if isinstance(ended.code, int) else 0)
    raise ended


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; it ends with SystemExit that has its exit code."""
    try:
        # Importing it takes a part of a second, in which Ctrl-C would end in a traceback.
        from runwright.cli import commands
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    commands.main(arguments)
