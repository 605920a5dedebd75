"""The audit log on the command line: `mts audit ...`, also `mts1b-operations audit ...`."""

import msgspec
from cyclopts import App

from operations.adapters.auditor import Report
from operations.audit.findings import AuditFinding, Tampering
from operations.cli import (
    access,
    audit_keys,
    audit_proof,
    audit_show,
    audit_stream,
    bus,
    fleet,
)
from operations.cli.access import Checkpoints, Dsn, Key
from operations.cli.output import (
    PROVEN,
    STALE,
    TAMPERED,
    Bar,
    Flag,
    Output,
    age,
    facts,
    headline,
    read_text,
    run,
    write_json,
)
from operations.errors import Rejected
from operations.service import AuditLog, Status

GAPS_SHOWN = 5

audit = App(name="audit", help="Verify, read and prove the audit log.")


def verify(
    *,
    from_sequence: int = 0,
    checkpoint: Checkpoints = (),
    projection: Flag = False,
    jobs: int = 0,
    dsn: Dsn = "",
    key: Key = None,
    output: Output = "table",
) -> int:
    """Recompute chain and tree of the log and compare them with what was signed.

    Exit code 0: proven. 1: tampering, with class and first sequence. 2: cannot verify (no entries,
    no checkpoint, no key, no database). 3: intact, but the newest checkpoint is older than 2 hours
    or an entry is unsigned for more than 10 seconds.

    Example: mts audit verify --from-sequence 0

    Example: mts audit verify --checkpoint kept-elsewhere.txt --key audit.vkey --output json

    Parameters
    ----------
    from_sequence
        Start at the last signed checkpoint at or before this entry, proven by the stored tree.
    checkpoint
        Signed checkpoint from elsewhere that the log must agree with; may be given more than once.
    projection
        Also compare the read model with the log, row by row.
    jobs
        Processes to use; 0 for one for each core.
    """

    async def work() -> int:
        brought = [read_text(file) for file in checkpoint]
        log = access.open_log(dsn, key)
        with Bar("verifying") as bar:
            report = await log.verify(
                from_sequence, brought=brought, projection=projection, jobs=jobs, progress=bar
            )
        if output == "table":
            _print_report(report, from_sequence)
        else:
            found = msgspec.to_builtins(report) | {"exit_code": report.exit_code}
            findings = [each._asdict() for each in report.findings]
            write_json(found | {"stale": report.stale, "findings": findings}, output)
        return report.exit_code

    return run(work())


def _print_report(report: Report, from_sequence: int) -> None:
    if report.findings:
        _print_findings(report.findings)
    elif report.obstacle:
        headline("?", f"cannot verify: {report.obstacle}", "yellow")
    else:
        begins = f" from {report.first}" if report.first else ""
        line = f"{report.entries} entries{begins}, chain integrity OK, {_gaps(report.gaps)}"
        headline("✓", line, "green")
    if not report.size:
        return
    shown = [("log", report.origin), ("size", report.size), ("root", report.root)]
    if from_sequence:
        shown.append(("started at", _start(report.first, from_sequence)))
    shown += [("checkpoint", _checkpoint(report)), ("unsigned", _unsigned(report))]
    facts([(name, value or "unknown") for name, value in shown])
    if report.exit_code == STALE:
        headline("!", f"intact, but stale: {_staleness(report)}", "yellow")


def _gaps(gaps: list[int]) -> str:
    if not gaps:
        return "no gaps"
    shown = ", ".join(map(str, gaps[:GAPS_SHOWN])) + (", ..." if len(gaps) > GAPS_SHOWN else "")
    return f"1 gap (entry {shown})" if len(gaps) == 1 else f"{len(gaps)} gaps (entries {shown})"


def _start(first: int, from_sequence: int) -> str:
    if not first:
        return f"entry 0: no checkpoint at or before {from_sequence} is proven"
    return f"entry {first}, the last proven checkpoint at or before {from_sequence}"


