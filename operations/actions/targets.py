"""What an action asks for, as an absolute target: is it one, which of two asks for more?

Targets are absolute, so an action that is delivered twice changes nothing. Within one episode of
findings a later action counts only when it asks for more than the one before: what was ordered is
never loosened by a check, only by a person.
"""

from decimal import Decimal

from operations.clock import parse_rfc3339
from operations.events.actions import ActionRequest

# What only a person ends; an `until` in such a request is passed over.
BY_PERSON = frozenset(("reduce_allocation", "shadow", "hedge", "reduce_gross"))
# What an order system works towards; the other kinds its gate enforces.
WORKED = frozenset(("reduce_allocation", "hedge", "reduce_gross"))
Target = tuple[str, str | None, Decimal]


def until_ns(request: ActionRequest) -> int | None:
    """Return when an action ends by itself, in ns since 1970; None when only a person ends it."""
    if request.kind in BY_PERSON or request.until is None:
        return None
    return parse_rfc3339(request.until)


def problem(request: ActionRequest) -> str:
    """Say why nobody can do what a request asks for; empty when one can."""
    factor, currency = request.allocation_factor, request.currency
    match request.kind:
        case "reduce_allocation":
            if factor is None or not 0 <= factor <= 1:
                return f"allocation_factor is {factor}; it must be a part from 0 to 1"
        case "reduce_gross":
            return _amount("gross_at_most", request.gross_at_most, currency)
        case "hedge":
            return _amount("theta_per_day_at_most", request.theta_per_day_at_most, currency)
    return ""


def _amount(name: str, amount: Decimal | None, currency: str | None) -> str:
    if amount is None or amount < 0 or not currency:
        return f"{name} is {amount} {currency or ''}; it must be 0 or more, with its currency"
    return ""


def target(request: ActionRequest) -> Target:
    """Return what an action without a problem is measured in, its currency and the highest value.

    A cooldown and a shadow ask for the same every time.
    """
    match request.kind:
        case "reduce_allocation":
            return "part of the size at the start", None, request.allocation_factor or Decimal(0)
        case "reduce_gross":
            return "gross", request.currency, request.gross_at_most or Decimal(0)
        case "hedge":
            most = request.theta_per_day_at_most or Decimal(0)
            return "theta per day", request.currency, most
        case "throttle":
            return (
                "orders per minute",
                None,
                Decimal(max(0, request.orders_per_minute_at_most or 0)),
            )
    return "only what reduces", None, Decimal(0)


def asks_for_more(later: ActionRequest, earlier: ActionRequest) -> bool:
    """Whether a later request of the same episode is stricter: in nothing less, in something more.

    Two amounts in different currencies cannot be compared, so the earlier one stays.
    """
    (_, currency, most), (_, before, at_most) = target(later), target(earlier)
    end, ended = until_ns(later), until_ns(earlier)
    if currency != before or most > at_most or _sooner(end, ended):
        return False
    return most < at_most or _sooner(ended, end)


def _sooner(one: int | None, other: int | None) -> bool:
    return one is not None and (other is None or one < other)
