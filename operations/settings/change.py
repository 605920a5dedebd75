"""Whether a change may be made, what it changes for whom, and whether it lets more pass."""

from typing import NamedTuple

from msgspec import Struct

from operations.errors import Rejected
from operations.events.operations import SettingLayer
from operations.settings.book import FIRM, LAYERS, Book, Place
from operations.settings.catalogue import Setting, nearest, text_of


class Change(NamedTuple):
    """A value that is to stand at a place; None takes away what stands there."""

    place: Place
    value: str | None


class Effect(Struct, frozen=True, kw_only=True):
    """What holds before and after, for one fund or with an empty id for the firm."""

    fund_id: str
    old: str
    new: str
    loosens: bool


class Plan(Struct, frozen=True, kw_only=True):
    """A change that may be made. `change.value` is written as every reader writes it.

    `effects` are the funds, and the firm, for which another value holds afterwards. `pinned` are
    the funds that a change for the firm does not reach, because something else holds for them.
    """

    change: Change
    setting: Setting
    effects: tuple[Effect, ...]
    pinned: tuple[str, ...]

    @property
    def loosens(self) -> bool:
        """Whether it may let more pass for anybody."""
        return any(each.loosens for each in self.effects)


def plan(book: Book, change: Change, funds: frozenset[str]) -> Plan:
    """Return what a change does. Raises Rejected, with what to do, for one that cannot be made.

    `funds` are the funds that are registered.
    """
    place = change.place
    setting = book.catalogue.find(place.check, place.name)
    value = None if change.value is None else text_of(setting.parse(change.value))
    then = book.supposed({place: value})
    known = sorted(funds | book.funds())
    effects, pinned = [], []
    for fund_id in (FIRM, *known) if place.fund_id == FIRM else (place.fund_id,):
        old, new = book.holds(setting, fund_id), then.holds(setting, fund_id)
        then.effective(place.check, fund_id)
        if old.value != new.value:
            loosens = setting.loosens(setting.parse(old.value), setting.parse(new.value))
            effects.append(Effect(fund_id=fund_id, old=old.value, new=new.value, loosens=loosens))
        elif new.entry is not None and new.entry.place != place and value not in (None, old.value):
            pinned.append(fund_id)
    return Plan(
        change=Change(place, value), setting=setting, effects=tuple(effects), pinned=tuple(pinned)
    )


def plan_of_person(book: Book, change: Change, funds: frozenset[str]) -> Plan:
    """Return what a command of a person does; raises Rejected also for a fund nobody registered.

    And for a setting that a later layer decides, because the command would change nothing.
    """
    place = change.place
    setting = book.catalogue.find(place.check, place.name)
    if place.fund_id != FIRM and place.fund_id not in funds:
        raise Rejected(f"no fund {place.fund_id!r} is registered{nearest(place.fund_id, funds)}")
    owner = book.holds(setting, place.fund_id).entry
    if owner is not None and LAYERS.index(owner.place.layer) > LAYERS.index(place.layer):
        whose = f"fund {owner.place.fund_id}" if owner.place.fund_id else "the firm"
        raise Rejected(
            f"{setting.full_name} is {owner.value} in {words(owner.place.layer)} for {whose}, set "
            f"by {owner.actor}, and that wins over a command; change it there"
        )
    return plan(book, change, funds)


def words(layer: SettingLayer | None) -> str:
    """Return how people name a layer."""
    names = {"file": "settings.toml", "environment": "the environment", "kv": "NATS KV"}
    return "the default" if layer is None else names.get(layer, "Vault")
