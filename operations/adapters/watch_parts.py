"""What one watchdog process runs, from its settings: which watchdogs, for whom, in which mode."""

from collections.abc import Sequence

from operations import watchdogs
from operations.adapters.warehouse import Warehouse
from operations.adapters.watch_engine import DATA_FAULT, Engine
from operations.checks import Limits, Mode, Watchdog
from operations.config import Settings
from operations.errors import Rejected


class SameForAll:
    """The defaults of every watchdog and one mode, for every fund."""

    def __init__(self, chosen: Sequence[Watchdog], mode: Mode) -> None:
        self._mode = mode
        self._limits = {watchdog.name: watchdog.limits() for watchdog in chosen}

    def of(self, name: str, _fund_id: str | None) -> tuple[Limits, Mode]:
        """Return the limits and the mode that hold for a watchdog and a fund."""
        return self._limits[name], self._mode


def named(words: str) -> frozenset[str]:
    """Read names with commas between them."""
    return frozenset(filter(None, words.replace(" ", "").split(",")))


def chosen(settings: Settings) -> tuple[Watchdog, ...]:
    """Return the watchdogs that this process runs; what all of them need is always among them.

    Raises Rejected for a name that is none.
    """
    wanted = named(settings.watchdogs.only)
    known = {watchdog.name for watchdog in watchdogs.ALL}
    if unknown := wanted - known:
        raise Rejected(
            f"there is no watchdog {', '.join(sorted(unknown))}; there are "
            f"{', '.join(sorted(known))} (setting watchdogs.only)"
        )
    if not wanted:
        return watchdogs.ALL
    return tuple(one for one in watchdogs.ALL if one.name in wanted | {DATA_FAULT})


def engine(settings: Settings) -> Engine:
    """Build the engine of this process, with empty tables."""
    own = chosen(settings)
    tables = [table for watchdog in own for table in watchdog.tables]
    return Engine(own, SameForAll(own, settings.watchdogs.mode), Warehouse(tables))
