"""What a name on the command line means: a strategy, a fund, the firm, or paper accounts."""

from typing import Annotated, Literal

from cyclopts import Parameter

from operations.errors import Rejected
from operations.events.base import Environment
from operations.halt.registry import Registry
from operations.halt.state import FIRM, Scope

FIRM_NAME = "firm"
Level = Annotated[
    Literal["strategy", "fund", "firm"] | None,
    Parameter(
        help="What the id is, where it could be both or nobody can look.", show_default=False
    ),
]


def resolve(name: str, level: str | None, registry: Registry | None) -> tuple[Scope, ...]:
    """Return what a name means; without a registry to ask both a strategy and a fund.

    Stopping too much can be undone. Raises Rejected for a name that nobody registered.
    """
    if level == "firm" or (level is None and name in ("", FIRM_NAME)):
        if name not in ("", FIRM_NAME):
            raise Rejected(f"the firm has no id; leave out {name!r}, nothing was done")
        return (FIRM,)
    if not name:
        raise Rejected(f"say which {level}; nothing was done")
    strategy, fund = Scope("STRATEGY_HALT", name), Scope("FUND_HALT", name)
    if level is not None:
        return (strategy if level == "strategy" else fund,)
    if registry is None:
        return strategy, fund
    found = [strategy] if name in registry.strategies else []
    found += [fund] if name in registry.funds else []
    if not found:
        raise Rejected(
            f"{name!r} is no registered strategy or fund, nothing was done; look at `mts "
            "strategies list`, or say with --level what it is"
        )
    return tuple(found)


def needs_look(name: str, level: str | None) -> bool:
    """Whether only the registry can tell what a name is."""
    return level is None and name not in ("", FIRM_NAME)


def described(found: tuple[Scope, ...], registry: Registry | None) -> str:
    """Return a scope with what belongs to it."""
    if registry is None:
        return f"{named(found)} (what belongs to it was not looked up)"
    lines = []
    for scope in found:
        if scope.level == "FIRM_HALT":
            funds, strategies = len(registry.funds), len(registry.strategies)
            lines.append(f"the firm: every fund ({funds}) and every strategy ({strategies})")
        elif scope.level == "FUND_HALT":
            below = ", ".join(registry.strategies_of(scope.id)) or "no strategy"
            lines.append(f"{scope}: {below}")
        else:
            lines.append(f"{scope} of fund {registry.fund_of(scope.id) or 'unknown'}")
    return "\n".join(lines)


def named(found: tuple[Scope, ...]) -> str:
    """Return a scope as people say it."""
    return " and ".join("the firm" if each.level == "FIRM_HALT" else str(each) for each in found)


def trading(found: tuple[Scope, ...], registry: Registry | None) -> str:
    """Return which of the funds concerned are live and which paper, by name."""
    if registry is None:
        return "not looked up: take it as live"
    funds: set[str] = set()
    for scope in found:
        if scope.level == "FIRM_HALT":
            funds |= registry.funds.keys()
        else:
            funds.add(fund_of(scope, registry) or "?")
    words = []
    for kind in ("live", "paper", "unknown"):
        names = sorted(each for each in funds if _trading(each, registry) == kind)
        if names:
            words.append(f"{kind.upper()}: {', '.join(names)}")
    return "; ".join(words) or "nothing is registered"


def _trading(fund_id: str, registry: Registry) -> str:
    fund = registry.funds.get(fund_id)
    return fund.trading if fund else "unknown"


def fund_of(scope: Scope, registry: Registry | None) -> str | None:
    """Return the fund that a scope belongs to, where it has one and that is known."""
    if scope.level == "FUND_HALT":
        return scope.id
    if scope.level == "STRATEGY_HALT" and registry is not None:
        return registry.fund_of(scope.id)
    return None


def environment(scope: Scope, registry: Registry | None) -> Environment:
    """Return whether money moves in a scope; live unless it is known to be paper."""
    fund_id = fund_of(scope, registry)
    if registry is None or fund_id is None:
        return "live"
    return "paper" if _trading(fund_id, registry) == "paper" else "live"


def paper_accounts(registry: Registry, wanted: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the paper accounts to flatten, by fund: the wanted ones, or all.

    Raises Rejected for an account that is not paper, and when there is none.
    """
    for account_id in wanted:
        if not registry.is_paper(account_id):
            account = registry.accounts.get(account_id)
            kind = "live" if account else "not registered, so it counts as live"
            raise Rejected(
                f"account {account_id!r} is {kind}; only paper accounts are flattened, nothing "
                "was done"
            )
    chosen = wanted or tuple(each for each in registry.accounts if registry.is_paper(each))
    found: dict[str, tuple[str, ...]] = {}
    for account_id in sorted(chosen):
        fund_id = registry.accounts[account_id].fund_id
        found[fund_id] = (*found.get(fund_id, ()), account_id)
    if not found:
        raise Rejected("no paper account is registered, nothing was done")
    return found
