"""Commands about orders and positions: `mts cmd cancel-all` and `flatten-paper`.

Both are said to be done only by the order systems that did them, each with its own key.
"""

from operations.adapters import orders_of_people
from operations.adapters.halt_line import HaltLine
from operations.cli import asking, ordering, scopes
from operations.cli.asking import Confirm, Reason
from operations.cli.ordering import Desk, KeyFile, Seconds, Waited
from operations.cli.outcomes import finish
from operations.cli.output import CANNOT, Output, Text, run
from operations.cli.scopes import Level
from operations.errors import Rejected
from operations.events.commands import CancelAllCommanded
from operations.halt import outcome
from operations.halt.outcome import Outcome
from operations.halt.state import Scope


def cancel_all(
    scope: Text = "",
    /,
    *,
    level: Level = None,
    key: KeyFile = None,
    confirm: Confirm = "",
    reason: Reason = None,
    seconds: Seconds = 10.0,
    output: Output = "table",
) -> int:
    """Cancel all working orders of a strategy, a fund or the firm; asks for the word CANCEL.

    Exit code 0: every order system has confirmed its cancels. 2: nothing was done. 3: not all
    have, or the fate of orders is unknown. 4: sent, and nobody answered in time. 5: refused.

    Example: mts cmd cancel-all --confirm CANCEL --reason "wrong prices"

    Parameters
    ----------
    scope
        Id of a strategy or fund; without it the firm.
    """

    async def work() -> int:
        desk = ordering.begin(key)
        look = not confirm or scopes.needs_look(scope, level)
        registry = await ordering.known(desk) if look else None
        found = scopes.resolve(scope, level, registry)
        async with ordering.line(desk) as opened:
            already = None if confirm else await ordering.held(opened)
            asking.show_plan(
                scope=scopes.described(found, registry),
                trading=scopes.trading(found, registry),
                does=["cancel every working order, stop orders too"],
                does_not=["stop new orders: mts cmd halt", "close positions"],
                halted=already or [],
            )
            if not asking.confirmed("CANCEL", confirm, f"cancel orders of {scopes.named(found)}"):
                return CANNOT
            why = asking.reason_of(reason, needed=False)
            name = desk.person.name
            at_ns = opened.clock.now_ns()
            events = [orders_of_people.cancel_all(name, each, why, at_ns) for each in found]
            waited = [_canceled(opened, each) for each in events]
            return finish(
                await ordering.order(desk, opened, waited, seconds), opened.clock.now_ns(), output
            )

    return run(work())


def _canceled(opened: HaltLine, event: CancelAllCommanded) -> Waited:
    command = ordering.command_of(event)

    def systems() -> tuple[outcome.Progress, ...]:
        return outcome.progress(opened.desk, event.data.command_id, opened.clock.now_ns())

    def answer() -> Outcome | None:
        denied = outcome.refused(command, ordering.findings(opened))
        return denied or outcome.of_progress(systems(), "CANCEL_CONFIRMED", "cancels confirmed")

    def late() -> Outcome:
        return outcome.behind(systems(), "CANCEL_CONFIRMED", "cancels confirmed")

    return Waited("cancel_all", event, answer, late, systems)


def flatten_paper(
    *accounts: str,
    key: KeyFile = None,
    confirm: Confirm = "",
    reason: Reason = None,
    seconds: Seconds = 60.0,
    output: Output = "table",
) -> int:
    """Halt every paper fund, cancel its orders, close its positions; asks for the word FLATTEN.

    Refuses an account that is not paper. The funds stay halted afterwards. Exit code 0: every
    order system is flat. 2: nothing was done. 3: not every one is. 4: sent, and nobody answered in
    time. 5: refused.

    Example: mts cmd flatten-paper --confirm FLATTEN --reason "end of the trial"

    Parameters
    ----------
    accounts
        Only these paper accounts; by default all of every paper fund.
    """

    async def work() -> int:
        desk = ordering.begin(key)
        registry = await ordering.known(desk)
        if registry is None:
            raise Rejected("which accounts are paper cannot be looked up; nothing was done")
        chosen = scopes.paper_accounts(registry, accounts)
        async with ordering.line(desk) as opened:
            already = None if confirm else await ordering.held(opened)
            asking.show_plan(
                scope="\n".join(f"fund {fund}: {', '.join(ids)}" for fund, ids in chosen.items()),
                trading="paper",
                does=[
                    "halt these funds, cancel their orders, wait until that is confirmed",
                    "then close their positions at the market and verify that they are flat",
                ],
                does_not=["touch any live account", "lift the halts afterwards: mts cmd resume"],
                halted=already or [],
            )
            if not asking.confirmed("FLATTEN", confirm, "close these positions"):
                return CANNOT
            why = asking.reason_of(reason, needed=False)
            waited = [
                each
                for fund_id, ids in chosen.items()
                for each in _flattened(desk, opened, fund_id, ids, why)
            ]
            return finish(
                await ordering.order(desk, opened, waited, seconds), opened.clock.now_ns(), output
            )

    return run(work())


def _flattened(
    desk: Desk, opened: HaltLine, fund_id: str, account_ids: tuple[str, ...], reason: str
) -> list[Waited]:
    """Return the halt of a paper fund and the flatten that is bound to it, in this order."""
    name, scope = desk.person.name, Scope("FUND_HALT", fund_id)
    stop = orders_of_people.halt(name, scope, "BLOCK_ALL", reason, environment="paper")
    halt_id = stop.data.halt_id
    at_ns = opened.clock.now_ns()
    event = orders_of_people.flatten(name, halt_id, fund_id, account_ids, reason, at_ns)
    command = ordering.command_of(event)

    def systems() -> tuple[outcome.Progress, ...]:
        return outcome.progress(opened.desk, halt_id, opened.clock.now_ns())

    def answer() -> Outcome | None:
        denied = outcome.refused(command, ordering.findings(opened))
        return denied or outcome.of_progress(systems(), "FLAT", f"fund {fund_id} flat")

    def late() -> Outcome:
        return outcome.behind(systems(), "FLAT", f"fund {fund_id} flat")

    return [ordering.halt_waited(opened, stop), Waited("flatten", event, answer, late, systems)]
