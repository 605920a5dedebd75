"""A fund that holds options, as its registry, its books and its marks say."""

from decimal import Decimal

from feeding import Tape

from operations.events.registry import Instrument, InstrumentDefined


def option(tape, symbol="AAPL 490C", expires_on="2026-06-19", multiplier=100):
    data = Instrument(
        symbol=symbol, kind="option", currency="USD", multiplier=Decimal(multiplier),
        underlying="AAPL", expires_on=expires_on,
    )  # fmt: skip
    tape.put(InstrumentDefined, symbol, data)


def mark(tape, theta, iv=0.3, quantity=1, spot="100", **more):
    tape.wait(60)
    values = {"theta_per_day": None if theta is None else Decimal(theta), **more}
    tape.greeks(
        quantity=Decimal(quantity), implied_volatility=iv, spot_price=Decimal(spot), **values
    )


def fund(nav="100000"):
    tape = Tape()
    option(tape)
    tape.nav(nav)
    return tape
