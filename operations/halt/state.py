"""Which halts hold: the fold of everything that was requested and lifted.

A halt is an episode with an id of its own. Halting only ever adds to the set of requested ids and
lifting only to the set of lifted ids; an id that is in both is over for good. So the order in
which facts arrive does not matter, nor does hearing one twice, and two who have heard the same
facts hold the same halts. Only a stored fact can lift: who folds, checks before that the lift is
in the stream and that the people's signatures in it hold (see `signoff.py`).

The state changes in place: ten thousand episodes are folded when an order system starts.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import NamedTuple

from msgspec import Struct

from operations.events.base import Event
from operations.events.halts import Halt, HaltLifted, HaltReason, HaltRequested, Level, Mode

STRICTNESS: dict[Mode, int] = {"REDUCE_ONLY": 1, "BLOCK_ALL": 2}
_MODULUS = 1 << 256


class Scope(NamedTuple):
    """What a halt stops: a strategy, a fund, or with an empty id the firm."""

    level: Level
    id: str

    def __str__(self) -> str:
        """Return how people name it."""
        kind = self.level.removesuffix("_HALT").lower()
        return f"{kind} {self.id}" if self.id else kind


FIRM = Scope("FIRM_HALT", "")


class Fact(NamedTuple):
    """An event with what the bus says about it.

    `sequence` is its place in the stream, None while it was only heard. `at_ns` is the time that
    JetStream gave it, or the receiver's own when it was only heard, in ns since 1970.
    `payload_sha256` is over the payload as sent, hexadecimal.
    """

    event: Event
    sequence: int | None
    at_ns: int
    payload_sha256: str


class Episode(Struct, frozen=True, kw_only=True):
    """One halt from its request to its lift.

    `first_sequence` is None until the stream has its request; `latest_sequence` is that of its
    newest request, which is newer than the first when more evidence came. `fund_id` is the fund
    of a halted strategy as far as the request named it, empty when unknown.
    """

    halt_id: str
    scope: Scope
    fund_id: str
    mode: Mode
    reason_code: HaltReason
    reason: str
    requested_by: str
    requested_at: str
    first_sequence: int | None
    latest_sequence: int | None
    environment: str


class Verdict(NamedTuple):
    """The strictest mode over one scope, and the episode that it comes from."""

    mode: Mode
    halt_id: str


class Halts:
    """All episodes, by id and by scope.

    `active` holds the episodes that stop something now, by halt id. `verdicts` says for each
    halted scope how strictly; what is not in it trades. `sequence` is the last place in the
    stream that was folded, 0 before the first.
    """

    def __init__(self) -> None:
        self.active: dict[str, Episode] = {}
        self.lifted: dict[str, int] = {}  # halt id to the place of its lift in the stream
        self.verdicts: dict[Scope, Verdict] = {}
        self.sequence = 0
        self._by_scope: dict[Scope, dict[str, Episode]] = {}
        self._stored: dict[str, Episode] = {}
        self._stored_sum = 0

    @property
    def state_hash(self) -> str:
        """What is active according to the stream, in one hexadecimal number of 256 bits.

        The sum of SHA-256(halt id, newline, mode) over the active episodes, modulo 2^256, from
        stored requests alone: it changes by one addition for each event, in any order, and what
        one only heard changes nothing. It is compared, not believed: what carries it is signed.
        """
        return f"{self._stored_sum:064x}"

    def request(self, fact: Fact) -> Episode | None:
        """Take a `HaltRequested`; returns the episode if that changed anything, else None."""
        event = fact.event
        if not isinstance(event, HaltRequested):
            raise TypeError(f"{type(event).__name__} requests no halt")
        self._reach(fact.sequence)
        halt_id = event.data.halt_id
        if halt_id in self.lifted:
            return None
        new = _episode(event, fact.sequence)
        if fact.sequence is not None:
            self._store(new)
        before = self.active.get(halt_id)
        after = new if before is None else _merged(before, new)
        if after == before:
            return None
        self._replace(before, after)
        return after

    def lift(self, fact: Fact) -> tuple[Episode, ...]:
        """Take a `HaltLifted` that is stored and whose signatures hold; returns what it freed."""
        event = fact.event
        if not isinstance(event, HaltLifted) or fact.sequence is None:
            raise TypeError("only a stored HaltLifted lifts")
        self._reach(fact.sequence)
        freed = []
        for halt_id in event.data.halt_ids:
            if halt_id not in self.lifted and halt_id in self._stored:
                self._add(self._stored[halt_id], -1)
            self.lifted[halt_id] = min(fact.sequence, self.lifted.get(halt_id, fact.sequence))
            episode = self.active.get(halt_id)
            if episode is not None:
                self._remove(episode)
                freed.append(episode)
        for scope in {episode.scope for episode in freed}:
            self._judge(scope)
        return tuple(freed)

    def pass_over(self, sequence: int) -> None:
        """Say that the stream was read up to here, whatever it held."""
        self._reach(sequence)

    def stored(self, halt_id: str) -> Episode | None:
        """Return an episode as the stream alone has it, lifted or not; None for an unknown one.

        Who judges a lift asks this, so that what was only heard never makes two receivers of one
        stream judge the same lift differently.
        """
        return self._stored.get(halt_id)

    def over(self, strategy_id: str, fund_id: str) -> tuple[Episode, ...]:
        """Return every active episode that stops this strategy of this fund, strictest first."""
        scopes = (FIRM, Scope("FUND_HALT", fund_id), Scope("STRATEGY_HALT", strategy_id))
        found = [each for scope in scopes for each in self._by_scope.get(scope, {}).values()]
        return tuple(sorted(found, key=lambda each: -STRICTNESS[each.mode]))

    def in_scope(self, scope: Scope) -> tuple[Episode, ...]:
        """Return the active episodes of exactly this scope."""
        return tuple(self._by_scope.get(scope, {}).values())

    def _reach(self, sequence: int | None) -> None:
        self.sequence = max(self.sequence, sequence or 0)

    def _store(self, new: Episode) -> None:
        before = self._stored.get(new.halt_id)
        after = new if before is None else _merged(before, new)
        if before is not None:
            self._add(before, -1)
        self._add(after, 1)
        self._stored[new.halt_id] = after

    def _add(self, episode: Episode, sign: int) -> None:
        self._stored_sum = (self._stored_sum + sign * _number(episode)) % _MODULUS

    def _replace(self, before: Episode | None, after: Episode) -> None:
        if before is not None:
            self._remove(before)
        self.active[after.halt_id] = after
        self._by_scope.setdefault(after.scope, {})[after.halt_id] = after
        # A request never makes a mode less strict, so comparing with what counted is enough.
        verdict, new = self.verdicts.get(after.scope), Verdict(after.mode, after.halt_id)
        if verdict is None or _strictness(new) > _strictness(verdict):
            self.verdicts[after.scope] = new
        # Last, so that a gate that looks in between sees too much stopped, never too little.
        if before is not None and before.scope != after.scope:
            self._judge(before.scope)

    def _remove(self, episode: Episode) -> None:
        del self.active[episode.halt_id]
        del self._by_scope[episode.scope][episode.halt_id]

    def _judge(self, scope: Scope) -> None:
        here = self._by_scope.get(scope)
        if not here:
            self._by_scope.pop(scope, None)
            self.verdicts.pop(scope, None)
            return
        verdicts = (Verdict(each.mode, each.halt_id) for each in here.values())
        self.verdicts[scope] = max(verdicts, key=_strictness)


def scope_of(event: HaltRequested) -> Scope:
    """Return what a request stops; what names nothing that can be found stops the firm.

    A strategy halt without a strategy id cannot be obeyed as meant, and it must not be ignored.
    """
    level = event.data.level
    if level == "STRATEGY_HALT" and event.strategy_id:
        return Scope(level, event.strategy_id)
    if level == "FUND_HALT" and event.fund_id:
        return Scope(level, event.fund_id)
    return FIRM


def _episode(event: HaltRequested, sequence: int | None) -> Episode:
    halt: Halt = event.data
    return Episode(
        halt_id=halt.halt_id,
        scope=scope_of(event),
        fund_id=event.fund_id or "",
        mode=halt.mode,
        reason_code=halt.reason_code,
        reason=halt.reason,
        requested_by=halt.requested_by,
        requested_at=event.timestamp,
        first_sequence=sequence,
        latest_sequence=sequence,
        environment=event.environment,
    )


def _merged(one: Episode, other: Episode) -> Episode:
    """Return what two requests under one id come to, whichever was heard first.

    The words are those of the earlier one in the stream. A foreign scope under a known id widens
    the halt to the firm: one id for two things is a mistake or an attack, and neither may be free.
    """
    earlier, later = sorted((one, other), key=_age)
    scope = earlier.scope if one.scope == other.scope else FIRM
    return Episode(
        halt_id=earlier.halt_id,
        scope=scope,
        fund_id=one.fund_id if one.fund_id == other.fund_id else "",
        mode=max(one.mode, other.mode, key=lambda mode: STRICTNESS[mode]),
        reason_code=earlier.reason_code,
        reason=earlier.reason,
        requested_by=earlier.requested_by,
        requested_at=earlier.requested_at,
        first_sequence=_of_both(min, one.first_sequence, other.first_sequence),
        latest_sequence=_of_both(max, later.latest_sequence, earlier.latest_sequence),
        environment=earlier.environment,
    )


def _age(episode: Episode) -> tuple[bool, int, str, str, str]:
    stored = episode.first_sequence
    return (
        stored is None,
        stored or 0,
        episode.requested_at,
        episode.requested_by,
        episode.reason,
    )


def _of_both(
    choose: Callable[[Iterable[int]], int], one: int | None, other: int | None
) -> int | None:
    known = [each for each in (one, other) if each is not None]
    return choose(known) if known else None


def _strictness(verdict: Verdict) -> tuple[int, str]:
    return STRICTNESS[verdict.mode], verdict.halt_id


def _number(episode: Episode) -> int:
    return int.from_bytes(sha256(f"{episode.halt_id}\n{episode.mode}".encode()).digest())
