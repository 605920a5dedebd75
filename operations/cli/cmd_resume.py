"""Commands that lift: `mts cmd resume` and `mts cmd cosign`.

Lifting may wait: it is refused where the halts cannot be read, asks for a word and a reason, and
names exactly the halts that it lifts, so that one which comes meanwhile stays.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from cyclopts import Parameter

from operations.adapters import orders_of_people
from operations.adapters.halt_line import HaltLine
from operations.cli import asking, ordering
from operations.cli.asking import Confirm, Reason
from operations.cli.ordering import Desk, KeyFile, Seconds, Waited
from operations.cli.outcomes import finish
from operations.cli.output import CANNOT, PROVEN, Output, Text, headline, run, write_json
from operations.cli.scopes import FIRM_NAME
from operations.clock import parse_rfc3339, rfc3339
from operations.errors import Rejected
from operations.events.commands import CosignCommanded, ResumeCommanded
from operations.events.halts import Treatment
from operations.halt import board, outcome
from operations.halt.board import Row
from operations.halt.outcome import Outcome
from operations.halt.records import Ask, halt_ids_of

AT_ONCE = 1000  # halts in one command: its lift has to fit into one event
TreatmentName = Literal["cleared", "rebaselined", "muted"]
TREATMENTS: dict[TreatmentName, Treatment] = {
    "cleared": "CLEARED",
    "rebaselined": "REBASELINED",
    "muted": "MUTED",
}
DOES_NOT = ["lift any other halt, also none that comes meanwhile", "send any order"]
MEANS = {
    "CLEARED": "the trigger counts again from the next evidence on",
    "REBASELINED": "the trigger measures from here on; the loss of the day stays",
    "MUTED": "the trigger is muted",
}


def resume(
    name: Text = "",
    /,
    *,
    treatment: TreatmentName = "cleared",
    until: Annotated[str | None, Parameter(show_default=False)] = None,
    key: KeyFile = None,
    confirm: Confirm = "",
    reason: Reason = None,
    seconds: Seconds = 5.0,
    output: Output = "table",
) -> int:
    """Lift halts; asks for the word RESUME and a reason, which is never empty.

    Without a name all halts of strategies and funds in one signed command, and for halts of the
    firm the request that another person has to cosign. Exit code 0: lifted, or nothing is halted
    there. 2: nothing was done. 4: sent, and nobody answered in time. 5: refused, with the event
    that says why. 6: lost against a newer halt in its scope. 7: asked; another person has to type
    the `mts cmd cosign` that is printed.

    Example: mts cmd resume momentum --confirm RESUME --reason "feed repaired, book reconciled"

    Parameters
    ----------
    name
        Id of a strategy, a fund or a halt; `firm` for the halts of the firm.
    treatment
        What happens to what caused them: cleared, measured from here on, or muted.
    until
        With muted: until when, as 2026-11-20T18:00:00Z.
    """

    async def work() -> int:
        desk = ordering.begin(key)
        async with ordering.line(desk) as opened:
            await opened.catch_up()
            seen = opened.desk.halts.sequence
            rows = board.rows(opened.desk, opened.clock.now_ns())
            chosen = [each for each in rows if _is_meant(each, name)]
            if not chosen:
                return await _nothing(desk, opened, name, rows, output)
            how, muted_until = TREATMENTS[treatment], _time(until)
            _show_plan(chosen, [each for each in rows if each not in chosen], how, muted_until)
            if not asking.confirmed("RESUME", confirm, _question(chosen)):
                return CANNOT
            why = asking.reason_of(reason, needed=True)
            waited = [
                asked(desk, opened, halt_ids, how, muted_until, why, seen)
                for halt_ids in _commands(chosen)
            ]
            return finish(
                await ordering.order(desk, opened, waited, seconds), opened.clock.now_ns(), output
            )

    return run(work())


def asked(
    desk: Desk,
    opened: HaltLine,
    halt_ids: tuple[str, ...],
    treatment: Treatment,
    muted_until: str | None,
    reason: str,
    seen: int,
) -> Waited:
    """Return the command that lifts these halts, with the question what came of it.

    `seen` is the last message of the stream on which the person's decision rests.
    """
    name = desk.person.name
    event = orders_of_people.resume(
        name, halt_ids, treatment, muted_until, reason, seen, opened.clock.now_ns()
    )
    return _waited("resume", opened, event, event.data.resume_id, halt_ids)


def _waited(
    name: str,
    opened: HaltLine,
    event: ResumeCommanded | CosignCommanded,
    resume_id: str,
    halt_ids: tuple[str, ...],
) -> Waited:
    command = ordering.command_of(event)
    words = (
        "no halt worker has answered; what is stored is decided as soon as one runs, if that is "
        "within ten minutes"
    )
    return Waited(
        name,
        event,
        lambda: outcome.of_resume(
            opened.desk, resume_id, halt_ids, command, opened.findings.values()
        ),
        lambda: Outcome(result="late", words=words),
    )


def _is_meant(row: Row, name: str) -> bool:
    if not name:
        return True
    if name == FIRM_NAME and row.level == "FIRM_HALT":
        return True
    return name in (row.halt_id, row.scope if row.level != "FIRM_HALT" else None)


async def _nothing(
    desk: Desk, opened: HaltLine, name: str, rows: Sequence[Row], output: Output
) -> int:
    """Say that nothing is halted there; a name that nobody knows may be mistyped."""
    known = name in ("", FIRM_NAME) or name in opened.desk.halts.lifted
    if not known:
        registry = await ordering.known(desk)
        known = registry is not None and (name in registry.funds or name in registry.strategies)
    if not known:
        held = ", ".join(each.what for each in rows) or "nothing"
        raise Rejected(f"{name!r} is not halted and not known; halted is: {held}")
    if output == "table":
        headline("✓", f"nothing is halted{f' there: {name}' if name else ''}", "green")
    else:
        write_json({"exit_code": PROVEN, "commands": []}, output)
    return PROVEN


def _commands(chosen: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return the halts of each command: a second person is needed only where the firm is named."""
    lower = [each.halt_id for each in chosen if each.level != "FIRM_HALT"]
    firm = [each.halt_id for each in chosen if each.level == "FIRM_HALT"]
    return [
        tuple(group[first : first + AT_ONCE])
        for group in (lower, firm)
        for first in range(0, len(group), AT_ONCE)
    ]


