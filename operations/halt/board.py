"""What people are shown of the halts: one row an episode, worst first, in words and in figures.

Made from the same fold that decides, so the board shows what order systems obey and not what
somebody says about it. Nothing is decided here.
"""

from msgspec import Struct

from operations.clock import parse_rfc3339
from operations.events.commands import ResumeCommanded
from operations.events.halts import HaltReason, Level, Mode
from operations.halt import coverage
from operations.halt.coverage import Covered
from operations.halt.desk import Desk
from operations.halt.policy import HEIGHT
from operations.halt.records import Wish, halt_ids_of
from operations.halt.state import Episode, Scope

# The page in docs/runbooks for each reason, short enough for three in the morning.
RUNBOOKS: dict[HaltReason, str] = {
    "MANUAL": "manual",
    "DRAWDOWN": "drawdown",
    "DAILY_LOSS": "daily_loss",
    "DRIFT_ZSCORE": "drift_zscore",
    "NEWS_SPIKE": "news_aggregate",
    "COMPLIANCE": "compliance",
    "RECONCILIATION": "reconciliation",
    "STALE_DATA": "limits",
    "LEASE_LOST": "lease_lost",
    "DRILL": "drill",
}


BLIND = "stream"  # the page of the halt of the firm while the stream cannot be trusted


class System(Struct, frozen=True, kw_only=True):
    """How far one order system is with one halt. Times in milliseconds; None when unknown."""

    oms_id: str
    phase: str
    blocking: bool
    round_trip_ms: float | None
    to_block_ms: float | None
    unknown_in_flight: int | None
    canceled: int | None
    words: str


class Row(Struct, frozen=True, kw_only=True):
    """One halt that holds.

    `phase` is ACTIVE or RESUME_PENDING, `coverage` what the acknowledgements come to. `sequence`
    is its place in the stream, None while it was only heard. `evidence` are the event ids that it
    rests on, `statistic` the newest value that was judged. `resume_id` waits for a second person.
    """

    halt_id: str
    level: Level
    scope: str
    mode: Mode
    phase: str
    reason_code: HaltReason
    reason: str
    requested_by: str
    since: str
    sequence: int | None
    statistic: float | None
    evidence: tuple[str, ...]
    coverage: coverage.State
    order_systems: tuple[System, ...]
    resume_id: str | None
    environment: str

    @property
    def what(self) -> str:
        """What it stops, as people name it."""
        return str(Scope(self.level, "" if self.level == "FIRM_HALT" else self.scope))

    @property
    def covered(self) -> str:
        """Coverage in words: how many block, after how many ms by their own clocks, who not."""
        blocking = [each for each in self.order_systems if each.blocking]
        if not self.order_systems:
            return "no order system is known"
        text = f"{len(blocking)}/{len(self.order_systems)} OMS blocking"
        times = [each.to_block_ms for each in blocking if each.to_block_ms is not None]
        if times:
            text += f", {'/'.join(f'{each:.1f}' for each in times)} ms"
        others = [f"{each.oms_id} {each.words}" for each in self.order_systems if each.words]
        return "; ".join((text, *others))


def rows(desk: Desk, now_ns: int) -> tuple[Row, ...]:
    """Return every active halt, the firm first, then funds, then strategies, newest first."""
    found = sorted(desk.halts.active.values(), key=lambda each: each.requested_at, reverse=True)
    found.sort(key=lambda each: -HEIGHT[each.scope.level])
    return tuple(row(desk, each, now_ns) for each in found)


