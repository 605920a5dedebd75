"""What is set for checks and funds, why, and how to change it: `mts config`.

Folded from the stream by the command itself and judged by the roster, so it is true also while the
settings worker is dead. Only `set` and `unset` need that worker: it makes a change count.
"""

import asyncio
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated

from cyclopts import App, Parameter, validators

from operations.adapters import orders_of_people, settings_view
from operations.adapters.settings_desk import SettingsDesk
from operations.adapters.settings_view import SettingsView
from operations.cli import asking, bus, config_shown, fleet, ordering, outcomes
from operations.cli.asking import Confirm
from operations.cli.ordering import How
from operations.cli.outcomes import Told
from operations.cli.output import CANNOT, PROVEN, Output, complain, facts, run, write_json
from operations.cli.tables import write_table
from operations.clock import NANOSECONDS, monotonic_ns, now_ns
from operations.errors import Rejected
from operations.events.findings import FindingRaised
from operations.events.operations import ConfigChanged
from operations.halt.outcome import Outcome
from operations.settings.answers import Asked, Command
from operations.settings.book import FIRM, Place
from operations.settings.catalogue import nearest
from operations.settings.change import Change, Plan, plan_of_person, words

WORD = "SET"
LOOK_SECONDS = 0.2
config = App(name="config", help="Limits and modes of checks, for the firm and for each fund.")
Fund = Annotated[str, Parameter(help="Only for this fund; else for the firm.", show_default=False)]
Check = Annotated[str, Parameter(help="Only this check.", show_default=False)]
MostChanges = Annotated[int, Parameter(validator=validators.Number(gte=1))]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Confirmed(How):
    """How a change is ordered, and the word that confirms it."""

    confirm: Confirm = ""


UNCONFIRMED = Confirmed()


@config.command
def show(*, fund: Fund = "", check: Check = "", output: Output = "table") -> int:
    """Show the limits and modes that hold, and where each comes from.

    Without --fund those of the firm, and beside them the funds for which another value holds.
    Exit code 0: shown. 2: unknown name, NATS does not answer, or there is no roster.

    Example: mts config show --check vpin

    Example: mts config show --fund alpha
    """

    async def work() -> int:
        desk = await _read()
        _known_fund(desk, fund)
        settings = desk.book.catalogue.settings(check)
        funds = desk.funds | desk.book.funds()
        rows = [config_shown.value_row(desk.book, each, fund, funds) for each in settings]
        if output == "table":
            for name, below in groupby(rows, lambda row: row["setting"].partition(".")[0]):
                print(name)
                write_table([config_shown.value_cells(row) for row in below])
        else:
            vault = config_shown.vault_json(desk)
            write_json({"fund": fund or None, "vault": vault, "settings": rows}, output)
        config_shown.warn(desk, now_ns())
        return PROVEN

    return run(work())


@config.command
def explain(setting: str, /, *, fund: Fund = "", output: Output = "table") -> int:
    """Show what every layer says about one setting: who, since when, why, and which one holds.

    Exit code 0: shown. 2: unknown name, NATS does not answer, or there is no roster.

    Example: mts config explain vpin.high --fund alpha

    Parameters
    ----------
    setting
        CHECK.FIELD, as vpin.high, or CHECK.mode.
    """

    async def work() -> int:
        desk = await _read()
        _known_fund(desk, fund)
        found = desk.book.catalogue.named(setting)
        rows = config_shown.layer_rows(desk.book, found, fund)
        held = desk.book.holds(found, fund)
        about = {
            "setting": found.full_name,
            "description": found.description,
            "allowed": found.allowed or None,
            "looser": found.looser or None,
            "fund": fund or None,
            "value": held.value,
        }
        if output == "table":
            facts([(name, value) for name, value in about.items() if value is not None])
            write_table([config_shown.layer_cells(row) for row in rows])
        else:
            write_json(about | {"layers": rows}, output)
        config_shown.warn(desk, now_ns())
        return PROVEN

    return run(work())


@config.command
def history(
    *, fund: Fund = "", check: Check = "", limit: MostChanges = 50, output: Output = "table"
) -> int:
    """Show every change of a setting, the newest last: what, for whom, by whom and why.

    Exit code 0: shown. 2: there is none, NATS does not answer, or there is no roster.

    Example: mts config history --fund alpha --limit 20

    Parameters
    ----------
    limit
        The newest so many.
    """

    async def work() -> int:
        desk = await _read()
        _known_fund(desk, fund)
        if check:
            desk.book.catalogue.check(check)
        found = [
            config_shown.change_row(each)
            for each in desk.book.history
            if check in ("", each.place.check) and fund in ("", each.place.fund_id)
        ][-limit:]
        if output == "json":
            write_json(found, output)
        elif output == "jsonl":
            for row in found:
                write_json(row, output)
        else:
            write_table([config_shown.change_cells(row) for row in found])
        if not found:
            complain("?", "no such setting was ever changed: the defaults hold", "yellow")
        return PROVEN if found else CANNOT

    return run(work())


