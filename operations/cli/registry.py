"""Which funds and strategies are registered: `mts funds list` and `mts strategies list`.

What is not in these lists is unknown, and what is unknown does not trade.
"""

from typing import Any

from cyclopts import App

from operations.adapters import halt_view, wire
from operations.cli import bus, fleet
from operations.cli.output import CANNOT, PROVEN, Output, complain, run, write_json
from operations.cli.tables import write_table
from operations.halt.registry import Registry

funds = App(name="funds", help="The funds that are registered.")
strategies = App(name="strategies", help="The strategies that are registered.")


async def read() -> Registry:
    """Return what the stream of this fleet registers; raises Retryable."""
    nats = bus.nats(fleet.load(), "operator")
    async with wire.connection(nats, "registry") as client:
        return await halt_view.registry(client, nats.stream)


@funds.command(name="list")
def list_funds(*, output: Output = "table") -> int:
    """List the funds with their limits and strategies.

    Exit code 0: listed. 2: there are none, or NATS does not answer.

    Example: mts funds list
    """

    async def work() -> int:
        known = await read()
        rows = [fund_row(known, fund_id) for fund_id in sorted(known.funds)]
        return _show(rows, output, "fund")

    return run(work())


@strategies.command(name="list")
def list_strategies(*, fund: str = "", output: Output = "table") -> int:
    """List the strategies with their funds and accounts.

    Exit code 0: listed. 2: there are none, or NATS does not answer.

    Example: mts strategies list --fund alpha

    Parameters
    ----------
    fund
        Only those of this fund.
    """

    async def work() -> int:
        known = await read()
        ids = known.strategies_of(fund) if fund else sorted(known.strategies)
        return _show([strategy_row(known, each) for each in ids], output, "strategy")

    return run(work())


def fund_row(known: Registry, fund_id: str) -> dict[str, Any]:
    """Return what is known about a fund, by column."""
    fund = known.funds[fund_id]
    return {
        "fund": fund_id,
        "name": fund.name,
        "trading": fund.trading,
        "currency": fund.base_currency,
        "day_ends": f"{fund.day_end_time} {fund.day_end_zone}",
        "drawdown_halt_pct": fund.drawdown_halt_pct,
        "daily_loss_halt_pct": fund.daily_loss_halt_pct,
        "strategies": known.strategies_of(fund_id),
    }


def strategy_row(known: Registry, strategy_id: str) -> dict[str, Any]:
    """Return what is known about a strategy, by column."""
    strategy = known.strategies[strategy_id]
    fund = known.funds.get(strategy.fund_id)
    return {
        "strategy": strategy_id,
        "name": strategy.name,
        "fund": strategy.fund_id,
        "trading": fund.trading if fund else "unknown",
        "version": strategy.version,
        "accounts": strategy.account_ids,
    }


def _show(rows: list[dict[str, Any]], output: Output, what: str) -> int:
    if output == "json":
        write_json(rows, output)
    elif output == "jsonl":
        for row in rows:
            write_json(row, output)
    elif rows:
        write_table(rows)
    if not rows:
        complain("?", f"no {what} is registered; orders of an unknown {what} are denied", "yellow")
    return PROVEN if rows else CANNOT
