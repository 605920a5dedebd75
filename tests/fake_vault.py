"""The HTTP interface of Vault as far as we use it, for tests: a server on loopback, no Vault.

KV version 2 (read with its metadata, list), token lookup and renewal, AppRole login, and how Vault
says no: 400 for a wrong login, 403 for a token or policy, 404 for a path, 503 while sealed. Written
after Vault's documentation of its API; no real server was compared with it.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

from operations.clock import NANOSECONDS, now_ns, rfc3339

MOUNT = "secret"


class FakeVault:
    """A Vault. Its clock goes on by `advance`, so that tokens end when a test wants it."""

    def __init__(self) -> None:
        self.sealed = False
        self.broken: bytes | None = None  # answers this to everything, as a proxy in between would
        self.denied: set[str] = set()  # paths that the policy does not allow
        self.tokens: dict[str, dict[str, Any]] = {}
        self.roles: dict[str, str] = {}  # role id to secret id
        self.logins = self.renewals = 0
        self.token_seconds, self.renewable = 3600, True
        self._secrets: dict[str, list[dict[str, Any]]] = {}
        self._about: dict[str, dict[str, str]] = {}
        self._ahead_ns = 0
        self._numbers = count(1)
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, on the same port as before."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Be gone: nobody listens any more."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def now_ns(self) -> int:
        return now_ns() + self._ahead_ns

    def advance(self, seconds: float) -> None:
        self._ahead_ns += int(seconds * NANOSECONDS)

    def issue(self, seconds: int | None = None) -> str:
        """Make a token; 0 seconds: it never ends."""
        seconds = self.token_seconds if seconds is None else seconds
        token = f"hvs.{next(self._numbers)}"
        self.tokens[token] = {
            "creation_ttl": seconds,
            "ends_ns": self.now_ns() + seconds * NANOSECONDS if seconds else None,
            "renewable": self.renewable,
        }
        return token

    def put(self, path: str, values: dict[str, Any], **about: str) -> None:
        """Write a version, as `vault kv metadata put` and then `vault kv put` do."""
        self._about[path] = about
        versions = self._secrets.setdefault(path, [])
        versions.append({"data": values, "created": rfc3339(self.now_ns()), "deleted": ""})

    def delete(self, path: str) -> None:
        """Delete the newest version, as `vault kv delete` does."""
        self._secrets[path][-1] |= {"data": None, "deleted": rfc3339(self.now_ns())}

    def destroy(self, path: str) -> None:
        """Remove it with its metadata, as `vault kv metadata delete` does."""
        del self._secrets[path]

    def answer(self, method: str, path: str, token: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Return status and JSON for a request below /v1/."""
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if (method, path) == ("POST", "auth/approle/login"):
            return self._log_in(body)
        known = self.tokens.get(token)
        ended = not known or (known["ends_ns"] is not None and known["ends_ns"] <= self.now_ns())
        if known is None or ended or path in self.denied:
            return 403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}
        if path in ("auth/token/lookup-self", "auth/token/renew-self"):
            return self._token(path, known)
        kind, _, below = path.removeprefix(f"{MOUNT}/").partition("/")
        if (method, kind) == ("LIST", "metadata"):
            return self._list(below)
        return self._read(below) if (method, kind) == ("GET", "data") else (404, {"errors": []})

    def _log_in(self, body: dict[str, Any]) -> tuple[int, Any]:
        if self.roles.get(body.get("role_id", "")) != body.get("secret_id"):
            return 400, {"errors": ["invalid role or secret ID"]}
        self.logins += 1
        token = self.issue()
        return 200, {"auth": {"client_token": token, "lease_duration": self.token_seconds}}

    def _token(self, path: str, known: dict[str, Any]) -> tuple[int, Any]:
        if path.endswith("renew-self"):
            if not known["renewable"]:
                return 400, {"errors": ["lease is not renewable"]}
            self.renewals += 1
            known["ends_ns"] = self.now_ns() + known["creation_ttl"] * NANOSECONDS
            return 200, {"auth": {"client_token": "", "lease_duration": known["creation_ttl"]}}
        left = (known["ends_ns"] - self.now_ns()) // NANOSECONDS if known["ends_ns"] else 0
        names = ("creation_ttl", "renewable")
        return 200, {"data": {"ttl": left, **{name: known[name] for name in names}}}

    def _list(self, path: str) -> tuple[int, Any]:
        below = f"{path.rstrip('/')}/"
        names = {each.removeprefix(below) for each in self._secrets if each.startswith(below)}
        keys = sorted({name.partition("/")[0] + "/" * ("/" in name) for name in names})
        return (200, {"data": {"keys": keys}}) if keys else (404, {"errors": []})

    def _read(self, path: str) -> tuple[int, Any]:
        versions = self._secrets.get(path)
        if not versions:
            return 404, {"errors": []}
        newest = versions[-1]
        about = {
            "created_time": newest["created"],
            "custom_metadata": self._about[path] or None,
            "deletion_time": newest["deleted"],
            "destroyed": False,
            "version": len(versions),
        }
        status = 404 if newest["deleted"] else 200
        return status, {"data": {"data": newest["data"], "metadata": about}}


def _handler(vault: FakeVault) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        # Version 1.0 of HTTP: a connection ends with its answer, so `stop` leaves nobody serving.
        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            path = self.path.partition("?")[0].removeprefix("/v1/")
            token = self.headers.get("X-Vault-Token", "")
            status, said = vault.answer(self.command, path, token, body)
            payload = json.dumps(said).encode()
            if vault.broken is not None:
                status, payload = 200, vault.broken
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PUT = do_LIST = _do  # noqa: N815 (names of the base class)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler
