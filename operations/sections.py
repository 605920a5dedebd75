"""What settings are made of: sections of described fields, of which some are secrets."""

from msgspec import Meta, Struct

POSITIVE = Meta(gt=0, le=1_000_000_000)  # the upper bound leaves infinity out
NOT_NEGATIVE = Meta(ge=0, le=1_000_000_000)


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of settings."""


def doc(text: str) -> Meta:
    """Describe a setting."""
    return Meta(description=text)


def secret(text: str) -> Meta:
    """Describe a setting that is shown to nobody and given to no process but the one it is for."""
    return Meta(description=text, extra={"secret": True})
