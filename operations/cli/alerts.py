"""What is the matter and who was told: `mts alerts list | show`; `ack` and `silence` are signed.

Acknowledging says that somebody looks after it, and pagers stop ringing. A silence holds findings
until its end and never a halt.
"""

from typing import Annotated, Any

from cyclopts import App, Parameter

from operations.adapters import alert_queries, halt_line, judge, orders_of_people
from operations.adapters.alert_queries import Alert, Overview, Sent
from operations.cli import access, asking, fleet, ordering
from operations.cli.access import Dsn
from operations.cli.asking import Reason
from operations.cli.ordering import KeyFile, Seconds
from operations.cli.output import (
    PROVEN,
    Output,
    complain,
    facts,
    headline,
    run,
    write_json,
)
from operations.cli.tables import write_table
from operations.clock import NANOSECONDS, now_ns, parse_rfc3339, rfc3339
from operations.errors import Denied, OperationsError, Rejected
from operations.events.base import Event, encode
from operations.notifications.message import page_of
from operations.notifications.silences import Silence
from operations.signing import message

alerts = App(name="alerts", help="What is the matter and who was told; acknowledge and silence.")
REFUSED = 5
UNITS = {"m": 60, "h": 3600, "d": 86_400}
LONGEST_SECONDS = 30 * 86_400  # of a silence: what nobody wants to hear has to be turned off
STATES = {"open": "red", "acknowledged": "yellow", "over": "green"}


@alerts.command(name="list")
def list_alerts(*, ended: int = 0, dsn: Dsn = "", output: Output = "table") -> int:
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
            _print_overview(found)
        else:
            write_json(_overview_json(found), output)
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
            _print_alert(found)
        else:
            write_json(_alert_json(found), output)
        return PROVEN

    return run(work())


@alerts.command
def ack(
    alert: str,
    /,
    *,
    key: KeyFile = None,
    reason: Reason = None,
    seconds: Seconds = 5.0,
    dsn: Dsn = "",
    output: Output = "table",
) -> int:
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
        desk = ordering.begin(key)
        episode = await _episode(dsn, alert)
        event = orders_of_people.acknowledge(desk.person.name, episode, reason or "")
        return await _order(desk, event, seconds, output, f"{episode} is acknowledged")

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
        str, Parameter(help="Id of a silence that this one replaces.", show_default=False)
    ] = "",
    key: KeyFile = None,
    reason: Reason = None,
    seconds: Seconds = 5.0,
    output: Output = "table",
) -> int:
    """Tell nobody of findings until a time; needs a reason. A halt is always told.

    What goes on at its end is told then. To end one early, replace it with `--until 0m`. Exit code
    0: stored. 2: nothing was done. 5: you may not.

    Example: mts alerts silence --until 2h --check vpin --reason "exchange replays its feed"

    Example: mts alerts silence --from 2026-11-21T02:00:00Z --until 2h --reason "restore"
    """

    async def work() -> int:
        desk = ordering.begin(key)
        at_ns = now_ns()
        begins_ns = _time(begins, at_ns, "--from") if begins else at_ns
        until_ns = _time(until, begins_ns if begins else at_ns, "--until")
        if until_ns < begins_ns or until_ns - begins_ns > LONGEST_SECONDS * NANOSECONDS:
            raise Rejected("--until has to be after the beginning and at most 30 days later")
        scope = {
            name: value for name, value in (("fund_id", fund), ("strategy_id", strategy)) if value
        }
        event = orders_of_people.silence(
            desk.person.name,
            scope,
            rfc3339(until_ns),
            asking.reason_of(reason, needed=True),
            starts_at=rfc3339(begins_ns) if begins else None,
            check=check or None,
            silence_id=replace,
        )
        what = ", ".join(filter(None, (check, fund, strategy))) or "every finding"
        words = f"{what}: silenced until {rfc3339(until_ns)[:19]}Z; halts are told all the same"
        return await _order(desk, event, seconds, output, words)

    return run(work())


async def _episode(dsn: str, name: str) -> str:
    """Return the whole id of an alert; as it was given where the database does not answer."""
    try:
        postgres = access.postgres(fleet.load(), dsn)
        return await alert_queries.full_id(postgres, name)
    except Rejected:
        raise
    except OperationsError as error:
        complain("!", f"the id cannot be looked up, it is taken as it is: {error}", "yellow")
        return name


