"""What a run pays for its calls, and the budget that it has to wait for."""

from __future__ import annotations

from collections.abc import Callable

from runwright.core.budget import Payer, Shortage, Spend
from runwright.core.event import GuardDecided, StepHeld
from runwright.core.money import NO_COST, Cost
from runwright.core.ports import Models
from runwright.core.run import Run
from runwright.core.usage import Usage
from runwright.engine.reports import Price
from runwright.errors import BudgetExceeded
from runwright.guard import Trail
from runwright.guard.call import Note
from runwright.journal.write import Record, RunLog


class Purse:
    """Prices the calls of one run for its budgets. `shortage` is the budget that the run waits for."""

    def __init__(self, log: RunLog, models: Models, *, price: Price, append: Callable[[Record], object]) -> None:
        run = log.run
        self._log = log
        self._models = models
        self._price = price
        self._append = append
        self._trails: dict[int, Trail] = {}
        self._unpriced: set[str] = set()
        self.payer = payer_of(run)
        self.shortage: Shortage | None = None

    def cost(self, trail: Trail, usage: Usage) -> Cost:
        """What an answer cost: that of another model than was asked first is priced as what it is."""
        return NO_COST if trail.is_cached else self._price(self._models.ref(trail.target), usage)

    def spend(self, ref: str, usage: Usage, *, is_priced: bool, note: Note | None) -> Spend:
        """What limits and budgets count; a price is looked up only where one is needed.

        What has no price counts as nothing, and `note` is told once in a run.
        """
        cost = self._price(self._models.ref(ref), usage) if is_priced else NO_COST
        if cost.nano_usd is None and note is not None and ref not in self._unpriced:
            self._unpriced.add(ref)
            reason = "no price of it is known, so its calls count as 0 USD"
            note(GuardDecided(layer="budget", action="unpriced", target=ref, reason=reason))
        return Spend(usage.total_tokens, cost.nano_usd or 0)

    def follow(self, step: int, trail: Trail) -> None:
        """Charge what the tool of a step says that it spent."""
        self._trails[step] = trail

    def leave(self, step: int) -> None:
        """The step is over."""
        self._trails.pop(step, None)

    def charge(self, step: int, cost: Cost) -> None:
        """What a tool says that it spent counts towards the budgets of its call."""
        trail = self._trails.get(step)
        if trail is not None:
            trail.charged_nano += cost.nano_usd or 0

    def is_held(self, step: int, trail: Trail, error: BaseException) -> bool:
        """Whether the run waits for a budget. The step stays open, and begins again when the run goes on."""
        if not isinstance(error, BudgetExceeded) or not error.is_waiting or not self._log.is_open(step):
            return False
        self._append((StepHeld(), step))
        self.shortage = self.shortage or trail.shortage
        return True


def payer_of(run: Run) -> Payer:
    """Whom the calls of a run are made for."""
    return Payer(run=run.id, root=run.root_run_id or run.id, thread=run.thread_id, group=run.group, user=run.user)
