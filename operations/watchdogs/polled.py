"""Which services are watched, and what their polls add up to: the tables of the dependencies."""

import statistics
from collections.abc import Iterator
from typing import Any

import msgspec

from operations.checks import Batch, EachEvent, Row, Stored, Table
from operations.clock import NANOSECONDS, near_ns
from operations.events.operations import ServicePolled
from operations.events.registry import Service, ServiceDeregistered, ServiceRegistered

RECENT_NS = 300 * NANOSECONDS  # over which answers are averaged
USUAL_POLLS = 120  # before those, from which the usual is taken
LEAST_POLLS = 30  # without so many the usual is not known


def _registrations(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, ServiceRegistered | ServiceDeregistered)
    here = isinstance(event, ServiceRegistered)
    data = event.data
    criticality, poll_seconds = "normal", 0.0
    if isinstance(data, Service):
        criticality, poll_seconds = data.criticality, data.poll_seconds
    yield stored.sequence, stored.at_ns, data.name, criticality, poll_seconds, here


class PollState(msgspec.Struct):
    """What the polls of one service add up to so far."""

    polled_ns: int = 0
    reds: int = 0
    goods: int = 0
    red_since_ns: int | None = None
    first_sequence: int = 0
    answers: list[tuple[int, float]] = []  # time and milliseconds of good polls, oldest first


class Polls:
    """One row for each poll: what is known of its service after it.

    A poll that is not newer than the last one of its service is a repetition, or came too late,
    and adds nothing.
    """

    def __init__(self) -> None:
        self._services: dict[str, PollState] = {}

    def take(self, batch: Batch) -> list[Row]:
        """Return a row for each poll that is news."""
        return [row for stored in batch for row in self._row(stored)]

    def snapshot(self) -> Any:
        """Return what is known of each service."""
        return msgspec.to_builtins(self._services)

    def restore(self, state: Any) -> None:
        """Go on from a snapshot."""
        self._services = msgspec.convert(state, dict[str, PollState])

    def _row(self, stored: Stored) -> Iterator[Row]:
        event = stored.event
        assert isinstance(event, ServicePolled)
        # A clock that runs ahead would hide all polls until that time has come.
        poll, polled_ns = event.data, min(near_ns(event.timestamp), stored.at_ns)
        known = self._services.setdefault(poll.service, PollState())
        if polled_ns <= known.polled_ns:
            return
        known.polled_ns = polled_ns
        if not known.reds + known.goods or bool(known.reds) == poll.healthy:
            known.first_sequence = stored.sequence
        if poll.healthy:
            known.reds, known.goods, known.red_since_ns = 0, known.goods + 1, None
        else:
            known.reds, known.goods = known.reds + 1, 0
            known.red_since_ns = known.red_since_ns or polled_ns
        if poll.healthy and poll.latency_ms is not None:
            known.answers.append((polled_ns, poll.latency_ms))
        recent, usual, spread, samples = latency(known, polled_ns)
        yield (
            stored.sequence, stored.at_ns, poll.service, known.first_sequence, polled_ns,
            known.reds, known.goods, known.red_since_ns, recent, usual, spread, samples,
            poll.reason,
        )  # fmt: skip


def latency(known: PollState, now_ns: int) -> tuple[float | None, float | None, float | None, int]:
    """Return the recent mean, the usual median, its robust deviation and the polls behind it.

    Forgets the answers that no later poll will need.
    """
    recent = [ms for at_ns, ms in known.answers if at_ns > now_ns - RECENT_NS]
    before = known.answers[: len(known.answers) - len(recent)][-USUAL_POLLS:]
    known.answers = known.answers[-(USUAL_POLLS + len(recent)) :]
    mean = statistics.fmean(recent) if recent else None
    if len(before) < LEAST_POLLS:
        return mean, None, None, len(before)
    usual = statistics.median(ms for _, ms in before)
    spread = statistics.median(abs(ms - usual) for _, ms in before) * 1.4826
    return mean, usual, spread, len(before)


SERVICES = Table(
    name="service_registration",
    columns=(
        ("service", "VARCHAR"), ("criticality", "VARCHAR"), ("poll_seconds", "DOUBLE"),
        ("here", "BOOLEAN"),
    ),
    kinds=(ServiceRegistered, ServiceDeregistered),
    fold=lambda: EachEvent(_registrations),
    keep_days=36_500,
)  # fmt: skip
POLLS = Table(
    name="service_poll",
    columns=(
        ("service", "VARCHAR"), ("first_sequence", "BIGINT"), ("polled_ns", "BIGINT"),
        ("reds", "BIGINT"), ("goods", "BIGINT"), ("red_since_ns", "BIGINT"),
        ("recent_ms", "DOUBLE"), ("usual_ms", "DOUBLE"), ("spread_ms", "DOUBLE"),
        ("samples", "BIGINT"), ("reason", "VARCHAR"),
    ),
    kinds=(ServicePolled,),
    fold=Polls,
    keep_days=365,
    keep_of_each=("service", 1),
)  # fmt: skip
