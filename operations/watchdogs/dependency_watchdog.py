"""Does everything answer that the firm depends on?

A service is down after `red_polls` failed polls in a row and up again after `good_polls` good ones.
One that answers is degraded while its answers of the last five minutes take much longer than its
own usual, beyond what its usual varies by. When every service turns red at the same moment, the one
who asks is suspected and not all who are asked: one finding about the measuring process, and the
services are unknown. What is not measured is unknown too, and that it is not is a finding.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from operations.checks import (
    Batch,
    Episode,
    Limits,
    Look,
    Row,
    Unit,
    Verdict,
    Watchdog,
    look_at,
)
from operations.clock import NANOSECONDS, rfc3339
from operations.events.base import Event, doc
from operations.events.findings import Parameter
from operations.events.operations import Poll, ServicePolled
from operations.events.registry import (
    Service,
    ServiceDeregistered,
    ServiceLeaving,
    ServiceRegistered,
)
from operations.settings.catalogue import LOOSER_HIGHER, LOOSER_LOWER
from operations.watchdogs.polled import LEAST_POLLS, POLLS, SERVICES

NAME = "dependency_watchdog"
MEASURING = "the measuring process"  # a unit; no service has spaces in its name
DEGRADED, DOWN = 1, 2
POLLS_MISSED = 3


class DependencyLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a service is down or degraded."""

    red_polls: Annotated[
        int, Meta(gt=0), doc("Failed polls in a row after which a service is down."), LOOSER_HIGHER
    ] = 3
    good_polls: Annotated[
        int, Meta(gt=0), doc("Good polls in a row after which it is up again."), LOOSER_LOWER
    ] = 2
    degraded_multiple: Annotated[
        float,
        Meta(gt=0),
        doc("Mean time to answer of five minutes, as a multiple of the usual."),
        LOOSER_HIGHER,
    ] = 1.25
    degraded_spreads: Annotated[
        float,
        Meta(gt=0),
        doc("Robust standard deviations that it is above the usual as well."),
        LOOSER_HIGHER,
    ] = 5.0
    degraded_ms: Annotated[
        float, Meta(gt=0), doc("Milliseconds that it is above the usual as well."), LOOSER_HIGHER
    ] = 10.0
    recovered_part: Annotated[
        float,
        Meta(gt=0),
        doc("Part of that distance from the usual below which it is no longer degraded."),
        LOOSER_HIGHER,
    ] = 0.5
    together_seconds: Annotated[
        float, doc("All services that turn red within this time make the measuring suspect.")
    ] = 120.0
    silent_seconds: Annotated[
        float,
        Meta(gt=0),
        doc("Time without a poll, at least three of its own, after which a service is unknown."),
        LOOSER_HIGHER,
    ] = 180.0


class Health(NamedTuple):
    """What is known of one service, and of all together; the unit of the measuring has no poll."""

    first_sequence: int | None
    last_sequence: int | None
    criticality: str
    poll_seconds: float
    registered_ns: int
    polled_ns: int | None
    reds: int | None
    goods: int | None
    recent_ms: float | None
    usual_ms: float | None
    spread_ms: float | None
    samples: int | None
    reason: str | None
    services: int
    red_services: int
    most_reds: int
    first_red_ns: int | None
    last_red_ns: int | None
    newest_poll_ns: int | None
    critical_services: int
    heard: list[Mapping[str, Any]] | None


