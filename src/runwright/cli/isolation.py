"""`runwright doctor sandbox`: which isolation code gets here, and what it stops."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from runwright.cli.call import Call
from runwright.cli.failures import CONFIG, Exit
from runwright.core.sandbox import LEVELS, IsolationReport, Language, level
from runwright.tools.sandbox.local import LocalSandbox
from runwright.tools.sandbox.matrix import AttackResult, attack, targets

LANGUAGES: Sequence[Language] = ("python", "typescript")
"""JavaScript runs as TypeScript does."""

KERNEL = 2
"""The lowest isolation that is the kernel's, at which everything is stopped."""


class SandboxReport(msgspec.Struct, frozen=True, kw_only=True):
    """What works here, the isolation that each language gets, and every attack."""

    levels: dict[Language, int]
    ways: Sequence[IsolationReport]
    data: Sequence[AttackResult]


async def attack_sandbox(call: Call) -> None:
    """Try every attack in every sandbox that is set and works, and print the table.

    Exits with 3 if a kernel's lets one through.

    Nothing is attacked but what this command puts up itself.
    """
    sandbox = LocalSandbox(ways=call.settings().sandbox.ways.split())
    try:
        ways = [report for report in await sandbox.probe() if report.language in LANGUAGES]
    finally:
        await sandbox.close()
    results: list[AttackResult] = []
    async with targets() as target:
        for report in ways:
            if report.is_usable:
                call.out.note(f"attacking {report.backend} with {report.language}")
                results += [each async for each in attack(report.backend, report.language, target)]
    levels: dict[Language, int] = {language: level(ways, language) for language in LANGUAGES}
    answer = SandboxReport(levels=levels, ways=ways, data=results)
    call.out.show(answer, lambda: _print(call, answer))
    if any(each.isolation >= KERNEL and not each.is_stopped for each in results):
        raise Exit(CONFIG)


def _print(call: Call, report: SandboxReport) -> None:
    for language in LANGUAGES:
        ways = [each for each in report.ways if each.language == language]
        reached = report.levels[language]
        call.out.text(f"{language}: isolation level {reached} ({LEVELS[reached]})")
        for each in ways:
            call.out.text(f"  level {each.isolation}, {each.backend}: {each.why_not or 'works'}")
        _print_attacks(call, [each for each in report.data if each.language == language])


def _print_attacks(call: Call, results: Sequence[AttackResult]) -> None:
    """One line an attack, one column a way; what stopped it is that of the strongest one."""
    columns = list(dict.fromkeys(each.backend for each in results))
    found = {(each.attack, each.backend): each for each in results}
    rows: list[Sequence[object]] = []
    for attack_name in dict.fromkeys(each.attack for each in results):
        cells = [found[attack_name, column] for column in columns]
        shown = ["stopped" if cell.is_stopped else "THROUGH" for cell in cells]
        rows.append((attack_name.replace("_", " "), *shown, cells[0].detail))
    if rows:
        call.out.table(("attack", *columns, "by what"), rows)
        call.out.text("")
