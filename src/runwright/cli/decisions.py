"""What the guard decided, in words for people."""

from __future__ import annotations

from runwright.core.event import GuardDecided


def told(decision: GuardDecided) -> str:
    """One line: who did what with which call, why, and how long that takes."""
    target = decision.target or "the call"
    why = f" ({decision.reason})" if decision.reason else ""
    wait = f"{decision.wait_s:.2g} s" if decision.wait_s else ""
    match decision.layer, decision.action:
        case "retry", "resend":
            return f"{target} is asked again{f' in {wait}' if wait else ''}, attempt {decision.attempt}{why}"
        case "retry", "gave_up":
            return f"{target} is not asked again{why}"
        case "fallback", "switched":
            return f"{decision.figures.get('from') or 'the model'} failed, {target} is asked instead{why}"
        case "rate" | "bulkhead", "waited":
            return f"{target} was waited for{f': {wait}' if wait else ''}, limited by {decision.layer}{why}"
        case "cache", "would_hit":
            like = f"step {decision.figures.get('step')} of {decision.figures.get('run')}"
            return f"{target} would have been answered from {like}, similarity {decision.figures.get('similarity')}"
        case "cache", "hit":
            return f"{target} was answered from the cache{why}"
        case layer, action:
            rest = f", {wait}" if wait else ""
            return f"{layer} {action.replace('_', ' ')}: {target}{rest}{why}"
