"""Commands that stop: `mts cmd halt` and `drill`, and the group of all commands of people.

Stopping asks for one word and never for more: what cannot be looked up is said and not waited for.
"""

from contextlib import AsyncExitStack
from typing import Literal, NamedTuple

from cyclopts import App

from operations.adapters import orders_of_people
from operations.adapters.halt_line import HaltLine
from operations.cli import asking, cmd_orders, cmd_resume, ordering, scopes
from operations.cli.asking import Confirm, Reason
from operations.cli.ordering import Desk, KeyFile, Seconds, Waited
from operations.cli.outcomes import finish
from operations.cli.output import CANNOT, Output, Text, complain, run
from operations.cli.scopes import Level
from operations.clock import now_ns
from operations.errors import OperationsError
from operations.events.commands import HaltCommanded
from operations.events.halts import Mode
from operations.halt import outcome
from operations.halt.registry import Registry
from operations.halt.state import Scope

cmd = App(name="cmd", help="Signed commands: halt, cancel, flatten, resume, cosign, drill.")
cmd.command(cmd_orders.cancel_all, name="cancel-all")
cmd.command(cmd_orders.flatten_paper, name="flatten-paper")
cmd.command(cmd_resume.resume)
cmd.command(cmd_resume.cosign)

ModeName = Literal["block_all", "reduce_only"]
MODES: dict[ModeName, Mode] = {"block_all": "BLOCK_ALL", "reduce_only": "REDUCE_ONLY"}
STOPS = {
    "BLOCK_ALL": "every order system refuses new orders and amends at once; cancels pass",
    "REDUCE_ONLY": "every order system refuses what does not reduce a position; cancels pass",
}


class Wanted(NamedTuple):
    """What is to be halted and how one wants to hear of it."""

    name: str
    level: str | None
    mode: Mode
    seconds: float
    output: Output


@cmd.command
def halt(
    scope: Text = "",
    /,
    *,
    level: Level = None,
    mode: ModeName = "block_all",
    key: KeyFile = None,
    confirm: Confirm = "",
    reason: Reason = None,
    seconds: Seconds = 3.0,
    output: Output = "table",
) -> int:
    """Stop a strategy, a fund or the whole firm, now; asks for the word HALT.

    Sent whether or not anybody can be asked what is halted already. Halting twice changes nothing
    but the number of halts. Exit code 0: every order system blocks. 2: nothing was done. 3: the
    halt holds and not every order system has said that it blocks. 4: sent, and nobody answered in
    time. 5: refused, with the event that says why.

    Example: mts cmd halt

    Example: mts cmd halt momentum --confirm HALT --reason "runaway orders"

    Parameters
    ----------
    scope
        Id of a strategy or fund; without it the firm.
    mode
        What still passes: nothing but cancels, or also what reduces positions.
    """

    async def work() -> int:
        desk = ordering.begin(key)
        wanted = Wanted(scope, level, MODES[mode], seconds, output)
        try:
            if confirm:
                if not asking.confirmed("HALT", confirm, ""):
                    return CANNOT
                return await _halt_now(desk, wanted, reason or "")
            return await _halt_asked(desk, wanted, reason)
        except OperationsError as error:
            raise ordering.unsent(error) from error

    return run(work())


async def _halt_now(desk: Desk, wanted: Wanted, reason: str) -> int:
    """Send a halt that was confirmed; only a name whose level nobody said is looked up before.

    What is halted already is not looked up at all: it would only delay the halt.
    """
    look = scopes.needs_look(wanted.name, wanted.level)
    registry = await ordering.known(desk) if look else None
    found = scopes.resolve(wanted.name, wanted.level, registry)
    _show_plan(wanted, found, registry, [])
    events = _halts(desk, wanted, found, registry, reason)
    told = await ordering.send_first(desk, events, ordering.halt_waited, wanted.seconds)
    return finish(told, now_ns(), wanted.output)


