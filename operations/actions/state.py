"""Where does each action stand, with each order system? The fold of everything said about it.

Order systems, the worker of the actions and people fold the same messages of the stream, each of
them with a signature that holds, so all of them know the same. What has ended never begins again:
a request that is delivered a second time, or after its release, changes nothing.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from msgspec import Struct

from operations.actions.targets import BY_PERSON, asks_for_more, problem, until_ns
from operations.clock import parse_rfc3339
from operations.events.actions import ActionAnswer, ActionRequest, ActionRequested
from operations.events.commands import ReleaseCommanded

Phase = Literal["ACKNOWLEDGED", "COMPLETED", "REFUSED"]
Ended = Literal["expired", "released", "replaced", "refused"]


class Said(NamedTuple):
    """The newest answer of an order system and when the stream stored it and the first one."""

    answer: ActionAnswer
    at_ns: int
    first_ns: int


class End(NamedTuple):
    """How an action ended. `by` is the person of a release or the action that replaced it."""

    how: Ended
    at_ns: int
    by: str = ""
    reason: str = ""
    cause: str = ""  # event id of what ended it


class Action(Struct, kw_only=True, eq=False):
    """One action: what was asked, by whom, what order systems said, and how it ended."""

    event: ActionRequested
    signer: str
    sequence: int
    at_ns: int
    answers: dict[str, Said]
    end: End | None = None

    @property
    def request(self) -> ActionRequest:
        """What is asked for."""
        return self.event.data

    def silent(self, order_systems: frozenset[str]) -> frozenset[str]:
        """Return who of these has not answered; an empty name when nobody is known that could."""
        if order_systems:
            return order_systems - self.answers.keys()
        return frozenset() if self.answers else frozenset(("",))


class Refused(NamedTuple):
    """A release that ends nothing, and why."""

    event: ReleaseCommanded
    signer: str
    sequence: int
    reason: str


class Actions:
    """All actions of a stream, by id, in the order in which they were asked for."""

    def __init__(self) -> None:
        self.known: dict[str, Action] = {}
        self._newest: dict[tuple[str, str, str, str], str] = {}

    def active(self) -> Iterator[Action]:
        """Return what is in force and not over."""
        return (each for each in self.known.values() if each.end is None)

    def request(self, event: ActionRequested, signer: str, sequence: int, at_ns: int) -> bool:
        """Take a request; returns whether that changed anything.

        One that nobody can do, and one that asks for less than what its episode asks for already,
        is known and refused. What a canary asks for is nothing that anybody does.
        """
        wanted = event.data
        if wanted.action_id in self.known or event.environment == "canary":
            return False
        action = Action(event=event, signer=signer, sequence=sequence, at_ns=at_ns, answers={})
        self.known[wanted.action_id] = action
        place = (wanted.episode, wanted.kind, wanted.scope, wanted.scope_id)
        before = self.known.get(self._newest.get(place, ""))
        _expire(before, at_ns)
        if words := problem(wanted):
            action.end = End("refused", at_ns, reason=words)
        elif before is not None and before.end is None:
            if asks_for_more(wanted, before.request):
                before.end = End("replaced", at_ns, wanted.action_id, cause=event.event_id)
            else:
                words = f"action {before.request.action_id} of the same episode asks for as much"
                action.end = End("refused", at_ns, reason=words)
        if action.end is None:
            self._newest[place] = wanted.action_id
        return True

    def answer(self, answer: ActionAnswer, at_ns: int) -> None:
        """Take what an order system said; COMPLETED and REFUSED are its last words."""
        action = self.known.get(answer.action_id)
        if action is None:
            return
        before = action.answers.get(answer.oms_id)
        if before is None:
            action.answers[answer.oms_id] = Said(answer, at_ns, at_ns)
        elif before.answer.phase == "ACKNOWLEDGED" or answer.phase != "ACKNOWLEDGED":
            action.answers[answer.oms_id] = Said(answer, at_ns, before.first_ns)

    def release(
        self, event: ReleaseCommanded, signer: str, sequence: int, at_ns: int
    ) -> Refused | None:
        """End an action because a person said so; returns why that ends nothing."""
        action, order = self.known.get(event.data.action_id), event.data
        _expire(action, at_ns)
        if action is None:
            reason = f"no action {order.action_id!r} is known; mts actions list shows them"
        elif at_ns >= parse_rfc3339(order.expires_at):
            reason = f"the order was void at {order.expires_at}; give it again"
        elif action.end is not None:
            if action.end.cause == event.event_id:
                return None
            by = f" by {action.end.by}" if action.end.by else ""
            reason = f"action {order.action_id} is over already: {action.end.how}{by}"
        else:
            action.end = End("released", at_ns, signer, order.reason, event.event_id)
            return None
        return Refused(event, signer, sequence, reason)

    def pass_time(self, now_ns: int) -> list[Action]:
        """End what has reached its `until`; returns it. What a person must end stays."""
        return [each for each in self.active() if _expire(each, now_ns)]


def _expire(action: Action | None, now_ns: int) -> bool:
    """End an action that has reached its `until`; returns whether it ended now."""
    end_ns = until_ns(action.request) if action else None
    if action is None or action.end or end_ns is None or now_ns < end_ns:
        return False
    action.end = End("expired", end_ns)
    return True


def severity(action: Action) -> Literal["warning", "critical"]:
    """How bad it is when nobody does it: what only a person ends reduces what is at stake."""
    return "critical" if action.request.kind in BY_PERSON else "warning"
