"""What tests of the settings worker share: a firm, people who order, and the worker itself."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from halting import Firm, envelope, in_this_loop, times
from settings_of_tests import CATALOGUE
from support import eventually

from operations.adapters import accounts, roster_files
from operations.adapters.credentials import write_private
from operations.clock import now_ns
from operations.config import Vault, Watchdogs, subprocess_environment
from operations.events.base import encode
from operations.events.commands import (
    ConfigureCommanded,
    ConfigureOrder,
    ModeCommanded,
    ModeOrder,
)
from operations.events.operations import ConfigChanged
from operations.settings.catalogue import Catalogue
from operations.signing import keys, roster
from operations.signing.roles import rights_of
from workers import settings

ROOT = Path(__file__).resolve().parents[1]
CHANGED = ConfigChanged.pattern
FINDINGS = "mts.v1.operations.finding.settings.*"
DAY_NS = 86_400 * 1_000_000_000


def configure(setting: str, value: str | None, fund: str = "", *, reason="why", **head):
    check, _, name = setting.partition(".")
    known = {"fund_id": fund} if fund else {}
    if name == "mode" and value is not None:
        mode = ModeOrder(check=check, mode=value, reason=reason, **(times() | head))
        return ModeCommanded(**envelope(setting, **known), data=mode)
    data = ConfigureOrder(check=check, setting=name, value=value, reason=reason, **(times() | head))
    return ConfigureCommanded(**envelope(setting, **known), data=data)


class SettingHouse:
    """A firm whose settings are changed. `vault` and `watchdogs` are settings of the worker.

    `known` is what can be set there: by default the limits of the tests.
    """

    def __init__(self, firm: Firm, known: Catalogue = CATALOGUE) -> None:
        self.firm = firm
        self.known = known
        self.vault = Vault()
        self.watchdogs = Watchdogs()

    def hire(self, name: str, *held: str) -> None:
        """Give somebody a key with roles, in the roster file that every receiver reads."""
        base = self.firm.base
        root = roster_files.read_private(base.path("keys", "root.key"))
        known = roster_files.read_roster(base.roster_path, root.public, 1, base.environment)
        private = keys.new_key(name)
        write_private(base.path("keys", f"{name}.key"), f"{private.secret_text()}\n")
        rights = {role: rights_of(role) for role in held}
        at_ns = now_ns()
        body = roster.with_key(known.body, private.public, rights, at_ns, at_ns + DAY_NS)
        write_private(base.roster_path, roster.sign(body, root).decode())

    async def order(self, key: str, *arguments: Any, **named: Any) -> str:
        """Send a signed command; returns its event id."""
        return await self.send(key, configure(*arguments, **named))

    async def send(self, key: str, event, **headers: str) -> str:
        async with self.firm.connected("operator") as person:
            return await person.send(event, key, **headers)

    async def forge(self, user: str, event) -> None:
        """Publish an event without a signature, as a user of the bus."""
        client = await self.firm.nats.connect(user)
        try:
            await client.publish(event.subject, encode(event))
            await client.flush()
        finally:
            await client.close()

    def settings(self):
        found = self.firm.settings(accounts.SETTINGS)
        return msgspec.structs.replace(found, vault=self.vault, watchdogs=self.watchdogs)

    def working(self):
        """Run the settings worker in this loop until it has read everything."""
        return self.waiting("changes of settings are known")

    def starting(self):
        """Run it and wait for nothing."""
        return in_this_loop("settings", self.settings(), partial(settings.run, known=self.known))

    @asynccontextmanager
    async def waiting(self, words: str):
        """Run it until it says something about itself."""
        async with self.starting() as worker:
            await eventually(
                lambda: (found := worker.conditions.get("worker")) and words in found.detail,
                f"it says {words}",
            )
            yield worker

    @contextmanager
    def process(self, *crash: str) -> Iterator[subprocess.Popen]:
        """Run it as a process that kills itself at a step."""
        found = self.settings()
        environment = {**subprocess_environment({}), "MTS_HOME": found.home}
        environment["MTS_SERVICE_KEY_FILE"] = found.service_key_file
        for section in ("nats", "http", "vault"):
            for name, value in msgspec.structs.asdict(getattr(found, section)).items():
                environment[f"MTS_{section}_{name}".upper()] = str(value)
        environment |= found.watchdogs.environment
        program = str(ROOT / "tests/workers/crash_settings.py")
        process = subprocess.Popen([sys.executable, "-P", program, *crash], env=environment)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    async def dies_at(self, step: str, count: int) -> None:
        with self.process(step, str(count), "KILL") as process:
            await eventually(lambda: process.poll() is not None, "it dies")
            assert process.returncode == -signal.SIGKILL

    async def changes(self) -> list[ConfigChanged]:
        return await self.firm.stored(CHANGED)

    async def values(self) -> list[tuple]:
        """What changed, in the order of the stream: setting, fund, value, actor, reason."""
        return [
            (e.data.setting, e.fund_id or "", e.data.new_value, e.actor, e.data.reason)
            for e in await self.changes()
        ]

    async def holds(self, *expected: tuple) -> None:
        async def there() -> bool:
            return await self.values() == [*expected]

        await eventually(there, f"the stream holds {expected}")

    async def refusal(self, cause: str) -> str:
        """Return the words with which a command was refused."""

        async def found() -> str:
            for each in await self.firm.stored(FINDINGS):
                if each.causation_id == cause:
                    return each.data.details
            return ""

        return await eventually(found, f"{cause} is refused")

    async def bucket(self, key: str) -> dict:
        """Return what an ordinary client of NATS KV reads under a key."""
        client = await self.firm.nats.connect()
        try:
            found = await (await client.jetstream().key_value("settings")).get(key)
            return {**msgspec.json.decode(found.value), "revision": found.revision}
        finally:
            await client.close()

    async def edit(self, key: str, value: bytes | None) -> None:
        """Change the bucket as somebody with a password does; None deletes."""
        client = await self.firm.nats.connect()
        try:
            bucket = await client.jetstream().key_value("settings")
            await (bucket.delete(key) if value is None else bucket.put(key, value))
        finally:
            await client.close()
