"""Rotating the key of the log, step by step, so that a crash between any two is finished later.

1  a person puts the next key beside the current one (`mts audit rotate-key`)
2  the signer, between two checkpoints, signs the rotation at the size it signed last
3  the rotation goes to the signer's own file, then to the database
4  the new public key joins the published ones, and the next key becomes the current one
"""

from pathlib import Path

import asyncpg

from operations.adapters import keyfiles, ledger
from operations.adapters.credentials import write_private
from operations.adapters.signer_memory import MemoryFile
from operations.audit import note, rotation
from operations.audit.note import SignerKey
from operations.audit.rotation import Rotation
from operations.config import Settings


def next_key_path(settings: Settings) -> Path:
    """Where the next key waits for the signer."""
    return settings.signing_key_path.with_suffix(".next")


def prepare(settings: Settings) -> SignerKey:
    """Make the next key, or return the one that already waits."""
    path = next_key_path(settings)
    if not path.exists():
        write_private(path, f"{note.generate_key(settings.audit.origin)}\n")
    return keyfiles.read_signer(path)


async def finish(
    settings: Settings, file: MemoryFile, connected: asyncpg.Connection, signed_size: int
) -> bool:
    """Do steps 2 to 4 if a key waits; return whether the current key has changed."""
    waiting = next_key_path(settings)
    if not waiting.exists():
        return False
    old, new = keyfiles.read_signer(settings.signing_key_path), keyfiles.read_signer(waiting)
    notes = file.rotations()
    if not any(f"\n{new.verifier}\n" in each for each in notes):
        change = Rotation(settings.audit.origin, signed_size, old.verifier, new.verifier)
        file.append_rotation(rotation.sign(change, old, new))
    await store(file, connected)
    published = settings.public_key_path.read_text()
    if str(new.verifier) not in published:
        write_public(settings.public_key_path, f"{published.rstrip()}\n{new.verifier}\n")
    waiting.replace(settings.signing_key_path)
    return True


async def store(file: MemoryFile, connected: asyncpg.Connection) -> None:
    """Put the rotations of the signer's file into the database, where they are missing."""
    stored = await ledger.rotations(connected)
    for number, text in enumerate(file.rotations()[len(stored) :], len(stored)):
        await ledger.store_rotation(connected, number, text)


def write_public(path: Path, text: str) -> None:
    """Replace the file of public keys in one step; everybody may read it."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.replace(path)
