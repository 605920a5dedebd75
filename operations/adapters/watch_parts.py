"""What one watchdog process runs, from its settings: which watchdogs, and by which limits."""

from typing import NamedTuple

from operations import watchdogs
from operations.adapters import settable
from operations.adapters.warehouse import Warehouse
from operations.adapters.watch_engine import DATA_FAULT, Engine, Layers, Timed
from operations.checks import Limits, Mode, Watchdog
from operations.config import Settings
from operations.errors import Rejected
from operations.events.operations import ConfigChanged
from operations.settings.book import FIRM, Book


class FromStream:
    """The limits and modes that the signed changes in the stream say, up to the last one taken."""

    def __init__(self) -> None:
        self._book = Book(settable.catalogue())
        self._known: dict[tuple[str, str], tuple[Limits, Mode]] = {}

    def take(self, event: ConfigChanged, sequence: int) -> None:
        """Take a signed change."""
        self._book.take(event, sequence)
        self._known.clear()

    def of(self, name: str, fund_id: str | None) -> tuple[Limits, Mode]:
        """Return the limits and the mode that hold for a watchdog and a fund.

        Raises Rejected where a value that was set is none that this release allows.
        """
        key = name, fund_id or FIRM
        if key not in self._known:
            limits, mode = self._book.effective(*key)
            assert isinstance(limits, Limits)
            self._known[key] = limits, mode
        return self._known[key]


class Observing:
    """The same limits, and nobody is asked for anything: for cases that canaries publish.

    A watchdog that is switched off does not find its canary either.
    """

    def __init__(self, layers: Layers) -> None:
        self._layers = layers

    def of(self, name: str, fund_id: str | None) -> tuple[Limits, Mode]:
        """Return the limits that hold, with a mode that never acts."""
        limits, mode = self._layers.of(name, fund_id)
        return limits, "off" if mode == "off" else "observe"


def named(words: str) -> frozenset[str]:
    """Read names with commas between them."""
    return frozenset(filter(None, words.replace(" ", "").split(",")))


def chosen(settings: Settings) -> tuple[Watchdog, ...]:
    """Return the watchdogs that this process runs; what all of them need is always among them.

    Raises Rejected for a name that is none.
    """
    wanted = named(settings.watch.only)
    known = {watchdog.name for watchdog in watchdogs.ALL}
    if unknown := wanted - known:
        raise Rejected(
            f"there is no watchdog {', '.join(sorted(unknown))}; there are "
            f"{', '.join(sorted(known))} (setting watch.only)"
        )
    if not wanted:
        return watchdogs.ALL
    return tuple(one for one in watchdogs.ALL if one.name in wanted | {DATA_FAULT})


class Parts(NamedTuple):
    """The limits of the stream, and two engines that go by them, with empty tables."""

    layers: FromStream
    real: Engine
    canaries: Engine


def parts(settings: Settings, timed: Timed = lambda _name, _ns: None) -> Parts:
    """Build everything that one process folds into; `timed` is told how long looks take."""
    layers = FromStream()
    return Parts(
        layers, _engine(settings, layers, timed), _engine(settings, Observing(layers), timed)
    )


def _engine(settings: Settings, layers: Layers, timed: Timed) -> Engine:
    own = chosen(settings)
    return Engine(own, layers, Warehouse(table for one in own for table in one.tables), timed)
