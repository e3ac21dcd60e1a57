"""The sandbox of this machine: the strongest way that works, which is found out by running something in it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Final, get_args

import msgspec
from anyio import to_thread

from runwright.core.sandbox import AnswerCall, IsolationReport, Language, SandboxSpec
from runwright.errors import SandboxBusy, SandboxUnavailable
from runwright.tools.sandbox.boxes import clear
from runwright.tools.sandbox.interpreters import Interpreters
from runwright.tools.sandbox.process import Guest
from runwright.tools.sandbox.session import START_S, LocalSession
from runwright.tools.sandbox.way import Setup, Way
from runwright.tools.sandbox.ways import WAYS

SAFE: Final = ("bubblewrap", "landlock", "deno")
"""The ways that are tried unless others are named; `unsafe` is only ever named."""

DENO_ALONE: Final = 1

PROBE_PYTHON: Final = """
import os, socket

def main(path):
    through = []
    for name, attempt in (("read a file", lambda: open(path)), ("open a socket", socket.socket)):
        try:
            attempt().close()
            through.append(name)
        except OSError:
            pass
    try:
        if not os.fork():
            os._exit(0)
        through.append("start a process")
    except OSError:
        pass
    return through
"""

PROBE_DENO: Final = """
export async function main({ path }) {
  const attempts = {
    "read a file": () => Deno.readTextFile(path),
    "import a file": () => import(["file:/", path].join("/"), { with: { type: "text" } }),
    "open a socket": () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
    "start a process": () => new Deno.Command("/bin/true").output(),
  };
  const through = [];
  for (const [name, attempt] of Object.entries(attempts)) {
    try {
      await attempt();
      through.push(name);
    } catch {
      // As it should be.
    }
  }
  return through;
}
"""


class LocalSandbox:
    """Runs code in processes of this machine.

    `ways` are tried in the order of their strength. `warm` guests are kept started for code with the same language,
    limits and dependencies as the last; each still runs once. A start takes `start_s` seconds at the most.
    """

    def __init__(
        self,
        *,
        ways: Sequence[str] = SAFE,
        warm: int = 0,
        interpreters: Interpreters | None = None,
        start_s: float = START_S,
    ) -> None:
        own = interpreters or Interpreters()
        known = [make(own) for make in WAYS]
        if unknown := set(ways) - {way.name for way in known}:
            raise ValueError(f"there is no sandbox {sorted(unknown)}: {', '.join(way.name for way in known)}")
        self._ways = [way for way in known if way.name in ways]
        self._warm_at_most = warm
        self._start_s = start_s
        self._warm: list[tuple[Way, Setup, Guest]] = []
        self._guests: set[Guest] = set()
        self._reports: dict[tuple[str, Language], IsolationReport] = {}
        self._missing: dict[tuple[str, Language], str | None] = {}
        self._uncertain: dict[tuple[str, Language], IsolationReport] = {}
        self._tries = 0
        self._probing = asyncio.Lock()

    async def probe(self) -> Sequence[IsolationReport]:
        """Every way for every language, best first, each tried by running something in it."""
        languages: tuple[Language, ...] = get_args(Language)
        return [await self._report(way, language) for way in self._ways for language in languages]

    async def start(
        self, spec: SandboxSpec, answer: AnswerCall | None = None, *, rests: Callable[[], None] | None = None
    ) -> LocalSession:
        """Begin a process for the code. Raises SandboxUnavailable when nothing here is as strong as asked for.

        While it is not known whether a stronger way works, no weaker one is taken: raises SandboxBusy.
        """
        refused: list[str] = []
        for way in self._ways:
            if way.isolation < spec.min_isolation:
                continue
            report = await self._report(way, spec.language)
            if report.is_usable:
                setup = Setup(language=spec.language, limits=spec.limits, dependencies=spec.dependencies)
                guest = self._take(way, setup)
                return LocalSession(guest, way, spec, answer=answer, rests=rests, start_s=self._start_s)
            if not report.is_certain:
                raise SandboxBusy(
                    f"It is not known whether {way.name} works here: {report.why_not}. The next run tries it again; "
                    f"if it never works here, leave it out of the setting sandbox.ways."
                )
            refused.append(f"{way.name}: {report.why_not}")
        raise SandboxUnavailable(_refusal(spec.language, spec.min_isolation, refused))

    def look(self) -> None:
        """Look for what the ways to contain code need, so that `why_not` need not, and remove what processes left that
        were killed. Blocks.
        """
        clear()
        for way in self._ways:
            for language in get_args(Language):
                self._lacks(way, language)

    def why_not(self, language: Language, min_isolation: int) -> str | None:
        """Why code in a language cannot be run, as far as that is known without trying something now."""
        refused: list[str] = []
        for way in self._ways:
            if way.isolation >= min_isolation:
                report = self._reports.get((way.name, language))
                reason = self._lacks(way, language) if report is None else report.why_not
                if reason is None:
                    return None
                refused.append(f"{way.name}: {reason}")
        return _refusal(language, min_isolation, refused)

    def _lacks(self, way: Way, language: Language) -> str | None:
        key = (way.name, language)
        if key not in self._missing:
            self._missing[key] = way.why_not(language)
        return self._missing[key]

    async def close(self) -> None:
        """End every process, and wait until nothing of them is left."""
        self._warm.clear()
        guests = list(self._guests)
        for guest in guests:
            guest.stop("killed", "the sandbox was closed")
            guest.close()
        if guests:
            await asyncio.wait([guest.ended for guest in guests])

    def _take(self, way: Way, setup: Setup) -> Guest:
        """A guest for one run: a warm one, if it is of this kind and still there."""
        kind = (way, setup)
        kept = [each for each in self._warm if each[:2] == kind and not each[2].is_over]
        for each in self._warm:
            if each not in kept:
                each[2].stop("killed", "other code came")
                each[2].close()
        self._warm = kept
        guest = kept.pop(0)[2] if kept else self._begun(way, setup)
        # The run has its guest; spare ones can be begun with the next.
        with contextlib.suppress(SandboxUnavailable):
            while len(kept) < self._warm_at_most:
                kept.append((*kind, self._begun(way, setup)))
        return guest

    def _begun(self, way: Way, setup: Setup) -> Guest:
        try:
            guest = Guest(way, setup)
        except OSError as error:
            raise SandboxBusy(f"A sandbox cannot be begun now: {error}") from error
        self._guests.add(guest)
        guest.ended.add_done_callback(lambda _: self._guests.discard(guest))
        guest.start()
        return guest

    async def _report(self, way: Way, language: Language) -> IsolationReport:
        key: tuple[str, Language] = (way.name, language)
        tries = self._tries
        async with self._probing:
            if key not in self._reports and (tries == self._tries or key not in self._uncertain):
                report = await self._tried(way, language)
                (self._reports if report.is_certain else self._uncertain)[key] = report
                self._tries += 1
            # Who waited while it was tried in vain does not try it again.
            return self._reports.get(key) or self._uncertain[key]

    async def _tried(self, way: Way, language: Language) -> IsolationReport:
        is_certain = True
        why_not = await to_thread.run_sync(way.why_not, language)
        if why_not is None and language != "python" and way.isolation > DENO_ALONE:
            # In Deno it is Deno that stops things first, so Python shows whether the kernel would.
            below = self._reports.get((way.name, "python")) or await self._tried(way, "python")
            why_not, is_certain = below.why_not, below.is_certain
        if why_not is None:
            try:
                why_not = await self._why_not(way, language)
            except SandboxBusy as error:
                why_not, is_certain = error.message, False
        return IsolationReport(
            backend=way.name, isolation=way.isolation, language=language, why_not=why_not, is_certain=is_certain
        )

    async def _why_not(self, way: Way, language: Language) -> str | None:
        """Run something that should not succeed. Raises SandboxBusy where that comes to no end."""
        file = await to_thread.run_sync(tempfile.NamedTemporaryFile)
        spec = SandboxSpec(language=language, code=PROBE_PYTHON if language == "python" else PROBE_DENO)
        guest = self._begun(way, Setup(language=language, limits=spec.limits))
        session = LocalSession(guest, way, spec, start_s=self._start_s)
        try:
            async with session:
                outcome = await session.run("main", {"path": file.name}, timeout_s=self._start_s)
        except SandboxBusy:
            raise
        except SandboxUnavailable as error:
            return error.message
        finally:
            await to_thread.run_sync(file.close)
        if outcome.reason == "timeout":
            raise SandboxBusy(f"to try it took longer than {self._start_s:g} seconds")
        if outcome.result is None:
            return outcome.error.message if outcome.error else outcome.reason
        through = msgspec.json.decode(outcome.result, type=list[str])
        return f"code can {', '.join(through)} in it" if through and way.isolation else None


def _refusal(language: Language, min_isolation: int, refused: Sequence[str]) -> str:
    reasons = "; ".join(refused) or "none of the sandboxes that are allowed is that strong"
    return f"Code in {language} is not run here, because it needs isolation level {min_isolation}: {reasons}"
