"""Runs `mts` as a user does: another process, with nothing but its environment."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from logs import Log
from support import PATIENCE_SECONDS

from operations.config import subprocess_environment

MTS = Path(sys.executable).with_name("mts")
SECONDS = 60


# Commands that wait for what becomes of an order, by default as long as a person likes to wait.
WAITING = {
    ("cmd",), ("config", "set"), ("config", "unset"), ("alerts", "ack"), ("alerts", "silence"),
    ("alerts", "close"), ("actions", "release"), ("keys", "publish-roster"), ("canary",),
}  # fmt: skip


class Said(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


class Command:
    """`mts` with given settings, in a folder of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = {"MTS_HOME": str(folder / "home"), **settings}

    def __call__(self, *arguments: object) -> Said:
        done = subprocess.run(
            words(*arguments),
            env=subprocess_environment(self.settings),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())


def words(*arguments: object) -> list[str]:
    """Return a command line of `mts` that waits longer than any busy machine needs.

    A test in which somebody does not answer says itself how long is waited: `--seconds`.
    """
    given = tuple(map(str, arguments))
    waits = "--seconds" not in given and not WAITING.isdisjoint({given[:1], given[:2]})
    return [str(MTS), *given, *(["--seconds", str(PATIENCE_SECONDS / 2)] if waits else [])]


def command_for(log: Log, folder: Path) -> Command:
    """Return `mts` for a log in a database, with its public key in a file audit.vkey."""
    key = folder / "audit.vkey"
    key.write_text(f"{log.key.verifier}\n")
    return Command(folder, MTS_POSTGRES_DSN=log.settings.dsn, MTS_AUDIT_PUBLIC_KEY_FILE=str(key))


def assert_harmless(text: str) -> None:
    """Nothing in it would make a terminal do anything but show text."""
    wrong = {character for character in text if not character.isprintable()} - {"\n"}
    assert not wrong, f"{wrong} in {text!r}"
