"""Which value of each setting holds, for the firm and for each fund, and who said so.

Folded from `config.changed` in the order of the stream, so whoever has read the stream up to one
place knows the same settings there, after any restart and any replay. Only signed events may be
put in: whoever folds judges them first.

The layers, the later wins: default, file, environment, NATS KV, Vault. Within a layer the value of
a fund wins over that of the firm.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args

from msgspec import Struct

from operations.errors import Rejected
from operations.events.operations import ConfigChanged, SettingLayer
from operations.settings.catalogue import MODE, Catalogue, Mode, Setting, text_of

LAYERS: tuple[SettingLayer, ...] = get_args(SettingLayer)
FIRM = ""  # instead of a fund


class Place(NamedTuple):
    """Where a value stands: in which layer, for which setting, for which fund or the firm."""

    layer: SettingLayer
    check: str
    name: str
    fund_id: str

    @property
    def setting(self) -> str:
        """How events and people name the setting."""
        return f"{self.check}.{self.name}"


class Entry(Struct, frozen=True, kw_only=True):
    """What stands at a place, and who put it there when and why; no value means taken away."""

    place: Place
    value: str | None
    old_value: str | None
    actor: str
    reason: str
    at: str
    sequence: int
    event_id: str
    cause: str | None
    revision: int | None


class Holding(NamedTuple):
    """The value that holds, as text, and where it comes from: no entry means the default."""

    value: str
    entry: Entry | None


class Book:
    """Everything that was set. `history` has every change in the order of the stream."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.history: list[Entry] = []
        self._entries: dict[Place, Entry] = {}
        self._event_ids: set[str] = set()

    def take(self, event: ConfigChanged, sequence: int) -> bool:
        """Take a signed change; returns whether it changed anything.

        One that was taken before changes nothing, nor does one that names no setting of a check:
        the stream may hold changes of other things.
        """
        data = event.data
        check, dot, name = data.setting.partition(".")
        if data.layer is None or not dot or event.event_id in self._event_ids:
            return False
        entry = Entry(
            place=Place(data.layer, check, name, event.fund_id or FIRM),
            value=data.new_value,
            old_value=data.old_value,
            actor=event.actor,
            reason=data.reason,
            at=event.timestamp,
            sequence=sequence,
            event_id=event.event_id,
            cause=event.causation_id,
            revision=data.revision,
        )
        self._event_ids.add(event.event_id)
        self._entries[entry.place] = entry
        self.history.append(entry)
        return True

    def entry(self, place: Place) -> Entry | None:
        """Return what was last put at a place, also when it was taken away."""
        return self._entries.get(place)

    def entries(self, *layers: SettingLayer) -> Iterator[Entry]:
        """Give what was last put at each place of these layers."""
        return (each for each in self._entries.values() if each.place.layer in layers)

    def funds(self) -> frozenset[str]:
        """Return the funds for which something was set."""
        return frozenset(each.fund_id for each in self._entries if each.fund_id != FIRM)

    def unknown(self) -> list[Entry]:
        """Return values of settings that do not exist (any more); nobody obeys them."""
        return [
            each
            for each in self._entries.values()
            if each.value is not None and not self._exists(each.place)
        ]

    def holds(self, setting: Setting, fund_id: str = FIRM) -> Holding:
        """Return the value that holds for a fund or the firm."""
        found = Holding(text_of(setting.default), None)
        for place in places(setting, fund_id):
            entry = self._entries.get(place)
            if entry is not None and entry.value is not None:
                found = Holding(entry.value, entry)
        return found

    def effective(self, check: str, fund_id: str = FIRM) -> tuple[Struct, Mode]:
        """Return the limits and the mode of a check, for a fund or for the firm.

        Raises Rejected for an unknown check, and where a value that was set before is none that
        this release allows: then nobody knows the limit, and a default would be a surprise.
        """
        values: dict[str, Any] = {
            each.name: each.parse(self.holds(each, fund_id).value)
            for each in self.catalogue.settings(check)
        }
        mode: Mode = values.pop(MODE)
        return self.catalogue.build(check, values), mode

    def supposed(self, values: Mapping[Place, str | None]) -> "Book":
        """Return the book as it would be if these values stood at their places."""
        then = Book(self.catalogue)
        then._entries = self._entries | {
            place: Entry(
                place=place, value=value, old_value=None, actor="", reason="", at="", sequence=0,
                event_id="", cause=None, revision=None,
            )
            for place, value in values.items()
        }  # fmt: skip
        return then

    def _exists(self, place: Place) -> bool:
        try:
            self.catalogue.find(place.check, place.name)
        except Rejected:
            return False
        return True


def places(setting: Setting, fund_id: str) -> Iterator[Place]:
    """Give every place that may say what a setting is for a fund or the firm; the later wins."""
    for layer in LAYERS:
        yield Place(layer, setting.check, setting.name, FIRM)
        if fund_id != FIRM:
            yield Place(layer, setting.check, setting.name, fund_id)
