"""Which funds, strategies and accounts exist: the fold of what was registered.

An order is only judged by halts when it is known to which fund it belongs, so the gate asks here,
and what is not registered is unknown: it does not trade. Nothing is ever taken out; a later
registration replaces an earlier one, so the events are taken in the order of the stream.
"""

from collections.abc import Iterable
from typing import TypeVar

from msgspec import Struct

from operations.events.base import Event
from operations.events.registry import (
    Account,
    AccountRegistered,
    Fund,
    FundRegistered,
    Strategy,
    StrategyRegistered,
)

T = TypeVar("T")


class Place(Struct, frozen=True, gc=False):
    """Where a strategy belongs: its fund, and the accounts that it may trade in."""

    fund_id: str
    account_ids: frozenset[str]


class Registry:
    """Everything that was registered, by id.

    `places` says for each strategy where it belongs; it is one look for each order.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.funds: dict[str, Fund] = {}
        self.strategies: dict[str, Strategy] = {}
        self.accounts: dict[str, Account] = {}
        self.places: dict[str, Place] = {}
        for event in events:
            self.take(event)

    def take(self, event: Event) -> bool:
        """Fold one event; returns whether it changed anything. Other kinds of event change none.

        What a canary registers for its known case exists for the watchdogs only.
        """
        if event.environment == "canary":
            return False
        match event:
            case FundRegistered():
                return _put(self.funds, event.subject_id, event.data)
            case AccountRegistered():
                return _put(self.accounts, event.subject_id, event.data)
            case StrategyRegistered():
                strategy = event.data
                place = Place(strategy.fund_id, frozenset(strategy.account_ids))
                self.places[event.subject_id] = place
                return _put(self.strategies, event.subject_id, strategy)
        return False

    def fund_of(self, strategy_id: str) -> str | None:
        """Return the fund of a strategy, None for a strategy that nobody registered."""
        place = self.places.get(strategy_id)
        return place.fund_id if place else None

    def strategies_of(self, fund_id: str) -> tuple[str, ...]:
        """Return the strategies of a fund, sorted."""
        return tuple(
            sorted(name for name, one in self.strategies.items() if one.fund_id == fund_id)
        )

    def accounts_of(self, fund_id: str) -> tuple[str, ...]:
        """Return the accounts that a fund owns, sorted."""
        return tuple(sorted(name for name, one in self.accounts.items() if one.fund_id == fund_id))

    def is_paper(self, account_id: str) -> bool:
        """Whether no money moves in an account: it is registered as paper, and so is its fund.

        An account or fund that nobody registered counts as live.
        """
        account = self.accounts.get(account_id)
        fund = self.funds.get(account.fund_id) if account else None
        return bool(account and fund and account.trading == fund.trading == "paper")


def _put(known: dict[str, T], name: str, value: T) -> bool:
    changed = known.get(name) != value
    known[name] = value
    return changed
