"""The start of code in each sandbox that works here, cold and waiting warm, beside its interpreter alone."""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from runwright.core.sandbox import Language, SandboxSpec
from runwright.tools.sandbox.interpreters import Interpreters
from runwright.tools.sandbox.local import LocalSandbox

CODES: dict[Language, str] = {"python": "def main(): return 1\n", "typescript": "export const main = () => 1;\n"}
Measure = Callable[[], Awaitable[float]]


@dataclass(frozen=True, kw_only=True)
class Start:
    """Milliseconds from before the start of code to its result, and those of the interpreter alone."""

    label: str
    ours: list[float]
    plain: list[float]

    @property
    def middle(self) -> float:
        return statistics.median(self.ours)

    @property
    def ratio(self) -> float:
        """The median of the ratios of the rounds, in which both take turns."""
        return statistics.median(one / other for one, other in zip(self.ours, self.plain, strict=True))


async def starts(rounds: int) -> list[Start]:
    """Code in each sandbox that works here, cold and warm, beside the same interpreter alone."""
    reports = [each for each in await LocalSandbox().probe() if each.is_usable and each.language in CODES]
    rows: list[Start] = []
    for each in reports:
        for warm in (0, 1):
            sandbox = LocalSandbox(ways=(each.backend,), warm=warm)
            try:
                label = f"{each.language} in {each.backend}, {'warm' if warm else 'cold'}"
                rows.append(
                    await _compared(label, rounds, ours=_in(sandbox, each.language), plain=_alone(each.language))
                )
            finally:
                await sandbox.close()
    return rows


async def _compared(label: str, rounds: int, *, ours: Measure, plain: Measure) -> Start:
    print(label, file=sys.stderr, flush=True)
    await ours()
    await plain()
    pairs = [(await ours(), await plain()) for _ in range(rounds)]
    return Start(label=label, ours=[one for one, _ in pairs], plain=[other for _, other in pairs])


def _in(sandbox: LocalSandbox, language: Language) -> Measure:
    spec = SandboxSpec(language=language, code=CODES[language], min_isolation=0)

    async def measure() -> float:
        began = time.perf_counter()
        async with await sandbox.start(spec) as session:
            outcome = await session.run("main", {})
            taken = (time.perf_counter() - began) * 1000
        if outcome.reason != "ok":
            raise RuntimeError(f"the code ended with {outcome}")
        # A process that waits for the next run has begun by then.
        await asyncio.sleep(0.3)
        return taken

    return measure


def _alone(language: Language) -> Measure:
    interpreters = Interpreters()
    code = {"python": "print(1)", "typescript": "console.log(1)"}[language]
    command = [str(interpreters.python), "-I", "-S", "-c", code]
    if language != "python":
        command = [str(interpreters.deno), "eval", "--quiet", code]

    async def measure() -> float:
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        await process.communicate()
        return (time.perf_counter() - began) * 1000

    return measure
