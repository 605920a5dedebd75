"""What is the matter and who was told: `mts alerts list | show`; `ack`, `close`, `silence` sign.

Acknowledging says that somebody looks after it, and pagers stop ringing. Closing ends what nobody
clears. A silence holds findings until its end and never a halt.
"""

from typing import Annotated

from cyclopts import App, Parameter

from operations.adapters import alert_queries, halt_line, judge, orders_of_people
from operations.adapters.alert_queries import Alert
from operations.cli import access, alerts_shown, alerts_try, asking, fleet, ordering
from operations.cli.access import Dsn
from operations.cli.ordering import PLAIN, How
from operations.cli.output import (
    PROVEN,
    Count,
    Output,
    complain,
    headline,
    run,
    write_json,
)
from operations.clock import NANOSECONDS, now_ns, parse_rfc3339, rfc3339
from operations.errors import Denied, OperationsError, Rejected
from operations.events.base import Event, encode
from operations.events.findings import FindingRaised
from operations.notifications.episode import FINDING, HALT
from operations.settings.catalogue import nearest
from operations.signing import message

alerts = App(
    name="alerts", help="What is the matter and who was told; acknowledge, close, silence."
)
REFUSED = 5
UNITS = {"m": 60, "h": 3600, "d": 86_400}
alerts.command(alerts_try.try_channels, name="try")
LONGEST_SECONDS = 30 * 86_400  # of a silence: what nobody wants to hear has to be turned off
OWN_CHECKS = frozenset(("nats", "notifications"))  # what the notifications worker finds itself


@alerts.command(name="list")
def list_alerts(*, ended: Count = 0, dsn: Dsn = "", output: Output = "table") -> int:
    """List what goes on, whom it was told and who looks after it; and what is silenced.

    Exit code 0: listed, also when nothing is the matter. 2: the database does not answer.

    Example: mts alerts list

    Example: mts alerts list --ended 20 --output json

    Parameters
    ----------
    ended
        How many of those that are over to list too.
    """

    async def work() -> int:
        postgres = access.postgres(fleet.load(), dsn)
        found = await alert_queries.overview(postgres, now_ns(), ended=ended)
        if output == "table":
            alerts_shown.print_overview(found, now_ns())
        else:
            write_json(alerts_shown.overview_json(found), output)
        return PROVEN

    return run(work())


@alerts.command
def show(alert: str, /, *, dsn: Dsn = "", output: Output = "table") -> int:
    """Show one alert: what it is, why each channel was told of it or not, and every message.

    Exit code 0: shown. 2: there is none, or the database does not answer.

    Example: mts alerts show 0199003a-5c00-7000-8000-00000000003a

    Parameters
    ----------
    alert
        Its id, or the beginning of it.
    """

    async def work() -> int:
        found = await alert_queries.one(access.postgres(fleet.load(), dsn), alert)
        if output == "table":
            alerts_shown.print_alert(found)
        else:
            write_json(alerts_shown.alert_json(found), output)
        return PROVEN

    return run(work())


@alerts.command
def ack(alert: str, /, *, how: How = PLAIN, dsn: Dsn = "") -> int:
    """Acknowledge an alert: somebody looks after it, so pagers stop ringing for it.

    It ends nothing and lifts nothing. If it gets worse, pagers ring again. Exit code 0: stored.
    2: there is no such alert, or NATS does not answer. 5: you may not.

    Example: mts alerts ack 0199003a-5c00-7000-8000-00000000003a --reason "looking at the feed"

    Parameters
    ----------
    alert
        Its id, or the beginning of it.
    """

    async def work() -> int:
        desk = ordering.begin(how.key)
        found = await _looked_up(dsn, alert)
        episode, at_ns = _going_on(found, alert), await ordering.bus_ns(desk)
        event = orders_of_people.acknowledge(desk.person.name, episode, how.reason or "", at_ns)
        return await _order(desk, event, how, _words(found, episode, "is acknowledged"))

    return run(work())


