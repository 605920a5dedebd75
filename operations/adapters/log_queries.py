"""What people ask the log: one entry, the newest ones, all about one order.

The read model only says where to look; what is shown are the entries themselves, each beside the
hash before it, so that whoever sees it also sees whether its bytes still give its hash.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, NamedTuple

import asyncpg

from operations.adapters import ledger
from operations.audit import chain, rotation
from operations.audit import entry as entries
from operations.audit.entry import Entry
from operations.audit.note import VerifierKey
from operations.audit.rotation import TrustedKeys

AT_ONCE = 500

# What can be asked for: the column, and the actions whose subject id is such an id as well.
KEYS: Mapping[str, tuple[str, str]] = {
    "order": ("order_id", "trading.order.%"),
    "strategy": ("strategy_id", "registry.strategy.%"),
    "account": ("account_id", "registry.account.%"),
    "fund": ("fund_id", "registry.fund.%"),
    "correlation": ("correlation_id", ""),
}

_SUBJECT_AT = len(entries.MAGIC) + 24 + 1  # where the length of the subject begins, counted from 1
_ROWS = """
SELECT e.sequence, e.entry, e.hash, p.hash AS previous_hash
FROM audit.entry e LEFT JOIN audit.entry p ON p.sequence = e.sequence - 1
"""


class Found(NamedTuple):
    """One row of the log. `entry` is None, and `problem` says why, if its bytes are no entry."""

    sequence: int
    raw: bytes
    hash: bytes
    previous_hash: bytes
    entry: Entry | None
    problem: str

    @property
    def is_linked(self) -> bool:
        """Whether the stored hash is the hash of these bytes after the entry before."""
        return entries.link(self.previous_hash, self.raw) == self.hash


def _found(row: Any, origin: str) -> Found:
    sequence, raw, stored, previous = row
    if previous is None:
        previous = entries.genesis_hash(origin) if sequence == 0 else b""
    try:
        return Found(sequence, raw, stored, previous, entries.decode(raw), "")
    except ValueError as error:
        return Found(sequence, raw, stored, previous, None, str(error))


async def one(connected: asyncpg.Connection, origin: str, sequence: int) -> Found | None:
    """Return the entry with a sequence, None if there is none."""
    row = await connected.fetchrow(f"{_ROWS} WHERE e.sequence = $1", sequence)
    return _found(row, origin) if row else None


async def between(
    connected: asyncpg.Connection, origin: str, first: int, end: int
) -> AsyncIterator[Found]:
    """Give the entries from `first` to before `end`, in order."""
    query = f"{_ROWS} WHERE e.sequence >= $1 AND e.sequence < $2 ORDER BY e.sequence"
    async for row in _each(connected, query, first, end):
        yield _found(row, origin)


async def matching(
    connected: asyncpg.Connection, origin: str, wanted: Mapping[str, str], limit: int | None
) -> AsyncIterator[Found]:
    """Give the entries that the read model finds under all the given ids, in the log's order.

    `wanted` maps names of KEYS to ids; `limit` is how many at most, None for all.
    """
    if not all(map(_is_text, wanted.values())):
        return  # what the database has no text for, it has under no id either
    conditions, values = [], []
    for name, value in wanted.items():
        column, actions = KEYS[name]
        values.append(value)
        condition = f"v.{column} = ${len(values)}"
        if actions:
            condition += f" OR (v.subject_id = ${len(values)} AND v.action LIKE '{actions}')"
        conditions.append(f"({condition})")
    query = (
        f"{_ROWS} JOIN audit.event v ON v.sequence = e.sequence "
        f"WHERE {' AND '.join(conditions)} ORDER BY v.sequence LIMIT ${len(values) + 1}"
    )
    async for row in _each(connected, query, *values, limit):
        yield _found(row, origin)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


async def _each(connected: asyncpg.Connection, query: str, *values: object) -> AsyncIterator[Any]:
    async with connected.transaction(readonly=True):
        cursor = await connected.cursor(query, *values)
        while batch := await cursor.fetch(AT_ONCE):
            for row in batch:
                yield row


async def end_of(connected: asyncpg.Connection) -> int:
    """Return one more than the last sequence that has a row."""
    last: int | None = await connected.fetchval("SELECT max(sequence) FROM audit.entry")
    return 0 if last is None else last + 1


async def trusted_keys(
    connected: asyncpg.Connection, origin: str, keys: Iterable[VerifierKey]
) -> TrustedKeys:
    """Return the given keys of a log and those that they hand over to."""
    return rotation.follow(keys, origin, await ledger.rotations(connected))


async def stream_position(connected: asyncpg.Connection, sequence: int) -> int | None:
    """Return the stream sequence that an entry claims; None if there is no such entry."""
    row = await ledger.entry_row(connected, sequence)
    return entries.decode(row[0]).stream_sequence if row else None


async def last_adoption(connected: asyncpg.Connection) -> int:
    """Return the last entry at which the log went over to another stream, 0 if it never did.

    Reads the subject where the format puts it, in every entry: seconds for each million.
    """
    subject = len(chain.ADOPTED).to_bytes(4) + chain.ADOPTED
    sequence: int | None = await connected.fetchval(
        "SELECT max(sequence) FROM audit.entry WHERE substring(entry FROM $1 FOR $2) = $3",
        _SUBJECT_AT,
        len(subject),
        subject,
    )
    return sequence or 0
