"""What the theta of a fund is made of: marks of options, what they are, values and rates."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from operations.checks import Batch, EachEvent, Row, Stored, Table
from operations.clock import NANOSECONDS, near_ns
from operations.events.marketdata import FxRateMarked
from operations.events.operations import ClockTicked
from operations.events.portfolio import NavMarked
from operations.events.positions import GreeksMarked
from operations.events.registry import InstrumentDefined

MINUTE_NS, DAY_NS = 60 * NANOSECONDS, 86_400 * NANOSECONDS
SPLIT = 1.4  # factor between two spot prices that no market makes from one mark to the next


class GreeksFold:
    """Makes a row of each mark that is newer than the last one of its position.

    Beside the spot price stands the one that it must agree with: that of the mark before, or that
    of before a split, which stays until the instrument is defined again.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, float | None]] = {}  # by position: marked, spot
        self._minutes: dict[str, int] = {}  # by fund: in which it was marked last

    def take(self, batch: Batch) -> list[Row]:
        """Return the rows of a batch."""
        rows: list[Row] = []
        for stored in batch:
            event = stored.event
            if isinstance(event, InstrumentDefined):
                for key, (marked_ns, _) in self._known.items():
                    if key.endswith(f" {event.data.symbol}"):
                        self._known[key] = marked_ns, None
            elif isinstance(event, GreeksMarked) and event.fund_id:
                rows += self._mark(event, stored)
        return rows

    def _mark(self, event: GreeksMarked, stored: Stored) -> Iterator[Row]:
        mark = event.data
        key = f"{event.fund_id} {event.account_id} {mark.symbol}"
        marked_ns = _by_now(mark.marked_at, stored)
        newest_ns, before = self._known.get(key, (0, None))
        if marked_ns < newest_ns:
            return
        spot = None if mark.spot_price is None else float(mark.spot_price)
        keeps = spot is None or (before is not None and torn(before, spot))
        self._known[key] = marked_ns, before if keeps else spot
        fund_id, minute = event.fund_id or "", stored.at_ns // MINUTE_NS
        opens_minute = self._minutes.get(fund_id) != minute
        self._minutes[fund_id] = minute
        yield (
            stored.sequence, stored.at_ns, fund_id, event.account_id or "", mark.symbol,
            marked_ns, float(mark.quantity), mark.currency,
            None if mark.theta_per_day is None else float(mark.theta_per_day),
            mark.implied_volatility, spot, before, opens_minute,
        )  # fmt: skip

    def snapshot(self) -> list[Any]:
        """Return what every mark has to agree with, and the minute of each fund."""
        return [self._known, self._minutes]

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Go on from a snapshot."""
        known, minutes = state
        self._known = {key: (marked_ns, spot) for key, (marked_ns, spot) in known.items()}
        self._minutes = dict(minutes)


def _by_now(at: str, stored: Stored) -> int:
    """Read a time; what claims to come later than it was stored would hide all that follows it."""
    return min(near_ns(at), stored.at_ns)


def torn(one: float, other: float) -> bool:
    """Whether two spot prices of an underlying are too far apart for one market."""
    low, high = sorted((one, other))
    return not low > 0 or high / low >= SPLIT


def _options(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, InstrumentDefined)
    option = event.data
    ends = option.expires_on and near_ns(f"{option.expires_on}T00:00:00Z") + DAY_NS
    if option.kind == "option":
        yield (
            stored.sequence, stored.at_ns, option.symbol, option.underlying,
            float(option.multiplier), ends or None,
        )  # fmt: skip


def _values(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, NavMarked)
    mark = event.data
    yield (
        stored.sequence, stored.at_ns, event.fund_id or event.subject_id,
        _by_now(mark.as_of, stored), float(mark.nav), mark.currency,
    )  # fmt: skip


def _rates(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, FxRateMarked)
    mark = event.data
    yield (
        stored.sequence, stored.at_ns, mark.base_currency, mark.quote_currency,
        _by_now(mark.as_of, stored), float(mark.rate),
    )  # fmt: skip


GREEKS = Table(
    name="option_greeks",
    columns=(
        ("fund_id", "VARCHAR"), ("account_id", "VARCHAR"), ("symbol", "VARCHAR"),
        ("marked_ns", "BIGINT"), ("quantity", "DOUBLE"), ("currency", "VARCHAR"),
        ("theta", "DOUBLE"), ("implied_volatility", "DOUBLE"), ("spot", "DOUBLE"),
        ("spot_before", "DOUBLE"), ("opens_minute", "BOOLEAN"),
    ),
    kinds=(GreeksMarked, InstrumentDefined, ClockTicked),
    fold=GreeksFold,
    keep_days=3_650,
    keep_of_each=("fund_id, account_id, symbol", 1),
)  # fmt: skip
OPTIONS = Table(
    name="option_defined",
    columns=(
        ("symbol", "VARCHAR"), ("underlying", "VARCHAR"), ("multiplier", "DOUBLE"),
        ("expires_ns", "BIGINT"),
    ),
    kinds=(InstrumentDefined,),
    fold=lambda: EachEvent(_options),
    keep_days=3_650,
)  # fmt: skip
VALUES = Table(
    name="fund_value",
    columns=(
        ("fund_id", "VARCHAR"), ("as_of_ns", "BIGINT"), ("nav", "DOUBLE"), ("currency", "VARCHAR"),
    ),
    kinds=(NavMarked,),
    fold=lambda: EachEvent(_values),
    keep_days=30,
)  # fmt: skip
RATES = Table(
    name="option_rate",
    columns=(
        ("base", "VARCHAR"), ("quote", "VARCHAR"), ("as_of_ns", "BIGINT"), ("rate", "DOUBLE"),
    ),
    kinds=(FxRateMarked,),
    fold=lambda: EachEvent(_rates),
    keep_days=30,
)  # fmt: skip