QUERY = f"""
WITH listed AS (
    SELECT look.look, look.unit, look.sequence AS seen, r.service,
           arg_max(r.criticality, r.sequence) AS criticality,
           arg_max(r.poll_seconds, r.sequence) AS poll_seconds,
           arg_max(r.at_ns, r.sequence) AS registered_ns
    FROM look JOIN service_registration r ON r.sequence <= look.sequence
    GROUP BY look.look, look.unit, look.sequence, r.service
    HAVING arg_max(r.here, r.sequence)
), known AS (
    SELECT l.*, p.first_sequence, p.sequence AS last_sequence, p.polled_ns, p.reds, p.goods,
           p.red_since_ns, p.recent_ms, p.usual_ms, p.spread_ms, p.samples, p.reason
    FROM listed l
    ASOF LEFT JOIN service_poll p ON p.service = l.service AND p.sequence <= l.seen
), firm AS (
    SELECT look, unit, count(*) AS services, count(*) FILTER (reds > 0) AS red_services,
           coalesce(max(reds), 0) AS most_reds, min(red_since_ns) AS first_red_ns,
           max(red_since_ns) AS last_red_ns, max(polled_ns) AS newest_poll_ns,
           count(*) FILTER (criticality = 'critical') AS critical_services,
           min(registered_ns) AS registered_ns,
           list({{'service': service, 'ns': greatest(coalesce(polled_ns, 0), registered_ns),
                  'poll_seconds': poll_seconds}} ORDER BY service) AS heard
    FROM known GROUP BY look, unit
)
SELECT k.look, k.service AS unit, NULL::VARCHAR AS fund_id, NULL::VARCHAR AS strategy_id,
       k.first_sequence, k.last_sequence, k.criticality, k.poll_seconds, k.registered_ns,
       k.polled_ns, k.reds, k.goods, k.recent_ms, k.usual_ms, k.spread_ms, k.samples, k.reason,
       f.services, f.red_services, f.most_reds, f.first_red_ns, f.last_red_ns, f.newest_poll_ns,
       f.critical_services, NULL AS heard
FROM known k JOIN firm f ON f.look = k.look
WHERE k.unit IS NULL OR k.unit = k.service
UNION ALL
SELECT f.look, '{MEASURING}', NULL, NULL, NULL, NULL, 'normal', 0.0, f.registered_ns, NULL,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, f.services, f.red_services, f.most_reds,
       f.first_red_ns, f.last_red_ns, f.newest_poll_ns, f.critical_services, f.heard
FROM firm f
WHERE f.unit IS NULL OR f.unit = '{MEASURING}'
ORDER BY 1, 2
"""  # noqa: S608 (our own constants)


def looks(batch: Batch, _rows: Mapping[str, Sequence[Row]]) -> Iterator[Look]:
    """Look at a service when it was polled, registered or taken off the list."""
    for stored in batch:
        event = stored.event
        if isinstance(event, ServicePolled):
            yield look_at(stored, Unit("service", event.data.service))
            yield look_at(stored, Unit("service", MEASURING))
        elif isinstance(event, ServiceRegistered | ServiceDeregistered):
            yield look_at(stored, Unit("service", event.data.name))


def inspect(
    rows: Sequence[Health], look: Look, limits: DependencyLimits, known: Episode | None
) -> Verdict:
    """Judge one service, or with the unit MEASURING the one who asks all of them."""
    assert look.unit is not None
    name = look.unit.id
    if not rows:
        gone = "no service is registered" if name == MEASURING else f"{name} is not on the list"
        return Verdict(state="ok", title=gone, recovered=known is not None)
    row = rows[-1]
    if name == MEASURING:
        return _measuring(row, look, limits, known)
    if words := _unknown(name, row, look, limits):
        return Verdict(state="unknown", title=words)
    return _red(name, row, limits) if row.reds else _answering(name, row, limits, known)


def _unknown(name: str, row: Health, look: Look, limits: DependencyLimits) -> str:
    """Say why nothing is known of a service; empty when something is."""
    if row.polled_ns is None:
        return f"{name} was never polled; is its address among MTS_MEASURE_ALLOWED?"
    silent = (look.at_ns - row.polled_ns) / NANOSECONDS
    if silent > _longest_silence(limits, row.poll_seconds):
        return f"{name} was not polled for {silent:.0f} s"
    if row.reds and suspect(row, limits):
        return f"{name} does not answer, and nothing else does: {MEASURING} is suspected"
    return ""


def _longest_silence(limits: DependencyLimits, poll_seconds: float) -> float:
    """Return after how many seconds a service is unknown: who is asked seldom is heard seldom."""
    return max(limits.silent_seconds, POLLS_MISSED * poll_seconds)


def suspect(row: Health, limits: DependencyLimits) -> bool:
    """Whether all services, at least two, turned red at the same moment."""
    if row.red_services < max(2, row.services) or None in (row.first_red_ns, row.last_red_ns):
        return False
    assert row.first_red_ns is not None
    assert row.last_red_ns is not None
    return row.last_red_ns - row.first_red_ns <= limits.together_seconds * NANOSECONDS


def _red(name: str, row: Health, limits: DependencyLimits) -> Verdict:
    assert row.reds is not None
    down = row.reds >= limits.red_polls
    pages = down and row.criticality == "critical"
    why = f": {row.reason}" if row.reason else ""
    return Verdict(
        state="breached" if pages else "warning",
        title=f"{name} is {'down' if down else 'red'}, {row.reds} failed polls in a row{why}",
        stage=DOWN if down else 0,
        listed=row.criticality == "low",
        statistic=float(row.reds),
        statistic_name="failed polls in a row",
        threshold=float(limits.red_polls),
        samples=row.reds,
        parameters=(Parameter(name="criticality", value=row.criticality),),
    )


