"""The key of the log: show the public one, change the signing one."""

import sys
import time

from operations import config
from operations.adapters import key_rotation, keyfiles
from operations.cli.output import CANNOT, PROVEN, complain
from operations.clock import NANOSECONDS, monotonic_ns

CONFIRMATION = "ROTATE"
ANSWER_SECONDS = 30.0
LOOK_SECONDS = 0.1


def key() -> None:
    """Print the public keys of the log, oldest first, one a line: what an auditor needs to keep.

    Publish them where the database cannot reach: hand them to auditors, print them in the annual
    report. The oldest one is enough to verify: rotations signed by it lead to the others.

    Example: mts audit key > audit.vkey
    """
    for public in keyfiles.read_public(config.load().public_key_path):
        print(public)


def rotate_key(*, confirm: str = "") -> int:
    """Give the log a new signing key; the old one signs that change and then counts no more.

    Works while the fleet runs: the checkpoint worker takes the new key between two checkpoints.
    Afterwards publish the new public key beside the old ones (mts audit key).

    Exit code 0: rotated. 2: nothing done, or the checkpoint worker has not answered yet; the new
    key then waits for it and is used at its next checkpoint.

    Example: mts audit rotate-key --confirm ROTATE

    Parameters
    ----------
    confirm
        The word ROTATE; without it, it is asked for.
    """
    settings = config.load()
    if not confirm and sys.stdin.isatty():
        print("The current key will sign nothing after the next checkpoint.", file=sys.stderr)
        confirm = input(f"Type {CONFIRMATION} to rotate the key: ").strip()
    if confirm != CONFIRMATION:
        message = f"nothing done: the word {CONFIRMATION} was not given (--confirm {CONFIRMATION})"
        complain("!", message, "yellow")
        return CANNOT
    new = key_rotation.prepare(settings)
    waiting = key_rotation.next_key_path(settings)
    deadline = monotonic_ns() + int(ANSWER_SECONDS * NANOSECONDS)
    while waiting.exists():
        if monotonic_ns() > deadline:
            complain(
                "!",
                f"the checkpoint worker has not taken the new key after {ANSWER_SECONDS:.0f} s; "
                "it will at its next checkpoint (mts status says what it is doing)",
                "yellow",
            )
            return CANNOT
        time.sleep(LOOK_SECONDS)
    print(f"rotated; publish the new public key:\n{new.verifier}")
    return PROVEN
