"""Are there so many stories about what the firm holds that something must have happened?

Distinct stories (by headline) that name a held instrument are counted for each hour. The count of
the running hour is compared with the hours before it: counts of news are over-dispersed, so the
limit is the count that a negative binomial with their mean and variance reaches with probability
2.9e-7 (five sigma; a Poisson limit fires six times as often on real counts). One name in the news,
or one feed gone wild, is no reason to stop a firm: two fifths of the held names and at least two
have to be in the news more than is usual for each of them, at three different minutes, by a feed
that is alive, and only once a day.
"""

import math
from collections import Counter, deque
from collections.abc import Sequence

from operations.clock import NANOSECONDS, parse_rfc3339, rfc3339
from operations.events.base import Event
from operations.events.findings import Parameter
from operations.events.halts import Treatment
from operations.events.news import Beat, Story
from operations.events.positions import Snapshot
from operations.halt.latch import Cause, Latch, Measure, Notice, Place
from operations.halt.state import FIRM

NEWS = "news_aggregate"
HOUR_NS = 3600 * NANOSECONDS
MINUTE_NS = 60 * NANOSECONDS
TRAILING_HOURS = 30 * 24
MINIMUM_HOURS = 5 * 24
TAIL = 2.9e-7  # probability beyond five sigma, one side
TAIL_OF_A_NAME = 1e-3  # the same for one name, which is only asked whether it takes part
BREADTH = 0.4  # part of the held names that has to take part
FEWEST_NAMES = 2
CONFIRMING_MINUTES = 3
BLIND = "no position.snapshotted said what is held, so news about it stops nothing"
UNREACHABLE = 1_000_000  # stories in one hour
BEATS_MISSED = 3
LONGEST_HASH = 128
REMEMBERED_HOURS = 24  # how long a headline told again is known


