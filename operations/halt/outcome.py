"""What came of a command, as far as one has heard: the answer that a person waits for.

Each question returns None while nothing final is known. The answers of halt workers and order
systems are all that counts; a person's own command in the stream proves only that it was sent.
"""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from operations.events.base import derived_id
from operations.events.findings import FindingRaised
from operations.events.halts import Phase
from operations.halt.alarms import REFUSED
from operations.halt.board import Row, row
from operations.halt.coverage import ORDER
from operations.halt.desk import KIND, Desk

Result = Literal["done", "partial", "late", "refused", "lost", "waits"]


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of one command: the result by which scripts decide, and words for people.

    `next` is the command that has to be typed next, by whomever the words name.
    """

    result: Result
    words: str
    next: str = ""
    halts: tuple[Row, ...] = ()


class Progress(Struct, frozen=True, kw_only=True):
    """How far an order system is with a cancel or flatten. Times in milliseconds."""

    oms_id: str
    phase: Phase | None
    ms: float | None
    open_before: int | None
    canceled: int | None
    unknown_in_flight: int | None
    reason: str | None


class Command(Struct, frozen=True):
    """What an answer is recognised by: the id of the event, and the SHA-256 of its payload."""

    event_id: str
    payload_sha256: str


def of_halt(
    desk: Desk, halt_id: str, command: Command, now_ns: int, findings: Iterable[FindingRaised]
) -> Outcome | None:
    """Say whether a halt by a person holds, and who obeys it.

    `partial` comes as soon as somebody is late and may still become `done`. `findings` are those
    of the halt workers.
    """
    named = [halt_id] if halt_id in desk.halts.active else []
    caused = [
        each
        for each, evidence in desk.evidence.items()
        if each in desk.halts.active
        and any(one.cause == command.event_id for one in evidence.values())
    ]
    shown = tuple(
        row(desk, desk.halts.active[each], now_ns) for each in dict.fromkeys(named + caused)
    )
    if not shown:
        return refused(command, findings)
    words = f"{shown[0].what} halted: {shown[0].covered}"
    if shown[0].coverage == "ENFORCED":
        return Outcome(result="done", words=words, halts=shown)
    if shown[0].coverage == "PROPAGATING":
        return None
    return Outcome(result="partial", words=words, halts=shown)


def of_silence(desk: Desk, halt_id: str, now_ns: int) -> Outcome:
    """Say what came of a halt when its time is over and no halt worker has answered.

    Order systems obey a signed halt by themselves while no halt worker runs.
    """
    found = progress(desk, halt_id, now_ns)
    blocking = [each for each in found if each.phase and ORDER[each.phase] >= ORDER["BLOCKING"]]
    alone = "no halt worker has answered"
    if not blocking:
        return Outcome(result="late", words=f"{alone}, and no order system either")
    words = f"{len(blocking)}/{len(found)} OMS block by themselves; {alone}"
    return Outcome(result="done" if len(blocking) == len(found) else "partial", words=words)


def of_resume(
    desk: Desk,
    resume_id: str,
    halt_ids: tuple[str, ...],
    command: Command,
    findings: Iterable[FindingRaised],
) -> Outcome | None:
    """Say whether a resume or its cosign lifted the halts, waits, was refused or lost a race.

    `command` is the resume or the cosign whose answer is wanted.
    """
    if halt_ids and all(each in desk.halts.lifted for each in halt_ids):
        return Outcome(result="done", words=f"lifted: {counted(halt_ids)}")
    wish = desk.wishes.get(resume_id)
    if wish is not None and wish.denial is not None:
        newer = desk.overtaken_by(wish) if wish.resume else None
        return Outcome(
            result="refused" if newer is None else "lost", words=f"not lifted: {wish.denial}"
        )
    if denied := refused(command, findings):
        return denied
    if derived_id(command.event_id, "resume_requested", resume_id, 0) in desk.said:
        return Outcome(
            result="waits",
            words="asked, not lifted yet: another person has to type",
            next=f"mts cmd cosign {resume_id}",
        )
    return None


def refused(command: Command, findings: Iterable[FindingRaised]) -> Outcome | None:
    """Return the refusal of a command, if a halt worker said that it moves nothing."""
    for finding in findings:
        said = {each.name: each.value for each in finding.data.parameters}
        if said.get(KIND) != REFUSED:
            continue
        digest = said.get("payload_sha256")
        if finding.causation_id == command.event_id or digest == command.payload_sha256:
            words = finding.data.details or finding.data.title
            return Outcome(result="refused", words=f"refused: {words} (event {finding.event_id})")
    return None


def progress(desk: Desk, episode_id: str, now_ns: int) -> tuple[Progress, ...]:
    """Return how far each order system is with what was ordered under an id."""
    covered = desk.coverage.of(episode_id, desk.expected_by(episode_id), now_ns)
    found = []
    for each in covered.rows:
        last = each.answers[-1].data if each.answers else None
        times = [one.data.to_cancel_confirmed_ms for one in each.answers]
        known = [one for one in times if one is not None]
        found.append(
            Progress(
                oms_id=each.oms_id,
                phase=each.phase,
                ms=known[-1] if known else None,
                open_before=last.open_before if last else None,
                canceled=last.canceled if last else None,
                unknown_in_flight=last.unknown_in_flight if last else None,
                reason=last.reason if last else None,
            )
        )
    return tuple(found)


def of_progress(found: tuple[Progress, ...], wanted: Phase, what: str) -> Outcome | None:
    """Say whether every order system has reached a phase, or refuses; `what` names the order."""
    refusing = [each for each in found if each.phase == "REFUSED"]
    there = [each for each in found if each.phase and ORDER[each.phase] >= ORDER[wanted]]
    if found and len(there) == len(found):
        unknown = sum(each.unknown_in_flight or 0 for each in found)
        tail = f"; the fate of {unknown} orders is unknown" if unknown else ""
        result: Result = "partial" if unknown else "done"
        return Outcome(result=result, words=f"{what}: {len(there)}/{len(found)} OMS{tail}")
    if refusing and len(there) + len(refusing) == len(found):
        reasons = "; ".join(f"{each.oms_id}: {each.reason or 'no reason'}" for each in refusing)
        return Outcome(result="partial" if there else "refused", words=f"{what} refused: {reasons}")
    return None


def behind(found: tuple[Progress, ...], wanted: Phase, what: str) -> Outcome:
    """Return the outcome when the time is over before every order system has reached a phase."""
    there = [each for each in found if each.phase and ORDER[each.phase] >= ORDER[wanted]]
    missing = ", ".join(
        f"{each.oms_id} {f'is at {each.phase}' if each.phase else 'says nothing'}"
        for each in found
        if each not in there
    )
    result: Result = "partial" if any(each.phase for each in found) else "late"
    words = f"{what}: {len(there)}/{len(found)} OMS; {missing}" if found else f"{what}: no OMS"
    return Outcome(result=result, words=words)


def counted(halt_ids: tuple[str, ...]) -> str:
    """Return how many halts, in words."""
    return "1 halt" if len(halt_ids) == 1 else f"{len(halt_ids)} halts"
