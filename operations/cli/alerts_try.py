"""`mts alerts try`: does a message arrive? Sent at once, past the outbox, by the settings here."""

import asyncio
import socket
from typing import Annotated

from cyclopts import Parameter
from msgspec.structs import replace

from operations.adapters.channels import catalogue
from operations.adapters.channels.sender import Outgoing, Sender
from operations.cli import fleet
from operations.cli.output import CANNOT, PROVEN, TAMPERED, Output, complain, run, write_json
from operations.cli.tables import write_table
from operations.clock import new_event_id, now_ns, rfc3339
from operations.errors import Rejected, Retryable
from operations.notifications.message import Message
from operations.settings.catalogue import nearest

STYLES = {"taken": "green", "not taken": "red"}


def try_channels(
    *only: Annotated[str, Parameter(help="Channels to try; default all.", show_default=False)],
    output: Output = "table",
) -> int:
    """Send a message that says it is a test over each channel that is turned on; pagers ring.

    It is sent from here by the settings and secrets here: where the worker has its own, as in
    containers, run it there. PagerDuty's incident is resolved at once. Taken means that the
    service said so: look whether it came. Exit code 0: each took it. 1: one did not. 2: none is
    turned on.

    Example: mts alerts try

    Example: mts alerts try pagerduty --output json
    """

    async def work() -> int:
        senders, problems = catalogue.senders(fleet.load())
        turned_on = senders.keys() | problems.keys()
        for name in only:
            if name not in turned_on:
                raise Rejected(f"channel {name!r} is not turned on{nearest(name, turned_on)}")
        names = only or tuple(name for name in catalogue.NAMES if name in turned_on)
        if not names:
            complain("?", "no channel is turned on: docs/alerts.md, Setting it up", "yellow")
            return CANNOT
        said = await asyncio.gather(
            *(_tried(name, senders[name]) for name in names if name in senders)
        )
        found = problems | dict(said)
        rows = [
            {
                "channel": name,
                "result": "not taken" if found[name] else "taken",
                "problem": found[name],
            }
            for name in names
        ]
        if output == "table":
            write_table(rows, STYLES, {"problem": "{}"})
        else:
            write_json(rows, output)
        return TAMPERED if any(row["problem"] for row in rows) else PROVEN

    return run(work())


async def _tried(name: str, to: Sender) -> tuple[str, str]:
    """Return the channel and what is wrong with it, if anything."""
    at_ns = now_ns()
    message = Message(
        message_id=new_event_id(at_ns),
        key=new_event_id(at_ns),
        channel=name,
        action="raise",
        severity="info",
        headline="[info] TEST of mts1b-operations: nothing is the matter",
        lines=(f"sent by mts alerts try on {socket.gethostname()}",),
        episodes=(),
        source="mts alerts try",
        created_at=rfc3339(at_ns),
    )
    try:
        await to.send(Outgoing(message, repeated=False))
        if name == "pagerduty":
            ended = replace(message, message_id=new_event_id(now_ns()), action="end")
            await to.send(Outgoing(ended, repeated=False))
    except (Retryable, Rejected) as error:
        return name, str(error)
    return name, ""