@alerts.command
def close(alert: str, /, *, how: How = PLAIN, dsn: Dsn = "") -> int:
    """End an alert that nobody clears, for instance of a check that is gone; needs a reason.

    It leaves the list and nothing else changes; if it is found again, it is told again. A halt
    is not closed but lifted: mts cmd resume. Exit code 0: stored. 2: nothing was done. 5: you
    may not.

    Example: mts alerts close 0199003a-5c00-7000-8000-00000000003a --reason "strategy was retired"

    Parameters
    ----------
    alert
        Its id, or the beginning of it.
    """

    async def work() -> int:
        desk = ordering.begin(how.key)
        found = await _looked_up(dsn, alert)
        episode = _going_on(found, alert)
        _require_finding(found)
        why = asking.reason_of(how.reason, needed=True)
        at_ns = await ordering.bus_ns(desk)
        event = orders_of_people.close_alert(desk.person.name, episode, why, at_ns)
        words = _words(found, episode, "is closed; if it is found again, it is told again")
        return await _order(desk, event, how, words)

    return run(work())


@alerts.command
def silence(
    *,
    until: Annotated[str, Parameter(help="When it ends: 2026-11-20T18:00:00Z, or 2h, 30m, 1d.")],
    begins: Annotated[
        str, Parameter(name="--from", help="When it begins: maintenance.", show_default=False)
    ] = "",
    check: Annotated[str, Parameter(help="Only this check.", show_default=False)] = "",
    fund: Annotated[str, Parameter(help="Only this fund.", show_default=False)] = "",
    strategy: Annotated[str, Parameter(help="Only this strategy.", show_default=False)] = "",
    replace: Annotated[
        str,
        Parameter(help="Id of a silence that this one replaces, or its start.", show_default=False),
    ] = "",
    how: How = PLAIN,
    dsn: Dsn = "",
) -> int:
    """Tell nobody of findings until a time; needs a reason. A halt is always told.

    What goes on at its end is told then. To end one early, replace it with `--until 0m`. Exit code
    0: stored. 2: nothing was done. 5: you may not.

    Example: mts alerts silence --until 2h --check vpin --reason "exchange replays its feed"

    Example: mts alerts silence --from 2026-11-21T02:00:00Z --until 2h --reason "restore"
    """

    async def work() -> int:
        desk = ordering.begin(how.key)
        at_ns = await ordering.bus_ns(desk)
        begins_ns = _time(begins, at_ns, "--from") if begins else at_ns
        until_ns = _time(until, begins_ns if begins else at_ns, "--until")
        ends = until_ns == begins_ns and replace  # the one that it replaces
        lasts_ns = until_ns - begins_ns
        if not (ends or 0 < lasts_ns <= LONGEST_SECONDS * NANOSECONDS):
            raise Rejected(
                "--until has to be after the beginning and at most 30 days later; nothing was done"
            )
        await _require_known(desk, check, fund, strategy)
        replaced = await _replaced(dsn, replace, at_ns) if replace else ""
        scope = {
            name: value for name, value in (("fund_id", fund), ("strategy_id", strategy)) if value
        }
        event = orders_of_people.silence(
            desk.person.name,
            scope,
            rfc3339(until_ns),
            asking.reason_of(how.reason, needed=True),
            at_ns,
            starts_at=rfc3339(begins_ns) if begins else None,
            check=check or None,
            silence_id=replaced,
        )
        what = ", ".join(filter(None, (check, fund, strategy))) or "every finding"
        words = f"{what}: silenced until {rfc3339(until_ns)[:19]}Z; halts are told all the same"
        if ends:
            words = f"silence {replaced} is over"
        return await _order(desk, event, how, words)

    return run(work())


