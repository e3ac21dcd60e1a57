"""The command line: parse, call, print."""

from runwright.cli.commands import main

__all__ = ["main"]
