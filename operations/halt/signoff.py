"""What must be true before halts are lifted: numbered checks, the same for everybody who obeys.

The halt worker asks before it publishes a lift, every order system before it obeys one, and the
boards before they show one. A lift carries the people's commands with their signatures, so nobody
has to believe the halt worker: a stolen one can stop the firm and never start it. All times are
those that JetStream gave, so a late or early clock changes nothing, and what is judged is the
state as the stream has it, so two who read the same stream come to the same answer.
"""

from hashlib import sha256
from typing import NamedTuple

from operations.clock import NANOSECONDS, parse_rfc3339, rfc3339
from operations.errors import Denied, Rejected
from operations.events import subjects
from operations.events.base import Event
from operations.events.commands import Command, CosignCommanded, ResumeCommanded
from operations.events.halts import HaltLifted, Level, Lift, SignedOrder
from operations.halt.state import Fact, Halts
from operations.signing import message, roster
from operations.signing.keys import PublicKey
from operations.signing.roles import right_at
from operations.signing.roster import Member, Roster

LONGEST_SECONDS = 3600  # how long a resume or cosign may count
FIRM_LEVEL: Level = "FIRM_HALT"


class Trust(NamedTuple):
    """What a receiver judges signatures by: the roster, and its own origin and environment."""

    roster: Roster
    origin: str
    environment: str


class Signed(NamedTuple):
    """An order whose signature holds: what it says, who signed it and with which key."""

    event: Event
    member: Member
    key: PublicKey


def judge_lift(lift: Fact, halts: Halts, trust: Trust) -> tuple[str, ...]:
    """Return the names of the people who lifted, the one who asked first.

    Raises Denied with the first of these that does not hold:

    1. The lift is stored: a lift that the stream refused is still heard, and frees nothing.
    2. It names at least one halt, each once, and exactly those of the resume that it carries.
    3. The resume says why, and what happens to the trigger; the lift says the same.
    4. The resume has not expired at the JetStream time of the lift, and where it says up to which
       place of the stream people had looked, no halt that it names was requested again after it.
    5. A person signed the resume, with a key of the roster that was valid at that time.
    6. That person may resume at the level of each named halt; a halt that the stream does not
       know yet is judged as one of the firm.
    7. For a halt of the firm, the lift carries a cosign command for this resume, not expired,
       which names the SHA-256 of its payload and says why.
    8. A person signed the cosign, with a valid key and the right to cosign.
    9. The two are different people with different keys.
    """
    event = lift.event
    if not isinstance(event, HaltLifted):
        raise Denied(f"{type(event).__name__} is no lift")
    if lift.sequence is None:
        raise Denied("the lift is not stored; only the stream lifts")
    return judge_orders(event.data, halts, trust, lift.at_ns)


def judge_orders(lift: Lift, halts: Halts, trust: Trust, at_ns: int) -> tuple[str, ...]:
    """Judge a lift by everything but its being stored, as of a time in ns since 1970."""
    if not 1 <= len(lift.orders) <= 2:
        raise Denied(f"a lift carries the resume and at most one cosign, not {len(lift.orders)}")
    asked = judge_resume(lift.orders[0], halts, trust, at_ns)
    resume = asked.event
    assert isinstance(resume, ResumeCommanded)
    _check_same(lift, resume)
    if len(lift.orders) == 1:
        if FIRM_LEVEL in levels_of(lift.halt_ids, halts):
            raise Denied("a halt of the firm is lifted by two people, and only one signed")
        return (asked.member.name,)
    second = _signed(lift.orders[1], (FIRM_LEVEL,), trust, at_ns)
    if not isinstance(second.event, CosignCommanded):
        raise Denied(f"the second order of a lift is a cosign, not {lift.orders[1].subject}")
    digest = sha256(lift.orders[0].payload.encode()).hexdigest()
    if problem := cosign_problem(second.event, resume, digest, at_ns):
        raise Denied(problem)
    _check_two(asked, second)
    return asked.member.name, second.member.name


def judge_resume(order: SignedOrder, halts: Halts, trust: Trust, at_ns: int) -> Signed:
    """Judge a resume command by itself (3 to 6), whoever may still have to cosign it."""
    event = _decoded(order)
    if not isinstance(event, ResumeCommanded):
        raise Denied(f"a lift starts with a resume command, not with {order.subject}")
    if problem := resume_problem(event, at_ns):
        raise Denied(problem)
    _check_unchanged(event, halts)
    return _signed(order, levels_of(event.data.halt_ids, halts), trust, at_ns)