def _show_plan(
    chosen: Sequence[Row], others: Sequence[Row], how: Treatment, until: str | None
) -> None:
    firm = [each for each in chosen if each.level == "FIRM_HALT"]
    lower = tuple(each.halt_id for each in chosen if each not in firm)
    does = [f"lift {outcome.counted(lower)} of strategies and funds"]
    if not lower:
        does = []
    if firm:
        ids = tuple(each.halt_id for each in firm)
        does.append(f"ask another person to cosign the lift of {outcome.counted(ids)} of the firm")
    asking.show_plan(
        scope="\n".join(ordering.summary(each) for each in chosen),
        trading=", ".join(sorted({each.environment.upper() for each in chosen})),
        does=[*does, f"{MEANS[how]}{f' until {until}' if until else ''}"],
        does_not=DOES_NOT,
        halted=[ordering.summary(each) for each in others] or ["nothing else"],
        label="stays halted",
    )


def _question(chosen: Sequence[Row]) -> str:
    if len(chosen) == 1:
        return f"lift the halt of {ordering.the(chosen[0].what)}"
    return f"lift these {len(chosen)} halts"


def _time(until: str | None) -> str | None:
    if until is None:
        return None
    try:
        return rfc3339(parse_rfc3339(until))
    except ValueError as error:
        raise Rejected(f"--until {until!r} is no time: {error}; nothing was done") from error


def cosign(
    resume_id: str,
    /,
    *,
    key: KeyFile = None,
    confirm: Confirm = "",
    reason: Reason = None,
    seconds: Seconds = 5.0,
    output: Output = "table",
) -> int:
    """Agree to a lift that another person asked for; asks for the word COSIGN and a reason.

    Signs exactly what that person signed, for another person with another key. Exit code 0:
    lifted. 2: nothing was done. 4: sent, and nobody answered in time. 5: refused, with the event
    that says why. 6: lost against a newer halt in its scope.

    Example: mts cmd cosign 0192f3c4 --confirm COSIGN --reason "checked the book with risk"

    Parameters
    ----------
    resume_id
        Id that `mts cmd resume` printed; `mts halts` shows it too.
    """

    async def work() -> int:
        desk = ordering.begin(key)
        async with ordering.line(desk) as opened:
            await opened.catch_up()
            wish = opened.desk.wishes.get(resume_id)
            if wish is None or wish.resume is None:
                raise Rejected(
                    f"nobody asked for resume {resume_id!r}; `mts halts` shows what waits"
                )
            if wish.lifted_at is not None:
                return _lifted_already(resume_id, output)
            halt_ids, asker = halt_ids_of(wish), wish.resume.signer
            _show_agreement(wish.resume, board.rows(opened.desk, opened.clock.now_ns()), halt_ids)
            if not asking.confirmed("COSIGN", confirm, f"agree with {asker}"):
                return CANNOT
            why = asking.reason_of(reason, needed=True)
            payload = wish.resume.order.payload.encode()
            at_ns = opened.clock.now_ns()
            event = orders_of_people.cosign(desk.person.name, resume_id, payload, why, at_ns)
            waited = _waited("cosign", opened, event, resume_id, halt_ids)
            return finish(
                await ordering.order(desk, opened, [waited], seconds), opened.clock.now_ns(), output
            )

    return run(work())


def _show_agreement(asked_for: Ask, rows: Sequence[Row], halt_ids: tuple[str, ...]) -> None:
    resumed = asked_for.fact.event
    assert isinstance(resumed, ResumeCommanded)
    chosen = [each for each in rows if each.halt_id in halt_ids]
    others = [ordering.summary(each) for each in rows if each not in chosen]
    asking.show_plan(
        scope="\n".join(ordering.summary(each) for each in chosen) or ", ".join(halt_ids),
        trading=", ".join(sorted({each.environment.upper() for each in chosen})),
        does=[
            f"lift these halts, as {asked_for.signer} asked: {resumed.data.reason}",
            MEANS[resumed.data.treatment],
        ],
        does_not=DOES_NOT,
        halted=others or ["nothing else"],
        label="stays halted",
    )


def _lifted_already(resume_id: str, output: Output) -> int:
    if output == "table":
        headline("✓", f"resume {resume_id} was granted already", "green")
    else:
        write_json({"exit_code": PROVEN, "commands": []}, output)
    return PROVEN