@config.command(name="set")
def set_value(setting: str, value: str, /, *, fund: Fund = "", how: Confirmed = UNCONFIRMED) -> int:
    """Set a limit or the mode of a check; shows what gets looser, asks for the word SET.

    It holds as soon as its event is in the stream. Looser, off or observe needs a risk manager;
    tighter or act a trader. What Vault says is changed in Vault. Exit code 0: it holds. 2: nothing
    was done. 4: sent, and nobody answered in time. 5: refused, with the event that says why.

    Example: mts config set vpin.high 0.35 --fund alpha --reason "thin book at the open"

    Example: mts config set vpin.mode act --confirm SET --reason "observed for 30 days"

    Parameters
    ----------
    setting
        CHECK.FIELD, as vpin.high, or CHECK.mode.
    value
        The new value; lists as JSON.
    """
    return _change(setting, value, fund, how)


@config.command
def unset(setting: str, /, *, fund: Fund = "", how: Confirmed = UNCONFIRMED) -> int:
    """Take away what was set for a fund or the firm, so that the layer below it holds.

    Exit codes as those of `mts config set`.

    Example: mts config unset vpin.high --fund alpha --reason "the venue is calm again"

    Parameters
    ----------
    setting
        CHECK.FIELD, as vpin.high, or CHECK.mode.
    """
    return _change(setting, None, fund, how)


async def _read() -> SettingsDesk:
    settings = fleet.load()
    async with settings_view.opened(settings, bus.nats(settings, "operator")) as view:
        return view.desk


def _known_fund(desk: SettingsDesk, fund: str) -> None:
    known = desk.funds | desk.book.funds()
    if fund and fund not in known:
        raise Rejected(f"no fund {fund!r} is registered and nothing is set{nearest(fund, known)}")


def _change(setting: str, value: str | None, fund: str, how: Confirmed) -> int:
    async def work() -> int:
        desk = ordering.begin(how.key)
        async with settings_view.opened(desk.settings, desk.nats) as view:
            book, funds = view.desk.book, frozenset(view.desk.funds)
            found = book.catalogue.named(setting)
            change = Change(Place("kv", found.check, found.name, fund or FIRM), value)
            plan = plan_of_person(book, change, funds)
            pairs = config_shown.plan_facts(plan, book, funds)
            facts([pair for pair in pairs if pair[1]], error=True)
            config_shown.warn(view.desk, now_ns())
            if not asking.confirmed(WORD, how.confirm, "change this"):
                return CANNOT
            reason = asking.reason_of(how.reason, needed=True)
            at_ns = await ordering.bus_ns(desk)
            event = orders_of_people.configure(desk.person.name, plan.change, reason, at_ns)
            sequence = await orders_of_people.store(desk.person, event, how.seconds)
            outcome = await _outcome(view, _asked(event, sequence), plan, how.seconds)
            told = Told(
                command="configure",
                command_id=event.data.command_id,
                event_id=event.event_id,
                sequence=sequence,
                outcome=outcome,
            )
            return outcomes.finish([told], now_ns(), how.output)

    return run(work())


def _asked(event: Command, sequence: int) -> Asked:
    return Asked(event, sequence, 0, ordering.command_of(event).payload_sha256)


async def _outcome(view: SettingsView, asked: Asked, plan: Plan, seconds: float) -> Outcome:
    """Wait until the stream has an answer, at most so long."""
    deadline = monotonic_ns() + int(seconds * NANOSECONDS)
    while True:
        await view.refresh()
        answer = view.desk.said.get(asked.change_id) or view.desk.said.get(asked.refusal_id)
        if isinstance(answer, FindingRaised):
            said = f"{answer.data.details} (event {answer.event_id})"
            return Outcome(result="refused", words=f"refused: {said}")
        if isinstance(answer, ConfigChanged):
            return Outcome(result="done", words=_done(view, plan))
        if monotonic_ns() >= deadline:
            return Outcome(
                result="late",
                words="the settings worker has not answered; the command is void after ten minutes",
                next="mts status",
            )
        await asyncio.sleep(LOOK_SECONDS)


def _done(view: SettingsView, plan: Plan) -> str:
    place = plan.change.place
    held = view.desk.book.holds(plan.setting, place.fund_id)
    where = words(held.entry.place.layer if held.entry else None)
    whose = f"fund {place.fund_id}" if place.fund_id else "the firm"
    return f"{plan.setting.full_name} of {whose} is {held.value}, from {where}"
