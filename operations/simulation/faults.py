"""What can go wrong in a simulated day, on request.

Each fault is a value that says what, where and when. Minutes count from the opening of the first
day. A fault changes only what it names; the rest of the day stays recognisable.
"""

from msgspec import Struct

NANOSECONDS_PER_MINUTE = 60_000_000_000


class Fault(Struct, frozen=True, kw_only=True):
    """Something that goes wrong for a while."""

    minute: int = 30
    minutes: int = 10

    def active(self, since_open_ns: int) -> bool:
        """Whether it goes wrong at this time since the opening, in nanoseconds."""
        return self.minute <= since_open_ns // NANOSECONDS_PER_MINUTE < self.minute + self.minutes


class RunawayStrategy(Fault, frozen=True, kw_only=True):
    """A strategy that buys without end, ever larger and without a signal."""

    strategy_id: str = "momentum"
    orders_per_second: int = 20


class Drawdown(Fault, frozen=True, kw_only=True):
    """The market moves against a fund until it has lost this share of its value, in percent."""

    fund_id: str = "alpha"
    loss_pct: int = 6


class NewsSpike(Fault, frozen=True, kw_only=True):
    """Many stories about some instruments, or about all when none is named."""

    symbols: tuple[str, ...] = ()
    stories_per_minute: int = 60


class FrozenFeed(Fault, frozen=True, kw_only=True):
    """The quotes of an instrument repeat byte for byte, or stop, while its market goes on."""

    symbol: str = "AAPL"
    silent: bool = False


class BadTicks(Fault, frozen=True, kw_only=True):
    """Now and then a quote or trade has its price wrong by this factor, in percent."""

    symbol: str = "AAPL"
    factor_pct: int = 1000
    one_in: int = 5


class ClockFault(Fault, frozen=True, kw_only=True):
    """The venue's clock is off by this much; positive is in the future. In milliseconds."""

    symbol: str = "AAPL"
    offset_ms: int = 1500


class MissingFills(Fault, frozen=True, kw_only=True):
    """Fills of a strategy change positions and are never published."""

    strategy_id: str = "mean-rev"


ALL: tuple[type[Fault], ...] = (
    RunawayStrategy,
    Drawdown,
    NewsSpike,
    FrozenFeed,
    BadTicks,
    ClockFault,
    MissingFills,
)
