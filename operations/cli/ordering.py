"""How a person's command goes out: look if one can, send in any case, wait for the answers."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, NamedTuple

from cyclopts import Parameter

from operations.adapters import halt_line, halt_view, orders_of_people, wire
from operations.adapters.halt_line import HALTS, REFUSALS, HaltLine, Sent
from operations.adapters.oms_link import BusClock, stream_state
from operations.adapters.orders_of_people import Person
from operations.cli import bus, fleet
from operations.cli.asking import Reason
from operations.cli.outcomes import Told
from operations.cli.output import Output, complain
from operations.config import Nats, Settings
from operations.errors import Denied, OperationsError, Retryable
from operations.events.base import Event, EventT, encode
from operations.events.commands import Command as Order
from operations.events.commands import HaltCommanded
from operations.events.findings import FindingRaised
from operations.halt import board, outcome
from operations.halt.outcome import Command, Outcome, Progress
from operations.halt.registry import Registry

LOOK_SECONDS = 1.5
KeyFile = Annotated[
    Path | None,
    Parameter(
        name="--key",
        help="Your private key; by default MTS_PERSON_KEY_FILE, else operator.key.",
        show_default=False,
    ),
]
Seconds = Annotated[float, Parameter(help="How long to wait for the answers.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class How:
    """Who orders and why, how long the answer may take, and how one wants to hear of it."""

    key: KeyFile = None
    reason: Reason = None
    seconds: Seconds = 5.0
    output: Output = "table"


PLAIN = How()


class Desk(NamedTuple):
    """Who orders, where the bus is, and what the settings say."""

    settings: Settings
    nats: Nats
    person: Person


class Waited(NamedTuple):
    """A command with the question whether its answer is there, and what to say if it never is."""

    name: str
    event: Event
    answer: Callable[[], Outcome | None]
    late: Callable[[], Outcome]
    systems: Callable[[], tuple[Progress, ...]] = tuple


def begin(key: Path | None) -> Desk:
    """Return who orders. Raises Rejected without a key or credentials."""
    settings = fleet.load()
    nats = bus.nats(settings, "operator")
    return Desk(settings, nats, orders_of_people.person(settings, nats, key))


async def bus_ns(desk: Desk) -> int:
    """Return the time of the bus: what a slow clock signs would be void. Raises Retryable."""
    clock = BusClock()
    async with wire.connection(desk.nats, "clock") as client:
        await stream_state(client, desk.nats.stream, clock)
    return clock.now_ns()


def command_of(event: Event) -> Command:
    """Return what answers to a command are recognised by."""
    return Command(event.event_id, sha256(encode(event)).hexdigest())


def halt_waited(opened: HaltLine, event: HaltCommanded) -> Waited:
    """Return a halt with the question whether it holds and who obeys it."""
    halt_id, command = event.data.halt_id, command_of(event)
    return Waited(
        "halt",
        event,
        lambda: outcome.of_halt(
            opened.desk, halt_id, command, opened.clock.now_ns(), findings(opened)
        ),
        lambda: outcome.of_silence(opened.desk, halt_id, opened.clock.now_ns()),
    )


def findings(opened: HaltLine) -> list[FindingRaised]:
    """Return what the halt workers found, as far as it was heard."""
    return list(opened.findings.values())


@asynccontextmanager
async def line(desk: Desk) -> AsyncIterator[HaltLine]:
    """Give a line that hears the answers from now on and has not read anything."""
    async with halt_line.opened(desk.settings, desk.nats) as opened:
        await opened.hear(HALTS, REFUSALS)
        yield opened


async def known(desk: Desk) -> Registry | None:
    """Return what is registered, None when that cannot be read in time."""
    try:
        async with halt_line.limit(LOOK_SECONDS), wire.connection(desk.nats, "registry") as client:
            return await halt_view.registry(client, desk.nats.stream)
    except OperationsError as error:
        complain("!", f"what is registered cannot be read: {error}", "yellow")
        return None


async def held(opened: HaltLine) -> list[str] | None:
    """Return what is halted now, a line each; None when that cannot be read in time."""
    try:
        async with halt_line.limit(LOOK_SECONDS):
            await opened.catch_up()
    except OperationsError as error:
        complain("!", f"what is halted now cannot be read: {error}", "yellow")
        return None
    return [summary(each) for each in board.rows(opened.desk, opened.clock.now_ns())]


def the(what: str) -> str:
    """Return what a halt stops as it stands in a sentence."""
    return f"the {what}" if what == "firm" else what


def summary(row: board.Row) -> str:
    """Return a halt in one line."""
    reason = f": {row.reason}" if row.reason else ""
    return (
        f"{the(row.what)}: {row.reason_code} by {row.requested_by} since {row.since[:19]}Z{reason}"
    )


async def order(
    desk: Desk, opened: HaltLine, waited: Sequence[Waited], seconds: float
) -> list[Told]:
    """Send commands and wait for their answers, at most `seconds`.

    Raises Retryable when NATS does not answer and Denied when it refuses all of them.
    """
    async with halt_line.sending(desk.person) as sent:
        for each in waited:
            await sent.send(each.event)
        return await _answers(opened, sent, waited, seconds)


async def send_first(
    desk: Desk,
    events: Sequence[EventT],
    question: Callable[[HaltLine, EventT], Waited],
    seconds: float,
) -> list[Told]:
    """Send commands before anything else, then find out what came of them.

    Answers that came before one could hear are read from the stream. Raises as `order` does.
    """
    async with AsyncExitStack() as stack:
        sent = await stack.enter_async_context(halt_line.sending(desk.person))
        for event in events:
            await sent.send(event)
        try:
            opened = await stack.enter_async_context(line(desk))
            opened.begin_at(await sent.settled(seconds) or 1)
        except OperationsError as error:
            complain("!", f"sent, but answers cannot be heard: {error}", "yellow")
            await sent.settled(seconds)
            waited = [Waited("halt", event, lambda: None, _unheard) for event in events]
            return _all_told(sent, waited)
        return await _answers(opened, sent, [question(opened, each) for each in events], seconds)


def _unheard() -> Outcome:
    return Outcome(result="late", words="sent; what came of it is not known here")


async def _answers(
    opened: HaltLine, sent: Sent, waited: Sequence[Waited], seconds: float
) -> list[Told]:
    await opened.until(lambda: _finished(sent, waited), seconds)
    return _all_told(sent, waited)


def _all_told(sent: Sent, waited: Sequence[Waited]) -> list[Told]:
    refusals = [error for each in waited if (error := sent.refusal(each.event))]
    if len(refusals) == len(waited):
        raise refusals[0]
    return [_told(sent, each) for each in waited]


def _finished(sent: Sent, waited: Sequence[Waited]) -> bool:
    for each in waited:
        answer = each.answer()
        if sent.refusal(each.event) is None and (answer is None or answer.result == "partial"):
            return False
    return all(sent.sequence(each.event) or sent.refusal(each.event) for each in waited)


def _told(sent: Sent, each: Waited) -> Told:
    outcome = each.answer()
    sequence = sent.sequence(each.event)
    refusal = sent.refusal(each.event)
    if outcome is None and refusal is not None:
        outcome = Outcome(result="refused", words=f"not sent: {refusal}")
    if outcome is None:
        outcome = each.late()
    data = each.event.data
    assert isinstance(data, Order)
    return Told(
        command=each.name,
        command_id=data.command_id,
        event_id=each.event.event_id,
        sequence=sequence,
        outcome=outcome,
        order_systems=each.systems(),
    )


def unsent(error: OperationsError) -> OperationsError:
    """Return what to tell a person whose halt did not even leave this computer."""
    if not isinstance(error, Retryable | Denied):
        return error
    return Retryable(
        f"{error}; NOTHING was sent. The second way to halt: on each computer of an order system "
        "make the file HALT in its folder (docs/halts.md)"
    )