def _checkpoint(report: Report) -> str:
    if not report.signed_size:
        return "none that this key signed"
    when = report.checkpoint_age_seconds
    ago = "from elsewhere" if when is None else f"signed {age(when)} ago"
    return f"size {report.signed_size}, {ago} ({report.checkpoints} in all)"


def _unsigned(report: Report) -> str:
    if not report.unsigned:
        return "none"
    oldest = report.oldest_unsigned_seconds
    since = "" if oldest is None else f", the oldest for {age(oldest)}"
    return f"{report.unsigned} linked, not signed yet{since}; `mts audit rebuild` checks them"


def _staleness(report: Report) -> str:
    if report.unsigned:
        return (
            "entries are not being signed; `mts status` says what the checkpoint worker lacks, "
            "`mts audit rebuild` compares them with the stream"
        )
    return (
        "the newest checkpoint is old, so nothing shows that this is still the whole log; "
        "`mts status` says what the checkpoint worker lacks"
    )


def _print_findings(findings: list[AuditFinding]) -> None:
    for each in findings:
        headline("✗", f"{each.tampering} at sequence {each.sequence}: {each.detail}", "red")
    kinds = {each.tampering for each in findings}
    advice = []
    if kinds == {Tampering.DRIFTED_PROJECTION}:
        advice.append("the log is intact; empty audit.event and audit.projection as mts_admin,")
        advice.append("the projection worker fills them again from the log")
    else:
        if Tampering.MISUSED_KEY in kinds:
            advice.append("make sure that the public key is the one that the owner publishes")
        advice += [
            "leave the database as it is: it is evidence; copy it before anything else",
            "`mts audit rebuild` compares every entry with the stream and shows which was changed",
            f"`mts audit show {findings[0].sequence}` shows what stands there now",
        ]
    facts([("what to do", "\n".join(advice))])


def status(*, dsn: Dsn = "", key: Key = None, output: Output = "table") -> int:
    """Show size, head, root and newest checkpoint of the log, and how far everything lags.

    This believes the database; `mts audit verify` does not. Exit code 0: shown. 1: the newest
    checkpoint is not signed by the key. 2: the log cannot be read.

    Example: mts audit status --output json
    """

    async def work() -> int:
        log = access.open_unproven(dsn, key)
        return await _print_status(log, output)

    return run(work())


async def _print_status(log: AuditLog, form: Output) -> int:
    problem = ""
    try:
        nats = bus.nats(fleet.load(), "auditor")
    except Rejected as error:
        nats, problem = None, str(error)
    found = await log.status(nats)
    found.stream_problem = found.stream_problem or problem
    if form == "table":
        facts(_status_facts(found))
    else:
        write_json(msgspec.to_builtins(found), form)
    return TAMPERED if found.signature.startswith("does not hold") else PROVEN


def _status_facts(found: Status) -> list[tuple[str, object]]:
    signed, root = "none", found.root or f"unknown: {found.signature}"
    if found.checkpoint_age_seconds is not None:
        ago = age(found.checkpoint_age_seconds)
        signed = f"size {found.signed_size}, {ago} ago, signature {found.signature}"
    stream = f"not asked: {found.stream_problem}"
    if found.stream_last_sequence is not None:
        stream = f"{found.stream_lag} messages of {found.stream_last_sequence} not sealed yet"
    return [
        ("log", found.origin),
        ("size", found.size),
        ("head", found.head_hash or "none"),
        ("root", root),
        ("checkpoint", signed),
        ("unsigned", f"{found.unsigned} entries"),
        ("stream", stream),
        ("read model", f"{found.projection_lag} entries behind"),
    ]


audit.command(verify)
audit.command(audit_show.show)
audit.command(audit_show.tail)
audit.command(status)
audit.command(audit_proof.proof)
audit.command(audit_proof.export)
audit.command(audit_stream.rebuild)
audit.command(audit_stream.adopt_stream)
audit.command(audit_keys.key)
audit.command(audit_keys.rotate_key)
