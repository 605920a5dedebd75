"""What stands in Vault or OpenBao: one secret of the KV engine, version 2, for each fund.

hvac waits for answers, so a look belongs in a thread. The token comes from a file that somebody
keeps fresh or from an AppRole; it is renewed when half of its time is over, and after a refusal
read, or logged in for, once more.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hvac
import requests
from hvac.exceptions import Forbidden, InvalidPath, VaultError

from operations.adapters.credentials import read_secret
from operations.config import Vault as Settings
from operations.errors import Rejected, Retryable
from operations.settings.book import FIRM

FIRM_SECRET, FUND_SECRETS = "firm", "funds"
# The last two: something answers that is no Vault.
_TROUBLE = (VaultError, requests.RequestException, Rejected, KeyError, TypeError)
RENEWED_BELOW = 0.5  # of the time for which a token was given


class Secret(NamedTuple):
    """One version of a secret: the settings of a fund, or of the firm where `fund_id` is empty.

    `values` is None for a version that somebody deleted. `actor` and `reason` are what the custom
    metadata of the secret says, empty where it says nothing.
    """

    path: str
    fund_id: str
    version: int
    created_at: str
    values: dict[str, Any] | None
    actor: str
    reason: str


class Vault:
    """One Vault and how we log in to it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = hvac.Client(
            url=settings.url,
            token="",  # else hvac takes whatever token lies in the environment or at home
            namespace=settings.namespace or None,
            verify=settings.ca_file or True,
            timeout=settings.timeout_seconds,
        )

    def look(self) -> list[Secret]:
        """Return every secret there is. Raises Retryable, with what is wrong, in an outage.

        A secret that is missing is not in the list; only a deleted version says "no values".
        """
        try:
            try:
                return self._look()
            except Forbidden:
                self._client.token = ""  # it was revoked, or it ended while nobody answered
                return self._look()
        except _TROUBLE as error:
            self._client.token = ""
            raise Retryable(self._words(error)) from error

    def _look(self) -> list[Secret]:
        if not self._client.token:
            self._log_in()
        self._keep_token()
        return [found for each in self._paths() if (found := self._read(*each))]

    def _log_in(self) -> None:
        settings = self._settings
        if settings.role_id:
            secret_id = _file(settings.secret_id_file, "vault.secret_id_file")
            self._client.auth.approle.login(settings.role_id, secret_id)  # sets the token
        else:
            self._client.token = _file(settings.token_file, "vault.token_file")

    def _keep_token(self) -> None:
        """Renew the token before it ends; one that cannot be renewed ends, and we log in again."""
        token = self._client.auth.token.lookup_self()["data"]
        given, left = token.get("creation_ttl", 0), token.get("ttl", 0)
        if not given or left > given * RENEWED_BELOW:
            return
        if token.get("renewable"):
            self._client.auth.token.renew_self()
        elif self._settings.role_id:
            self._log_in()
        else:
            # Whoever writes the file may have put a new one there.
            self._client.token = _file(self._settings.token_file, "vault.token_file")

    def _paths(self) -> Iterator[tuple[str, str]]:
        """Give the path of each secret with its fund."""
        base = self._settings.path.strip("/")
        yield f"{base}/{FIRM_SECRET}", FIRM
        try:
            found = self._client.secrets.kv.v2.list_secrets(
                path=f"{base}/{FUND_SECRETS}", mount_point=self._settings.mount
            )
        except InvalidPath:
            return  # there is none
        for fund_id in found["data"]["keys"]:
            if not fund_id.endswith("/"):
                yield f"{base}/{FUND_SECRETS}/{fund_id}", fund_id

    def _read(self, path: str, fund_id: str) -> Secret | None:
        try:
            found = self._client.secrets.kv.v2.read_secret_version(
                path=path, mount_point=self._settings.mount, raise_on_deleted_version=False
            )["data"]
        except InvalidPath:
            return None
        about = found["metadata"]
        said = about.get("custom_metadata") or {}
        return Secret(
            path=f"{self._settings.mount}/{path}",
            fund_id=fund_id,
            version=about["version"],
            created_at=about.get("deletion_time") or about["created_time"],
            values=found["data"],
            actor=str(said.get("actor", "")),
            reason=str(said.get("reason", "")),
        )

    def _words(self, error: Exception) -> str:
        """Say what is wrong without the token; errors of Vault name paths, never secrets."""
        where = self._settings.url
        if isinstance(error, Forbidden):
            return f"Vault at {where} refuses our token or its policy: {error}"
        if isinstance(error, requests.RequestException):
            return f"Vault at {where} does not answer: {type(error).__name__}"
        if isinstance(error, KeyError | TypeError):
            return f"what answers at {where} is no Vault: it lacks {error}"
        return f"Vault at {where}: {error}"


def _file(name: str, setting: str) -> str:
    if not name:
        raise Rejected(f"{setting} is empty; say with which token we log in to Vault")
    return read_secret(Path(name))