async def _order(
    desk: ordering.Desk, event: Event, seconds: float, output: Output, words: str
) -> int:
    """Sign an order, ask the roster whether it will count, store it, say so."""
    payload = encode(event)
    headers = f"{message.HEADER}: {desk.person.signer(event.subject, payload)}"
    judging = halt_line.judge_of(desk.settings)
    try:
        judging.ask(judge.Received(event.subject, payload, headers.encode(), None, now_ns()))
    except Denied as error:
        complain("✗", f"refused, nothing was done: {error}", "red")
        return REFUSED
    sequence = await orders_of_people.store(desk.person, event, seconds)
    if output == "table":
        headline("✓", words, "green")
    else:
        write_json({"event_id": event.event_id, "sequence": sequence, "words": words}, output)
    return PROVEN


def _time(text: str, from_ns: int, option: str) -> int:
    """Read a time, or how long from a moment on, in ns since 1970."""
    number, unit = text[:-1], text[-1:]
    if number.isdigit() and unit in UNITS:
        return from_ns + int(number) * UNITS[unit] * NANOSECONDS
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise Rejected(
            f"{option} {text!r} is neither a time like 2026-11-20T18:00:00Z nor a span like 2h; "
            "nothing was done"
        ) from error


def _at(ns: int | None) -> str:
    return "" if ns is None else rfc3339(ns)[:19] + "Z"


def _state(alert: Alert) -> str:
    if not alert.episode.open:
        return "over"
    return "acknowledged" if alert.episode.is_acknowledged else "open"


def _print_overview(found: Overview) -> None:
    going_on = sum(each.episode.open for each in found.alerts)
    if going_on:
        what = "1 alert goes on" if going_on == 1 else f"{going_on} alerts go on"
        headline("!", what, "red")
    else:
        headline("✓", "no alert goes on", "green")
    if found.failed:
        complain("✗", f"{found.failed} messages can never be sent: mts alerts show ID", "red")
    if found.waiting:
        complain("!", f"{found.waiting} messages wait to be sent", "yellow")
    write_table([_row(each) for each in found.alerts], STATES)
    write_table([_silence_row(each) for each in found.silences])


def _row(alert: Alert) -> dict[str, Any]:
    episode = alert.episode
    told = {each.channel for each in alert.messages if each.state == "sent"}
    return {
        "state": _state(alert),
        "severity": episode.severity,
        "since": _at(episode.raised_ns),
        "what": episode.title,
        "scope": episode.strategy_id or episode.fund_id or "firm",
        "check": episode.check,
        "told": sorted(told),
        "acknowledged_by": episode.acknowledged_by,
        "id": episode.id,
    }


def _silence_row(each: Silence) -> dict[str, Any]:
    return {
        "silenced": ", ".join(filter(None, (each.check, each.fund_id, each.strategy_id)))
        or "every finding",
        "from": _at(each.from_ns),
        "until": _at(each.until_ns),
        "by": each.by,
        "reason": each.reason,
        "id": each.id,
    }


def _print_alert(found: Alert) -> None:
    episode = found.episode
    facts(
        (name, value)
        for name, value in (
            ("alert", episode.id),
            ("state", _state(found)),
            ("severity", episode.severity),
            ("what", episode.title),
            ("details", episode.details),
            ("judged", episode.judged),
            ("fund", episode.fund_id),
            ("strategy", episode.strategy_id),
            ("check", episode.check),
            ("mode", episode.mode),
            ("environment", episode.environment),
            ("would have", episode.would_have),
            ("since", _at(episode.raised_ns)),
            ("until", _at(episode.cleared_ns)),
            ("looked after", episode.acknowledged_by),
            ("order systems", ", ".join(f"{oms} {phase}" for oms, phase in episode.answers)),
            ("runbook", f"docs/runbooks/{page_of(episode.check)}.md"),
        )
        if value
    )
    rows = [{"channel": name, "because": reason} for name, reason in found.verdicts.items()]
    write_table(rows)
    write_table([_message_row(each) for each in found.messages])


def _message_row(each: Sent) -> dict[str, Any]:
    return {
        "channel": each.channel,
        "message": each.action,
        "because": each.reason,
        "state": each.state,
        "attempts": each.attempts,
        "decided": _at(each.created_ns),
        "settled": _at(each.settled_ns),
        "problem": each.problem or "",
    }


def _alert_json(found: Alert) -> dict[str, Any]:
    return {
        "state": _state(found),
        "episode": found.episode,
        "channels": found.verdicts,
        "messages": found.messages,
    }


def _overview_json(found: Overview) -> dict[str, Any]:
    return {
        "alerts": [_alert_json(each) for each in found.alerts],
        "silences": found.silences,
        "waiting": found.waiting,
        "failed": found.failed,
    }
