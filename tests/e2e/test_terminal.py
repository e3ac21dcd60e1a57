"""The real command at a terminal, where somebody answers what a run asks."""

import os
import pty
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.test_approvals import AGENTS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


IN_FRONT = """
import os, sys
os.close(os.open(os.ttyname(0), os.O_RDWR))
os.execv(sys.argv[1], sys.argv[1:])
"""
"""A process that leads a session and opens a terminal stands before it: Ctrl-C reaches it (setsid(2))."""


class Terminal:
    """A terminal with the command in front of it, and what stands there. `process` is the command."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.screen = ""
        self._ours, theirs = pty.openpty()
        environ = {**os.environ, "RUNWRIGHT_MODEL": "demo", "RUNWRIGHT_DATA": "data", "TERM": "dumb"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_FRONT, sys.executable, "-m", "runwright", *arguments],
            cwd=folder,
            env=environ,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def see(self, words: str) -> None:
        """Wait until these words stand there, behind those that were waited for before."""
        while words not in self.screen:
            read = os.read(self._ours, 4096).decode()
            self.screen += read.replace("\r", "")
        self.screen = self.screen.partition(words)[2]

    def type(self, text: str) -> None:
        """Type."""
        os.write(self._ours, text.encode())

    def close(self) -> None:
        """Take it away."""
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@contextmanager
def terminal(folder: Path, *arguments: str) -> Generator[Terminal]:
    """A terminal for a command."""
    (folder / "agents").mkdir(exist_ok=True)
    (folder / "agents" / "team.py").write_text(AGENTS)
    shown = Terminal(folder, *arguments)
    try:
        yield shown
    finally:
        shown.close()


def test_a_run_is_answered_where_it_was_started(tmp_path: Path) -> None:
    """`run` asks for what the run and the one below it wait for, and goes on with what is typed."""
    with terminal(tmp_path, "run", "chief", "go") as shown:
        shown.see("chief asks: How much?")
        shown.see("decline) > ")
        shown.type("5\n")
        shown.see("office wants to call pay {")
        shown.see("later > ")
        shown.type("e\n")
        shown.see("as JSON > ")
        shown.type('{"amount": 4}\n')
        shown.see("The result is paid 4.")
        assert shown.process.wait() == 0
    assert (tmp_path / "paid").read_text() == "4 "


@pytest.mark.parametrize(("typed", "code"), [("\n", 1), ("\x04", 1), ("\x03", 130)], ids=["empty", "ctrl-d", "ctrl-c"])
def test_a_run_is_left_or_cancelled(tmp_path: Path, typed: str, code: int) -> None:
    """Nothing typed, or Ctrl-D, leaves the run as it waits and says what to run; Ctrl-C cancels it."""
    with terminal(tmp_path, "run", "office", "pay an amount of 50") as shown:
        shown.see("later > ")
        shown.type(typed)
        shown.see("cancelled" if code == 130 else "runwright approvals approve")
        assert shown.process.wait() == code


def test_nobody_is_asked_who_does_not_want_to_be(tmp_path: Path) -> None:
    """With --no-input the run ends as it waits, and the command that answers is told."""
    with terminal(tmp_path, "run", "office", "pay an amount of 50", "--no-input") as shown:
        shown.see("runwright approvals approve")
        assert shown.process.wait() == 1
        assert "later >" not in shown.screen


def test_a_conversation_asks_between_its_lines(tmp_path: Path) -> None:
    """`chat` asks for what a turn needs, and takes the next line when that is answered."""
    with terminal(tmp_path, "chat", "office") as shown:
        shown.see("> ")
        shown.type("pay an amount of 50\n")
        shown.see("later > ")
        shown.type("n\n")
        shown.see("reads it > ")
        shown.type("no money\n")
        shown.see("denied")
        shown.see("completed")
        shown.see("> ")
        shown.type("/exit\n")
        assert shown.process.wait() == 0


def test_a_pasted_line_approves_nothing(tmp_path: Path) -> None:
    """What was typed before a question shows is no answer to it: the call waits until somebody has seen it."""
    with terminal(tmp_path, "chat", "office") as shown:
        shown.see("> ")
        shown.type("pay an amount of 50\ny\n")
        shown.see("office wants to call pay {")
        shown.see("later > ")
        shown.type("\n")
        shown.see("runwright approvals approve")
        shown.see("> ")
        shown.type("/exit\n")
        assert shown.process.wait() == 0
    assert not (tmp_path / "paid").exists()
