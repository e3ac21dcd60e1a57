"""Shows two runs side by side: what each took, where they part, and every step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from runwright.cli.output import Output
from runwright.core.money import format_usd
from runwright.journal.diff import Change, Measure, RunDiff, RunSide, StepDiff, StepSide

LINES = 40
"""Lines of a text diff that are shown without --full."""

BEGINNING = "@@ -1,"
"""How the header of a hunk begins that needs none: it is where the text begins."""

SHORTEST_S = 0.005

STRETCH = 4
"""So many steps in a row that are the same become one line."""

MARKS = {"same": "=", "changed_request": "~", "changed_result": "~", "only_left": "<", "only_right": ">"}
COLUMNS = ("", "left", "right", "kind", "name", "+tokens", "+usd", "+seconds", "differs in")

Row = tuple[object, ...]


def show(out: Output, diff: RunDiff, *, is_full: bool) -> None:
    """Print a diff; all text diffs when it is full, else those of the runs and of the first divergence."""
    out.text(f"< {_named(diff.left)}\n> {_named(diff.right)}\n")
    out.table(("", "left", "right", "delta"), list(_totals(diff)))
    out.text("")
    given = [each for each in diff.changes if each.what in {"input", "config"}]
    if given:
        _show_changes(out, given, is_full=is_full)
        out.text("")
    first = diff.divergence
    if first is None:
        said = "The runs are the same." if diff.is_same else "No step differs."
        out.text(said)
    else:
        out.text(f"first divergence: {_titled(first)}")
        if not is_full:
            _show_changes(out, first.changes, is_full=False)
    if diff.steps:
        out.text("")
        out.table(COLUMNS, list(_rows(diff.steps, is_full=is_full)))
    for step in diff.steps if is_full else ():
        if step.changes:
            out.text(f"\n{_titled(step)}")
            _show_changes(out, step.changes, is_full=True)
    outcome = [each for each in diff.changes if each.what in {"output", "error"}]
    if outcome:
        out.text("")
        _show_changes(out, outcome, is_full=is_full)


def _named(side: RunSide) -> str:
    status = side.status if side.reason is None else f"{side.status} ({side.reason})"
    return f"{side.run_id} {side.agent} {side.version} {status}"


def _totals(diff: RunDiff) -> Iterator[Row]:
    one, other, delta = diff.left.measure, diff.right.measure, diff.delta
    steps = diff.right.steps - diff.left.steps
    yield "steps", diff.left.steps, diff.right.steps, f"{steps:+d}" if steps else ""
    yield "input tokens", one.input_tokens, other.input_tokens, _more(delta.input_tokens)
    yield "output tokens", one.output_tokens, other.output_tokens, _more(delta.output_tokens)
    yield "usd", _usd(one.nano_usd), _usd(other.nano_usd), _more_usd(delta.nano_usd)
    yield "seconds", _seconds(one.duration_s), _seconds(other.duration_s), _more_s(delta.duration_s)


def _more(count: int) -> str:
    return f"{count:+d}" if count else ""


def _usd(nano_usd: int | None) -> str:
    return "unpriced" if nano_usd is None else format_usd(nano_usd)


def _more_usd(nano_usd: int | None) -> str:
    if not nano_usd:
        return "unpriced" if nano_usd is None else ""
    return f"{'+' if nano_usd > 0 else '-'}{format_usd(abs(nano_usd))}"


def _seconds(duration_s: float | None) -> str:
    return "" if duration_s is None else f"{duration_s:.2f}"


def _more_s(duration_s: float | None) -> str:
    return "" if duration_s is None or abs(duration_s) < SHORTEST_S else f"{duration_s:+.2f}"


def _titled(step: StepDiff) -> str:
    """A step by its numbers, kind and name, with what differs."""
    left, right = step.left, step.right
    if left is None or right is None:
        where = f"step {_seq(left or right)} of the {'right' if left is None else 'left'} run alone"
    else:
        where = f"step {left.seq}" if left.seq == right.seq else f"step {left.seq} ({right.seq} on the right)"
    lane = f" in {step.lane}" if step.lane else ""
    told = "" if left is None or right is None else f": {_differing(step)}"
    return f"{where}, {step.kind} {_name(step)}{lane}{told}"


def _seq(side: StepSide | None) -> str:
    return "" if side is None else str(side.seq)


def _name(step: StepDiff) -> str:
    names = dict.fromkeys(side.name for side in (step.left, step.right) if side is not None)
    return " -> ".join(names)


def _differing(step: StepDiff) -> str:
    """What differs in a step: what was said before it, where it is nothing of its own."""
    words = [each.what for each in step.changes]
    if step.mark == "changed_request" and not set(words) - {"result", "error"}:
        words.insert(0, "earlier messages")
    if step.left is not None and step.right is not None and step.left.status != step.right.status:
        words.append(f"{step.left.status} -> {step.right.status}")
    return ", ".join(words)


def _rows(steps: Sequence[StepDiff], *, is_full: bool) -> Iterator[Row]:
    for is_same, group in groupby(steps, key=lambda step: step.mark == "same"):
        stretch = list(group)
        if is_same and len(stretch) >= STRETCH and not is_full:
            first, last = stretch[0], stretch[-1]
            left, right = (f"{_seq(a)}-{_seq(b)}" for a, b in ((first.left, last.left), (first.right, last.right)))
            yield "=", left, right, "", f"{len(stretch)} steps", "", "", "", ""
        else:
            yield from (_row(step) for step in stretch)


def _row(step: StepDiff) -> Row:
    name = f"{step.lane}/{_name(step)}" if step.lane else _name(step)
    differs = _differing(step) if step.left is not None and step.right is not None else ""
    return (
        *(MARKS[step.mark], _seq(step.left), _seq(step.right), step.kind, name),
        *_deltas(step.delta),
        differs,
    )


def _deltas(delta: Measure | None) -> Row:
    if delta is None:
        return "", "", ""
    return _more(delta.input_tokens + delta.output_tokens), _more_usd(delta.nano_usd), _more_s(delta.duration_s)


def _show_changes(out: Output, changes: Sequence[Change], *, is_full: bool) -> None:
    for change in changes:
        out.text(f"{change.what}:")
        lines = change.text.split("\n")
        if lines[0].startswith(BEGINNING):
            lines = lines[1:]
        shown = lines if is_full else lines[:LINES]
        out.patch(shown)
        if len(shown) < len(lines):
            out.text(f"({len(lines) - len(shown)} lines more: --full shows them)")
        elif change.cut:
            out.text(f"({change.cut} characters more)")