class NewsVolume:
    """The stories about everything that is held, hour by hour in the time of their feeds."""

    def __init__(self) -> None:
        place = Place(check=NEWS, scope=FIRM)
        self.latch = Latch(place, needed=CONFIRMING_MINUTES)
        self._again = Notice(place)
        self._blind = Notice(place, ordinal=1)
        self._held: dict[tuple[str | None, str | None], frozenset[str]] = {}
        self._beats: dict[str, tuple[int, float]] = {}
        self._hours: deque[int] = deque(maxlen=TRAILING_HOURS)
        self._limit = UNREACHABLE
        self._hour = self._minute = -1
        self._count = 0
        self._names: Counter[str] = Counter()  # stories of the running hour by held name
        self._hours_of_names: deque[Counter[str]] = deque(maxlen=TRAILING_HOURS)
        self._usual: dict[str, int] = {}  # what is too much for a name in the running hour
        self._told: dict[str, int] = {}
        self._halted_day = -1

    def hold(self, owner: tuple[str | None, str | None], found: Snapshot) -> None:
        """Take what one account and strategy hold; an incomplete snapshot takes nothing away."""
        held = frozenset(each.symbol for each in found.holdings if each.quantity)
        self._held[owner] = held if found.complete else self._held.get(owner, frozenset()) | held

    def beat(self, found: Beat, cause: Cause) -> None:
        """Note that a feed is alive."""
        self._beats[found.feed] = (cause.at_ns, found.interval_seconds)

    def story(self, found: Story, cause: Cause) -> list[Event]:
        """Count one story, and look once in each minute that has one."""
        at_ns = min(parse_rfc3339(found.published_at), cause.at_ns)
        hour = at_ns // HOUR_NS
        if hour < self._hour:
            return []
        said = self._reach(hour, cause) + self._blind.say(None if self._held else BLIND, cause)
        named = self._held_names().intersection(found.tickers)
        headline = found.headline_hash[:LONGEST_HASH]
        if not named or headline in self._told:
            return said
        self._told[headline] = hour
        self._count += 1
        self._names.update(named)
        minute = at_ns // MINUTE_NS
        if self._count < self._limit or minute <= self._minute:
            return said
        measure = self._measure(at_ns)
        # An hour only grows, so a look that finds too few names undoes no earlier one.
        if not measure.hit or not self._alive(found.feed, cause):
            return said
        self._minute = minute
        return said + self._look(measure, cause)

    def lift(self, treatment: Treatment, muted_until: str | None, cause: Cause) -> list[Event]:
        """Let go of the episode: stories told so far do not count again.

        Re-baselined, the hours that are compared with begin anew, and nothing is judged until
        there are enough of them.
        """
        self._count = 0
        self._names = Counter()
        if treatment == "REBASELINED":
            self._hours.clear()
            self._hours_of_names.clear()
            self._limit = UNREACHABLE
        return self.latch.lift(treatment, muted_until, cause)

    def _held_names(self) -> set[str]:
        return set().union(*self._held.values())

    def _reach(self, hour: int, cause: Cause) -> list[Event]:
        """Close the hours before this one."""
        if hour == self._hour:
            return []
        if self._hour >= 0 and self.latch.episode is None:  # what is judged measures not itself
            # An hour beyond the limit counts as one at the limit, or it would hide the next.
            self._hours.append(min(self._count, self._limit))
            self._hours_of_names.append(self._names)
            silent = min(hour - self._hour - 1, TRAILING_HOURS)
            self._hours.extend([0] * silent)
            self._hours_of_names.extend([Counter()] * silent)
        self._told = {
            each: told for each, told in self._told.items() if told >= hour - REMEMBERED_HOURS
        }
        self._hour, self._count = hour, 0
        self._names = Counter()
        self._usual.clear()
        self.latch.miss()
        enough = len(self._hours) >= MINIMUM_HOURS
        self._limit = critical_count(self._hours) if enough else UNREACHABLE
        return self._again.say(None, cause)

    def _alive(self, feed: str, cause: Cause) -> bool:
        """Whether the feed has said in time that it lives; one that never did is not trusted."""
        at_ns, seconds = self._beats.get(feed, (0, 0.0))
        return cause.at_ns - at_ns <= BEATS_MISSED * seconds * NANOSECONDS

    def _takes_part(self, name: str) -> bool:
        """Whether there are more stories about a name than is usual for it."""
        if name not in self._usual:
            history = [hour[name] for hour in self._hours_of_names]
            self._usual[name] = max(2, critical_count(history, TAIL_OF_A_NAME))
        return self._names[name] >= self._usual[name]

    def _measure(self, at_ns: int) -> Measure:
        held, limit = len(self._held_names()), self._limit
        taking_part = sum(self._takes_part(name) for name in self._names)
        wide = max(FEWEST_NAMES, math.ceil(BREADTH * held))
        title = (
            f"{self._count} stories in one hour, limit {limit}; {taking_part} of {held} held "
            "instruments are in the news more than usual"
        )
        return Measure(
            hit=self._count >= limit and taking_part >= wide,
            hard=False,
            times=self._count / limit,
            statistic=float(self._count),
            threshold=float(limit),
            statistic_name="distinct stories about held instruments in one hour",
            title=title,
            looked_at=rfc3339(at_ns),
            samples=len(self._hours),
            parameters=(
                Parameter(name="tail_probability", value=repr(TAIL)),
                Parameter(name="names_needed", value=str(wide)),
                Parameter(name="names_seen", value=str(taking_part)),
            ),
        )

    def _look(self, measure: Measure, cause: Cause) -> list[Event]:
        day = self._hour // 24
        raised = self.latch.episode is not None
        if not raised and day == self._halted_day:
            problem = f"{measure.title}; the firm was halted for news on this day already"
            return self._again.say(problem, cause) if self._again.episode is None else []
        said = self.latch.look(measure, cause)
        if said and not raised:
            self._halted_day = day
        return said


def critical_count(hours: Sequence[int], tail: float = TAIL) -> int:
    """Return the smallest count whose probability, or that of more, is below `tail`.

    Negative binomial by the moments of the hours (k = m^2 / (v - m), p(0) = (k / (k + m))^k,
    p(x + 1) = p(x) (x + k) / (x + 1) m / (m + k)), Poisson where they vary no more than their
    mean. Without a single story in all hours the mean of one story in all of them is taken.
    `hours` holds at least one.
    """
    count = len(hours)
    mean = max(math.fsum(hours), 1.0) / count
    variance = math.fsum((each - mean) ** 2 for each in hours) / count
    poisson = variance <= mean
    spread = math.inf if poisson else mean**2 / (variance - mean)
    chance = -mean if poisson else spread * math.log(spread / (spread + mean))  # natural log
    share = math.log(mean if poisson else mean / (mean + spread))
    below, number = 0.0, 0
    while 1.0 - below >= tail and number < UNREACHABLE:
        below += math.exp(chance)
        chance += share - math.log(number + 1) + (0.0 if poisson else math.log(number + spread))
        number += 1
    return number
