"""Runs `mts` at a terminal, as a person does who reads and types."""

import os
import pty
import subprocess

from commands import Command, words
from support import PATIENCE_SECONDS

from operations.config import subprocess_environment


def plain(text: str) -> str:
    """Text without the sequences that colour it."""
    parts = text.split("\x1b[")
    return parts[0] + "".join(part.partition("m")[2] for part in parts[1:])


def at_a_terminal(
    command: Command, answers: list[str], *arguments: str, width: int = 80
) -> tuple[int, str]:
    """Run `mts` at a terminal of a width and type an answer at each question."""
    here, there = pty.openpty()
    with subprocess.Popen(
        words(*arguments),
        env=subprocess_environment(command.settings) | {"COLUMNS": str(width), "TERM": "xterm"},
        stdin=there,
        stdout=there,
        stderr=there,
        start_new_session=True,
    ) as process:
        os.close(there)
        text = b""
        while True:
            try:
                read = os.read(here, 4096)
            except OSError:  # the other end is closed
                break
            text += read
            if text.endswith(b": ") and answers:
                os.write(here, f"{answers.pop(0)}\n".encode())
        process.wait(PATIENCE_SECONDS)
    os.close(here)
    return process.returncode, text.decode()
