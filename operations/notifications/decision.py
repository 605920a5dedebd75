"""What each channel has to be told now, and why; the main path is the list STAGES.

Everything is compared with what a channel was told (its threads), so asking again changes nothing
and a worker that died goes on where it was. Each answer, also the answer not to tell, has a named
reason.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from msgspec.structs import replace

from operations.events.base import derived_id
from operations.notifications.episode import HALT, OWN, RANK, Episode
from operations.notifications.episodes import Episodes
from operations.notifications.rules import Channel, Rules
from operations.notifications.told import Thread, Told

Action = Literal["raise", "update", "page_again", "acknowledge", "end"]
Reason = Literal[
    # told
    "first_message", "opening", "digest", "severity_rose", "unacknowledged", "acknowledged", "over",
    "over_before_told",
    # not told, for good
    "told_already", "about_itself", "not_routed", "below_severity", "observing", "exercise",
    "before_first_start", "ends_unwanted",
    # not told yet
    "silenced", "looked_after", "maintenance", "outside_session", "explained", "awaits_halt",
    "too_many",
]  # fmt: skip


class Decision(NamedTuple):
    """One message to one channel: the thread as it is afterwards, and what to tell about.

    `explained` are episodes that are held because of these. Without an action nothing is sent and
    the thread only ends.
    """

    action: Action | None
    reason: Reason
    thread: Thread
    episodes: tuple[Episode, ...]
    explained: tuple[Episode, ...] = ()


class Verdict(NamedTuple):
    """Why a channel is told of an episode, or not."""

    episode: str
    channel: str
    reason: Reason


class View(NamedTuple):
    """What a stage looks at: one channel at one moment."""

    channel: Channel
    rules: Rules
    episodes: Episodes
    causes: tuple[Episode, ...]  # what may explain others now
    known: frozenset[str]  # names of beginnings that this channel was told of
    now_ns: int


def _about_itself(view: View, episode: Episode) -> Reason | None:
    """A channel that takes nothing cannot be told so by itself."""
    own = episode.kind == OWN and episode.subject_id == view.channel.name
    return "about_itself" if own else None


def _not_routed(view: View, episode: Episode) -> Reason | None:
    return None if view.rules.routed(view.channel, episode) else "not_routed"


def _below_severity(view: View, episode: Episode) -> Reason | None:
    low = RANK[episode.severity] < RANK[view.channel.least]
    return "below_severity" if low else None


def _never_pages(view: View, episode: Episode) -> Reason | None:
    if not view.channel.pages or not episode.pages_nobody:
        return None
    return "observing" if episode.mode == "observe" else "exercise"


def _before_first_start(view: View, episode: Episode) -> Reason | None:
    old = episode.raised_sequence <= view.rules.first_sequence and episode.raised_sequence > 0
    return "before_first_start" if old and episode.severity != "critical" else None


def _silenced(view: View, episode: Episode) -> Reason | None:
    silences = view.episodes.silences.values()
    return "silenced" if any(each.covers(episode, view.now_ns) for each in silences) else None


def _looked_after(view: View, episode: Episode) -> Reason | None:
    """What somebody has acknowledged before a pager could be told rings no pager."""
    quiet = view.channel.pages and episode.kind != HALT
    return "looked_after" if quiet and episode.is_acknowledged else None


def _maintenance(view: View, episode: Episode) -> Reason | None:
    if episode.severity == "critical":
        return None
    held = any(window.holds(view.now_ns) for window in view.rules.maintenance)
    return "maintenance" if held else None


def _outside_session(view: View, episode: Episode) -> Reason | None:
    if episode.severity == "critical" or not view.channel.pages:
        return None
    return "outside_session" if view.episodes.is_closed(episode, view.now_ns) else None


def _came_outside_session(view: View, episode: Episode) -> bool:
    """Whether it was kept for the opening that is over now."""
    kept = view.channel.pages and episode.severity != "critical"
    return kept and view.episodes.is_closed(episode, episode.raised_ns)


def _explained(view: View, episode: Episode) -> Reason | None:
    if episode.kind == HALT:
        return None
    told = any(
        cause.name in view.known and cause.id != episode.id and view.rules.explains(cause, episode)
        for cause in view.causes
    )
    return "explained" if told else None


def _awaits_halt(view: View, episode: Episode) -> Reason | None:
    waits = episode.asks_halt and not _is_over(episode.raised_ns, view.rules.halt_wait_ns, view)
    return "awaits_halt" if waits and episode.open else None


def _is_over(since_ns: int, wait_ns: int, view: View) -> bool:
    """Whether so long has passed; a clock that was set back makes it at most twice that."""
    return abs(view.now_ns - since_ns) >= wait_ns


Stage = Callable[[View, Episode], Reason | None]
STAGES: tuple[Stage, ...] = (
    _about_itself,
    _not_routed,
    _below_severity,
    _never_pages,
    _before_first_start,
    _silenced,
    _looked_after,
    _maintenance,
    _outside_session,
    _explained,
    _awaits_halt,
)
HUSHES: tuple[Stage, ...] = (_silenced, _maintenance, _outside_session)  # of what was told before


def _causes(episodes: Episodes, rules: Rules, now_ns: int) -> Iterator[Episode]:
    """Return what may explain others: it goes on, or was over a short while ago."""
    for each in episodes.by_id.values():
        late = not each.open and now_ns > (each.cleared_ns or 0) + rules.grace_ns
        if rules.is_cause(each) and not late:
            yield each


def decide(
    episodes: Episodes, told: Told, rules: Rules, now_ns: int
) -> tuple[list[Decision], list[Verdict]]:
    """Return every message that is due now, and why the others are not."""
    decisions: list[Decision] = []
    verdicts: list[Verdict] = []
    causes = tuple(_causes(episodes, rules, now_ns))
    for channel in rules.channels:
        threads = [each for each in told.threads.values() if each.channel == channel.name]
        known = frozenset(name for thread in threads for name in thread.episodes)
        view = View(channel, rules, episodes, causes, known, now_ns)
        for thread in threads:
            if not thread.closed:
                decisions += _followed(view, thread, waits=thread.key in told.unsent)
        new, held = _begun(view, told)
        decisions += new
        verdicts += held
    return decisions, verdicts


def is_settled(
    episode: Episode, verdicts: Iterable[Verdict], episodes: Episodes, rules: Rules, now_ns: int
) -> bool:
    """Whether nobody will be told more of an episode, so that it may be forgotten.

    A cause is kept for its effects that come late, an effect until its cause, which lists it, is
    over, and what came outside the session until a pager was told at the opening.
    """
    if episode.open:
        return False
    if rules.is_cause(episode) and now_ns <= (episode.cleared_ns or 0) + rules.grace_ns:
        return False
    reasons = {each.reason for each in verdicts if each.episode == episode.id}
    if "explained" in reasons:
        causes = (each for each in episodes.by_id.values() if each.open)
        return not any(rules.explains(each, episode) for each in causes)
    return not reasons & {"too_many", "outside_session"}


def _followed(view: View, thread: Thread, *, waits: bool) -> Iterator[Decision]:
    """Return what is to be said in a conversation that goes on: at most one message.

    While the last one waits to be sent, nobody is paged again.
    """
    by_name = {each.name: each for each in view.episodes.by_id.values()}
    here = tuple(by_name[name] for name in thread.episodes if name in by_name)
    going_on = [each for each in here if each.open]
    if not going_on:
        closed = replace(thread, closed=True)
        if view.channel.ends:
            yield Decision("end", "over", closed, here, _explained_by(view, here))
        else:
            yield Decision(None, "ends_unwanted", closed, here)
        return
    loud = [each for each in going_on if not any(stage(view, each) for stage in HUSHES)]
    if not loud:
        return
    worst = max(loud, key=lambda each: RANK[each.severity])
    explained = _explained_by(view, here)
    if RANK[worst.severity] > RANK[thread.severity]:
        risen = replace(
            thread,
            severity=worst.severity,
            paged_ns=view.now_ns,
            pages=thread.pages + 1,
            acknowledged=False,
        )
        yield Decision("update", "severity_rose", risen, here, explained)
    elif all(each.is_acknowledged for each in going_on):
        if view.channel.acknowledges and not thread.acknowledged:
            yield Decision("acknowledge", "acknowledged", replace(thread, acknowledged=True), here)
    elif (
        view.channel.pages
        and not waits
        and any(_is_unattended(each) for each in loud)
        and _is_over(thread.paged_ns, view.rules.repage_ns, view)
    ):
        again = replace(thread, paged_ns=view.now_ns, pages=thread.pages + 1)
        yield Decision("page_again", "unacknowledged", again, here, explained)


def _is_unattended(episode: Episode) -> bool:
    return (
        episode.severity == "critical" and not episode.is_acknowledged and not episode.pages_nobody
    )


def _begun(view: View, told: Told) -> tuple[list[Decision], list[Verdict]]:
    """Return the conversations that begin now.

    One about what came while the market was closed, a few alone, the rest of a storm as a digest.
    """
    verdicts: list[Verdict] = []
    ready: list[Episode] = []
    for episode in sorted(view.episodes.by_id.values(), key=_urgency(view.rules)):
        if episode.name in view.known:
            verdicts.append(Verdict(episode.id, view.channel.name, "told_already"))
            continue
        reason = _held(view, episode)
        if reason is None:
            ready.append(episode)
            view = view._replace(known=view.known | {episode.name})
        else:
            verdicts.append(Verdict(episode.id, view.channel.name, reason))
    kept = [each for each in ready if _came_outside_session(view, each)]
    decisions = [_together(view, kept, "opening")] if kept else []
    alone, rest = _divided(view, [each for each in ready if each not in kept], told)
    decisions += [_alone(view, each) for each in alone]
    now, later = _urgent(view, rest, told)
    decisions += [_together(view, now, "digest")] if now else []
    verdicts += [
        Verdict(each.id, view.channel.name, decision.reason)
        for decision in decisions
        for each in decision.episodes
    ]
    verdicts += [Verdict(each.id, view.channel.name, "too_many") for each in later]
    return decisions, verdicts


def _held(view: View, episode: Episode) -> Reason | None:
    """Return why an episode is not told on a channel now; None when it is."""
    for stage in STAGES:
        if reason := stage(view, episode):
            return reason
    if episode.open or not view.channel.pages or _came_outside_session(view, episode):
        return None
    return "over_before_told"


def _urgency(rules: Rules) -> Callable[[Episode], tuple[bool, bool, int, int]]:
    """Order: what explains others before what it explains, halts, then the worst, the oldest."""

    def place(episode: Episode) -> tuple[bool, bool, int, int]:
        return (
            not rules.is_cause(episode),
            episode.kind != HALT,
            -RANK[episode.severity],
            episode.raised_sequence,
        )

    return place


def _divided(view: View, ready: list[Episode], told: Told) -> tuple[list[Episode], list[Episode]]:
    """Return what is told alone, and what is too much for that; a single one is no digest."""
    alone = told.alone_ns.get(view.channel.name, ())
    lately = [at for at in alone if not _is_over(at, view.rules.burst_ns, view)]
    room = max(0, view.rules.burst - len(lately))
    return ready[:room], ready[room:]


def _urgent(view: View, rest: list[Episode], told: Told) -> tuple[list[Episode], list[Episode]]:
    """Return what of the rest goes into a digest now, and what waits for the next one.

    Digests keep a distance. What is critical does not wait for it, only for the channel itself: as
    long as it has not taken what came before, another message would not come sooner.
    """
    name = view.channel.name
    if _is_over(told.digest_ns.get(name, 0), view.rules.digest_ns, view):
        return rest, []
    behind = any(told.threads[key].channel == name for key in told.unsent & told.threads.keys())
    now = [each for each in rest if each.severity == "critical" and not behind]
    return now, [each for each in rest if each not in now]


def _alone(view: View, episode: Episode) -> Decision:
    reason: Reason = "first_message" if episode.open else "over_before_told"
    thread = Thread(
        key=derived_id(episode.name, "thread", view.channel.name, 0),
        channel=view.channel.name,
        title=episode.title,
        episodes=(episode.name,),
        severity=episode.severity,
        paged_ns=view.now_ns,
        closed=not episode.open,
    )
    return Decision("raise", reason, thread, (episode,), _explained_by(view, (episode,)))


def _together(view: View, episodes: list[Episode], reason: Reason) -> Decision:
    worst = max(episodes, key=lambda each: RANK[each.severity])
    names = tuple(each.name for each in episodes)
    thread = Thread(
        key=derived_id("\n".join(names), "digest", view.channel.name, 0),
        channel=view.channel.name,
        episodes=names,
        severity=worst.severity,
        paged_ns=view.now_ns,
        closed=not any(each.open for each in episodes),
    )
    told = tuple(episodes)
    return Decision("raise", reason, thread, told, _explained_by(view, told))


def _explained_by(view: View, causes: tuple[Episode, ...]) -> tuple[Episode, ...]:
    """Return what this channel is not told because it is told of these."""
    explaining = [each for each in causes if view.rules.is_cause(each)]
    return tuple(
        each
        for each in view.episodes.by_id.values()
        if explaining
        and each.kind != HALT
        and each.name not in view.known
        and any(each.id != cause.id and view.rules.explains(cause, each) for cause in explaining)
    )
