"""What can be set, with its type, its range and the direction in which it gets looser.

Made from Structs: each check has one, whose fields are its settings with their defaults. Beside
them every check has a mode. A field says what lets more pass by `LOOSER_HIGHER` or `LOOSER_LOWER`
in its `Annotated`; for one that says nothing every change counts as looser.
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from operations.errors import Rejected

Mode = Literal["off", "observe", "act"]
MODES: tuple[Mode, ...] = get_args(Mode)
MODE = "mode"
DEFAULT_MODE: Mode = "observe"
LOOSER_HIGHER = Meta(extra={"looser": "higher"})
LOOSER_LOWER = Meta(extra={"looser": "lower"})
_KINDS = {int: "a whole number", float: "a number", Decimal: "a number", bool: "true or false"}
_BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


class Setting(Struct, frozen=True, kw_only=True):
    """One thing that can be set. `looser` is higher, lower, or empty where nothing is declared."""

    check: str
    name: str
    hint: Any
    default: Any
    description: str
    looser: str = ""
    allowed: str = ""

    @property
    def full_name(self) -> str:
        """How people name it."""
        return f"{self.check}.{self.name}"

    def parse(self, text: str) -> Any:
        """Return the value that a text stands for. Raises Rejected with what is allowed."""
        try:
            value = _convert(text, self.hint)
        except (msgspec.ValidationError, ArithmeticError) as error:
            wanted = " ".join(filter(None, (self._kind, self.allowed))) or str(error)
            raise Rejected(
                f"{self.full_name} cannot be {text[:80]!r}, it has to be {wanted}: "
                f"{self.description}"
            ) from error
        if isinstance(value, float | Decimal) and not math.isfinite(value):
            raise Rejected(f"{self.full_name} cannot be {text!r}: not a finite number")
        return value

    @property
    def _kind(self) -> str:
        """What it is in words, empty where its type has none: a list, a mode."""
        types = {self.hint, *_metas(self.hint)}
        return next((words for kind, words in _KINDS.items() if kind in types), "")

    def loosens(self, old: Any, new: Any) -> bool:
        """Whether a change lets more pass, or may do so. No value is no limit, the loosest."""
        if old == new:
            return False
        if self.name == MODE:
            return bool(new != "act")
        if not self.looser:
            return True
        if old is None or new is None:
            return new is None
        return bool(new > old if self.looser == "higher" else new < old)


class Catalogue:
    """Every setting of every check."""

    def __init__(self, limits: Mapping[str, type[Struct]]) -> None:
        self.limits = dict(limits)
        self._settings = {check: _settings(check, kind) for check, kind in limits.items()}

    def settings(self, check: str = "") -> Iterable[Setting]:
        """Give the settings of one check or of all, the mode first. Raises Rejected."""
        for name in (self.check(check),) if check else self._settings:
            yield from self._settings[name].values()

    def check(self, name: str) -> str:
        """Return the name of a check that exists. Raises Rejected with the nearest one."""
        if name not in self._settings:
            raise Rejected(f"there is no check {name!r}{nearest(name, self._settings)}")
        return name

    def find(self, check: str, name: str) -> Setting:
        """Return one setting. Raises Rejected with the nearest known name."""
        known = self._settings[self.check(check)]
        if name not in known:
            raise Rejected(f"{check} has no setting {name!r}{nearest(name, known)}")
        return known[name]

    def named(self, full_name: str) -> Setting:
        """Return the setting that CHECK.FIELD names. Raises Rejected."""
        check, dot, name = full_name.partition(".")
        if not dot:
            if check not in self._settings:
                raise Rejected(f"{full_name!r} does not read CHECK.FIELD, as vpin.{MODE}")
            known = ", ".join(f"{check}.{each}" for each in self._settings[check])
            raise Rejected(f"{check} is a check; say which of its settings: {known}")
        return self.find(check, name)

    def build(self, check: str, values: Mapping[str, Any]) -> Struct:
        """Return the limits of a check with these values. Raises Rejected for a combination."""
        try:
            return msgspec.convert(dict(values), self.limits[self.check(check)])
        except msgspec.ValidationError as error:
            raise Rejected(f"these limits of {check} do not go together: {error}") from error


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the words that help whoever mistyped a name."""
    names = sorted(known)
    if found := difflib.get_close_matches(name, names, 1):
        return f"; did you mean {found[0]}?"
    return f"; known are {', '.join(names) or 'none'}"


def text_of(value: Any) -> str:
    """Return a value as the text that `Setting.parse` reads."""
    match value:
        case str():
            return value
        case Decimal():
            return f"{value:f}"
    return msgspec.json.encode(value).decode()


def _settings(check: str, kind: type[Struct]) -> dict[str, Setting]:
    mode = Setting(
        check=check,
        name=MODE,
        hint=Mode,
        default=DEFAULT_MODE,
        description="Whether it looks, and whether what it finds has consequences.",
        looser="lower",
        allowed=", ".join(MODES),
    )
    hints = get_type_hints(kind, include_extras=True)
    fields = (_field(check, info, hints[info.name]) for info in msgspec.structs.fields(kind))
    return {MODE: mode} | {each.name: each for each in fields}


def _field(check: str, info: msgspec.structs.FieldInfo, hint: Any) -> Setting:
    if info.required or info.name == MODE:
        raise TypeError(f"{check}.{info.name} needs a default and a name other than {MODE}")
    metas = [meta for meta in _metas(hint) if isinstance(meta, Meta)]
    default = info.default if info.default is not msgspec.NODEFAULT else info.default_factory()
    return Setting(
        check=check,
        name=info.name,
        hint=hint,
        default=default,
        description=next((meta.description for meta in metas if meta.description), ""),
        looser=next(
            (extra["looser"] for each in metas if "looser" in (extra := each.extra or {})), ""
        ),
        allowed=" and ".join(_bounds(metas)),
    )


def _metas(hint: Any) -> Iterable[Any]:
    """Give everything that is said about a type, at the top and within."""
    for part in get_args(hint):
        yield part
        yield from _metas(part)


def _bounds(metas: Iterable[Meta]) -> Iterable[str]:
    for meta in metas:
        for name, words in _BOUNDS.items():
            if (bound := getattr(meta, name)) is not None:
                yield f"{words} {bound:g}"


def _convert(text: str, hint: Any) -> Any:
    """Read a text as it stands, or where that fails as JSON: lists and tables are written so."""
    try:
        return msgspec.convert(text, hint, strict=False)
    except msgspec.ValidationError:
        if text[:1] not in ("[", "{"):
            raise
    try:
        return msgspec.json.decode(text, type=hint, strict=False)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        raise msgspec.ValidationError(str(error)) from error
