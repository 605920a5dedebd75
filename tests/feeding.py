"""Messages of feeds as they arrive: trades, marks of funds and options, stories and beats."""

from decimal import Decimal

from watching import START_NS, event

from operations.checks import Stored
from operations.clock import NANOSECONDS, rfc3339
from operations.events.marketdata import Trade, TradePrinted
from operations.events.news import Beat, FeedBeat, Story, StoryPublished
from operations.events.operations import ClockTicked, Tick
from operations.events.portfolio import NavMarked, NetAssetValue
from operations.events.positions import Greeks, GreeksMarked

MS = NANOSECONDS // 1000


class Tape:
    """A stream that grows: each event gets its place, its time and an id of its own."""

    def __init__(self, start_ns=START_NS, step_ns=NANOSECONDS):
        self.now_ns, self.step_ns, self.events = start_ns, step_ns, []

    def put(self, kind, subject_id, data, said_ns=None, **envelope):
        self.now_ns += self.step_ns
        number = len(self.events) + 1
        one = event(kind, subject_id, data, number, **envelope)
        at = rfc3339(self.now_ns if said_ns is None else said_ns)
        one = type(one)(**{**{f: getattr(one, f) for f in one.__struct_fields__}, "timestamp": at})
        self.events.append(Stored(one, number, self.now_ns))

    def trade(
        self, identity, price="10.00", size="100", late_ns=MS, symbol="SPY", venue="XNAS",
        aggressor=None, **more
    ):  # fmt: skip
        happened = rfc3339(self.now_ns + self.step_ns - late_ns)
        data = Trade(
            symbol=symbol, trade_id=str(identity), venue=venue, price=Decimal(price),
            size=Decimal(size), currency="USD", venue_time=happened, aggressor=aggressor,
        )  # fmt: skip
        self.put(TradePrinted, symbol, data, **more)

    def nav(self, nav, fund="alpha", final=True, ahead_ns=0):
        as_of = rfc3339(self.now_ns + self.step_ns + ahead_ns)
        data = NetAssetValue(
            as_of=as_of, nav=Decimal(nav), currency="USD", start_of_day_nav=Decimal(1), final=final
        )
        self.put(NavMarked, fund, data, fund_id=fund)

    def greeks(self, symbol="AAPL 490C", fund="alpha", account="acc-1", ahead_ns=0, **data):
        marked_at = rfc3339(self.now_ns + self.step_ns + ahead_ns)
        values = {"quantity": Decimal(1), "currency": "USD", **data}
        made = Greeks(symbol=symbol, marked_at=marked_at, **values)
        self.put(GreeksMarked, symbol, made, fund_id=fund, account_id=account)

    def story(self, identity, headline=None, feed="wire", ahead_ns=0):
        data = Story(
            story_id=str(identity), feed=feed, headline_hash=headline or f"h{identity}",
            published_at=rfc3339(self.now_ns + self.step_ns + ahead_ns), tickers=("SPY",),
        )  # fmt: skip
        self.put(StoryPublished, str(identity), data)

    def beat(self, stories, seconds=60.0, feed="wire"):
        self.put(FeedBeat, feed, Beat(feed=feed, stories=stories, interval_seconds=seconds))

    def tick(self):
        self.put(ClockTicked, "clock", Tick(minute=rfc3339(START_NS), offset_ms=0.0))

    def wait(self, seconds):
        self.now_ns += seconds * NANOSECONDS
