"""Who hears what: channels, routes by fund and severity, and which finding explains which."""

from fnmatch import fnmatchcase
from typing import NamedTuple

from msgspec import Struct

from operations.errors import Rejected
from operations.notifications.episode import RANK, Episode
from operations.notifications.silences import Window

ANY = "*"
FIRM = "firm"  # how a route names what concerns no single fund


class Channel(Struct, frozen=True, kw_only=True):
    """One way to people, as far as decisions need to know it.

    `least` is the lowest severity that goes there. `pages` says that it wakes somebody, so that
    observations and exercises stay away. `ends` says whether it wants to hear that something is
    over, `acknowledges` whether it can be told that somebody looks after it.
    """

    name: str
    least: str = "info"
    pages: bool = False
    ends: bool = True
    acknowledges: bool = False


class Route(NamedTuple):
    """Where findings of a fund go from a severity on; the first route that fits decides."""

    fund: str
    severity: str
    channels: frozenset[str]

    def fits(self, episode: Episode) -> bool:
        """Whether it speaks of an episode."""
        fund = episode.fund_id or FIRM
        return self.fund in (ANY, fund) and RANK[episode.severity] >= RANK[self.severity]


class Pattern(NamedTuple):
    """Findings of a check, and of one subject where it is named."""

    check: str
    subject_id: str

    def fits(self, episode: Episode) -> bool:
        """Whether it speaks of an episode."""
        return fnmatchcase(episode.check, self.check) and self.subject_id in (
            ANY,
            episode.subject_id,
        )


class Inhibition(NamedTuple):
    """While the cause is raised, its effects are held and listed with it."""

    cause: Pattern
    effect: Pattern


class Rules(Struct, frozen=True, kw_only=True):
    """Everything that decisions are made by. Times in ns.

    `first_sequence` is the end of the stream at the very first start: what was raised before is
    told only if it is critical.
    """

    channels: tuple[Channel, ...]
    routes: tuple[Route, ...] = ()
    inhibitions: tuple[Inhibition, ...] = ()
    maintenance: tuple[Window, ...] = ()
    repage_ns: int
    burst: int
    burst_ns: int
    digest_ns: int
    grace_ns: int
    halt_wait_ns: int
    first_sequence: int = 0

    def routed(self, channel: Channel, episode: Episode) -> bool:
        """Whether an episode goes to a channel; where no route fits, it goes to all."""
        for route in self.routes:
            if route.fits(episode):
                return channel.name in route.channels
        return True

    def is_cause(self, episode: Episode) -> bool:
        """Whether it may explain others."""
        return bool(episode.because) or any(each.cause.fits(episode) for each in self.inhibitions)

    def explains(self, cause: Episode, effect: Episode) -> bool:
        """Whether one is told by telling the other."""
        return effect.id == cause.because or any(
            each.cause.fits(cause) and each.effect.fits(effect) for each in self.inhibitions
        )


def routes_of(text: str, known: frozenset[str]) -> tuple[Route, ...]:
    """Read `alpha:critical=pagerduty+slack, *=slack`. Raises Rejected for an unknown channel.

    The fund is a name, `firm` for what concerns no single fund, or `*`.
    """
    return tuple(_route(each.strip(), known) for each in text.split(",") if each.strip())


def _route(text: str, known: frozenset[str]) -> Route:
    what, equals, named = text.partition("=")
    fund, _, severity = what.strip().partition(":")
    severity = severity or "info"
    channels = frozenset(each.strip() for each in named.split("+") if each.strip())
    if not equals or not fund or severity not in RANK or not channels:
        raise Rejected(f"{text!r} is no route; write: alpha:critical=pagerduty+slack")
    if strange := channels - known:
        raise Rejected(
            f"the route {text!r} names {', '.join(sorted(strange))}; there are: "
            f"{', '.join(sorted(known))}"
        )
    return Route(fund, severity, channels)


def inhibitions_of(text: str) -> tuple[Inhibition, ...]:
    """Read `nats>*, dependency_watchdog/db-1>db_watchdog`. Raises Rejected."""
    found = []
    for each in filter(None, (part.strip() for part in text.split(","))):
        cause, arrow, effect = each.partition(">")
        if not (cause.strip() and arrow and effect.strip()):
            raise Rejected(f"{each!r} explains nothing; write: nats>*")
        found.append(Inhibition(_pattern(cause), _pattern(effect)))
    return tuple(found)


def _pattern(text: str) -> Pattern:
    check, _, subject_id = text.strip().partition("/")
    return Pattern(check, subject_id or ANY)
