"""The simulated market: prices that walk, quotes, trades, minute bars and an exchange rate.

All randomness is drawn as integers: the number of set bits in 32 random bits, less 16, is close
to a normal draw with a standard deviation of 2.8, and the same on every machine.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from random import Random
from typing import Literal

from operations.events.base import Event
from operations.events.marketdata import (
    Bar,
    BarClosed,
    ExchangeRate,
    FxRateMarked,
    Quote,
    QuoteUpdated,
    Trade,
    TradePrinted,
)
from operations.simulation.agenda import Agenda
from operations.simulation.faults import BadTicks, ClockFault, Drawdown, Fault, FrozenFeed
from operations.simulation.ledger import Ledger
from operations.simulation.world import ASSETS, BASE, Asset
from operations.simulation.writer import Writer, money, quantity, timestamp

MILLISECOND = 1_000_000
MINUTE = 60_000 * MILLISECOND
QUOTE_GAP_MS = 4_000
FEED = "market-data"
VENUE = "SIMX"


def draw(chance: Random) -> int:
    """Draw an integer that is nearly normal: mean 0, standard deviation 2.83."""
    return chance.getrandbits(32).bit_count() - 16


class Book:
    """The state of one instrument's market. `mid` is in hundredths of a cent."""

    def __init__(self, asset: Asset, faults: Sequence[Fault]) -> None:
        self.asset = asset
        self.mid = asset.price_cents * 100
        self.trades = 0
        self.last_quote: Quote | None = None
        self.frozen = [f for f in faults if isinstance(f, FrozenFeed) and f.symbol == asset.symbol]
        self.bad = [f for f in faults if isinstance(f, BadTicks) and f.symbol == asset.symbol]
        self.skewed = [f for f in faults if isinstance(f, ClockFault) and f.symbol == asset.symbol]
        self.start_bar()

    def start_bar(self) -> None:
        """Begin a minute without trades at the last price."""
        self.open = self.high = self.low = self.close = max(1, self.mid // 100)
        self.volume = self.count = 0

    @property
    def bid(self) -> int:
        """Best bid, in cents."""
        return max(1, self.mid // 100 - self.asset.spread_cents // 2)

    @property
    def ask(self) -> int:
        """Best offer, in cents."""
        return self.bid + self.asset.spread_cents

    def touch(self, side: str) -> int:
        """Price, in cents, at which an order of this side is filled at once."""
        return self.ask if side == "buy" else self.bid


class Market:
    """Every instrument's market on one feed."""

    def __init__(
        self, chance: Random, writer: Writer, ledger: Ledger, agenda: Agenda,
        faults: Sequence[Fault],
    ) -> None:  # fmt: skip
        self.books = {asset.symbol: Book(asset, faults) for asset in ASSETS}
        self._chance = chance
        self._writer = writer
        self._ledger = ledger
        self._agenda = agenda
        self._drawdowns = [fault for fault in faults if isinstance(fault, Drawdown)]
        self._before_drawdown: dict[Drawdown, int] = {}
        self._trades = 0
        self.opened_ns = 0  # of the first day
        self.closes_ns = 0  # of this day

    def open(self, opens_ns: int, closes_ns: int) -> None:
        """Plan a day."""
        self.opened_ns = self.opened_ns or opens_ns
        self.closes_ns = closes_ns
        for book in self.books.values():
            book.start_bar()
            self._plan_quote(book, opens_ns)
        self._agenda.plan(opens_ns, self._mark_rates)
        self._agenda.plan(opens_ns + MINUTE, self._close_bars)

    def _plan_quote(self, book: Book, at: int) -> None:
        later = at + self._chance.randrange(2 * QUOTE_GAP_MS * MILLISECOND)
        if later < self.closes_ns:
            self._agenda.plan(later, lambda now: self._quote(book, now))

    def _quote(self, book: Book, at: int) -> Iterator[Event]:
        chance = self._chance
        self._plan_quote(book, at)
        self.move(book, book.mid * draw(chance) * book.asset.step_ppm // 1_000_000)
        since = at - self.opened_ns
        venue_ns = at - MILLISECOND - chance.randrange(2 * MILLISECOND)
        for fault in book.skewed:
            venue_ns += fault.offset_ms * MILLISECOND if fault.active(since) else 0
        frozen = next((fault for fault in book.frozen if fault.active(since)), None)
        if frozen and frozen.silent:
            return
        sizes = chance.getrandbits(20)
        if frozen and book.last_quote:
            quote = book.last_quote
        else:
            quote = self._make_quote(book, venue_ns, sizes, self._factor(book, since))
            book.last_quote = quote
        yield self._writer.write(QuoteUpdated, at, book.asset.symbol, quote, by=FEED)
        if sizes % 3 == 0 and not frozen:
            side: Literal["buy", "sell"] = "buy" if sizes & 1 else "sell"
            size = 1 + (sizes >> 8) % 400
            price = book.touch(side) * self._factor(book, since) // 100
            yield self._print(book, at, venue_ns, side, size, max(1, price))

    def move(self, book: Book, change: int) -> None:
        """Change a price, in hundredths of a cent, and mark positions at it."""
        book.mid = max(5_00, book.mid + change)
        self._ledger.marks_cents[book.asset.symbol] = book.mid // 100

    def _factor(self, book: Book, since: int) -> int:
        """Return the factor of a bad tick in percent; 100 for a good one."""
        for fault in book.bad:
            if fault.active(since) and self._chance.randrange(fault.one_in) == 0:
                return fault.factor_pct
        return 100

    def _make_quote(self, book: Book, venue_ns: int, sizes: int, factor: int) -> Quote:
        return Quote(
            symbol=book.asset.symbol,
            venue=VENUE,
            currency=book.asset.currency,
            venue_time=timestamp(venue_ns),
            bid_price=money(book.bid * factor // 100),
            bid_size=quantity(100 * (1 + sizes % 31)),
            ask_price=money(book.ask * factor // 100),
            ask_size=quantity(100 * (1 + (sizes >> 10) % 31)),
        )

    def _print(
        self, book: Book, at: int, venue_ns: int, side: Literal["buy", "sell"], size: int,
        price: int,
    ) -> Event:  # fmt: skip
        book.high, book.low = max(book.high, price), min(book.low, price)
        if book.count == 0:
            book.open = book.high = book.low = price
        book.close = price
        book.volume += size
        book.count += 1
        self._trades += 1
        trade = Trade(
            symbol=book.asset.symbol,
            trade_id=f"trd-{self._trades}",
            venue=VENUE,
            price=money(price),
            size=quantity(size),
            currency=book.asset.currency,
            venue_time=timestamp(venue_ns),
            aggressor=side,
        )
        return self._writer.write(TradePrinted, at, book.asset.symbol, trade, by=FEED)

    def _close_bars(self, at: int) -> Iterator[Event]:
        opened = timestamp(at - MINUTE)
        self._fall(at)
        for book in self.books.values():
            bar = Bar(
                symbol=book.asset.symbol,
                opens_at=opened,
                interval_seconds=60,
                open_price=money(book.open),
                high_price=money(book.high),
                low_price=money(book.low),
                close_price=money(book.close),
                volume=quantity(book.volume),
                currency=book.asset.currency,
                trades=book.count,
            )
            yield self._writer.write(BarClosed, at, book.asset.symbol, bar, by=FEED)
            book.start_bar()
        if at < self.closes_ns:
            self._agenda.plan(at + MINUTE, self._close_bars)
            yield from self._mark_rates(at)

    def _mark_rates(self, at: int) -> Iterator[Event]:
        self._ledger.rates["EUR"] += draw(self._chance) // 3
        rate = ExchangeRate(
            base_currency="EUR",
            quote_currency=BASE,
            rate=Decimal(self._ledger.rates["EUR"]).scaleb(-4),
            as_of=timestamp(at),
        )
        yield self._writer.write(FxRateMarked, at, f"EUR{BASE}", rate, by=FEED)

    def _fall(self, at: int) -> None:
        """Move prices against a fund so that its value follows a straight line down."""
        minute = (at - self.opened_ns) // MINUTE
        for fault in self._drawdowns:
            if not fault.active(at - self.opened_ns):
                continue
            nav = self._ledger.nav_micros(fault.fund_id)
            start = self._before_drawdown.setdefault(fault, nav)
            done = minute - fault.minute + 1
            missing = nav - (start - start * fault.loss_pct * done // (100 * fault.minutes))
            values = dict.fromkeys(self.books, 0)
            for position in self._ledger.held_by(fund_id=fault.fund_id):
                values[position.asset.symbol] += self._ledger.value_micros(position)
            gross = sum(abs(value) for value in values.values())
            for symbol, value in values.items():
                if value:
                    book = self.books[symbol]
                    change = book.mid * missing // gross
                    self.move(book, -change if value > 0 else change)
