"""A worker that cannot trust our own records says so to everybody, signed, once, until it can."""

import asyncio

import msgspec
import pytest
from support import NatsHandle, eventually

from operations.adapters import accounts, credentials, roster_files
from operations.clock import parse_rfc3339
from operations.errors import Corrupted
from operations.events import subjects
from operations.signing import message, roster
from workers import alarm
from workers.runtime import WORKER, Runtime

pytestmark = pytest.mark.integration
RAISED = "mts.v1.operations.finding.audit.raised"
CLEARED = "mts.v1.operations.finding.audit.cleared"


@pytest.fixture
def runtime(nats_server: NatsHandle) -> Runtime:
    """The audit worker's runtime, with the keys that a first start makes."""
    settings = nats_server.settings
    roster_files.ensure_development(settings)
    nats = msgspec.structs.replace(
        settings.nats,
        user="audit",
        password=nats_server.password("audit"),
        inbox=accounts.inbox("audit"),
    )
    key = str(credentials.service_key_file(settings, "audit"))
    return Runtime("audit", msgspec.structs.replace(settings, nats=nats, service_key_file=key))


async def stored(nats_server: NatsHandle, subject: str) -> list:
    """Every message of a subject in the stream."""
    client = await nats_server.connect()
    stream = client.jetstream()
    found = []
    try:
        last = (await stream.stream_info("MTS")).state.last_seq
        for sequence in range(1, last + 1):
            each = await stream.get_msg("MTS", sequence)
            if each.subject == subject:
                found.append(each)
    finally:
        await client.close()
    return found


async def test_trouble_is_raised_once_signed_and_cleared_when_it_is_over(
    nats_server: NatsHandle, runtime: Runtime
) -> None:
    watching = asyncio.create_task(alarm.watch(runtime))
    runtime.trouble = str(Corrupted("the stream is another one"))
    (raised,) = await eventually(lambda: stored(nats_server, RAISED))
    event = subjects.decode(RAISED, raised.data)
    assert event.data.title == "the stream is another one"
    settings = runtime.settings
    root = roster_files.read_public(settings.path("keys", "root.vkey"))
    known = roster_files.read_roster(settings.roster_path, root, 0, settings.environment)
    signature = message.parse(raised.headers[message.HEADER])
    signed = message.Message(settings.audit.origin, settings.environment, RAISED, raised.data)
    assert (
        roster.judge(signature, signed, known, parse_rfc3339(event.timestamp)).name
        == "service-audit"
    )
    runtime.condition(WORKER, ok=True, detail="working again")
    (cleared,) = await eventually(lambda: stored(nats_server, CLEARED))
    assert subjects.decode(CLEARED, cleared.data).data.episode == event.data.episode
    assert len(await stored(nats_server, RAISED)) == 1
    assert not runtime.trouble
    runtime.stopping.set()
    await watching


async def test_a_finding_waits_for_a_bus_that_is_down(
    nats_server: NatsHandle, runtime: Runtime
) -> None:
    nats_server.kill()
    watching = asyncio.create_task(alarm.watch(runtime))
    runtime.trouble = "the stream is another one"
    nats_server.start()
    assert await eventually(lambda: stored(nats_server, RAISED))
    runtime.stopping.set()
    await watching