def row(desk: Desk, episode: Episode, now_ns: int) -> Row:
    """Return how one halt stands at a time in ns since 1970."""
    covered = desk.coverage.of(episode.halt_id, desk.expected_by(episode.halt_id), now_ns)
    evidence = sorted(
        desk.evidence.get(episode.halt_id, {}).values(), key=lambda each: each.sequence or 0
    )
    statistics = [each.statistic for each in evidence if each.statistic is not None]
    return Row(
        halt_id=episode.halt_id,
        level=episode.scope.level,
        scope=episode.scope.id or "firm",
        mode=episode.mode,
        phase=desk.phase(episode.halt_id),
        reason_code=episode.reason_code,
        reason=episode.reason,
        requested_by=episode.requested_by,
        since=episode.requested_at,
        sequence=episode.first_sequence,
        statistic=statistics[-1] if statistics else None,
        evidence=tuple(each.cause for each in evidence if each.cause),
        coverage=covered.state,
        order_systems=tuple(_system(covered, each) for each in covered.rows),
        resume_id=_waiting(desk, episode.halt_id, now_ns),
        environment=episode.environment,
    )


class Waiting(Struct, frozen=True, kw_only=True):
    """A resume that waits for a second person."""

    resume_id: str
    asked_by: str
    asked_at: str
    expires_at: str
    reason: str
    treatment: str
    halt_ids: tuple[str, ...]
    payload_sha256: str


def waiting(desk: Desk, now_ns: int) -> tuple[Waiting, ...]:
    """Return the resumes that a second person may cosign, oldest first."""
    found = []
    for resume_id in desk.open_wishes:
        wish = desk.wishes[resume_id]
        if not _may_lift(desk, wish, now_ns) or wish.resume is None:
            continue
        event = wish.resume.fact.event
        assert isinstance(event, ResumeCommanded)
        found.append(
            Waiting(
                resume_id=resume_id,
                asked_by=wish.resume.signer,
                asked_at=event.timestamp,
                expires_at=event.data.expires_at,
                reason=event.data.reason,
                treatment=event.data.treatment,
                halt_ids=event.data.halt_ids,
                payload_sha256=wish.resume.fact.payload_sha256,
            )
        )
    return tuple(sorted(found, key=lambda each: each.asked_at))


def how_to_lift(row: Row) -> str:
    """Say which command lifts a halt, and who may give it."""
    if row.resume_id is not None:
        return f"another person than who asked:\nmts cmd cosign {row.resume_id}"
    if row.level == "FIRM_HALT":
        return "mts cmd resume firm, then another person cosigns"
    return f"mts cmd resume {row.scope}"


def runbook(row: Row) -> str:
    """Return the page that says what to do about a halt."""
    blind = row.level == "FIRM_HALT" and row.reason_code == "STALE_DATA"
    return f"docs/runbooks/{BLIND if blind else RUNBOOKS[row.reason_code]}.md"


def _waiting(desk: Desk, halt_id: str, now_ns: int) -> str | None:
    """Return the resume that names this halt and was neither granted, denied nor overtaken."""
    for resume_id in desk.open_wishes:
        wish = desk.wishes[resume_id]
        if halt_id in halt_ids_of(wish) and _may_lift(desk, wish, now_ns):
            return resume_id
    return None


def _may_lift(desk: Desk, wish: Wish, now_ns: int) -> bool:
    event = wish.resume.fact.event if wish.resume else None
    if not isinstance(event, ResumeCommanded) or desk.overtaken_by(wish) is not None:
        return False
    return now_ns < parse_rfc3339(event.data.expires_at)


def _system(covered: Covered, each: coverage.Row) -> System:
    last = each.answers[-1].data if each.answers else None
    if each.phase is None:
        words = "says nothing" if covered.state != "PROPAGATING" else "has not answered yet"
    elif each.phase == "REFUSED":
        words = f"refuses: {last.reason if last and last.reason else 'without a reason'}"
    elif not each.blocking:
        words = f"is at {each.phase}"
    elif last and last.unknown_in_flight:
        count = "1 order" if last.unknown_in_flight == 1 else f"{last.unknown_in_flight} orders"
        words = f"has {count} whose fate is unknown"
    else:
        words = ""
    return System(
        oms_id=each.oms_id,
        phase=each.phase or "SILENT",
        blocking=each.blocking,
        round_trip_ms=each.round_trip_ms,
        to_block_ms=each.to_block_ms,
        unknown_in_flight=last.unknown_in_flight if last else None,
        canceled=last.canceled if last else None,
        words=words,
    )
