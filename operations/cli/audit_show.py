"""Read the log: one entry in full, all about one order, the newest ones."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from operations.adapters.log_queries import Found
from operations.cli import access
from operations.cli.access import Dsn, Key
from operations.cli.output import (
    CANNOT,
    PROVEN,
    TAMPERED,
    Output,
    Rows,
    Text,
    complain,
    facts,
    line_by_line,
    parse,
    pretty,
    printable,
    raw_json,
    readable,
    run,
    terminal_width,
    write_json,
)
from operations.clock import rfc3339
from operations.errors import Rejected


def show(
    sequence: int | None = None,
    /,
    *,
    order: Text = "",
    strategy: Text = "",
    account: Text = "",
    fund: Text = "",
    correlation: Text = "",
    limit: int | None = None,
    dsn: Dsn = "",
    key: Key = None,
    output: Output = "table",
) -> int:
    """Show one entry in full, or all entries under an id in the order in which they happened.

    Ids are searched in the read model; what is shown is read from the log. Several ids must all
    match. Exit code 0: shown. 1: an entry is not what its hash says. 2: nothing found.

    Example: mts audit show 1234

    Example: mts audit show --order ord-42 --output jsonl

    Parameters
    ----------
    sequence
        Sequence of one entry.
    order
        Order id.
    strategy
        Strategy id.
    account
        Account id.
    fund
        Fund id.
    correlation
        Correlation id: everything that one cause led to.
    limit
        Show so many at most, the oldest.
    """
    ids = {"order": order, "strategy": strategy, "account": account, "fund": fund}
    wanted = {name: value for name, value in (ids | {"correlation": correlation}).items() if value}

    async def work() -> int:
        if (sequence is None) == (not wanted):
            raise Rejected("say which: the sequence of one entry, or ids like --order ord-42")
        log = access.open_unproven(dsn, key)
        if sequence is not None:
            return _print_one(await log.entry(sequence), output)
        code = await _print_all(log.matching(wanted, limit), output)
        if output == "table" and (behind := await log.unprojected()):
            complain("!", f"the newest {behind} entries are not searchable yet", "yellow")
        if code == CANNOT:
            named = " and ".join(f"{name} {value}" for name, value in wanted.items())
            complain("?", f"the log has no entry of {named}", "yellow")
        return code

    return run(work())


def tail(
    *,
    count: Annotated[int, Parameter(name=["--count", "-n"])] = 20,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], negative=(), show_default=False)
    ] = False,
    dsn: Dsn = "",
    key: Key = None,
    output: Output = "table",
) -> int:
    """Show the newest entries, oldest first.

    Example: mts audit tail -n 50 --follow

    Parameters
    ----------
    count
        How many.
    follow
        Go on showing entries as they are sealed, until Ctrl-C. Not with --output json.
    """

    async def work() -> int:
        if follow and output == "json":
            raise Rejected("a list that has no end cannot be one JSON array; use --output jsonl")
        if follow:
            line_by_line()
        log = access.open_unproven(dsn, key)
        code = await _print_all(log.tail(max(0, count), follow=follow), output)
        return PROVEN if code == CANNOT else code

    return run(work())


COLUMNS = (
    ("sequence", 9), ("time", 24), ("action", 30), ("actor", 12), ("subject id", 18), ("data", 0)
)  # fmt: skip
# What fits into 80 columns; the rest is in `show SEQUENCE` and in JSON.
FEW_COLUMNS = (("sequence", 8), ("time", 19), ("action", 30), ("subject id", 0))
WIDE = 120


async def _print_all(all_found: AsyncGenerator[Found], form: Output) -> int:
    """Print entries as they come; return what that says as an exit code, CANNOT for none."""
    code, rows, separator = CANNOT, None, "[\n"
    narrow = 0 < terminal_width() < WIDE
    async with aclosing(all_found) as entries:
        async for found in entries:
            code = TAMPERED if code == TAMPERED or not found.is_linked else PROVEN
            if form == "table":
                rows = rows or Rows(FEW_COLUMNS if narrow else COLUMNS)
                rows.write(_short_row(found) if narrow else _row(found))
            elif form == "jsonl":
                write_json(_described(found), form)
            else:
                print(separator, end="")
                write_json(_described(found), "jsonl")
                separator = ","
            if not found.is_linked:
                complain("✗", _unlinked(found), "red")
    if form == "json":
        print("[]" if separator == "[\n" else "]")
    return code


def _row(found: Found) -> tuple[str, ...]:
    entry = found.entry
    if entry is None:
        return str(found.sequence), "", f"not an entry: {found.problem}", "", "", ""
    when = rfc3339(entry.timestamp_ns)[:23] + "Z"
    names = (entry.action, entry.actor, entry.subject_id)
    return str(found.sequence), when, *map(readable, names), _short(entry.data)


def _short_row(found: Found) -> tuple[str, ...]:
    sequence, when, action, _, subject_id, _ = _row(found)
    return sequence, when[:19].replace("T", " "), action, subject_id


def _short(data: bytes) -> str:
    """Return what an event says beyond its envelope, or else the whole payload."""
    try:
        inner = msgspec.json.decode(data, type=dict[str, msgspec.Raw]).get("data")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        inner = None
    return readable(bytes(inner) if inner is not None else data)


def _print_one(found: Found, form: Output) -> int:
    if form != "table":
        write_json(_described(found), form)
    else:
        facts(_lines(found), exact=True)
    if not found.is_linked:
        complain("✗", _unlinked(found), "red")
        return TAMPERED
    return PROVEN


def _unlinked(found: Found) -> str:
    return (
        f"entry {found.sequence} is not what its hash says, or the hash before it was changed; "
        "run `mts audit verify`"
    )


def _lines(found: Found) -> list[tuple[str, object]]:
    hashes: list[tuple[str, object]] = [
        ("hash", found.hash.hex()),
        ("previous hash", found.previous_hash.hex() or "the entry before is not there"),
    ]
    entry = found.entry
    if entry is None:
        wrong = ("not an entry", found.problem)
        return [("sequence", found.sequence), wrong, *hashes, ("bytes", pretty(found.raw))]
    headers = entry.headers.decode(errors="backslashreplace").strip("\r\n").split("\r\n")
    return [
        ("sequence", found.sequence),
        ("time", rfc3339(entry.timestamp_ns)),
        ("subject", readable(entry.subject)),
        ("action", readable(entry.action)),
        ("actor", readable(entry.actor)),
        ("subject id", readable(entry.subject_id)),
        ("stream sequence", entry.stream_sequence),
        *hashes,
        ("headers", "\n".join(map(printable, headers))),
        ("payload", pretty(entry.data)),
    ]


def _described(found: Found) -> dict[str, Any]:
    """Return an entry for programs: a JSON payload as it is, any other in base64."""
    shown: dict[str, Any] = {"sequence": found.sequence}
    entry = found.entry
    if entry is None:
        shown |= {"problem": found.problem, "bytes_base64": found.raw}
    else:
        text = parse(entry.data)
        payload = {"payload_base64": entry.data}
        if text is not None:
            payload = {"payload": raw_json(text)}
        shown |= {
            "stream_sequence": entry.stream_sequence,
            "timestamp": rfc3339(entry.timestamp_ns),
            "timestamp_ns": entry.timestamp_ns,
            "subject": entry.subject.decode(errors="backslashreplace"),
            "action": entry.action.decode(errors="backslashreplace"),
            "actor": entry.actor.decode(errors="backslashreplace"),
            "subject_id": entry.subject_id.decode(errors="backslashreplace"),
            "headers": entry.headers.decode(errors="backslashreplace"),
            **payload,
        }
    hashes = {"previous_hash": found.previous_hash.hex(), "hash": found.hash.hex()}
    return shown | hashes | {"linked": found.is_linked}
