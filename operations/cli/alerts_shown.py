"""How alerts look: as tables for people and as JSON for programs."""

from typing import Any

from operations.adapters.alert_queries import Alert, Overview, Sent, Unsent
from operations.cli.output import age, complain, facts, headline
from operations.cli.tables import write_table
from operations.clock import NANOSECONDS, rfc3339
from operations.notifications.episode import HALT
from operations.notifications.message import page_of
from operations.notifications.silences import Silence

STATES = {
    "open": "red", "critical": "red", "acknowledged": "yellow", "warning": "yellow",
    "over": "green", "closed": "green", "failed": "red",
}  # fmt: skip
BELOW = {"what": "{}", "told": "told {}", "acknowledged_by": "{} looks after it", "id": "{}"}
SILENCE_BELOW = {"reason": "{}", "by": "by {}", "id": "{}"}
MESSAGE_BELOW = {"decided": "decided {}", "problem": "{}"}


def state_of(alert: Alert) -> str:
    """Return how an alert stands, in a word."""
    episode = alert.episode
    if not episode.open:
        return "closed" if episode.closed_by else "over"
    return "acknowledged" if episode.is_acknowledged else "open"


def at(ns: int | None) -> str:
    """Return a time in UTC to the second."""
    return "" if ns is None else rfc3339(ns)[:19] + "Z"


def print_overview(found: Overview, now_ns: int) -> None:
    """Print what goes on, what is silenced, and what does not arrive."""
    going_on = sum(each.episode.open for each in found.alerts)
    if going_on:
        what = "1 alert goes on" if going_on == 1 else f"{going_on} alerts go on"
        headline("!", what, "red")
    else:
        headline("✓", "no alert goes on", "green")
    for each in found.unsent:
        _complain_unsent(each)
    write_table([_row(each, now_ns) for each in found.alerts], STATES, BELOW)
    write_table([_silence_row(each) for each in found.silences], {}, SILENCE_BELOW)


def _complain_unsent(each: Unsent) -> None:
    because = f": {each.problem}" if each.problem else ""
    if each.failed:
        what = f"{_messages(each.failed)} of the last day can never be sent by {each.channel}"
        complain("✗", f"{what}{because}", "red")
    if each.waiting:
        waits = "waits" if each.waiting == 1 else "wait"
        complain("!", f"{_messages(each.waiting)} {waits} for {each.channel}{because}", "yellow")


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"


def _row(alert: Alert, now_ns: int) -> dict[str, Any]:
    episode = alert.episode
    return {
        "state": state_of(alert),
        "severity": episode.severity,
        "since": f"{age((now_ns - episode.raised_ns) / NANOSECONDS)} ago",
        "scope": episode.strategy_id or episode.fund_id or "firm",
        "check": episode.check,
        "what": episode.title,
        "told": _told(alert),
        "acknowledged_by": episode.acknowledged_by,
        "id": episode.id,
    }


def _told(alert: Alert) -> list[str]:
    """Return the channels that were told, and what of the others is on its way or failed."""
    newest = {each.channel: each.state for each in alert.messages}
    return [
        channel if state == "sent" else f"{channel} ({state})"
        for channel, state in sorted(newest.items())
    ]


def _silence_row(each: Silence) -> dict[str, Any]:
    return {
        "silenced": ", ".join(filter(None, (each.check, each.fund_id, each.strategy_id)))
        or "every finding",
        "from": at(each.from_ns),
        "until": at(each.until_ns),
        "reason": each.reason,
        "by": each.by,
        "id": each.id,
    }


def print_alert(found: Alert) -> None:
    """Print one alert with why each channel was told or not, and every message."""
    episode = found.episode
    closed = f"by {episode.closed_by}: {episode.closed_because}" if episode.closed_by else ""
    facts(
        (name, value)
        for name, value in (
            ("alert", episode.id),
            ("state", state_of(found)),
            ("severity", episode.severity),
            ("what", episode.title),
            ("details", episode.details),
            ("judged", episode.judged),
            ("fund", episode.fund_id),
            ("strategy", episode.strategy_id),
            ("halt page" if episode.kind == HALT else "check", episode.check),
            ("mode", episode.mode),
            ("environment", episode.environment),
            ("would have", episode.would_have),
            ("since", at(episode.raised_ns)),
            ("until", at(episode.cleared_ns)),
            ("closed", closed),
            ("looked after", episode.acknowledged_by),
            ("order systems", ", ".join(f"{oms} {phase}" for oms, phase in episode.answers)),
            ("runbook", f"docs/runbooks/{page_of(episode.check)}.md"),
        )
        if value
    )
    write_table([{"channel": name, "because": why} for name, why in found.verdicts.items()])
    write_table([_message_row(each) for each in found.messages], STATES, MESSAGE_BELOW)


def _message_row(each: Sent) -> dict[str, Any]:
    return {
        "channel": each.channel,
        "message": each.action,
        "because": each.reason,
        "state": each.state,
        "tries": each.attempts,
        "settled": at(each.settled_ns),
        "decided": at(each.created_ns),
        "problem": each.problem,
    }


def alert_json(found: Alert) -> dict[str, Any]:
    """Return one alert for programs."""
    return {
        "state": state_of(found),
        "episode": found.episode,
        "channels": found.verdicts,
        "messages": found.messages,
    }


def overview_json(found: Overview) -> dict[str, Any]:
    """Return the same as `print_overview` prints, for programs."""
    return {
        "alerts": [alert_json(each) for each in found.alerts],
        "silences": found.silences,
        "waiting": sum(each.waiting for each in found.unsent),
        "failed": sum(each.failed for each in found.unsent),
        "unsent": found.unsent,
    }
