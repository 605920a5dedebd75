"""What is wrong with a message of a feed, beside the messages before it?

Four things can be, each by one rule:

- duplicate: its id came before, among the last 1,000 of its feed, or lies 1,000 below the highest
  where ids count up by one;
- clock: it says that it happened later than the bus stored it, or, for a trade, more than ten
  minutes before;
- gap: ids that counted up by one jump, or a feed says that it sent more than arrived;
- unchanged: its values are exactly those of the message before it.

A duplicate and a message with a wrong clock are left out by everybody who adds up, never averaged
in. Whether so many of them are a fault of the feed is judged in `operations.watchdogs.feeds`.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from operations.clock import NANOSECONDS
from operations.events.trades import Floats, Numbers, Trades

Fault = Literal["", "duplicate", "clock"]
Values = tuple[float | str | None, ...]

AHEAD_NS = NANOSECONDS // 10  # clocks that are kept by NTP agree better than 100 ms
BEHIND_NS = 600 * NANOSECONDS
REMEMBERED = 1_000  # ids of each feed
COUNTING = 50  # steps of one after which ids of a feed are taken to count up
COUNTING_MOST = 1_000
LONGEST_DIGITS = 19  # of an id that may be a number
LONGEST_NUMBER = 10**LONGEST_DIGITS
MOST_MISSING = 1_000_000_000  # that a count says; a longer jump of ids says no more


class Ids:
    """The ids that one feed used last, and how many are missing between them."""

    def __init__(self) -> None:
        self._order: deque[str] = deque()
        self._known: set[str] = set()
        self._highest = self._steps = 0

    def take(self, identity: str) -> tuple[bool, int]:
        """Return whether an id came before, and how many ids before it are missing."""
        if identity in self._known:
            return True, 0
        self._known.add(identity)
        self._order.append(identity)
        if len(self._order) > REMEMBERED:
            self._known.remove(self._order.popleft())
        if not (identity.isascii() and identity.isdigit() and len(identity) <= LONGEST_DIGITS):
            return False, 0
        return self._count(int(identity))

    def take_all(self, identities: Sequence[str]) -> tuple[Sequence[bool], Sequence[int]]:
        """Return both of what `take` returns, of each; most feeds just go on counting."""
        numbers = range(self._highest + 1, self._highest + 1 + len(identities))
        if numbers[-1] >= LONGEST_NUMBER or list(identities) != list(map(str, numbers)):
            known, missing = zip(*map(self.take, identities), strict=True)
            return known, missing
        newest = identities[-REMEMBERED:]
        for _ in range(min(len(self._order) + len(newest) - REMEMBERED, len(self._order))):
            self._known.remove(self._order.popleft())
        self._known.update(newest)
        self._order.extend(newest)
        self._highest = numbers[-1]
        self._steps = min(self._steps + len(identities), COUNTING_MOST)
        return [False] * len(identities), [0] * len(identities)

    def _count(self, number: int) -> tuple[bool, int]:
        step, counts = number - self._highest, self._steps >= COUNTING
        if step <= 0:
            return counts and step <= -REMEMBERED, 0
        self._highest = number
        if step == 1:
            self._steps = min(self._steps + 1, COUNTING_MOST)
            return False, 0
        self._steps //= 2  # ids that jump all the time do not count up
        return False, min(step - 1, MOST_MISSING) if counts else 0

    def snapshot(self) -> list[Any]:
        """Return all of it, in JSON's types."""
        return [list(self._order), self._highest, self._steps]

    @classmethod
    def restored(cls, state: list[Any]) -> "Ids":
        """Return what `snapshot` was taken of."""
        ids = cls()
        order, ids._highest, ids._steps = state
        ids._order, ids._known = deque(order), set(order)
        return ids


