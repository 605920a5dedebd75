"""The log against the stream it was made from: rebuild it, or go on with another stream."""

import sys
from pathlib import Path

import msgspec

from operations.adapters import roster_files
from operations.adapters.adoption_order import Plan
from operations.adapters.link import Access
from operations.adapters.rebuild import Rebuilt
from operations.cli import access, bus, fleet
from operations.cli.access import Checkpoints, Dsn, Key
from operations.cli.output import (
    CANNOT,
    PROVEN,
    Bar,
    Output,
    Text,
    complain,
    facts,
    headline,
    read_text,
    run,
    write_json,
)
from operations.clock import rfc3339
from operations.config import Nats, Postgres
from operations.errors import Rejected
from operations.signing.message import Signer

CONFIRMATION = "ADOPT"


def rebuild(
    *,
    checkpoint: Checkpoints = (),
    dsn_empty: Text = "",
    dsn: Dsn = "",
    key: Key = None,
    output: Output = "table",
) -> int:
    """Make the log again from the stream and compare every entry with the one in Postgres.

    Finds what no signature covers yet, like a forged tail. NATS credentials: MTS_NATS_USER and
    MTS_NATS_PASSWORD, by default the auditor of this fleet. Run one at a time.

    Exit code 0: the same log, and the signed root. 1: they differ, with the first sequence.
    2: cannot be told (no log, no checkpoint, another stream, no server).

    Example: mts audit rebuild

    Parameters
    ----------
    checkpoint
        Signed checkpoint from elsewhere that the stream must lead to; may be given more than once.
    dsn_empty
        Empty migrated database to write the rebuilt log into, as a role that may seal.
    """

    async def work() -> int:
        log = access.open_log(dsn, key)
        nats = bus.nats(fleet.load(), "auditor")
        brought = [read_text(file) for file in checkpoint]
        into = Postgres(dsn=dsn_empty) if dsn_empty else None
        with Bar("rebuilding") as bar:
            result = await log.rebuild(nats, brought=brought, into=into, progress=bar)
        if output == "table":
            _print_rebuilt(result)
        else:
            write_json(msgspec.to_builtins(result) | {"exit_code": result.exit_code}, output)
        return result.exit_code

    return run(work())


def _print_rebuilt(result: Rebuilt) -> None:
    begins = f" from {result.first}" if result.first else ""
    count = result.size - result.first
    if result.differs_at is not None:
        headline("✗", f"differs at sequence {result.differs_at}: {result.detail}", "red")
    elif result.signed_root_agrees is False:
        headline("✗", "stream and log agree, but they are not what was signed", "red")
    elif result.exit_code == CANNOT:
        headline("?", f"cannot be told: {result.obstacle}", "yellow")
    else:
        headline("✓", f"{count} entries{begins} rebuilt from the stream, same log", "green")
    if not result.size:
        return
    shown: list[tuple[str, object]] = [
        ("log", result.origin),
        ("size", result.size),
        ("root", result.root),
        ("head", result.head_hash),
        ("signed", _signed(result)),
    ]
    if result.written:
        shown.append(("written", f"{result.written} entries into the empty database"))
    if result.differs_at is not None:
        shown.append(("what to do", _advice(result)))
    facts(shown)


def _signed(result: Rebuilt) -> str:
    if result.signed_root_agrees is None:
        return "no signature reaches what was rebuilt"
    agrees = "agrees" if result.signed_root_agrees else "does NOT agree"
    return f"the root at size {result.signed_size} {agrees} with the signature"


def _advice(result: Rebuilt) -> str:
    sequence = result.differs_at or 0
    if result.signed_root_agrees:
        where = "the stream leads to what was signed, so the log in Postgres was changed"
        if sequence >= result.signed_size:
            where = "the entries after the newest checkpoint do not come from the stream"
    else:
        where = "the stream does not lead to what was signed: `mts audit verify` judges the log"
    return f"{where}\nleave database and stream as they are: they are evidence; copy both first"


def adopt_stream(
    *,
    reason: str,
    key_file: Path | None = None,
    confirm: Text = "",
    seconds: float = 30.0,
    dsn: Dsn = "",
    key: Key = None,
) -> int:
    """Let the log go on with a stream that is not the one it was made from.

    Needed after the stream was recreated or restored from an older copy: the audit worker then
    writes nothing until a person decides. The order is signed and becomes an entry of the log. NATS
    credentials: MTS_NATS_USER and MTS_NATS_PASSWORD, by default the operator of this fleet.

    Exit code 0: adopted, or nothing to adopt. 1: never. 2: not confirmed, refused, or no answer.

    Example: mts audit adopt-stream --reason "disk of the bus was lost, restored from 02:00"

    Parameters
    ----------
    reason
        Why; it stands in the log for ever.
    key_file
        Your private key, which the roster must allow this; default operator.key of this fleet.
    confirm
        ADOPT, to confirm without being asked.
    seconds
        How long to wait for NATS, and for the audit worker.
    """

    async def work() -> int:
        settings = fleet.load()
        log = access.open_unproven(dsn, key)
        nats = bus.nats(settings, "operator")
        planned = await log.plan_adoption(nats)
        if not planned.is_needed:
            headline(
                "✓", f"nothing to adopt: the log goes on with stream {planned.stream}", "green"
            )
            return PROVEN
        private = roster_files.read_private(key_file or settings.person_key_path)
        _print_plan(planned, log.origin)
        if not _is_confirmed(confirm):
            complain("?", "not confirmed, nothing was done", "yellow")
            return CANNOT
        signer = Signer(private, settings.audit.origin, settings.environment)
        if await log.adopt(planned, _access(nats), signer, reason, seconds):
            headline("✓", f"adopted: entry {planned.head.size} of the log", "green")
            return PROVEN
        complain(
            "?",
            f"the order is in the stream, and the audit worker did not take it within {seconds:g} "
            "s; `mts status` says whether it runs and what it refuses",
            "yellow",
        )
        return CANNOT

    return run(work())


def _access(nats: Nats) -> Access:
    return Access(
        url=nats.url,
        user=nats.user,
        password=bus.password(nats),
        inbox=nats.inbox,
        ca_file=nats.ca_file,
    )


def _print_plan(planned: Plan, origin: str) -> None:
    head, again = planned.head, planned.head.stream_sequence - planned.from_sequence + 1
    sealed = f"made from a stream created {rfc3339(head.stream_created_ns)}"
    lost = "every message up to there is the sealed one; nothing is sealed twice"
    if again > 0:
        lost = (
            f"the {again} messages that were sealed from {planned.from_sequence} to "
            f"{head.stream_sequence} stay in the log; the stream does not hold them as sealed"
        )
    facts(
        [
            ("log", f"{origin}, {head.size} entries\n{sealed}"),
            ("stream", f"{planned.stream}, created {planned.stream_created}"),
            (
                "goes on with",
                f"sequence {planned.from_sequence}; it ends at {planned.last_sequence}",
            ),
            ("what is there", lost),
        ]
    )


def _is_confirmed(confirm: str) -> bool:
    if confirm:
        return confirm == CONFIRMATION
    if not sys.stdin.isatty():
        raise Rejected(
            f"nobody can be asked here; nothing was done. Confirm with --confirm {CONFIRMATION}"
        )
    return input(f"Type {CONFIRMATION} to let the log go on with this stream: ") == CONFIRMATION
