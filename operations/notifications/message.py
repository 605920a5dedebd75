"""What a message says, the same on every channel: one line that says it all, and what to do."""

from msgspec import Struct

from operations.clock import rfc3339
from operations.events.base import derived_id
from operations.notifications.decision import Action, Decision
from operations.notifications.episode import HALT, Episode

LISTED = 200  # episodes that a message names; the others are counted
TITLE_LENGTH = 300
VALUE_LENGTH = 2000  # of one line; services refuse what is too long, and then nobody is told
HEADS: dict[Action, str] = {
    "raise": "",
    "update": "worse: ",
    "page_again": "nobody has acknowledged: ",
    "acknowledge": "acknowledged: ",
    "end": "over: ",
}
# Pages of checks that have none of their own name: workers that cannot trust our own records.
RECORDS = (
    "audit", "checkpoint", "projection", "evidence", "measure", "settings", "watchdogs",
)  # fmt: skip
PAGES = dict.fromkeys(RECORDS, "own_records")
REPEATED = "(may have come before: nobody knows whether the first attempt arrived)"


class Message(Struct, frozen=True, kw_only=True):
    """One message to one channel. `key` is the same for all messages of a conversation."""

    message_id: str
    key: str
    channel: str
    action: Action
    severity: str
    headline: str
    lines: tuple[str, ...]
    episodes: tuple[str, ...]
    source: str
    created_at: str

    @property
    def text(self) -> str:
        """The whole message as plain text."""
        return "\n".join((self.headline, *self.lines))


def message_of(decision: Decision, action: Action, runbooks: str, now_ns: int) -> Message:
    """Return the message of a decision; `runbooks` is where the pages lie."""
    thread, episodes = decision.thread, decision.episodes
    shown = episodes or ()
    if len(thread.episodes) > 1:
        headline, lines = _several(decision)
    elif shown:
        headline, lines = _headline(shown[0]), _lines(shown[0], runbooks)
    else:
        headline, lines = _one_line(thread.title, TITLE_LENGTH), []
    if decision.explained:
        lines.append(f"held because of this, {len(decision.explained)}:")
        lines += _list(decision.explained)
    return Message(
        message_id=derived_id(thread.key, action, thread.channel, thread.pages),
        key=thread.key,
        channel=thread.channel,
        action=action,
        severity=thread.severity,
        headline=f"[{thread.severity}] {HEADS[action]}{headline}"[:TITLE_LENGTH],
        lines=tuple(lines),
        episodes=tuple(each.id for each in shown),
        source=shown[0].subject_id if shown else "",
        created_at=rfc3339(now_ns),
    )


def _headline(episode: Episode) -> str:
    marks = []
    if episode.environment != "live":
        marks.append(episode.environment.upper())
    if episode.mode == "observe":
        marks.append("OBSERVING")
    return "".join(f"{mark} " for mark in marks) + _one_line(episode.title, TITLE_LENGTH)


def _lines(episode: Episode, runbooks: str) -> list[str]:
    named = [
        ("fund", episode.fund_id),
        ("strategy", episode.strategy_id),
        ("halt page" if episode.kind == HALT else "check", episode.check),
        ("since", rfc3339(episode.raised_ns)[:19] + "Z"),
        ("until", rfc3339(episode.cleared_ns)[:19] + "Z" if episode.cleared_ns else ""),
        ("judged", episode.judged),
        ("would have", episode.would_have),
        ("details", episode.details),
        ("order systems", ", ".join(f"{name} {phase}" for name, phase in episode.answers)),
        ("acknowledged by", episode.acknowledged_by),
        (
            "closed by",
            f"{episode.closed_by}: {episode.closed_because}" if episode.closed_by else "",
        ),
        ("runbook", f"{runbooks.rstrip('/')}/{page_of(episode.check)}.md"),
        ("alert", f"{episode.id}  (mts alerts show {episode.id})"),
    ]
    return [f"{name}: {_one_line(value, VALUE_LENGTH)}" for name, value in named if value]


def page_of(check: str) -> str:
    """Return the runbook page of a check: its own, or one that it shares with others."""
    return PAGES.get(check) or ("order_system" if check.startswith("oms_") else check)


def _several(decision: Decision) -> tuple[str, list[str]]:
    episodes, count = decision.episodes, len(decision.thread.episodes)
    over = count - sum(each.open for each in episodes)
    gone = f", {over} of them over" if over else ""
    when = "while the market was closed" if decision.reason == "opening" else "at once"
    return f"{count} alerts {when}{gone}; mts alerts list", _list(episodes)


def _list(episodes: tuple[Episode, ...]) -> list[str]:
    lines = [_line(each) for each in episodes[:LISTED]]
    if len(episodes) > LISTED:
        lines.append(f"- and {len(episodes) - LISTED} more: mts alerts list")
    return lines


def _line(episode: Episode) -> str:
    over = "" if episode.open else "over: "
    return f"- [{episode.severity}] {over}{_headline(episode)} ({episode.id})"


def _one_line(text: str, longest: int) -> str:
    """Return a text of anybody, cut, without anything that would break the line it stands in."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= longest else f"{line[:longest]} ... (shortened)"
