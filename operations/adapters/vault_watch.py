"""Looks into Vault again and again, beside the work, and remembers the last good answer.

In an outage the settings that the stream has from Vault go on to hold: nothing is said, so nothing
changes, and everybody sees since when Vault was silent.
"""

import asyncio
from collections.abc import Sequence

from operations.adapters.settings_desk import SettingsDesk
from operations.adapters.settings_keeper import SettingsKeeper
from operations.adapters.vault import Secret, Vault
from operations.clock import NANOSECONDS, now_ns, rfc3339
from operations.errors import Rejected, Retryable
from operations.settings import answers, layers
from operations.settings.answers import SAID_BY_NOBODY

SOMEBODY = "somebody in Vault"
LOOKS = 3  # in a row without an answer, until people are told
LONGEST_ACTOR = 256


class VaultWatch:
    """What Vault said last, and how long ago. `problem` says what is wrong now, in words."""

    def __init__(self, vault: Vault) -> None:
        self.problem = "Vault was not asked yet"
        self.answered_ns = 0  # when it answered last
        self.refused: dict[str, str] = {}  # what of it cannot hold, by path
        self._known = False  # whether the stream has anything from Vault
        self._vault = vault
        self._failed = 0
        self._secrets: Sequence[Secret] | None = None

    async def look(self) -> None:
        """Ask once; what came of it is for `apply`."""
        try:
            self._secrets = await asyncio.to_thread(self._vault.look)
        except Retryable as error:
            self.problem = str(error)
            self._failed += 1
        else:
            self.problem = ""
            self._failed = 0
            self.answered_ns = now_ns()

    async def apply(self, desk: SettingsDesk, keeper: SettingsKeeper) -> None:
        """Say in the stream what Vault changed, or that it is silent. Raises Retryable."""
        self._known = any(True for _ in desk.book.entries("vault"))
        if self._failed >= LOOKS and desk.outage is None:
            last = rfc3339(self.answered_ns) if self.answered_ns else ""
            await keeper.say(answers.silent(self.problem, last, now_ns()))
        if not self.problem and desk.outage is not None:
            await keeper.say(answers.over(desk.outage, "Vault answers again", now_ns()))
        if self._secrets is None:
            return
        secrets, self._secrets = self._secrets, None
        self.refused = {}
        for secret in secrets:
            await self._apply(secret, desk, keeper)
        known = {each.fund_id for each in secrets}
        for entry in desk.book.entries("vault"):
            place = entry.place
            if entry.value is not None and place.fund_id not in known:
                whose = f"fund {place.fund_id}" if place.fund_id else "the firm"
                self.refused[place.fund_id] = f"the secret of {whose} is gone, its last values hold"

    async def _apply(self, secret: Secret, desk: SettingsDesk, keeper: SettingsKeeper) -> None:
        try:
            wanted = layers.of_secret(desk.book.catalogue, secret.fund_id, secret.values or {})
            changes = layers.differences(desk.book, "vault", wanted, secret.fund_id)
        except Rejected as error:
            self.refused[secret.path] = f"version {secret.version} of {secret.path}: {error}"
            found = answers.secret_refused(
                secret.path, secret.version, str(error), secret.created_at
            )
            await _end(desk, keeper, secret, "is refused too", found.event_id)
            await keeper.say(found)
            return
        await _end(desk, keeper, secret, "holds")
        for change in changes:
            await keeper.say_layer(
                change,
                actor=(secret.actor or SOMEBODY)[:LONGEST_ACTOR],
                reason=secret.reason or SAID_BY_NOBODY,
                at=secret.created_at,
                revision=secret.version,
            )

    def words(self) -> str:
        """Say in one line how it is, with the age of what holds in an outage."""
        if self.problem:
            if not self._known:
                return f"{self.problem}; nothing that it holds was ever known, and the others hold"
            if not self.answered_ns:
                return f"{self.problem}; no answer since this start, the last settings hold"
            age = (now_ns() - self.answered_ns) // NANOSECONDS
            return f"{self.problem}; the settings of {age} s ago hold"
        if self.refused:
            return "; ".join(self.refused.values())
        return f"answered at {rfc3339(self.answered_ns)[:19]}Z"

    @property
    def well(self) -> bool:
        """Whether what Vault says is what holds."""
        return not self.problem and not self.refused


async def _end(
    desk: SettingsDesk, keeper: SettingsKeeper, secret: Secret, words: str, still: str = ""
) -> None:
    """Say that what was wrong with a secret is over, unless it is that which is wrong now."""
    wrong = desk.wrong.get(secret.path)
    if wrong is not None and wrong.event_id != still:
        title = f"version {secret.version} of {secret.path} in Vault {words}"
        await keeper.say(answers.over(wrong, title, now_ns()))