class Seen(NamedTuple):
    """What is wrong with some messages, each column of the shape (n,); nothing where both are no.

    `missing` is how many should have come before the message.
    """

    duplicate: NDArray[np.bool_]
    clock: NDArray[np.bool_]
    missing: NDArray[np.int64]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Which are to be left out."""
        return self.duplicate | self.clock

    def cut(self, begin: int, end: int) -> "Seen":
        """Return it of the messages from one place to before another."""
        return Seen(self.duplicate[begin:end], self.clock[begin:end], self.missing[begin:end])


class Screen:
    """Tells the messages to add up from those to leave out, for one feed.

    `behind_ns` is how long before its storing a message may have happened.
    """

    def __init__(self, behind_ns: int = BEHIND_NS, ids: Ids | None = None) -> None:
        self._behind_ns, self._ids = behind_ns, ids or Ids()
        self.missing = 0  # before the newest message

    def take(self, identity: str, happened_ns: int, said_ns: int, stored_ns: int) -> Fault:
        """Return what is wrong with a message; "" when it counts.

        `happened_ns` is the time of the venue, `said_ns` that of the publisher. A feed whose
        messages replace each other has no identities: "".
        """
        known, self.missing = self._ids.take(identity) if identity else (False, 0)
        if known:
            return "duplicate"
        return "clock" if self._is_impossible(happened_ns, said_ns, stored_ns) else ""

    def take_all(self, trades: Trades) -> Seen:
        """Return what `take` would say of trades of this feed, one after the other."""
        duplicate, missing = self._ids.take_all(trades.trade_id)
        known = np.array(duplicate, np.bool_)
        impossible = self._is_impossible(trades.happened_ns, trades.said_ns, trades.at_ns)
        return Seen(known, impossible & ~known, np.array(missing, np.int64))

    def _is_impossible(self, happened_ns: Any, said_ns: Any, stored_ns: Any) -> Any:
        """Say of a time, or of columns of them, whether it cannot be."""
        late_ns, after_ns = stored_ns - happened_ns, stored_ns - said_ns
        return (late_ns < -AHEAD_NS) | (late_ns > self._behind_ns) | (after_ns < -AHEAD_NS)

    def snapshot(self) -> list[Any]:
        """Return all that it remembers, in JSON's types."""
        return self._ids.snapshot()

    def restore(self, state: list[Any]) -> None:
        """Go on from a snapshot."""
        self._ids = Ids.restored(state)


class Unchanged:
    """How many messages in a row only repeat values, and for how long, for one feed.

    A feed may speak of many things, as an account of its positions: each is compared with itself.
    """

    def __init__(self) -> None:
        self._values: dict[str, tuple[Values, int]] = {}  # by thing; since when
        self.run, self.span_ns = 0, 0

    def take(self, thing: str, value: Values, happened_ns: int) -> int:
        """Take the values of a message; return how many in a row repeat theirs by now."""
        known = self._values.get(thing)
        if known is None or known[0] != value:
            self._values[thing] = (value, happened_ns)
            if known is not None:
                self.run, self.span_ns = 0, 0
            return self.run
        self.run += 1
        self.span_ns = max(self.span_ns, happened_ns - known[1])
        return self.run

    def take_all(
        self, thing: str, columns: Sequence[Floats], happened_ns: Numbers, below: int
    ) -> bool:
        """Take values, in columns, as `take` does one after the other, and return True.

        If there is a run of `below` or more, or that made one, nothing is taken.
        """
        count, known = len(happened_ns), self._values.get(thing)
        first = tuple(float(column[0]) for column in columns)
        other = np.array([known is None or known[0] != first] + [False] * (count - 1))
        for column in columns:
            other[1:] |= column[1:] != column[:-1]
        changes = np.flatnonzero(other)
        runs = np.diff(changes, prepend=-1 - self.run, append=count) - 1
        if runs.max() >= below:
            return False
        if changes.size:
            since = int(changes[-1])
            value: Values = tuple(float(column[since]) for column in columns)
            self._values[thing] = value, int(happened_ns[since])
            self.span_ns, happened_ns = 0, happened_ns[since:]
        self.run = int(runs[-1])
        self.span_ns = max(self.span_ns, int(happened_ns.max()) - self._values[thing][1])
        return True

    def snapshot(self) -> list[Any]:
        """Return all of it, in JSON's types."""
        values = {thing: [value, since] for thing, (value, since) in self._values.items()}
        return [values, self.run, self.span_ns]

    @classmethod
    def restored(cls, state: list[Any]) -> "Unchanged":
        """Return what `snapshot` was taken of."""
        unchanged = cls()
        values: Mapping[str, Any]
        values, unchanged.run, unchanged.span_ns = state
        for thing, (value, since) in values.items():
            unchanged._values[thing] = tuple(value), since
        return unchanged
