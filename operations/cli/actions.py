"""What is asked of order systems short of a halt: `mts actions list` and `release`.

Both fold the stream themselves and judge every signature, as order systems do. So a list is true
while every worker is dead, and a release is known to count as soon as it is stored.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, NamedTuple

from cyclopts import App, Parameter

from operations.actions.state import Action, Said
from operations.actions.targets import BY_PERSON, target, until_ns
from operations.adapters import action_watch, halt_line, oms_link, orders_of_people, wire
from operations.adapters.action_watch import ActionWatch
from operations.adapters.oms_link import BusClock
from operations.adapters.wire import WireClient
from operations.cli import asking, bus, fleet, ordering
from operations.cli.asking import Confirm, Reason
from operations.cli.ordering import Desk, KeyFile, Seconds
from operations.cli.outcomes import Told, finish
from operations.cli.output import CANNOT, PROVEN, Flag, Output, Text, run, write_json
from operations.cli.tables import write_table
from operations.clock import parse_rfc3339, rfc3339
from operations.config import Nats, Settings
from operations.errors import Rejected
from operations.events.commands import ReleaseCommanded
from operations.halt.outcome import Outcome

actions = App(name="actions", help="Actions short of a halt: what is asked, who does it, its end.")
RELEASE = "mts actions release"
FREED = {
    "reduce_allocation": "it trades at full size again",
    "shadow": "its orders that open positions go out again",
    "reduce_gross": "its gross exposure may grow again",
    "hedge": "nothing keeps its theta down any more",
    "throttle": "its orders are not counted any more",
    "cooldown": "it may open positions again",
}


class Line(NamedTuple):
    """A connection, what was folded through it, and the time of the bus."""

    client: WireClient
    watch: ActionWatch
    clock: BusClock


@actions.command(name="list")
def list_actions(
    *,
    everything: Annotated[Flag, Parameter(name="--all")] = False,
    output: Output = "table",
) -> int:
    """List the actions in force: what is asked of whom, who does it, until when, how to end it.

    Exit code 0: listed, also when there are none. 2: NATS does not answer.

    Example: mts actions list

    Example: mts actions list --all --output json

    Parameters
    ----------
    everything
        Also those that are over.
    """

    async def work() -> int:
        settings = fleet.load()
        async with _line(settings, bus.nats(settings, "operator")) as line:
            now_ns = line.clock.now_ns()
            line.watch.actions.pass_time(now_ns)
            known = line.watch.actions.known.values()
            found = [each for each in known if everything or each.end is None]
            rows = [_row(each, line.watch, now_ns) for each in found]
        if output == "table":
            write_table([_shown(row) for row in rows])
            if not rows:
                print("no action is in force")
        elif output == "json":
            write_json(rows, output)
        else:
            for row in rows:
                write_json(row, output)
        return PROVEN

    return run(work())


@actions.command
def release(
    action_id: Text,
    /,
    *,
    key: KeyFile = None,
    confirm: Confirm = "",
    reason: Reason = None,
    seconds: Seconds = 10.0,
    output: Output = "table",
) -> int:
    """End an action; asks for the word RELEASE.

    Exit code 0: it is over, and order systems know it from the order itself. 2: nothing was done:
    no such action, it is over, not confirmed, no reason. 4: sent, and not known to be stored. 5:
    refused, with the reason.

    Example: mts actions release act-42 --confirm RELEASE --reason "the feed was wrong"

    Parameters
    ----------
    action_id
        Its id, as `mts actions list` shows it.
    """

    async def work() -> int:
        desk = ordering.begin(key)
        async with _line(desk.settings, desk.nats) as line:
            line.watch.actions.pass_time(line.clock.now_ns())
            action = _known(line.watch, action_id)
            _show_plan(action)
            if not asking.confirmed("RELEASE", confirm, f"end {_what(action)}"):
                return CANNOT
            why = asking.reason_of(reason, needed=True)
            at_ns = line.clock.now_ns()
            event = orders_of_people.release(desk.person.name, action_id, why, at_ns)
            told = await _released(desk, line, event, action, seconds)
            return finish([told], line.clock.now_ns(), output)

    return run(work())


@asynccontextmanager
async def _line(settings: Settings, nats: Nats) -> AsyncIterator[Line]:
    """Give a connection with everything folded that the stream holds. Raises Retryable."""
    judge = halt_line.judge_of(settings)
    watch = ActionWatch(judge, action_watch.known_names(settings.halt.order_systems))
    async with wire.connection(nats, "actions") as client:
        clock = BusClock()
        await oms_link.stream_state(client, nats.stream, clock)
        await action_watch.read(client, nats.stream, watch)
        yield Line(client, watch, clock)


def _known(watch: ActionWatch, action_id: str) -> Action:
    action = watch.actions.known.get(action_id)
    if action is None:
        raise Rejected(f"no action {action_id!r} is known; `mts actions list --all` shows all")
    if action.end is not None:
        raise Rejected(f"action {action_id} is over already: {_ended(action)}; nothing was done")
    return action


def _show_plan(action: Action) -> None:
    asking.show_plan(
        scope=_what(action),
        trading=f"asked for by {action.signer} at {action.event.timestamp}",
        does=[f"end it at every order system: {FREED[action.request.kind]}, within a second"],
        does_not=[
            "lift a halt: mts cmd resume",
            "end other actions of the same scope: mts actions list",
            "say that the finding was wrong: while it lasts, more may be asked for",
        ],
        halted=[],
    )


async def _released(
    desk: Desk, line: Line, event: ReleaseCommanded, action: Action, seconds: float
) -> Told:
    """Send the order and find out, from the stream alone, whether it counts."""
    async with halt_line.sending(desk.person) as sent:
        await sent.send(event)
        await sent.settled(seconds)
        if (error := sent.refusal(event)) is not None:
            raise error
        sequence = sent.sequence(event)
    outcome = Outcome(result="late", words="sent; whether it is stored is not known")
    if sequence is not None:
        refused = await action_watch.read(line.client, desk.nats.stream, line.watch)
        end = action.end
        if end is not None and end.cause == event.event_id:
            words = f"released: {_what(action)}; {FREED[action.request.kind]}"
            outcome = Outcome(result="done", words=words)
        else:
            words = refused.get(sequence, "it is over already")
            outcome = Outcome(result="refused", words=f"refused: {words}")
    return Told(
        command="release_action",
        command_id=event.data.command_id,
        event_id=event.event_id,
        sequence=sequence,
        outcome=outcome,
    )


def _what(action: Action) -> str:
    request = action.request
    where = "the firm" if request.scope == "firm" else f"{request.scope} {request.scope_id}"
    return f"{request.kind} of {where}{_aim(action)}"


def _aim(action: Action) -> str:
    name, currency, most = target(action.request)
    if name == "only what reduces":
        return ""
    return f", {name} at most {' '.join(filter(None, (f'{most:f}', currency)))}"


def _row(action: Action, watch: ActionWatch, now_ns: int) -> dict[str, Any]:
    """Return everything that is known about an action."""
    request, end = action.request, action.end
    ends_ns = until_ns(request)
    late = now_ns >= parse_rfc3339(request.ack_deadline)
    silent = sorted(action.silent(watch.order_systems)) if end is None else []
    return {
        "action_id": request.action_id,
        "kind": request.kind,
        "scope": request.scope,
        "scope_id": request.scope_id,
        "target": _what(action),
        "asked_by": action.signer,
        "check": request.check,
        "asked_at": action.event.timestamp,
        "finding": request.episode,
        "fund_id": action.event.fund_id,
        "answers": [
            {"oms_id": oms_id, **_answer(said, action, now_ns)}
            for oms_id, said in sorted(action.answers.items())
        ],
        "not_answered": silent,
        "answers_due": request.ack_deadline,
        "answers_late": bool(silent and late),
        "done_due": request.done_deadline,
        "ends_at": rfc3339(ends_ns) if ends_ns is not None else None,
        "ends_by": "a person" if request.kind in BY_PERSON or ends_ns is None else "its time",
        "ended": _ended(action) if end is not None else None,
        "release": f"{RELEASE} {request.action_id}" if end is None else None,
    }


def _answer(said: Said, action: Action, now_ns: int) -> dict[str, Any]:
    answer, due = said.answer, action.request.done_deadline
    waits = answer.phase == "ACKNOWLEDGED" and action.end is None
    return {
        "phase": answer.phase,
        "done_late": waits and due is not None and now_ns >= parse_rfc3339(due),
        "measured": answer.measured,
        "currency": answer.currency,
        "reason": answer.reason,
        "at": rfc3339(said.at_ns),
    }


def _ended(action: Action) -> str:
    end = action.end
    assert end is not None
    by = f" by {end.by}" if end.by else ""
    why = f": {end.reason}" if end.reason else ""
    return f"{end.how}{by} at {rfc3339(end.at_ns)[:19]}Z{why}"


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return an action as people read it in one row."""
    who = [
        " ".join(
            str(part)
            for part in (
                each["oms_id"], each["phase"], "NOT DONE IN TIME" if each["done_late"] else None,
                each["measured"], each["currency"], each["reason"],
            )
            if part is not None
        )
        for each in row["answers"]
    ]  # fmt: skip
    word = "HAS NOT ANSWERED" if row["answers_late"] else "is asked"
    who += [f"{each or 'no order system'} {word}" for each in row["not_answered"]]
    ends = row["ended"] or (
        f"{row['ends_at'][:19]}Z" if row["ends_at"] else "when a person ends it"
    )
    return {
        "action": row["action_id"],
        "asked": row["target"],
        "by": "\n".join(
            (
                row["check"] or row["asked_by"],
                f"{row['asked_at'][:19]}Z",
                f"finding {row['finding']}",
            )
        ),
        "order_systems": "\n".join(who),
        "ends": ends,
        "how_to_end_it": row["release"],
    }