def _answering(name: str, row: Health, limits: DependencyLimits, known: Episode | None) -> Verdict:
    goods, usual, recent = row.goods or 0, row.usual_ms, row.recent_ms
    if usual is None or row.spread_ms is None or recent is None:
        return Verdict(
            state="ok",
            title=f"{name} is up; its usual time to answer is not known before {LEAST_POLLS} polls",
            recovered=known is not None and goods >= limits.good_polls,
            samples=row.samples,
        )
    most = max(
        usual * limits.degraded_multiple,
        usual + row.spread_ms * limits.degraded_spreads,
        usual + limits.degraded_ms,
    )
    slow = recent >= most
    calm = recent < usual + (most - usual) * limits.recovered_part
    return Verdict(
        state="warning" if slow else "ok",
        title=f"{name} is {'degraded' if slow else 'up'}: {recent:.1f} ms, usual {usual:.1f} ms",
        stage=DEGRADED if slow else 0,
        recovered=known is not None and calm and goods >= limits.good_polls,
        listed=row.criticality == "low",
        statistic=recent,
        statistic_name="mean time to answer of five minutes, in milliseconds",
        threshold=most,
        samples=row.samples,
        parameters=(Parameter(name="usual_ms", value=f"{usual:.3f}"),),
    )


def _measuring(row: Health, look: Look, limits: DependencyLimits, known: Episode | None) -> Verdict:
    if suspect(row, limits):
        assert row.first_red_ns is not None
        sure = row.most_reds >= limits.red_polls
        return Verdict(
            state="breached" if sure and row.critical_services else "warning",
            title=f"all {row.services} services turned red at once: {MEASURING} is suspected",
            stage=2 if sure else 0,
            statistic=float(row.most_reds),
            statistic_name="failed polls in a row",
            threshold=float(limits.red_polls),
            samples=row.services,
            details=f"Red since {rfc3339(row.first_red_ns)}. Either it or its network is cut off, "
            "or everything that it asks is down.",
        )
    silent = [
        str(each["service"])
        for each in row.heard or ()
        if look.at_ns - int(each["ns"])
        > _longest_silence(limits, float(each["poll_seconds"])) * NANOSECONDS
    ]
    if silent:
        whole = len(silent) == row.services
        words = "nothing is polled" if whole else f"not polled: {', '.join(silent)}"
        return Verdict(
            state="warning",
            title=f"{MEASURING} is silent about {len(silent)} of {row.services} services; {words}",
            stage=1,
            statistic=float(len(silent)),
            statistic_name="registered services that are not polled",
            threshold=0.0,
            samples=row.services,
        )
    red = row.red_services == row.services
    return Verdict(
        state="ok",
        title=f"{row.services} services are polled, {row.red_services} are red",
        recovered=known is not None and not red,
        statistic=0.0,
        statistic_name="registered services that are not polled",
        threshold=0.0,
        samples=row.services,
    )


def canary(now_ns: int, run_id: str) -> Iterable[Event]:
    """Return a service that fails three polls in a row beside one that answers; then both go."""
    names = failing, well = f"canary-{run_id}", f"canary-{run_id}-well"
    polls = [(well, 1), *((failing, number) for number in range(1, 4))]
    for order, name in enumerate(names):
        service = Service(name=name, healthz_url="http://127.0.0.1:9/healthz")
        yield ServiceRegistered(
            event_id=f"{name}-registered", data=service, **_envelope(name, now_ns - 9 + order)
        )
    for order, (name, number) in enumerate(polls):
        poll = Poll(service=name, healthy=name == well, reason="a canary")
        yield ServicePolled(
            event_id=f"{name}-{number}", data=poll, **_envelope(name, now_ns - 6 + order)
        )
    for name in names:
        leaving = ServiceLeaving(name=name, reason="the canary is over")
        yield ServiceDeregistered(event_id=f"{name}-gone", data=leaving, **_envelope(name, now_ns))


def _envelope(name: str, at_ns: int) -> dict[str, Any]:
    return {
        "timestamp": rfc3339(at_ns), "actor": "canary", "subject_id": name,
        "environment": "canary",
    }  # fmt: skip


WATCHDOG = Watchdog(
    name=NAME,
    why="What the firm depends on fails before it is missed.",
    action="alert, and poll again with growing pauses",
    budget="the third power of how often one poll fails by chance",
    unit="service",
    limits=DependencyLimits,
    tables=(SERVICES, POLLS),
    row=Health,
    query=QUERY,
    inspect=inspect,
    looks=looks,
    every_seconds=60,
    canary=canary,
)
