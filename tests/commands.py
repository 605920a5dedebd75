"""Runs `mts` as a user does: another process, with nothing but its environment."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from logs import Log

from operations.config import subprocess_environment

MTS = Path(sys.executable).with_name("mts")
SECONDS = 60


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
            [MTS, *map(str, arguments)],
            env=subprocess_environment(self.settings),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())


def command_for(log: Log, folder: Path) -> Command:
    """Return `mts` for a log in a database, with its public key in a file audit.vkey."""
    key = folder / "audit.vkey"
    key.write_text(f"{log.key.verifier}\n")
    return Command(folder, MTS_POSTGRES_DSN=log.settings.dsn, MTS_AUDIT_PUBLIC_KEY_FILE=str(key))


def assert_harmless(text: str) -> None:
    """Nothing in it would make a terminal do anything but show text."""
    wrong = {character for character in text if not character.isprintable()} - {"\n"}
    assert not wrong, f"{wrong} in {text!r}"