async def _halt_asked(desk: Desk, wanted: Wanted, given: str | None) -> int:
    """Show what is known, ask for the word, send."""
    async with AsyncExitStack() as stack:
        registry = await ordering.known(desk)
        found = scopes.resolve(wanted.name, wanted.level, registry)
        opened: HaltLine | None = None
        already = None
        try:
            opened = await stack.enter_async_context(ordering.line(desk))
            already = await ordering.held(opened)
        except OperationsError as error:
            complain("!", f"answers cannot be heard: {error}", "yellow")
        _show_plan(wanted, found, registry, already or [])
        if not asking.confirmed("HALT", "", f"stop {scopes.named(found)}"):
            return CANNOT
        reason = asking.reason_of(given, needed=False)
        events = _halts(desk, wanted, found, registry, reason)
        if opened is None:
            told = await ordering.send_first(desk, events, ordering.halt_waited, wanted.seconds)
        else:
            questions = [ordering.halt_waited(opened, each) for each in events]
            told = await ordering.order(desk, opened, questions, wanted.seconds)
        return finish(told, now_ns(), wanted.output)


def _show_plan(
    wanted: Wanted, found: tuple[Scope, ...], registry: Registry | None, already: list[str]
) -> None:
    asking.show_plan(
        scope=scopes.described(found, registry),
        trading=scopes.trading(found, registry),
        does=[STOPS[wanted.mode]],
        does_not=[
            "cancel working orders: mts cmd cancel-all",
            "close positions; end by itself: mts cmd resume",
        ],
        halted=already,
    )


def _halts(
    desk: Desk, wanted: Wanted, found: tuple[Scope, ...], registry: Registry | None, reason: str
) -> list[HaltCommanded]:
    return [
        orders_of_people.halt(
            desk.person.name,
            each,
            wanted.mode,
            reason,
            environment=scopes.environment(each, registry),
            fund_id=scopes.fund_of(each, registry),
        )
        for each in found
    ]


@cmd.command
def drill(
    *,
    key: KeyFile = None,
    confirm: Confirm = "",
    reason: Reason = None,
    seconds: Seconds = 5.0,
    output: Output = "table",
) -> int:
    """Practise a halt through the real gate of each order system; asks for the word DRILL.

    Halts the reserved strategy, shows the milliseconds of each order system, and lifts it again.
    Nothing that trades is touched. Exit codes as those of `mts cmd halt`.

    Example: mts cmd drill --confirm DRILL --reason "weekly drill"
    """

    async def work() -> int:
        desk = ordering.begin(key)
        async with ordering.line(desk) as opened:
            asking.show_plan(
                scope="the reserved strategy of drills",
                trading="nothing trades under it",
                does=["every order system must deny a probe order through its real gate, timed"],
                does_not=["stop, cancel or close anything that trades"],
                halted=[],
            )
            if not asking.confirmed("DRILL", confirm, "run a drill"):
                return CANNOT
            why = asking.reason_of(reason, needed=False) or "drill"
            event = orders_of_people.drill(desk.person.name, why, opened.clock.now_ns())
            drill_id, command = event.data.drill_id, ordering.command_of(event)
            waited = Waited(
                "drill",
                event,
                lambda: outcome.of_halt(
                    opened.desk, drill_id, command, opened.clock.now_ns(), ordering.findings(opened)
                ),
                lambda: outcome.of_silence(opened.desk, drill_id, opened.clock.now_ns()),
            )
            told = await ordering.order(desk, opened, [waited], seconds)
            halts = opened.desk.halts
            # A lift names what was looked at, so the halt has to be read from the stream first.
            if await opened.until(lambda: bool(halts.stored(drill_id)), seconds):
                lift = cmd_resume.asked(
                    desk,
                    opened,
                    (drill_id,),
                    "CLEARED",
                    None,
                    f"the drill is over: {why}",
                    halts.sequence,
                )
                told += await ordering.order(desk, opened, [lift], seconds)
            return finish(told, opened.clock.now_ns(), output)

    return run(work())
