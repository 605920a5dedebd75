"""How settings look: as rows for people and as JSON for programs."""

from collections.abc import Iterable
from typing import Any

from operations.adapters.settings_desk import SettingsDesk
from operations.cli.output import age, complain
from operations.clock import NANOSECONDS, parse_rfc3339
from operations.errors import Rejected
from operations.settings import answers
from operations.settings.book import FIRM, Book, Entry, places
from operations.settings.catalogue import Setting, text_of
from operations.settings.change import Plan, words


def value_row(book: Book, setting: Setting, fund_id: str, funds: Iterable[str]) -> dict[str, Any]:
    """Return what holds of a setting and where it comes from; for the firm also which funds differ.

    Values are texts, as they are typed.
    """
    held = book.holds(setting, fund_id)
    place = held.entry.place if held.entry else None
    return {
        "setting": setting.full_name,
        "value": held.value,
        "default": text_of(setting.default),
        "layer": place.layer if place else "default",
        "fund": place.fund_id or None if place else None,
        "actor": held.entry.actor if held.entry else None,
        "reason": held.entry.reason if held.entry else None,
        "since": held.entry.at if held.entry else None,
        "sequence": held.entry.sequence if held.entry else None,
        "funds": {
            each: other.value
            for each in sorted(funds)
            if fund_id == FIRM and (other := book.holds(setting, each)).value != held.value
        },
    }


def value_cells(row: dict[str, Any]) -> dict[str, Any]:
    """Return the same for a terminal, below the name of its check."""
    where = words(None if row["layer"] == "default" else row["layer"])
    return {
        "setting": row["setting"].partition(".")[2],
        "value": row["value"],
        "from": f"{where}, fund {row['fund']}" if row["fund"] else where,
        "since": _minute(row["since"]),
        "by": row["actor"],
        "other_funds": ", ".join(f"{name} {value}" for name, value in row["funds"].items()),
    }


def layer_rows(book: Book, setting: Setting, fund_id: str) -> list[dict[str, Any]]:
    """Return what each layer says about a setting, the strongest first; the default is the last."""
    winner = book.holds(setting, fund_id).entry
    rows = []
    for place in reversed([*places(setting, fund_id)]):
        entry = book.entry(place)
        if entry is not None:
            rows.append(entry_row(entry) | {"holds": entry is winner})
    default = dict.fromkeys(("fund", "actor", "reason", "since", "sequence", "revision"))
    value = text_of(setting.default)
    return [*rows, {"layer": "default", "value": value, **default, "holds": winner is None}]


def entry_row(entry: Entry) -> dict[str, Any]:
    """Return one change."""
    return {
        "layer": entry.place.layer,
        "value": entry.value,
        "fund": entry.place.fund_id or None,
        "actor": entry.actor,
        "reason": entry.reason,
        "since": entry.at,
        "sequence": entry.sequence,
        "revision": entry.revision,
    }


def layer_cells(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of `layer_rows` for a terminal."""
    layer = None if row["layer"] == "default" else row["layer"]
    gone = "taken away" if row["value"] is None else row["value"]
    return {
        "layer": words(layer),
        "for": f"fund {row['fund']}" if row["fund"] else "the firm",
        "value": gone,
        "holds": row["holds"],
        "since": _minute(row["since"]),
        "by": row["actor"],
        "why": row["reason"],
    }


def change_row(entry: Entry) -> dict[str, Any]:
    """Return one change with what it changed, for the history."""
    return {"setting": entry.place.setting, "old_value": entry.old_value} | entry_row(entry)


def change_cells(row: dict[str, Any]) -> dict[str, Any]:
    """Return the same for a terminal."""
    old = "-" if row["old_value"] is None else row["old_value"]
    new = "taken away" if row["value"] is None else row["value"]
    return {
        "since": row["since"][:19].replace("T", "\n"),
        "setting": row["setting"].replace(".", ".\n"),
        "for": f"fund {row['fund']}" if row["fund"] else "the firm",
        "was_and_is": f"{old} → {new}",
        "by": f"{row['actor']}, {words(row['layer'])}",
        "why": row["reason"],
    }


def _minute(at: str | None) -> str:
    return (at or "")[:16].replace("T", " ")


def plan_facts(plan: Plan, book: Book, funds: frozenset[str]) -> list[tuple[str, str]]:
    """Return what a change does, in pairs of a word and lines."""
    place, setting = plan.change.place, plan.setting
    whose = f"fund {place.fund_id}" if place.fund_id else "the firm"
    value = "is taken away" if plan.change.value is None else f"becomes {plan.change.value}"
    touched = {each.fund_id for each in plan.effects if each.fund_id}
    lines = [
        f"{_whose(each.fund_id)}: {each.old} → {each.new}, "
        + ("LOOSER" if each.loosens else "tighter")
        for each in plan.effects
    ]
    kept = [f"{_whose(each)} keeps {book.holds(setting, each).value}" for each in plan.pinned]
    return [
        ("setting", f"{setting.full_name}: {setting.description}"),
        ("change", f"{setting.full_name} of {whose} {value}"),
        ("holds then", "\n".join(lines) or "what held before: nothing changes"),
        ("does not reach", "\n".join(kept)),
        ("touches", f"{len(touched)} of {len(funds | touched)} funds"),
        ("needs", "a risk manager" if plan.loosens else "a trader, or whoever is above"),
    ]


def _whose(fund_id: str) -> str:
    return f"fund {fund_id}" if fund_id else "the firm"


def vault_json(desk: SettingsDesk) -> dict[str, Any] | None:
    """Return since when Vault is silent, None while it is not known to be."""
    if desk.outage is None:
        return None
    finding = desk.outage.data
    return {
        "silent_since": finding.looked_at,
        "last_answer": answers.parameter(finding, "last_answer") or None,
        "problem": finding.details,
    }


def warn(desk: SettingsDesk, now_ns: int) -> None:
    """Say on stderr what people must know beside the values."""
    if silent := vault_json(desk):
        at = silent["last_answer"] or silent["silent_since"]
        ago = age((now_ns - parse_rfc3339(at)) / NANOSECONDS)
        since = "answered last" if silent["last_answer"] else "is known to be silent since"
        complain(
            "!", f"Vault {since} {at[:19]}Z, {ago} ago; its last settings hold: "
            f"{silent['problem']}", "yellow",
        )  # fmt: skip
    for entry in desk.book.unknown():
        complain(
            "!", f"{entry.place.setting} in {words(entry.place.layer)} is no setting of this "
            "release; nobody obeys it", "yellow",
        )  # fmt: skip
    book = desk.book
    for check in book.catalogue.limits:
        for fund_id in (FIRM, *sorted(book.funds())):
            try:
                book.effective(check, fund_id)
            except Rejected as error:
                complain("✗", f"{_whose(fund_id)}: {error}; its state is unknown", "red")
