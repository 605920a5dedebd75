"""Proofs and exports that leave the house, and checking a proof with nothing but files."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from operations.adapters import keyfiles
from operations.cli import access
from operations.cli.access import Dsn, Key
from operations.cli.output import (
    PROVEN,
    Bar,
    Output,
    facts,
    headline,
    read_text,
    readable,
    run,
    write_json,
)
from operations.clock import rfc3339
from operations.errors import Rejected
from operations.service import Proven, check_proof

proof = App(name="proof", help="Make proofs from the log, and check proofs without it.")

To = Annotated[
    Path | None, Parameter(name=["--to", "-o"], help="File to write; default standard output.")
]


@proof.command
def checkpoint(*, to: To = None, dsn: Dsn = "", key: Key = None) -> int:
    """Get the newest signed checkpoint, to keep it where nobody who runs the log can reach it.

    Whoever keeps one can later demand a proof that the log only grew since (`consistency`), and
    verify against it (`mts audit verify --checkpoint`).

    Exit code 0: written. 1: it is not signed by the key. 2: there is none.

    Example: mts audit proof checkpoint -o kept-$(date +%F).txt
    """

    async def work() -> int:
        text = await access.open_log(dsn, key).checkpoint()
        hint = "keep it elsewhere; `mts audit verify --checkpoint` holds the log against it"
        return _deliver(text, to, hint)

    return run(work())


@proof.command
def inclusion(sequence: int, /, *, to: To = None, dsn: Dsn = "", key: Key = None) -> int:
    """Prove that an entry is in the log: a file that needs only the public key to be checked.

    Exit code 0: made. 1: the log is not what was signed. 2: no checkpoint covers the entry yet.

    Example: mts audit proof inclusion 1234 -o entry-1234.tlog-proof

    Parameters
    ----------
    sequence
        Sequence of the entry.
    """

    async def work() -> int:
        text = await access.open_log(dsn, key).inclusion(sequence)
        return _deliver(text, to, f"check it with: mts audit proof check {to} --key KEYFILE")

    return run(work())


@proof.command
def consistency(
    *, old: int, new: int | None = None, to: To = None, dsn: Dsn = "", key: Key = None
) -> int:
    """Prove to somebody who kept an older checkpoint that the log only grew since.

    Exit code 0: made. 1: the log is not what was signed. 2: the newer size was not signed.

    Example: mts audit proof consistency --old 40000 -o grown.txt

    Parameters
    ----------
    old
        Size of the older checkpoint.
    new
        Size of a signed checkpoint; default the newest.
    """

    async def work() -> int:
        text = await access.open_log(dsn, key).consistency(old, new)
        how = f"mts audit proof check {to} --key KEYFILE --old-checkpoint KEPT"
        return _deliver(text, to, f"check it with: {how}")

    return run(work())


def _deliver(text: str, to: Path | None, hint: str) -> int:
    if to is None:
        sys.stdout.write(text)
        return PROVEN
    try:
        to.write_text(text)
    except OSError as error:
        raise Rejected(f"cannot write {to}: {error}") from error
    headline("✓", f"{to} written; {hint}", "green")
    return PROVEN


@proof.command
def check(
    file: Path, /, *, key: Path, old_checkpoint: Path | None = None, output: Output = "table"
) -> int:
    """Check a proof from files alone: no settings, no database, no network.

    Exit code 0: proven. 1: the proof does not hold. 2: it cannot be checked (no proof, another
    key, the older checkpoint is missing).

    Example: mts audit proof check entry-1234.tlog-proof --key audit.vkey

    Example: mts audit proof check grown.txt --key audit.vkey --old-checkpoint kept.txt

    Parameters
    ----------
    file
        Proof of one entry, or that the log only grew.
    key
        File with the public key of the log, which came another way than the proof.
    old_checkpoint
        The older signed checkpoint, for a proof that the log only grew.
    """

    async def work() -> int:
        old = read_text(old_checkpoint) if old_checkpoint else None
        proven = check_proof(read_text(file), keyfiles.read_public(key), old)
        if output == "table":
            _print_proven(proven)
        else:
            write_json(_described(proven), output)
        return PROVEN

    return run(work())


def _print_proven(proven: Proven) -> None:
    signed = proven.checkpoint
    if proven.entry is not None:
        entry = proven.entry
        headline("✓", f"entry {entry.sequence} is in the log {signed.origin}", "green")
        facts(
            [
                ("time", rfc3339(entry.timestamp_ns)),
                ("subject", readable(entry.subject)),
                ("actor", readable(entry.actor)),
                ("subject id", readable(entry.subject_id)),
                ("payload", readable(entry.data)),
            ]
        )
    elif proven.old is not None:
        grew = f"from {proven.old.size} to {signed.size} entries"
        headline("✓", f"the log {signed.origin} only grew {grew}", "green")
    facts([("signed size", signed.size), ("root", signed.root.hex())])


def _described(proven: Proven) -> dict[str, object]:
    signed = proven.checkpoint
    shown: dict[str, object] = {"origin": signed.origin, "size": signed.size}
    shown["root"] = signed.root.hex()
    if proven.entry is not None:
        entry = proven.entry
        shown |= {
            "sequence": entry.sequence,
            "timestamp": rfc3339(entry.timestamp_ns),
            "subject": entry.subject.decode(errors="backslashreplace"),
            "actor": entry.actor.decode(errors="backslashreplace"),
            "subject_id": entry.subject_id.decode(errors="backslashreplace"),
            "payload_base64": entry.data,
        }
    if proven.old is not None:
        shown["old_size"] = proven.old.size
    return shown


def export(
    folder: Path,
    /,
    *,
    first: Annotated[int, Parameter(name="--from")] = 0,
    last: Annotated[int | None, Parameter(name="--to")] = None,
    dsn: Dsn = "",
    key: Key = None,
) -> int:
    """Write a range of entries that proves itself, with a verifier that needs only Python.

    Exit code 0: written and checked. 1: the log is not what was signed. 2: not signed, or no place.

    Example: mts audit export --from 1000 --to 1999 bundle

    Parameters
    ----------
    folder
        New or empty folder.
    first
        First entry.
    last
        Last entry, included; default the last one that is signed.
    """

    async def work() -> int:
        log = access.open_log(dsn, key)
        try:
            with Bar("exporting") as bar:
                count = await log.export(first, last, folder, bar)
        except OSError as error:
            raise Rejected(f"cannot write the export to {folder}: {error}") from error
        headline("✓", f"{count} entries from {first} in {folder}, checked", "green")
        facts([("check it with", f"python3 {folder}/verify.py {folder} --key KEYFILE")])
        return PROVEN

    return run(work())