async def _replaced(dsn: str, name: str, at_ns: int) -> str:
    """Return the whole id of a silence. Raises Rejected for what is none: the old one would hold.

    Raises Retryable without a database: nobody can say then whether the id is mistyped.
    """
    known = (await alert_queries.overview(access.postgres(fleet.load(), dsn), at_ns)).silences
    found = [each.id for each in known if each.id.startswith(name)]
    if len(found) != 1:
        raise Rejected(
            f"{name!r} names {'several silences' if found else 'no silence'} of those that hold or "
            "will, nothing was done; mts alerts list shows them"
        )
    return found[0]


async def _looked_up(dsn: str, alert: str) -> Alert | None:
    """Return an alert; None where the database does not answer."""
    try:
        return await alert_queries.one(access.postgres(fleet.load(), dsn), alert)
    except Rejected:
        raise
    except OperationsError as error:
        complain("!", f"the id cannot be looked up, give it whole: {error}", "yellow")
        return None


def _words(found: Alert | None, episode: str, what: str) -> str:
    """Say what an order did; an id that was not looked up may be none."""
    return f"{episode} {what}" if found else f"ordered: {episode} {what}, if that is a whole id"


def _going_on(found: Alert | None, alert: str) -> str:
    """Return the whole id. Raises Rejected for what is over."""
    if found is None:
        return alert
    if found.episode.cleared_ns is not None:
        ended = alerts_shown.at(found.episode.cleared_ns)
        raise Rejected(f"{found.episode.id} is over since {ended}; nothing was done")
    return found.episode.id


def _require_finding(found: Alert | None) -> None:
    if found is None or found.episode.kind == FINDING:
        return
    episode = found.episode
    if episode.kind == HALT:
        raise Rejected(f"{episode.id} is a halt, nothing was done; lift it with mts cmd resume")
    raise Rejected(
        f"{episode.id} ends by itself when it is over, nothing was done: {episode.title}"
    )


async def _require_known(desk: ordering.Desk, check: str, fund: str, strategy: str) -> None:
    """Raise Rejected for a name that no finding can have: a silence of it would silence nothing."""
    known = halt_line.judge_of(desk.settings).watch.roster
    prefix = FindingRaised.pattern.partition("{")[0]
    checks = OWN_CHECKS | {
        right.removeprefix(prefix).partition(".")[0]
        for rights in known.body.roles.values()
        for right in rights
        if right.startswith(prefix)
    }
    if check and check not in checks:
        raise Rejected(f"nothing finds {check!r}, nothing was done{nearest(check, checks)}")
    registry = await ordering.known(desk) if fund or strategy else None
    if registry is None:
        return
    for what, name, names in (
        ("fund", fund, registry.funds), ("strategy", strategy, registry.strategies),
    ):  # fmt: skip
        if name and name not in names:
            raise Rejected(
                f"no {what} {name!r} is registered, nothing was done{nearest(name, names)}"
            )


async def _order(desk: ordering.Desk, event: Event, how: How, words: str) -> int:
    """Sign an order, ask the roster whether it will count, store it, say so."""
    payload = encode(event)
    headers = f"{message.HEADER}: {desk.person.signer(event.subject, payload)}"
    judging = halt_line.judge_of(desk.settings)
    try:
        judging.ask(judge.Received(event.subject, payload, headers.encode(), None, now_ns()))
    except Denied as error:
        complain("✗", f"refused, nothing was done: {error}", "red")
        return REFUSED
    sequence = await orders_of_people.store(desk.person, event, how.seconds)
    if how.output == "table":
        headline("✓", words, "green")
    else:
        write_json({"event_id": event.event_id, "sequence": sequence, "words": words}, how.output)
    return PROVEN


def _time(text: str, from_ns: int, option: str) -> int:
    """Read a time, or how long from a moment on, in ns since 1970."""
    number, unit = text[:-1], text[-1:]
    if number.isascii() and number.isdigit() and unit in UNITS:
        return from_ns + int(number) * UNITS[unit] * NANOSECONDS
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise Rejected(
            f"{option} {text!r} is neither a time like 2026-11-20T18:00:00Z nor a span like 2h; "
            "nothing was done"
        ) from error
