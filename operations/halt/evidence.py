"""What was held when a halt was requested, and what that record is made of.

Positions are folded from the entries of the log in order, so the snapshot of a halt is exact: it
is what the firm's own events say up to the entry of the request, no later and no earlier. Where
those events contradict each other the snapshot says that it is not complete.
"""

from collections.abc import Iterable
from decimal import Decimal
from hashlib import sha256
from typing import NamedTuple

import msgspec

from operations.clock import parse_rfc3339
from operations.events.base import Event, derived_id
from operations.events.halts import (
    Documentation,
    HaltDocumented,
    HaltRequested,
    PositionHeld,
)
from operations.events.positions import ExposureMarked, PositionChanged, PositionSnapshotted
from operations.halt.state import Scope, scope_of

RULE = "halt-evidence/v1"
LISTED_AT_MOST = 1000
MILLION = 1_000_000


class Owner(NamedTuple):
    """Whose position it is; an empty text where the event did not say."""

    fund_id: str
    strategy_id: str
    account_id: str


class Proof(NamedTuple):
    """An entry of the log that led to a halt: its sequence and its hash."""

    sequence: int
    hash: bytes


class Positions:
    """What everybody holds, as the events so far say."""

    def __init__(self) -> None:
        self._held: dict[Owner, dict[str, Decimal]] = {}
        self._doubtful: set[Owner] = set()
        self._exposures: dict[Owner, tuple[Decimal, str]] = {}
        self._changed_at_ns: dict[Owner, int] = {}

    def take(self, event: Event) -> None:
        """Fold one event; those that say nothing about positions change nothing."""
        owner = Owner(event.fund_id or "", event.strategy_id or "", event.account_id or "")
        if isinstance(event, PositionChanged):
            held = self._held.setdefault(owner, {})
            change = event.data
            if held.get(change.symbol, Decimal(0)) != change.before_quantity:
                self._doubtful.add(owner)
            held[change.symbol] = change.after_quantity
            self._changed_at_ns[owner] = parse_rfc3339(event.timestamp)
        elif isinstance(event, PositionSnapshotted):
            self._held[owner] = {each.symbol: each.quantity for each in event.data.holdings}
            self._changed_at_ns[owner] = parse_rfc3339(event.data.as_of)
            self._doubtful.discard(owner)
            if not event.data.complete:
                self._doubtful.add(owner)
        elif isinstance(event, ExposureMarked):
            self._exposures[owner] = (event.data.gross, event.data.currency)

    def of(self, scope: Scope) -> tuple[PositionHeld, ...]:
        """Return every position that is not flat inside a scope, sorted."""
        return tuple(
            PositionHeld(
                fund_id=owner.fund_id,
                strategy_id=owner.strategy_id,
                account_id=owner.account_id,
                symbol=symbol,
                quantity=quantity,
            )
            for owner in sorted(self._owners(scope))
            for symbol, quantity in sorted(self._held[owner].items())
            if quantity
        )

    def is_complete(self, scope: Scope) -> bool:
        """Whether the events of every owner in a scope agree; False where there are none."""
        owners = self._owners(scope)
        return bool(owners) and not any(owner in self._doubtful for owner in owners)

    def changed_at_ns(self, scope: Scope) -> int | None:
        """Return when a position in a scope last changed, in ns since 1970; None if never."""
        times = [self._changed_at_ns[owner] for owner in self._owners(scope)]
        return max(times, default=None)

    def gross(self, scope: Scope) -> tuple[Decimal, str] | None:
        """Return gross exposure and its currency; None where it is not known in one currency.

        The whole of a scope is what was marked for exactly that strategy or fund; the firm is the
        sum of its funds.
        """
        marks = [
            mark
            for owner, mark in self._exposures.items()
            if _is_total(owner, scope) and owner.account_id == ""
        ]
        currencies = {currency for _, currency in marks}
        if len(currencies) != 1:
            return None
        return sum((gross for gross, _ in marks), Decimal(0)), currencies.pop()

    def _owners(self, scope: Scope) -> list[Owner]:
        return [owner for owner in self._held if _is_inside(owner, scope)]


def document(
    request: HaltRequested, positions: Positions, proofs: Iterable[Proof], source: str
) -> HaltDocumented:
    """Return the evidence of a halt; the same log always gives the same event."""
    scope = scope_of(request)
    held = positions.of(scope)
    changed_ns = positions.changed_at_ns(scope)
    requested_ns = parse_rfc3339(request.timestamp)
    gross = positions.gross(scope)
    found = sorted(proofs)
    halt_id = request.data.halt_id
    return HaltDocumented(
        event_id=derived_id(request.event_id, RULE, halt_id, 0),
        timestamp=request.timestamp,
        actor=source,
        subject_id=halt_id,
        environment=request.environment,
        fund_id=request.fund_id,
        strategy_id=request.strategy_id,
        correlation_id=request.correlation_id,
        causation_id=request.event_id,
        data=Documentation(
            halt_id=halt_id,
            log_sequences=tuple(proof.sequence for proof in found),
            entry_hashes=tuple(proof.hash.hex() for proof in found),
            positions_complete=positions.is_complete(scope),
            positions_age_ms=(
                0 if changed_ns is None else max(0, (requested_ns - changed_ns) // MILLION)
            ),
            positions_sha256=digest(held),
            positions_count=len(held),
            positions=held[:LISTED_AT_MOST],
            gross=gross[0] if gross else None,
            currency=gross[1] if gross else None,
        ),
    )


def digest(held: Iterable[PositionHeld]) -> str:
    """Return SHA-256 over a snapshot: one JSON array a line, quantities in plain decimals."""
    lines = (
        msgspec.json.encode(
            [each.fund_id, each.strategy_id, each.account_id, each.symbol, _plain(each.quantity)]
        )
        for each in held
    )
    return sha256(b"".join(line + b"\n" for line in lines)).hexdigest()


def _plain(quantity: Decimal) -> str:
    text = f"{quantity:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _is_inside(owner: Owner, scope: Scope) -> bool:
    if scope.level == "STRATEGY_HALT":
        return owner.strategy_id == scope.id
    return scope.level == "FIRM_HALT" or owner.fund_id == scope.id


def _is_total(owner: Owner, scope: Scope) -> bool:
    if scope.level == "STRATEGY_HALT":
        return owner.strategy_id == scope.id
    is_fund = owner.fund_id != "" and owner.strategy_id == ""
    return is_fund and (scope.level == "FIRM_HALT" or owner.fund_id == scope.id)
