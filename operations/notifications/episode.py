"""One episode: a finding, a halt, or what the notifications worker found itself."""

from typing import Any

from msgspec import Struct

from operations.events.base import Event
from operations.events.findings import Finding, FindingRaised, FindingUpdated
from operations.events.halts import HaltRequested
from operations.signing.roles import WATCHDOG_CHECKS

SEVERITIES = ("info", "warning", "critical")
RANK = {severity: rank for rank, severity in enumerate(SEVERITIES)}
FINDING, HALT, OWN = "finding", "halt", "own"
APART = ("drill", "canary")
LEVELS = {"STRATEGY_HALT": "strategy", "FUND_HALT": "fund", "FIRM_HALT": "firm"}


class Episode(Struct, frozen=True, kw_only=True):
    """Something that is the matter, from its beginning to its end. Times in ns since 1970.

    `kind` is finding, halt, or own for what the worker found itself. `check` names the runbook.
    `acknowledged` is the severity up to which somebody looks after it, empty for nobody;
    `closed_by` the person who ended it, where it was not cleared. `because` is the episode that a
    halt follows from.
    """

    id: str
    kind: str
    check: str
    severity: str
    title: str
    subject_id: str
    raised_ns: int
    raised_sequence: int
    fund_id: str = ""
    strategy_id: str = ""
    environment: str = "live"
    mode: str = "act"
    details: str = ""
    judged: str = ""
    would_have: str = ""
    asks_halt: bool = False
    cleared_ns: int | None = None
    cleared_sequence: int = 0
    acknowledged: str = ""
    acknowledged_by: str = ""
    closed_by: str = ""
    closed_because: str = ""
    answers: tuple[tuple[str, str], ...] = ()
    because: str = ""

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return self.cleared_ns is None

    @property
    def name(self) -> str:
        """Id of this beginning of it: what ended may begin again under the same id."""
        return f"{self.raised_sequence}:{self.id}"

    @property
    def pages_nobody(self) -> bool:
        """Whether it is an exercise or an observation, of which no pager may ring."""
        return self.environment in APART or self.mode == "observe"

    @property
    def is_acknowledged(self) -> bool:
        """Whether somebody looks after it as bad as it is."""
        return bool(self.acknowledged) and RANK[self.acknowledged] >= RANK[self.severity]


def found(event: FindingRaised | FindingUpdated, sequence: int, at_ns: int) -> Episode:
    """Return the episode that a finding begins; `at_ns` is its JetStream time."""
    finding: Finding = event.data
    return Episode(
        id=finding.episode,
        kind=FINDING,
        check=finding.check,
        severity=finding.severity,
        title=finding.title,
        raised_ns=at_ns,
        raised_sequence=sequence,
        # Only watchdogs observe; elsewhere the mode says no more than that no action follows.
        mode=finding.mode if finding.check in WATCHDOG_CHECKS else "act",
        details=finding.details or "",
        judged=_judged(
            finding.statistic_name, finding.statistic, finding.threshold, finding.samples
        ),
        would_have=finding.would_have or "",
        asks_halt=finding.halt_level is not None and finding.mode == "act",
        **_about(event),
    )


def halted(event: HaltRequested, sequence: int, at_ns: int, runbook: str, because: str) -> Episode:
    """Return the episode of a halt; `runbook` is its page, `because` the finding it follows."""
    halt = event.data
    level = LEVELS[halt.level]
    what = {"strategy": event.strategy_id, "fund": event.fund_id}.get(level)
    scope = f"{level} {what}" if what else "the firm"
    reason = f": {halt.reason}" if halt.reason else ""
    about = _about(event)
    if halt.reason_code == "DRILL":
        about["environment"] = "drill"
    return Episode(
        id=halt.halt_id,
        kind=HALT,
        check=runbook,
        severity="critical",
        title=f"{scope} is halted, {halt.reason_code} by {halt.requested_by}{reason}",
        raised_ns=at_ns,
        raised_sequence=sequence,
        judged=_judged(None, halt.statistic, halt.threshold, halt.samples),
        because=because,
        **about,
    )


def _about(event: Event) -> dict[str, Any]:
    return {
        "subject_id": event.subject_id,
        "fund_id": event.fund_id or "",
        "strategy_id": event.strategy_id or "",
        "environment": event.environment,
    }


def _judged(
    name: str | None, statistic: float | None, threshold: float | None, samples: int | None
) -> str:
    """Return the value with what it was judged against; what is unknown is said to be."""
    if statistic is None and threshold is None:
        return ""
    value = "unknown" if statistic is None else f"{statistic:.6g}"
    limit = "" if threshold is None else f" against {threshold:.6g}"
    count = "" if samples is None else f", {samples} samples"
    return f"{name or 'value'} {value}{limit}{count}"
