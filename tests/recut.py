"""The same stream cut in other places: what is said must be the same to the last byte."""

from pathlib import Path

from watching import engine, run

from operations.adapters import warehouse
from operations.checks import Stored, Watchdog
from operations.events.base import Event, encode


def said_however_cut(
    watchdog: Watchdog, events: list[Stored], folder: Path, sizes=(1, 7, 1000), parts=3, **options
) -> list[Event]:
    """What is said, after comparing batches of other sizes and starts from snapshots."""
    whole = run(engine(watchdog, **options), events)
    texts = [encode(each) for each in whole]
    for size in sizes:
        again = run(engine(watchdog, **options), events, size)
        assert [encode(each) for each in again] == texts, size
    for part in range(parts + 1):
        place = part * len(events) // parts
        first, second = engine(watchdog, **options), engine(watchdog, **options)
        before = run(first, events[:place], 39)
        first.warehouse.save(folder / "snapshot", first.snapshot())
        second.warehouse.load(folder / "snapshot")
        second.restore(warehouse.read_state(folder / "snapshot"))
        after = run(second, events[place:], 41)
        assert [encode(each) for each in before + after] == texts, place
    return whole
