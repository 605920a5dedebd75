"""Each halt is documented once from the log: what led to it, and what was held at that moment."""

from decimal import Decimal
from hashlib import sha256

import msgspec
import pytest
from pipeline import Site, read_log
from support import eventually

from operations.adapters import credentials, roster_files
from operations.clock import parse_rfc3339
from operations.events import subjects
from operations.events.base import encode
from operations.events.commands import HaltCommanded, HaltOrder
from operations.events.halts import Halt, HaltDocumented, HaltRequested
from operations.events.positions import PositionChange, PositionChanged
from operations.signing import message, roster

pytestmark = pytest.mark.integration
WHEN = {"timestamp": "2026-11-20T20:00:00Z", "actor": "ann"}
DOCUMENTED = HaltDocumented.pattern


class DocumentedSite(Site):
    """A site whose evidence worker has its key."""

    def settings(self, worker):
        key = str(credentials.service_key_file(self.nats.settings, worker))
        return msgspec.structs.replace(super().settings(worker), service_key_file=key)


@pytest.fixture
def site(nats_server, database, tmp_path):
    roster_files.ensure_development(nats_server.settings)
    return DocumentedSite(nats_server, database, tmp_path)


def bought(number, before, after):
    change = PositionChange(
        symbol="AAPL",
        before_quantity=Decimal(before),
        after_quantity=Decimal(after),
        cause="order",
    )
    return PositionChanged(
        event_id=f"pos-{number}",
        subject_id="AAPL",
        fund_id="alpha",
        strategy_id="mean-rev",
        account_id="acc-1",
        data=change,
        **WHEN,
    )


def commanded(number=1):
    order = HaltOrder(
        command_id=f"c-{number}",
        issued_at="2026-11-20T20:00:00Z",
        expires_at="2026-11-20T20:10:00Z",
        halt_id=f"h-{number}",
        level="FUND_HALT",
    )
    return HaltCommanded(
        event_id=f"c-{number}", subject_id="alpha", fund_id="alpha", data=order, **WHEN
    )


def requested(number=1, asked=None):
    halt = Halt(
        halt_id=f"h-{number}",
        level="FUND_HALT",
        reason_code="MANUAL",
        requested_by="ann",
        payload_sha256=sha256(encode(asked)).hexdigest() if asked else None,
    )
    return HaltRequested(
        event_id=f"r-{number}", subject_id="alpha", fund_id="alpha", data=halt, **WHEN
    )


async def publish(nats, *events):
    client = await nats.connect()
    try:
        for event in events:
            await client.jetstream().publish(event.subject, encode(event))
    finally:
        await client.close()


async def documented(site):
    return [each for each in await read_log(site.database) if each.subject == DOCUMENTED.encode()]


async def test_a_halt_is_documented_with_its_entries_and_what_was_held_just_then(site):
    asked = commanded()
    await publish(
        site.nats, bought(1, "0", "100"), asked, requested(1, asked), bought(2, "100", "40")
    )
    async with site.working("audit", "projection", "evidence"):
        (found,) = await eventually(lambda: documented(site))
    log = await read_log(site.database)
    said = subjects.decode(DOCUMENTED, found.data).data
    assert said.log_sequences == (2, 3)
    assert said.entry_hashes == tuple(log[each].hash.hex() for each in said.log_sequences)
    assert [(each.symbol, each.quantity) for each in said.positions] == [("AAPL", 100)]
    assert said.positions_complete
    headers = dict(
        line.split(": ", 1) for line in found.headers.decode().split("\r\n") if ": " in line
    )
    settings = site.nats.settings
    root = roster_files.read_public(settings.path("keys", "root.vkey"))
    known = roster_files.read_roster(settings.roster_path, root, 0, settings.environment)
    own = site.settings("evidence")
    signed = message.Message(own.audit.origin, own.environment, DOCUMENTED, found.data)
    judged_at = parse_rfc3339(known.body.issued_at)
    moved = msgspec.structs.replace(
        known, body=msgspec.structs.replace(known.body, origin=own.audit.origin)
    )
    signature = message.parse(headers[message.HEADER])
    assert roster.judge(signature, signed, moved, judged_at).name == "service-evidence"


async def test_what_asked_may_stand_after_the_request_in_the_log(site):
    asked = commanded()
    await publish(site.nats, requested(1, asked), bought(1, "0", "5"), asked)
    async with site.working("audit", "projection", "evidence"):
        (found,) = await eventually(lambda: documented(site))
    said = subjects.decode(DOCUMENTED, found.data).data
    assert said.log_sequences == (1, 3)
    assert said.positions == ()
    assert not said.positions_complete


async def test_after_a_restart_nothing_is_documented_twice_and_nothing_is_forgotten(site):
    await publish(site.nats, requested(1))
    async with site.working("audit", "projection", "evidence"):
        await eventually(lambda: documented(site))
    await publish(site.nats, requested(2))
    async with site.working("audit", "projection", "evidence"):

        async def both():
            return len(await documented(site)) >= 2

        await eventually(both)
        await publish(site.nats, requested(3))

        async def third():
            return len(await documented(site)) >= 3

        await eventually(third)
    halts = [subjects.decode(DOCUMENTED, each.data).data.halt_id for each in await documented(site)]
    assert halts == ["h-1", "h-2", "h-3"]
