"""What tests of the notifications worker share: a firm with a database, channels and the worker."""

import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
from halting import Firm, envelope, in_this_loop
from history import read_stream
from receivers import MailServer, Receiver
from support import eventually

from operations import config
from operations.adapters.channels import catalogue
from operations.alert_settings import (
    Alerts,
    Apprise,
    Email,
    Notion,
    Pagerduty,
    Slack,
    Telegram,
    Webhook,
)
from operations.config import Postgres, subprocess_environment
from operations.events import subjects
from operations.events.findings import Finding, FindingCleared, FindingRaised, FindingUpdated
from operations.events.halts import HaltLifted, HaltRequested
from operations.process_settings import Log
from workers import notifications

ROOT = Path(__file__).resolve().parents[1]
ROLE = "mts_notifier"
TOLD = (FindingRaised, FindingUpdated, FindingCleared, HaltRequested, HaltLifted)
SECRETS = (
    "bot-secret", "hook-secret", "integration-secret", "hmac-secret", "notion-secret",
    "apprise-secret", "mail-password", "ping-secret",
)  # fmt: skip


class Site:
    """One firm whose alerts go to a receiver and a mail server on loopback."""

    def __init__(self, nats, database, receiver: Receiver, mail: MailServer, **alerts):
        self.firm = Firm(nats)
        self.nats, self.database, self.receiver, self.mail = nats, database, receiver, mail
        self.alerts = Alerts(**({"halt_seconds": 0.0, "timeout_seconds": 30.0} | alerts))
        self.bot_token = SECRETS[0]
        self.log = Log()
        self.channels = ("telegram", "slack", "pagerduty", "email", "webhook", "notion")

    def settings(self):
        on = {name: name in self.channels for name in catalogue.NAMES}
        url = self.receiver.url
        apprise = url.replace("http://", f"json://mts:{SECRETS[5]}@")
        base = self.firm.settings("notifications")
        return msgspec.structs.replace(
            base,
            postgres=Postgres(dsn=self.database.dsn(ROLE), database=self.database.name),
            alerts=self.alerts,
            telegram=Telegram(
                enabled=on["telegram"], bot_token=self.bot_token, chat_id="7", url=url
            ),
            slack=Slack(enabled=on["slack"], webhook_url=f"{url}/services/{SECRETS[1]}"),
            pagerduty=Pagerduty(
                enabled=on["pagerduty"], integration_key=SECRETS[2], url=f"{url}/v2/enqueue"
            ),
            email=Email(
                alerts_enabled="email" in self.channels,
                smtp_host="127.0.0.1",
                smtp_port=self.mail.port,
                smtp_security="none",
                smtp_user=self.mail.known[0],
                smtp_password=self.mail.known[1],
                sender="mts@example.org",
                to="desk@example.org",
            ),
            webhook=Webhook(enabled=on["webhook"], url=f"{url}/hook", key=SECRETS[3]),
            notion=Notion(enabled=on["notion"], token=SECRETS[4], database_id="db-1", url=url),
            apprise=Apprise(enabled=on["apprise"], url=f"{apprise}/any/{SECRETS[5]}"),
            log=self.log,
        )

    @asynccontextmanager
    async def working(self, **options):
        """Run the worker in this loop under the runtime's own rules."""
        run = partial(notifications.run, **options)
        async with in_this_loop("notifications", self.settings(), run) as worker:
            yield worker

    def process(self, *crash):
        """Start it as a process; with a step, a count and KILL it does that to itself there."""
        program = ["-m", "workers", "notifications"]
        if crash:
            program = [str(ROOT / "tests/workers/crash_at.py"), *map(str, crash), "notifications"]
        settings, variables = self.settings(), {}
        for setting in config.catalogue():
            section = getattr(settings, setting.section) if setting.section else settings
            variables[setting.variable] = str(getattr(section, setting.name))
        return Process([sys.executable, "-P", *program], subprocess_environment(variables))

    async def send(self, *events, key="service-watchdogs", user="watchdogs"):
        async with self.firm.connected(user) as person:
            for event in events:
                await person.send(event, key)

    async def rows(self, query, *values):
        connection = await self.database.connect()
        try:
            return await connection.fetch(query, *values)
        finally:
            await connection.close()

    def told(self):
        """How many messages each channel got, by its name."""
        paths = {
            "telegram": "/bot", "slack": "/services", "pagerduty": "/v2", "webhook": "/hook",
            "apprise": "/any",
        }  # fmt: skip
        counted = {name: len(self.receiver.at(path)) for name, path in paths.items()}
        counted["notion"] = len(self.receiver.at("/v1/pages"))
        return counted | {"email": len(self.mail.mails)}

    async def tells(self, number):
        """Wait until every channel that is on got so many messages."""
        wanted = dict.fromkeys(self.channels, number)
        await eventually(lambda: wanted.items() <= self.told().items(), str(wanted))

    async def quiet(self):
        """Wait until everything that was stored is decided on and everything decided is sent."""

        admin = self.firm.settings("admin").nats
        told = [each for kind in TOLD for each in await read_stream(admin, subjects.wildcard(kind))]
        last = max((each.sequence for each in told), default=0)

        async def nothing_left():
            waiting = await self.rows(
                "SELECT FROM notify.message WHERE state IN ('waiting', 'sending')"
            )
            (decided,) = await self.rows(
                "SELECT sequence FROM notify.progress ORDER BY stream_created_ns DESC LIMIT 1"
            )
            return decided["sequence"] >= last and not waiting

        await eventually(nothing_left, f"all up to {last} is decided on and sent")


class Process:
    """The worker as a process."""

    def __init__(self, command, environment):
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        os.set_blocking(self._process.stdout.fileno(), False)
        self._said = b""

    def said(self):
        """Everything that it wrote so far."""
        self._said += self._process.stdout.read() or b""
        return self._said.decode()

    async def died(self):
        await eventually(lambda: self._process.poll() is not None, "it dies")
        assert self._process.returncode == -signal.SIGKILL, self.said()

    def pause(self):
        self._process.send_signal(signal.SIGSTOP)

    def end(self):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        self._process.wait()
        self.said()
        self._process.stdout.close()

    def ended(self):
        """End it and return everything that it wrote."""
        self.end()
        return self._said.decode()


def vpin(kind=FindingRaised, episode="e-1", severity="critical", environment="live", **changes):
    """A finding of the watchdogs."""
    data = Finding(
        **(
            {
                "check": "vpin",
                "episode": episode,
                "severity": severity,
                "title": f"toxic flow in {episode}",
                "looked_at": "2026-11-20T16:00:00Z",
                "rule_version": "1",
                "mode": "act",
                "statistic": 0.61,
                "threshold": 0.4,
                "samples": 600,
            }
            | changes
        )
    )
    return kind(**envelope("AAPL", fund_id="alpha", environment=environment), data=data)


def over(episode="e-1"):
    return vpin(FindingCleared, episode, "info")


def worse(episode="e-1"):
    return vpin(FindingUpdated, episode, "critical")
