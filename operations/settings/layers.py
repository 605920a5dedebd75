"""What files, the environment and Vault say, as values at places, and what of it is new."""

from collections.abc import Iterable, Mapping
from typing import Any

from operations.config import WATCHDOGS
from operations.errors import Rejected
from operations.events.operations import SettingLayer
from operations.settings.book import FIRM, Book, Place
from operations.settings.catalogue import Catalogue, Setting, nearest, text_of
from operations.settings.change import Change

FUNDS = "funds"
Wanted = Mapping[Place, str]


def of_file(catalogue: Catalogue, tables: Mapping[str, Any]) -> Wanted:
    """Read the table [watchdogs] of settings.toml. Raises Rejected with the wrong key or value."""
    wanted: dict[Place, str] = {}
    for check, table in tables.items():
        settings = dict(_table(table, f"watchdogs.{check}"))
        funds = _table(settings.pop(FUNDS, {}), f"watchdogs.{check}.{FUNDS}")
        parts = {FIRM: settings} | {
            fund_id: _table(each, f"watchdogs.{check}.{FUNDS}.{fund_id}")
            for fund_id, each in funds.items()
        }
        for fund_id, values in parts.items():
            for name, value in values.items():
                place, text = _valued(catalogue.find(check, name), "file", fund_id, value)
                wanted[place] = text
        catalogue.check(check)
    return wanted


def of_environment(catalogue: Catalogue, variables: Mapping[str, str]) -> Wanted:
    """Read variables such as MTS_WATCHDOGS_VPIN_HIGH. Raises Rejected."""
    known = {variable(each): each for each in catalogue.settings()}
    wanted: dict[Place, str] = {}
    for name, value in variables.items():
        if name not in known:
            raise Rejected(f"unknown setting {name} in the environment{nearest(name, known)}")
        place, text = _valued(known[name], "environment", FIRM, value)
        wanted[place] = text
    return wanted


def of_secret(catalogue: Catalogue, fund_id: str, data: Mapping[str, Any]) -> Wanted:
    """Read a secret of Vault whose keys are CHECK.FIELD. Raises Rejected."""
    pairs = (
        _valued(catalogue.named(name), "vault", fund_id, value) for name, value in data.items()
    )
    return dict(pairs)


def variable(setting: Setting) -> str:
    """Return the variable of a setting."""
    return f"{WATCHDOGS}{setting.check}_{setting.name}".upper()


def differences(
    book: Book, layer: SettingLayer, wanted: Wanted, fund_id: str | None = None
) -> tuple[Change, ...]:
    """Return the changes after which a layer says what is wanted, of one fund where it is named.

    Raises Rejected when the values would not go together with what holds beside them.
    """
    stands = {
        each.place: each.value
        for each in book.entries(layer)
        if each.value is not None and fund_id in (None, each.place.fund_id)
    }
    gone = [Change(place, None) for place in stands if place not in wanted]
    new = [Change(place, text) for place, text in wanted.items() if stands.get(place) != text]
    changes = (*new, *gone)
    _go_together(book, changes)
    return changes


def _go_together(book: Book, changes: Iterable[Change]) -> None:
    then = book.supposed(dict(changes))
    for place, _ in changes:
        if place.check not in book.catalogue.limits:
            continue  # of another release: it is only taken away
        reached = (FIRM, *then.funds()) if place.fund_id == FIRM else (place.fund_id,)
        for fund_id in reached:
            then.effective(place.check, fund_id)


def _valued(setting: Setting, layer: SettingLayer, fund_id: str, value: Any) -> tuple[Place, str]:
    text = value if isinstance(value, str) else text_of(value)
    return Place(layer, setting.check, setting.name, fund_id), text_of(setting.parse(text))


def _table(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Rejected(f"[{name}] is {value!r} and must be a table; see docs/configuration.md")
    return value