def levels_of(halt_ids: tuple[str, ...], halts: Halts) -> tuple[Level, ...]:
    """Return the levels that a lift of these halts concerns, each once.

    Only what is stored counts: what one has merely heard must not make two receivers of the same
    stream disagree. An unknown halt counts as one of the firm.
    """
    found: dict[Level, None] = {}
    for halt_id in halt_ids:
        episode = halts.stored(halt_id)
        found[FIRM_LEVEL if episode is None else episode.scope.level] = None
    return tuple(found)


def resume_problem(resume: ResumeCommanded, at_ns: int) -> str:
    """Return what is wrong with a resume by itself at a time, or an empty text."""
    order = resume.data
    if not order.halt_ids or len(set(order.halt_ids)) < len(order.halt_ids):
        return "a resume names at least one halt, and each once"
    if not order.reason.strip():
        return "a resume needs a reason: say why it is safe"
    if (order.treatment == "MUTED") != (order.muted_until is not None):
        return "a trigger is muted until a time: give that time with MUTED, and only then"
    return _expiry_problem(order, "resume", at_ns)


def cosign_problem(
    cosign: CosignCommanded, resume: ResumeCommanded, digest: str, at_ns: int
) -> str:
    """Return what is wrong with a cosign of a resume whose payload has this SHA-256, or nothing."""
    order = cosign.data
    if order.resume_id != resume.data.resume_id:
        return f"the cosign is for resume {order.resume_id}, not for {resume.data.resume_id}"
    if order.resume_sha256 != digest:
        return (
            f"the cosign names {order.resume_sha256[:64]}, but the SHA-256 of the resume is "
            f"{digest}; look at the resume again and cosign what it says"
        )
    if not order.reason.strip():
        return "a cosign needs a reason: say why it is safe"
    return _expiry_problem(order, "cosign", at_ns)


def _expiry_problem(order: Command, what: str, at_ns: int) -> str:
    expires_ns = parse_rfc3339(order.expires_at)
    if at_ns >= expires_ns:
        return f"the {what} expired at {order.expires_at}, before {rfc3339(at_ns)}; send a new one"
    if expires_ns - at_ns > LONGEST_SECONDS * NANOSECONDS:
        return (
            f"the {what} is to count until {order.expires_at}, more than {LONGEST_SECONDS} s from "
            f"{rfc3339(at_ns)}; look at the clock of who signed, and sign a shorter one"
        )
    return ""


def _check_unchanged(resume: ResumeCommanded, halts: Halts) -> None:
    """Even a stolen halt worker cannot lift a halt on which evidence came that people never saw."""
    as_of = resume.data.as_of_sequence
    for halt_id in resume.data.halt_ids if as_of is not None else ():
        episode = halts.stored(halt_id)
        latest = episode.latest_sequence if episode else None
        if latest is not None and as_of is not None and latest > as_of:
            raise Denied(
                f"halt {halt_id} was requested again at {latest}, and this resume was signed as of "
                f"{as_of}; look at the halts and ask again"
            )


def _check_same(lift: Lift, resume: ResumeCommanded) -> None:
    order = resume.data
    if lift.resume_id != order.resume_id:
        raise Denied(f"the lift is of resume {lift.resume_id}, its order is {order.resume_id}")
    if sorted(lift.halt_ids) != sorted(order.halt_ids):
        raise Denied("the lift names other halts than the resume that it carries")
    if (lift.treatment, lift.muted_until) != (order.treatment, order.muted_until):
        raise Denied("the lift treats the trigger otherwise than the resume that it carries")


def _check_two(asked: Signed, second: Signed) -> None:
    if asked.member.name == second.member.name:
        raise Denied(f"{asked.member.name} asked for this resume and cannot cosign it")
    if asked.key.raw == second.key.raw:
        raise Denied(
            f"{asked.member.name} and {second.member.name} signed with one key; each person "
            "needs a key of their own"
        )


def _signed(order: SignedOrder, levels: tuple[Level, ...], trust: Trust, at_ns: int) -> Signed:
    """Return an order that a person signed who has the right at every level; raises Denied."""
    event = _decoded(order)
    payload = order.payload.encode()
    signed = message.Message(trust.origin, trust.environment, order.subject, payload)
    try:
        signature = message.parse(order.signature)
    except Rejected as error:
        raise Denied(f"an order of the lift is not signed: {error}") from error
    for level in levels:
        member = roster.judge(
            signature, signed, trust.roster, at_ns, right_at(order.subject, level)
        )
    if member.service:
        raise Denied(f"{member.name} is a service; only people lift halts")
    holder = trust.roster.holders[signature.key_name, signature.key_id]
    return Signed(event, member, holder.key)


def _decoded(order: SignedOrder) -> Event:
    try:
        return subjects.decode(order.subject, order.payload.encode())
    except Rejected as error:
        raise Denied(f"an order of the lift cannot be read: {error}") from error
