"""Proofs and exports made from the stored tree; nothing leaves here that was not checked itself.

The newest checkpoint comes with its partial tiles; those of any other size are made again from
the full tiles below them, at most 255 for each level.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import asyncpg

from operations.adapters import ledger, log_queries, signer
from operations.adapters.ledger import Signed
from operations.audit import entry, export, merkle, proof, rotation, standalone, tiles
from operations.audit.checkpoint import Checkpoint
from operations.audit.merkle import Node
from operations.audit.note import NoteError
from operations.audit.rotation import TrustedKeys
from operations.audit.tiles import Place
from operations.errors import Corrupted, Rejected

T = TypeVar("T")
VERIFIER_FILE = "verify.py"
README_FILE = "README.txt"
READ_AT_ONCE = 1 << 20


class Prover:
    """Makes proofs from the log in one snapshot; `connected` is in a transaction."""

    def __init__(self, connected: asyncpg.Connection, origin: str, trusted: TrustedKeys) -> None:
        self._connected = connected
        self._origin = origin
        self._trusted = trusted

    async def checkpoint(self) -> str:
        """Return the newest signed checkpoint; raises Rejected if there is none."""
        return (await self._newest())[0]

    async def inclusion(self, sequence: int) -> str:
        """Return the proof file of an entry under the newest checkpoint.

        Raises Rejected while no checkpoint covers it, Corrupted if the log is not what was signed.
        """
        note, signed = await self._newest()
        if not 0 <= sequence < signed.size:
            raise Rejected(_uncovered(sequence, signed.size))
        found = await log_queries.one(self._connected, self._origin, sequence)
        if found is None or found.entry is None or found.entry.sequence != sequence:
            raise Corrupted(f"entry {sequence} is signed, and its row is not there; {VERIFY}")

        def make(node: Node) -> str:
            return proof.write_inclusion(
                found.previous_hash, found.raw, signed.size, node, note, self._trusted.rotations
            )

        text = await self._made(signed.size, make)
        self._demand(lambda: proof.check_inclusion(text, self._origin, self._trusted.keys))
        return text

    async def consistency(self, old: int, new: int | None) -> str:
        """Return the proof file that the log of size `new` (the newest signed) continues `old`.

        Raises Rejected for sizes that were not signed, Corrupted if the log is not what was signed.
        """
        note, signed = await self._newest() if new is None else await self._at(new)
        if not 0 < old <= signed.size:
            raise Rejected(f"the older size is 1 to {signed.size}, not {old}")

        def make(node: Node) -> str:
            rotations = self._trusted.rotations
            return proof.write_consistency(old, signed.size, node, note, rotations)

        text = await self._made(signed.size, make)
        old_root = await self._root(old)
        hashes = proof.parse_consistency(text).hashes
        if not merkle.verify_consistency(old, signed.size, old_root, signed.root, hashes):
            raise Corrupted(f"the log is not what was signed at size {signed.size}; {VERIFY}")
        return text

    async def export(
        self, first: int, last: int | None, folder: Path, progress: Callable[[int, int], None]
    ) -> int:
        """Write entries `first` to `last` (None: all that are signed) as a bundle; return how many.

        Raises Rejected for a range that is not signed or a folder that is not empty, Corrupted if
        the log is not what was signed.
        """
        note, signed = await self._newest()
        end = signed.size if last is None else last + 1
        if max(first, end - 1) >= signed.size:
            raise Rejected(_uncovered(max(first, end - 1), signed.size))
        if not 0 <= first < end:
            raise Rejected(f"the range from {first} to {end - 1} is empty")
        bundle = Bundle(folder)
        start = entry.genesis_hash(self._origin)
        if first:
            row = await ledger.entry_row(self._connected, first - 1)
            start = row[1] if row else b""

        def describe(node: Node) -> str:
            return str(export.describe(self._origin, first, end, signed.size, start, node))

        text = await self._made(signed.size, describe)
        with bundle.entries() as write:
            async for found in log_queries.between(self._connected, self._origin, first, end):
                write(export.frame(found.raw))
                progress(found.sequence + 1 - first, end - first)
        keys = self._trusted.keys
        try:
            self._demand(lambda: export.check(text, bundle.chunks(), note, self._origin, keys))
        except Corrupted:
            bundle.discard()
            raise
        readme = _readme(self._origin, first, end - 1, signed)
        bundle.finish(text, note, readme, self._trusted.rotations)
        return end - first

    async def _newest(self) -> tuple[str, Checkpoint]:
        stored = await ledger.newest_checkpoint(self._connected)
        if stored is None:
            raise Rejected("the log has no checkpoint yet; `mts status` shows whether it is signed")
        return stored.note, self._open(stored)

    async def _at(self, size: int) -> tuple[str, Checkpoint]:
        stored = await ledger.checkpoint_at(self._connected, size)
        if stored is None:
            raise Rejected(
                f"no checkpoint was signed at size {size}; leave the newer size out to use the "
                "newest checkpoint"
            )
        return stored.note, self._open(stored)

    def _open(self, stored: Signed) -> Checkpoint:
        try:
            return rotation.open_checkpoint(stored.note, self._origin, self._trusted)
        except NoteError as error:
            raise Corrupted(
                f"the checkpoint at size {stored.size} is not signed by the key of this log "
                f"({error}); {VERIFY}, and check the key"
            ) from error

    async def _made(self, size: int, make: Callable[[Node], T]) -> T:
        """Make something from the tree at a size, which may differ from the newest."""
        places: set[Place] = tiles.wanted(make)
        edge = await edge_at(self._connected, size)
        try:
            return make(tiles.node_in(await signer.tree_at(self._connected, size, edge, places)))
        except KeyError as error:
            raise Corrupted(f"tile {error} of the stored tree is missing; {VERIFY}") from error

    async def _root(self, size: int) -> bytes:
        return await self._made(size, lambda node: merkle.range_hash(0, size, node))

    def _demand(self, check: Callable[[], object]) -> None:
        try:
            check()
        except ValueError as error:
            raise Corrupted(f"the log is not what was signed: {error}; {VERIFY}") from error


class Bundle:
    """The folder of an export."""

    def __init__(self, folder: Path) -> None:
        if folder.exists() and any(folder.iterdir()):
            raise Rejected(f"{folder} is not empty; name a folder that does not exist yet")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._entries = folder / export.ENTRIES_FILE

    @contextmanager
    def entries(self) -> Iterator[Callable[[bytes], object]]:
        """Give what writes to the file of entries."""
        with self._entries.open("wb") as file:
            yield file.write

    def chunks(self) -> Iterator[bytes]:
        """Give the file of entries back, piece by piece."""
        with self._entries.open("rb") as file:
            while chunk := file.read(READ_AT_ONCE):
                yield chunk

    def discard(self) -> None:
        """Leave nothing behind that looks like an export."""
        self._entries.unlink()

    def finish(self, described: str, note: str, readme: str, rotations: Sequence[str]) -> None:
        """Write what stands beside the entries, the verifier too."""
        texts = {
            export.RANGE_FILE: described,
            export.CHECKPOINT_FILE: note,
            README_FILE: readme,
            VERIFIER_FILE: Path(standalone.__file__).read_text(),
        }
        if rotations:
            texts[export.ROTATIONS_FILE] = rotation.join(rotations)
        for name, text in texts.items():
            (self._folder / name).write_text(text)


VERIFY = "run `mts audit verify`"


def _uncovered(sequence: int, size: int) -> str:
    return (
        f"entry {sequence} is not covered by the newest checkpoint, which signs entries 0 to "
        f"{size - 1}; a newer one follows within seconds if the checkpoint worker runs"
    )


async def edge_at(connected: asyncpg.Connection, size: int) -> list[bytes]:
    """Return the partial tiles of the tree at a size, lowest level first.

    Made from stored entry hashes and full tiles; believed only where a signed root is met.
    """
    edge, level = [], 0
    while size >> tiles.TILE_LEVELS * level:
        end = size >> tiles.TILE_LEVELS * level
        first = end - end % tiles.WIDTH
        if level == 0:
            hashes = [
                merkle.leaf_hash(each)
                for each in await ledger.hashes_between(connected, first, end)
            ]
        else:
            places = [(level - 1, index) for index in range(first, end)]
            found = await ledger.tile_hashes(connected, places)
            hashes = [tiles.tile_hash(found[place]) for place in places if place in found]
        edge.append(b"".join(hashes))
        level += 1
    return edge


def _readme(origin: str, first: int, last: int, signed: Checkpoint) -> str:
    return f"""Entries {first} to {last} of the audit log {origin}, exported with their proof.

Check them with Python 3.9 or newer, without a network or anything installed:

    python3 {VERIFIER_FILE} . --key KEYFILE

KEYFILE is a public key of the log, the first or a later one. It is not in this folder: take it
from where the owner of the log publishes it, and compare it with whom you trust.

Exit code 0: these are all entries from {first} to {last}, unchanged, as signed at size
{signed.size}. 1: something was changed. 2: cannot verify. {VERIFIER_FILE} came with the export; a
copy from elsewhere is better still.

{export.ENTRIES_FILE} the entries, {export.RANGE_FILE} their place in the chain and the tree,
{export.CHECKPOINT_FILE} what was signed, {export.ROTATIONS_FILE} (if the log ever changed its key)
how each key named the next. The format is in docs/audit-format.md of the project.
"""
