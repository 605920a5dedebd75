"""Servers on loopback that people's channels talk to in tests: they answer as told, and remember.

An HTTP server that any channel posts to, and a real mail server.
"""

import json
import threading
from collections import deque
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from operations.adapters.ports import free_port
from operations.notifications.message import Message

LONGEST_SECONDS = 120
START_SECONDS = 60
MESSAGE = Message(
    message_id="m-1",
    key="k-1",
    channel="any",
    action="raise",
    severity="critical",
    headline="[critical] <!channel> toxic & bad",
    lines=("fund: alpha", "runbook: docs/runbooks/vpin.md"),
    episodes=("e-1",),
    source="AAPL",
    created_at="2026-11-20T16:00:00.000000000Z",
)


class Request(NamedTuple):
    """What somebody sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


NOTHING: dict[str, str] = {}


class Answer(NamedTuple):
    """What is answered; one that hangs takes the request and says nothing until it is let go.

    One that trickles sends a header of one letter after the other, without an end.
    """

    status: int = 200
    headers: dict[str, str] = NOTHING
    body: bytes = b"ok"
    hangs: bool = False
    trickles: bool = False


class Receiver:
    """An HTTP server; `answers` are used up one by one, then everything is 200."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: deque[Answer] = deque()
        self.always: Answer | None = None
        self.let_go = threading.Event()
        self.cut_off = threading.Event()  # set when somebody who was trickled to has gone
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                headers = {key.lower(): value for key, value in self.headers.items()}
                request = Request(self.command, self.path, headers, body)
                answer = receiver.take(request)
                if answer.hangs:
                    receiver.let_go.wait(LONGEST_SECONDS)
                    self.close_connection = True
                    return
                if answer.trickles:
                    receiver.trickle(self.wfile)
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST  # noqa: N815 (the name that http.server asks for)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def take(self, request: Request) -> Answer:
        self.requests.append(request)
        if self.always is not None:
            return self.always
        return self.answers.popleft() if self.answers else Answer()

    def trickle(self, to: BinaryIO) -> None:
        try:
            to.write(b"HTTP/1.1 200 OK\r\nX: ")
            while not self.let_go.wait(0.05):
                to.write(b"x")
        except OSError:
            self.cut_off.set()

    def at(self, path: str) -> list[Request]:
        """Every request to a path."""
        return [each for each in self.requests if each.path.startswith(path)]

    def stop(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class MailServer:
    """A mail server on loopback; `mails` are those that it took, `answer` what it says to one.

    `refuses` are the addresses that it does not take, with what it says to each.
    """

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answer = "250 OK"
        self.refuses: dict[str, str] = {}
        self.login: tuple[str, str] | None = None
        self.known = ("ops", "mail-password")
        self.port = free_port()
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            auth_require_tls=False,
            ready_timeout=START_SECONDS,
            authenticator=self._authenticate,
        )

    def _authenticate(self, _server, _session, _envelope, _mechanism, data) -> AuthResult:
        self.login = (data.login.decode(), data.password.decode())
        return AuthResult(success=self.login == self.known, handled=False)

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, _server, _session, envelope, address, _options
    ) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope) -> str:  # noqa: N802 (aiosmtpd's name)
        if self.answer.startswith("250"):
            self.mails.append(message_from_bytes(envelope.content, policy=default))
        return self.answer

    def start(self) -> "MailServer":
        self._controller.start()
        return self

    def stop(self) -> None:
        self._controller.stop()


@contextmanager
def receiving():
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.stop()


@contextmanager
def mailing():
    server = MailServer().start()
    try:
        yield server
    finally:
        server.stop()
