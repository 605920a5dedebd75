"""A trading day of the firm as events in time order, from a seed and the faults asked for.

Same seed, day, faults and actions: same bytes. Ids, times and numbers follow from them alone.
Demos, load tests and the tests of checks all read this one stream; what it says adds up to the
last digit.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from random import Random

from operations.clock import NANOSECONDS
from operations.errors import Rejected
from operations.events.base import Event
from operations.simulation.actions import Actions, Asked
from operations.simulation.agenda import Agenda
from operations.simulation.faults import Fault
from operations.simulation.ledger import Ledger
from operations.simulation.market import MINUTE, Market
from operations.simulation.marks import BackOffice
from operations.simulation.news import Newsroom
from operations.simulation.trading import Desk
from operations.simulation.world import CLOSES, OPENS, calendar, registrations
from operations.simulation.writer import Writer

SATURDAY = 5
BEFORE_OPENING = 30 * MINUTE


def simulate(
    seed: int,
    day: str = "2026-11-20",
    faults: Sequence[Fault] = (),
    events: int | None = None,
    actions: Sequence[Asked] = (),
) -> Iterator[Event]:
    """Yield the events of one day, or exactly `events` of them over as many days as it takes.

    `day` is YYYY-MM-DD; a weekend moves to its Monday. Raises Rejected for another text.
    """
    try:
        first = date.fromisoformat(day)
    except ValueError as error:
        raise Rejected(f"{day!r} is not a day; write it as YYYY-MM-DD") from error
    stream = _days(seed, first, tuple(faults), tuple(actions), endless=events is not None)
    return stream if events is None else islice(stream, events)


def _days(
    seed: int, first: date, faults: tuple[Fault, ...], asked: tuple[Asked, ...], *, endless: bool
) -> Iterator[Event]:
    writer = Writer(f"{seed}/{first}/{faults}")
    ledger, agenda = Ledger(), Agenda()
    market = Market(_chance(seed, "market"), writer, ledger, agenda, faults)
    actions = Actions(writer, ledger, agenda, asked)
    desk = Desk(_chance(seed, "desk"), writer, ledger, agenda, market, faults, actions)
    news = Newsroom(_chance(seed, "news"), writer, agenda, faults)
    office = BackOffice(_chance(seed, "office"), writer, ledger, agenda)
    days = _business_days(first)
    day = next(days)
    at = _nanoseconds(day, OPENS) - BEFORE_OPENING
    yield from registrations(writer, at)
    yield from office.start(day.isoformat(), at)
    yield from desk.start(at)
    while True:
        yield calendar(writer, day.isoformat(), _nanoseconds(day, OPENS) - BEFORE_OPENING)
        opens_ns, closes_ns = _nanoseconds(day, OPENS), _nanoseconds(day, CLOSES)
        market.open(opens_ns, closes_ns)
        desk.open(opens_ns)
        news.open(opens_ns, closes_ns)
        office.open(day.isoformat(), opens_ns, closes_ns)
        yield from agenda.run()
        if not endless:
            return
        day = next(days)


def _chance(seed: int, part: str) -> Random:
    """Return a source of its own for each part, so that a fault in one leaves others alone."""
    return Random(f"{seed}/{part}")  # noqa: S311 (a simulation, not a secret)


def _business_days(day: date) -> Iterator[date]:
    while True:
        if day.weekday() < SATURDAY:
            yield day
        day += timedelta(days=1)


def _nanoseconds(day: date, clock: str) -> int:
    moment = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)
    return int(moment.timestamp()) * NANOSECONDS
