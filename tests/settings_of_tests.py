"""What tests of settings share: limits like those of watchdogs, and a stream of changes."""

from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Annotated

from msgspec import Meta, Struct

from operations.errors import Rejected
from operations.events.operations import ConfigChange, ConfigChanged
from operations.settings.book import Book
from operations.settings.catalogue import LOOSER_HIGHER, LOOSER_LOWER, Catalogue


class VpinLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    threshold: Annotated[
        float, Meta(ge=0, le=1, description="VPIN above which orders slow."), LOOSER_HIGHER
    ] = 0.4
    own_level: Annotated[float, Meta(ge=0, lt=1, description="Quantile of its own history.")] = 0.99
    bucket_shares: Annotated[int, Meta(gt=0, description="Shares in a bucket.")] = 5000
    symbols: Annotated[tuple[str, ...], Meta(description="Symbols; none means all.")] = ()


class ThetaLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    net_theta_pct: Annotated[
        Decimal | None, Meta(description="Decay a day, of NAV."), LOOSER_HIGHER
    ] = None
    least_samples: Annotated[int, Meta(ge=1, description="Samples."), LOOSER_LOWER] = 20
    warn_pct: Annotated[Decimal, Meta(description="Warning."), LOOSER_HIGHER] = Decimal("0.5")

    def __post_init__(self):
        if self.net_theta_pct is not None and self.warn_pct > self.net_theta_pct:
            raise ValueError("warn_pct is above net_theta_pct")


CATALOGUE = Catalogue({"vpin": VpinLimits, "theta_watchdog": ThetaLimits})


@dataclass
class Stream:
    """Changes in the order of a stream, folded into a book."""

    book: Book = field(default_factory=lambda: Book(CATALOGUE))
    numbers: count = field(default_factory=lambda: count(1))

    def put(self, layer, setting, value, fund="", *, event_id="", reason="why"):
        number = next(self.numbers)
        change = ConfigChange(
            setting=setting, old_value=None, new_value=value, reason=reason, layer=layer
        )
        event = ConfigChanged(
            event_id=event_id or f"e-{number}",
            timestamp="2026-11-20T15:00:00Z",
            actor="alice",
            subject_id=setting,
            fund_id=fund or None,
            data=change,
        )
        return self.book.take(event, number)

    def value(self, setting, fund=""):
        return self.book.holds(CATALOGUE.named(setting), fund).value


def refusal(call, *arguments, **named):
    """Return the words with which a call is refused."""
    try:
        call(*arguments, **named)
    except Rejected as error:
        return str(error)
    raise AssertionError("it was not refused")
