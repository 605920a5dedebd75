"""The events of the settings service: what changed, what it refused, what it found.

Every id follows from the cause, so whoever is killed and says it again says the same event.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from msgspec import Struct

from operations.clock import rfc3339
from operations.events.base import derived_id
from operations.events.commands import ConfigureCommanded, ModeCommanded
from operations.events.findings import Finding, FindingCleared, FindingRaised, Parameter
from operations.events.operations import ConfigChange, ConfigChanged
from operations.settings.book import FIRM, Book, Place
from operations.settings.catalogue import MODE
from operations.settings.change import Change

CHECK = "settings"
VERSION = "settings/v1"
KIND = "kind"
REFUSED, EDITED, OUTAGE, SECRET = "command_refused", "kv_edited", "vault_silent", "vault_refused"
TITLE_LENGTH = 300
SAID_BY_NOBODY = "no reason was given"

Command = ConfigureCommanded | ModeCommanded


class Asked(NamedTuple):
    """A command as the stream holds it: its place, its time in ns since 1970, its hash."""

    event: Command
    sequence: int
    at_ns: int
    payload_sha256: str

    @property
    def change_id(self) -> str:
        """The id of the change that it leads to; a copy of the command leads to the same."""
        return derived_id(self.payload_sha256, "changed", self.event.subject, 0)

    @property
    def refusal_id(self) -> str:
        """The id of its refusal; each copy of it is refused on its own."""
        return derived_id(self.payload_sha256, REFUSED, self.event.subject, self.sequence)


class KvEntry(Struct, frozen=True, kw_only=True):
    """What NATS KV holds under a key; `event_id` is that of the change in the stream."""

    value: str | None
    actor: str
    reason: str
    at: str
    event_id: str


def change_of(event: Command) -> Change:
    """Return what a command asks for."""
    data, fund_id = event.data, event.fund_id or FIRM
    if isinstance(event, ModeCommanded):
        return Change(Place("kv", data.check, MODE, fund_id), event.data.mode)
    return Change(Place("kv", data.check, event.data.setting, fund_id), event.data.value)


def kv_entry(changed: ConfigChanged) -> bytes:
    """Return what NATS KV holds for a change."""
    return msgspec.json.encode(
        KvEntry(
            value=changed.data.new_value,
            actor=changed.actor,
            reason=changed.data.reason,
            at=changed.timestamp,
            event_id=changed.event_id,
        )
    )


def changed(
    book: Book,
    change: Change,
    *,
    event_id: str,
    actor: str,
    reason: str,
    at: str,
    cause: Asked | None = None,
    revision: int | None = None,
) -> ConfigChanged:
    """Return the event that a value stands at a place from now on."""
    place = change.place
    before = book.entry(place)
    return ConfigChanged(
        event_id=event_id,
        timestamp=at,
        actor=actor,
        source=CHECK,
        subject_id=place.setting,
        fund_id=place.fund_id or None,
        causation_id=cause.event.event_id if cause else None,
        correlation_id=cause.event.correlation_id if cause else None,
        data=ConfigChange(
            setting=place.setting,
            old_value=before.value if before else None,
            new_value=change.value,
            reason=reason or SAID_BY_NOBODY,
            layer=place.layer,
            revision=revision,
        ),
    )


def with_revision(event: ConfigChanged, revision: int) -> ConfigChanged:
    """Return a change with the revision under which NATS KV holds it."""
    data = msgspec.structs.replace(event.data, revision=revision)
    return msgspec.structs.replace(event, data=data)


def changed_by_layer(
    book: Book, change: Change, *, actor: str, reason: str, at: str, revision: int | None = None
) -> ConfigChanged:
    """Return the same for a value that stands in a file, the environment or Vault.

    Its id follows from the change before it at this place, so it is said once.
    """
    before = book.entry(change.place)
    rule = f"{change.place.layer} {change.value!r} {revision}"
    event_id = derived_id(before.event_id if before else "", rule, str(change.place), 0)
    return changed(
        book, change, event_id=event_id, actor=actor, reason=reason, at=at, revision=revision
    )


def refused(asked: Asked, signer: str, words: str) -> FindingRaised:
    """Return the finding that says why a command changed nothing.

    `signer` is who signed it, or who is named as its actor when the signature does not hold.
    """
    event, what = asked.event, asked.event.subject.removeprefix("mts.v1.operations.")
    return _raised(
        asked.refusal_id,
        REFUSED,
        f"refused {what} of {signer}: {words}",
        rfc3339(asked.at_ns),
        event.data.command_id,
        {"subject": event.subject, "stream_sequence": str(asked.sequence)},
        details=words,
        fund_id=event.fund_id,
        cause=event.event_id,
    )


def edited(key: str, revision: int, bucket_created_ns: int, at_ns: int) -> FindingRaised:
    """Return the finding that somebody wrote into NATS KV, which was put back."""
    return _raised(
        derived_id(f"{bucket_created_ns}:{revision}", EDITED, key, 0),
        EDITED,
        f"{key} in NATS KV was changed without a signed command, and was put back",
        rfc3339(at_ns),
        key,
        {"key": key, "revision": str(revision)},
        details="look who knows the password of the user settings or admin; see "
        "docs/runbooks/settings.md",
    )


def secret_refused(path: str, version: int, words: str, at: str) -> FindingRaised:
    """Return the finding that what stands in Vault cannot be obeyed; the settings before hold."""
    return _raised(
        derived_id(f"{path}:{version}", SECRET, words, 0),
        SECRET,
        f"version {version} of {path} in Vault is refused: {words}",
        at,
        path,
        {"path": path, "version": str(version)},
        details="the settings before it hold; correct it in Vault",
    )


def silent(words: str, last_answer: str, at_ns: int) -> FindingRaised:
    """Return the finding that Vault does not answer; the last settings hold."""
    at = rfc3339(at_ns)
    return _raised(
        derived_id(at, OUTAGE, "vault", 0),
        OUTAGE,
        f"Vault does not answer, its settings of {last_answer or 'before that'} hold: {words}",
        at,
        "vault",
        {"last_answer": last_answer},
        details=words,
    )


def over(raised: FindingRaised, title: str, at_ns: int) -> FindingCleared:
    """Return the end of a finding about Vault."""
    at = rfc3339(at_ns)
    data = msgspec.structs.replace(
        raised.data, severity="info", title=title[:TITLE_LENGTH], looked_at=at, details=None
    )
    return FindingCleared(
        event_id=derived_id(raised.event_id, "cleared", raised.subject_id, 0),
        timestamp=at,
        actor=CHECK,
        source=CHECK,
        subject_id=raised.subject_id,
        causation_id=raised.event_id,
        data=data,
    )


def parameter(finding: Finding, name: str) -> str:
    """Return a parameter of a finding, empty where it has none of that name."""
    return next((each.value for each in finding.parameters if each.name == name), "")


def _raised(
    event_id: str,
    kind: str,
    title: str,
    at: str,
    subject_id: str,
    named: Mapping[str, str],
    *,
    details: str,
    fund_id: str | None = None,
    cause: str | None = None,
) -> FindingRaised:
    data = Finding(
        check=CHECK,
        episode=event_id,
        severity="warning",
        title=title[:TITLE_LENGTH],
        looked_at=at,
        rule_version=VERSION,
        details=details,
        parameters=tuple(
            Parameter(name=name, value=value)
            for name, value in ({KIND: kind} | dict(named)).items()
        ),
        mode="act",
    )
    return FindingRaised(
        event_id=event_id,
        timestamp=at,
        actor=CHECK,
        source=CHECK,
        subject_id=subject_id,
        fund_id=fund_id,
        causation_id=cause,
        data=data,
    )
