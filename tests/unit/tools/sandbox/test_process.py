"""One guest's process, seen from the loop that began it and may let go of it at any time."""

import asyncio
import os
import sys
import threading
from pathlib import Path

import pytest

from runwright.core.sandbox import Language, SandboxLimits
from runwright.errors import SandboxUnavailable
from runwright.tools.sandbox.process import Guest
from runwright.tools.sandbox.way import Command, Setup

ORDER = b"the first line of a guest\n"
SETUP = Setup(language="python", limits=SandboxLimits())


class Slow:
    """A way whose order is made while the loop does other things."""

    name = "slow"
    isolation = 0

    def __init__(self) -> None:
        self.is_asked = threading.Event()
        self.is_due = threading.Event()

    def why_not(self, language: Language) -> str | None:
        """Nothing is missing."""
        return None

    def command(self, setup: Setup) -> Command:
        """A process that reads its order and ends."""
        return Command(argv=[sys.executable, "-S", "-c", "input()"], order=self._order)

    def _order(self, pid: int) -> bytes:
        self.is_asked.set()
        self.is_due.wait(10)
        return ORDER


async def test_a_guest_that_was_let_go_writes_to_no_file_of_others(tmp_path: Path) -> None:
    """The order of a guest that was closed meanwhile does not end up in what was opened since."""
    way = Slow()
    guest = Guest(way, SETUP)
    guest.start()
    assert await asyncio.to_thread(way.is_asked.wait, 10)
    guest.stop("killed")
    guest.close()
    files = [os.open(tmp_path / str(number), os.O_RDWR | os.O_CREAT) for number in range(10)]
    assert guest.to_guest.ours in files, "nothing has its number, so nothing is proved"
    way.is_due.set()
    await guest.ended
    assert [os.fstat(file).st_size for file in files] == [0] * 10
    for file in files:
        os.close(file)


class Hidden(Slow):
    """A way that does not learn the number of its process, so that nothing is seen of it in /proc."""

    def command(self, setup: Setup) -> Command:
        """A process that says nothing where its number is told."""
        code = "import os, sys; os.close(int(sys.argv[1])); input()"
        return Command(argv=[sys.executable, "-S", "-c", code, "{info}"], order=self._order)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no limits are put on processes")
async def test_a_guest_that_cannot_be_limited_gets_no_job() -> None:
    """Where /proc does not show a process that is there, its limits would not hold: that is told."""
    way = Hidden()
    guest = Guest(way, SETUP)
    guest.start()
    assert await asyncio.to_thread(way.is_asked.wait, 10)
    try:
        with pytest.raises(SandboxUnavailable, match="/proc does not show"):
            await asyncio.to_thread(guest.prepare, "")
    finally:
        guest.stop("killed")
        guest.close()
        way.is_due.set()
        await guest.ended


async def test_a_guest_without_a_thread_is_over_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be begun that is told, nobody waits for the guest, and no descriptor stays open."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    before = len(os.listdir("/dev/fd"))
    guest = Guest(Slow(), SETUP)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(SandboxUnavailable, match="new thread"):
            guest.start()
    assert guest.ended.done()
    assert guest.is_over
    assert len(os.listdir("/dev/fd")) == before


async def test_pipes_are_closed_when_nobody_uses_them_any_more() -> None:
    """Who closes a sandbox at work takes no descriptor away from it, and what it closed begins nothing more."""
    guest = Guest(Slow(), SETUP)
    before = len(os.listdir("/dev/fd"))
    with guest.used():
        guest.stop("killed")
        guest.close()
        assert len(os.listdir("/dev/fd")) == before - 1
        os.fstat(guest.to_guest.ours)
    assert len(os.listdir("/dev/fd")) == before - 5
    with pytest.raises(SandboxUnavailable, match="was closed"), guest.used():
        pass
    guest.start()
    await guest.ended


async def test_a_guest_for_which_there_are_no_descriptors_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last pipe cannot be opened, those before it are closed."""
    made = os.pipe
    left = [1, 2, 3]

    def pipe() -> tuple[int, int]:
        if not left:
            raise OSError(24, "Too many open files")
        left.pop()
        return made()

    before = len(os.listdir("/dev/fd"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "pipe", pipe)
        with pytest.raises(OSError, match="Too many"):
            Guest(Slow(), SETUP)
    assert len(os.listdir("/dev/fd")) == before
